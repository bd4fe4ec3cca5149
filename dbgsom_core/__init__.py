"""Growing self-organizing maps as a plugin framework.

Names are imported on first use, so ``import dbgsom_core`` loads neither numba nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbgsom_core import presets as presets
    from dbgsom_core.estimators import SomClassifier as SomClassifier
    from dbgsom_core.estimators import SomVQ as SomVQ
    from dbgsom_core.regressor import SomRegressor as SomRegressor

__version__ = "0.1.0"

__all__ = ["SomClassifier", "SomRegressor", "SomVQ", "__version__", "presets"]


def __getattr__(name: str) -> Any:
    if name in ("SomVQ", "SomClassifier"):
        return getattr(import_module("dbgsom_core.estimators"), name)
    if name == "SomRegressor":
        return import_module("dbgsom_core.regressor").SomRegressor
    if name == "presets":
        return import_module("dbgsom_core.presets")
    raise AttributeError(f"module 'dbgsom_core' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
