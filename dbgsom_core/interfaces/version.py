"""Versions of this package, of the plugin API and of defaults."""

from __future__ import annotations

__version__ = "0.1.0"

API_VERSION = 1  # what a plugin states as ``DBGSOM_API_VERSION``
