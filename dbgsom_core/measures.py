"""Measures of fitted maps, from Python."""

from dbgsom_core.experiments.measuring import MeasureTable, evaluate

__all__ = ["MeasureTable", "evaluate"]
