"""The version of this package, and that of the interfaces, which a plugin states."""

from __future__ import annotations

__version__ = "0.1.0"

API_VERSION = 1  # what a plugin states as ``DBGSOM_API_VERSION``
# A plugin of the previous version keeps working until the next one comes.
SUPPORTED_API_VERSIONS: tuple[int, ...] = tuple(range(max(1, API_VERSION - 1), API_VERSION + 1))
