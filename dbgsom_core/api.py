"""What a plugin author imports: the bases of all kinds, what their methods get, and `hookimpl`.

A component derives from the base of its kind, `MetricComponent` say, has its abstract methods and
whatever else of the base it overrides. It is a frozen pydantic model with methods: its fields are
its YAML section, its logged parameters and its JSON Schema, its docstring is its help text.

The built-in components take what they need from here, too. What is slow to import is imported when
it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

from dbgsom_core.engine.runtime import available_memory, available_threads, share
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.interfaces.component import Component, Nested
from dbgsom_core.interfaces.datasets import Data, DatasetComponent, Table
from dbgsom_core.interfaces.engine import (
    EngineComponent,
    samples_in_memory,
    samples_in_partitions,
)
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.figures import FigureComponent, Html, MapView, as_label
from dbgsom_core.interfaces.growth import (
    Birth,
    DataSummary,
    GrowthComponent,
    GrowthState,
    VerticalState,
)
from dbgsom_core.interfaces.initialisations import (
    GridComponent,
    InitialisationComponent,
    Start,
)
from dbgsom_core.interfaces.kernels import KernelComponent, ScheduleComponent
from dbgsom_core.interfaces.labellers import (
    LabelEvidence,
    LabellerComponent,
    Surroundings,
)
from dbgsom_core.interfaces.measures import (
    Evaluation,
    MeasureComponent,
    NotedValue,
    Stability,
    measured,
)
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.interfaces.privacy import masked
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
from dbgsom_core.interfaces.version import API_VERSION
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
    "Assignment",
    "Birth",
    "Columns",
    "Component",
    "Data",
    "DataError",
    "DataSummary",
    "DatasetComponent",
    "DbgsomError",
    "Death",
    "EngineComponent",
    "EpochRecord",
    "Evaluation",
    "FigureComponent",
    "Grid",
    "GridComponent",
    "GrowthComponent",
    "GrowthState",
    "Html",
    "InitialisationComponent",
    "Insert",
    "KernelComponent",
    "LabelEvidence",
    "LabellerComponent",
    "MapView",
    "MeasureComponent",
    "MetricComponent",
    "Nested",
    "NotedValue",
    "Page",
    "Partitions",
    "Ranking",
    "Run",
    "RunResult",
    "Samples",
    "ScheduleComponent",
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
    "available_memory",
    "available_threads",
    "compiled",
    "grid_distances",
    "hookimpl",
    "masked",
    "measured",
    "one_blas_thread",
    "open_regular",
    "range_rows",
    "samples_in_memory",
    "samples_in_partitions",
    "share",
    "topographic_function",
    "topographic_product",
    "write_atomically",
]

hookimpl = pluggy.HookimplMarker("dbgsom")

# Imported when first used, by module: plugins are found without numpy and numba.
_HOMES = {
    "engine.runtime": "one_blas_thread",
    "engine.compile": "compiled",
    "engine.results": "Assignment",
    "engine.samples": "Samples",
    "engine.partitions": "Partitions range_rows",
    "som_map.grid": "HEXAGONAL LINE SQUARE Grid",
    "som_map.som_map": "Death Insert SomMap",
    "som_map.topology": "grid_distances topographic_function topographic_product",
    "tables": "Columns",
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"dbgsom_core.{_LAZY[name]}"), name)
