"""Saving, loading and asking fitted models: one file, without pickle; nothing in it is run."""

from __future__ import annotations

from dbgsom_core.estimators import classifier, clustering, regressor  # noqa: F401 - files hold them
from dbgsom_core.estimators.answer_columns import answer_table
from dbgsom_core.estimators.model_file import FORMAT, FittedModel, load, save
from dbgsom_core.estimators.needed import distributions

__all__ = ["FORMAT", "FittedModel", "answer_table", "distributions", "load", "save"]
