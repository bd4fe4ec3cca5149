"""Versions of this package, of the plugin API and of defaults."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

API_VERSION = 1  # what a plugin states as ``DBGSOM_API_VERSION``

# Which defaults of estimators a run or a model file began with; the former ones bear no number.
DEFAULTS = 2
FORMER_DEFAULTS: dict[str, Any] = {
    "grid": {"name": "auto"},
    "kernel": {"name": "gaussian", "start": None, "end": None, "decay": "exponential"},
}
