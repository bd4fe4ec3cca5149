"""One YAML file becomes one validated experiment, or a clear list of what is wrong with it.

load (YAML 1.2 with places) ▶ merge (extends, overrides) ▶ resolve (environment) ▶ validate.
"""

from __future__ import annotations

from dbgsom_core.config.dump import dump_yaml
from dbgsom_core.config.environment import fill_text
from dbgsom_core.config.experiment import (
    Child,
    Experiment,
    Model,
    Optimization,
    PrepareStep,
    Sweep,
)
from dbgsom_core.config.load import (
    is_sweep,
    load_experiment,
    load_sweep,
    parse_experiment,
    parse_sweep,
    read_plain,
)
from dbgsom_core.config.settings import DEFAULT_NAMES, DecideSettings, Split

__all__ = [
    "DEFAULT_NAMES",
    "Child",
    "DecideSettings",
    "Experiment",
    "Model",
    "Optimization",
    "PrepareStep",
    "Split",
    "Sweep",
    "dump_yaml",
    "fill_text",
    "is_sweep",
    "load_experiment",
    "load_sweep",
    "parse_experiment",
    "parse_sweep",
    "read_plain",
]
