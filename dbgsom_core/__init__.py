"""Growing self-organizing maps as a plugin framework.

Names are imported on first use, so ``import dbgsom_core`` loads neither numba nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dbgsom_core.interfaces.version import __version__

if TYPE_CHECKING:
    from dbgsom_core import presets as presets
    from dbgsom_core.estimators.display import SomDisplay as SomDisplay
    from dbgsom_core.estimators.som import SomClassifier as SomClassifier
    from dbgsom_core.estimators.som import SomRegressor as SomRegressor
    from dbgsom_core.estimators.som import SomVQ as SomVQ
    from dbgsom_core.experiments.models import explain as explain
    from dbgsom_core.runs.api import init as init
    from dbgsom_core.runs.api import run as run
    from dbgsom_core.runs.api import sweep as sweep
    from dbgsom_core.runs.check import Check as Check
    from dbgsom_core.runs.check import check as check
    from dbgsom_core.runs.compare import compare as compare

__all__ = [
    "Check",
    "SomClassifier",
    "SomDisplay",
    "SomRegressor",
    "SomVQ",
    "__version__",
    "check",
    "compare",
    "explain",
    "init",
    "presets",
    "run",
    "sweep",
]

_HOMES = {
    "SomVQ": "estimators.som",
    "SomClassifier": "estimators.som",
    "SomRegressor": "estimators.som",
    "SomDisplay": "estimators.display",
    "Check": "runs.check",
    "check": "runs.check",
    "compare": "runs.compare",
    "explain": "experiments.models",
    "init": "runs.api",
    "run": "runs.api",
    "sweep": "runs.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name == "presets":
        return import_module(f"{__name__}.presets")
    raise AttributeError(f"module 'dbgsom_core' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
