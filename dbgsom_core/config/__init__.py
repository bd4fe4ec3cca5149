"""One YAML file becomes one validated experiment, or a clear list of what is wrong with it.

load (YAML 1.2 with places, merged, filled) ▶ schema (the model of a configuration) ▶ experiment.
"""

from __future__ import annotations

from dbgsom_core.config.experiment import (
    Experiment,
    estimator_errors_located,
    load_experiment,
)
from dbgsom_core.config.load import dump_yaml, read_plain
from dbgsom_core.config.schema import (
    DecideSettings,
    RangeSettings,
    Split,
)
from dbgsom_core.config.variants import Child, Optimization, Sweep, is_sweep, load_sweep, shortened

__all__ = [
    "Child",
    "DecideSettings",
    "Experiment",
    "Optimization",
    "RangeSettings",
    "Split",
    "Sweep",
    "dump_yaml",
    "estimator_errors_located",
    "is_sweep",
    "load_experiment",
    "load_sweep",
    "read_plain",
    "shortened",
]
