"""Measures of fitted maps, from Python."""

from dbgsom_core.estimators.answers import MeasureTable, evaluate

__all__ = ["MeasureTable", "evaluate"]
