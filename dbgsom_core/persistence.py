"""Saving and loading fitted models: one file, without pickle; nothing in it is run."""

from __future__ import annotations

from dbgsom_core.estimators import classifier, clustering, regressor  # noqa: F401 - files hold them
from dbgsom_core.estimators.model_file import FORMAT, FittedModel, load, save

__all__ = ["FORMAT", "FittedModel", "load", "save"]
