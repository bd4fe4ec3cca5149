"""What a plugin author imports: the interfaces, their data, `Component` and `hookimpl`.

Each kind of component is a narrow Protocol with one or two required methods. Whatever else a
component can do is an optional capability, which the kind's base (`MetricComponent`, …) documents
and has a default for, so that old plugins outlive new versions. A component is a frozen pydantic
model with methods: its fields are its YAML section, its logged parameters and its JSON Schema, its
docstring is its help text. Derive from its kind's base or from `Component` itself, not from the
Protocols.

The built-in components take what they need from here, too. What is slow to import is imported when
it is asked for.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

from dbgsom_core.engine.runtime import available_threads, share
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.interfaces.component import Component, Nested
from dbgsom_core.interfaces.datasets import Data, Dataset, Table
from dbgsom_core.interfaces.engine import (
    samples_in_memory,
    samples_in_partitions,
)
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.figures import Figure, FigureComponent, Html, MapView, as_label
from dbgsom_core.interfaces.growth import (
    Birth,
    DataSummary,
    GrowthAbilities,
    GrowthComponent,
    GrowthState,
    VerticalState,
)
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.kernels import KernelComponent
from dbgsom_core.interfaces.labellers import (
    LabelEvidence,
    LabellerComponent,
    Surroundings,
)
from dbgsom_core.interfaces.measures import (
    Evaluation,
    MeasureAbilities,
    MeasureComponent,
    NotedValue,
    Stability,
    measured,
)
from dbgsom_core.interfaces.metrics import Metric, MetricAbilities, MetricComponent
from dbgsom_core.interfaces.privacy import (
    masked,
    masked_name,
    private_logger,
    shell_word,
)
from dbgsom_core.interfaces.stopping import STOP, StoppingComponent, StopState
from dbgsom_core.interfaces.stored_types import StoredType
from dbgsom_core.interfaces.trackers import (
    Page,
    Ranking,
    Run,
    RunResult,
    SweepView,
    TrackerComponent,
)
from dbgsom_core.interfaces.version import (
    API_VERSION,
    SUPPORTED_API_VERSIONS,
    DbgsomDeprecationWarning,
    Deprecation,
)
from dbgsom_core.tables.safe_files import open_regular, write_atomically

if TYPE_CHECKING:
    from dbgsom_core.engine.compile import compiled
    from dbgsom_core.engine.partitions import Partitions, range_rows
    from dbgsom_core.engine.results import Assignment
    from dbgsom_core.engine.runtime import one_blas_thread
    from dbgsom_core.engine.samples import Samples
    from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE, Grid
    from dbgsom_core.som_map.som_map import Death, Insert, SomMap
    from dbgsom_core.som_map.topology import (
        grid_distances,
        topographic_function,
        topographic_product,
    )
    from dbgsom_core.tables import Columns

__all__ = [
    "API_VERSION",
    "HEXAGONAL",
    "LINE",
    "SQUARE",
    "STOP",
    "SUPPORTED_API_VERSIONS",
    "Assignment",
    "Birth",
    "Columns",
    "Component",
    "Data",
    "DataError",
    "DataSummary",
    "Dataset",
    "DbgsomError",
    "Death",
    "Deprecation",
    "EpochRecord",
    "Evaluation",
    "Figure",
    "FigureComponent",
    "Grid",
    "GrowthAbilities",
    "GrowthComponent",
    "GrowthState",
    "Html",
    "Insert",
    "KernelComponent",
    "LabelEvidence",
    "LabellerComponent",
    "MapView",
    "MeasureAbilities",
    "MeasureComponent",
    "Metric",
    "MetricAbilities",
    "MetricComponent",
    "Nested",
    "NotedValue",
    "Page",
    "Partitions",
    "Ranking",
    "Run",
    "RunResult",
    "Samples",
    "SomMap",
    "Stability",
    "Start",
    "StopState",
    "StoppingComponent",
    "StoredType",
    "Surroundings",
    "SweepView",
    "Table",
    "TrackerComponent",
    "VerticalState",
    "as_label",
    "available_threads",
    "compiled",
    "grid_distances",
    "hookimpl",
    "masked",
    "masked_name",
    "measured",
    "one_blas_thread",
    "open_regular",
    "private_logger",
    "range_rows",
    "samples_in_memory",
    "samples_in_partitions",
    "share",
    "shell_word",
    "topographic_function",
    "topographic_product",
    "write_atomically",
]

# Deprecated names, and what replaces them.
_GONE = {
    "Engine GridShape Initialisation Schedule": "Component",
    "GrowthStrategy": "GrowthComponent",
    "Kernel": "KernelComponent",
    "Labeller": "LabellerComponent",
    "Measure": "MeasureComponent",
    "StoppingRule": "StoppingComponent",
    "Tracker": "TrackerComponent",
    "Chunk Context GrowthEvent Interval Tree Variant": "the object that a method is given",
    "Position": "tuple[int, int]",
    "callers_level did_you_mean": "dbgsom_core.errors",
    "inner_loop": "compiled",
    "MapGraph Moments Neighbourhood PerSample Search Totals": "Samples, as its base",
    "check_written unpacked_most": "open_regular",
    "FloatArray IntArray": "numpy.typing.NDArray",
}
DEPRECATED = {
    name: Deprecation("0.1", "0.3", instead)
    for names, instead in _GONE.items()
    for name in names.split()
}

hookimpl = pluggy.HookimplMarker("dbgsom")

# Imported when first used, by module: plugins are found without numpy and numba.
_HOMES = {
    "engine.runtime": "one_blas_thread",
    "engine.compile": "compiled inner_loop",
    "engine.results": "Assignment MapGraph Moments Neighbourhood PerSample Search Totals",
    "engine.samples": "Samples",
    "engine.partitions": "Partitions range_rows",
    "errors": "callers_level did_you_mean",
    "interfaces.context": "Chunk Context FloatArray IntArray",
    "interfaces.engine": "Engine",
    "interfaces.epochs": "GrowthEvent",
    "interfaces.growth": "GrowthStrategy",
    "interfaces.initialisations": "GridShape Initialisation",
    "interfaces.kernels": "Kernel Schedule",
    "interfaces.labellers": "Labeller",
    "interfaces.measures": "Interval Measure",
    "interfaces.stopping": "StoppingRule",
    "interfaces.trackers": "Tracker Variant",
    "som_map.grid": "HEXAGONAL LINE SQUARE Grid Position",
    "som_map.som_map": "Death Insert SomMap",
    "som_map.topology": "grid_distances topographic_function topographic_product",
    "som_map.tree": "Tree",
    "tables": "Columns",
    "tables.safe_files": "check_written unpacked_most",
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in DEPRECATED:
        sentence = DEPRECATED[name].sentence(f"{__name__}.{name}")
        warnings.warn(sentence, DbgsomDeprecationWarning, stacklevel=2)
        if name not in _LAZY:
            return DEPRECATED[name].value
    elif name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"dbgsom_core.{_LAZY[name]}"), name)
