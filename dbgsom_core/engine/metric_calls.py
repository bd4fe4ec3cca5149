"""The metric as passes over samples see it."""

from typing import Any, TypeAlias

# A `MetricComponent`: interfaces stand above the engine, which does not import them.
MetricCalls: TypeAlias = Any
