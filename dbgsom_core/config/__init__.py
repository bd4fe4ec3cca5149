"""One YAML file becomes one validated experiment, or a clear list of what is wrong with it.

load (YAML 1.2 with places, merged, filled) ▶ schema (the model of a configuration) ▶ experiment.
"""

from __future__ import annotations

from dbgsom_core.config.components import PrepareStep
from dbgsom_core.config.experiment import (
    Experiment,
    Model,
    estimator_errors_located,
    load_experiment,
    parse_experiment,
)
from dbgsom_core.config.load import dump_yaml, read_plain, read_scalar
from dbgsom_core.config.schema import (
    DEFAULT_NAMES,
    MODEL_COMPONENTS,
    DecideSettings,
    ModelSettings,
    RangeSettings,
    Split,
)
from dbgsom_core.config.variants import (
    Child,
    Optimization,
    Sweep,
    is_sweep,
    load_sweep,
    shortened,
)

__all__ = [
    "DEFAULT_NAMES",
    "MODEL_COMPONENTS",
    "Child",
    "DecideSettings",
    "Experiment",
    "Model",
    "ModelSettings",
    "Optimization",
    "PrepareStep",
    "RangeSettings",
    "Split",
    "Sweep",
    "dump_yaml",
    "estimator_errors_located",
    "is_sweep",
    "load_experiment",
    "load_sweep",
    "parse_experiment",
    "read_plain",
    "read_scalar",
    "shortened",
]
