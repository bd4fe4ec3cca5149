"""What a plugin author imports: the bases of all kinds, what their methods get, and `hookimpl`.

A component derives from the base of its kind, `MetricComponent` say, has its abstract methods and
whatever else of the base it overrides. It is a frozen pydantic model with methods: its fields are
its YAML section, its logged parameters and its JSON Schema, its docstring is its help text.

The built-in components take what they need from here, too. Each name is imported when it is asked
for, so that plugins are found without numpy and numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from dbgsom_core.engine.compile import compiled
    from dbgsom_core.engine.partitions import Partitions, range_rows
    from dbgsom_core.engine.results import Assignment
    from dbgsom_core.engine.runtime import (
        available_memory,
        available_threads,
        one_blas_thread,
        share,
    )
    from dbgsom_core.engine.samples import Samples
    from dbgsom_core.errors import DataError, DbgsomError
    from dbgsom_core.experiments.datasets import Data, DatasetComponent, Table
    from dbgsom_core.experiments.trackers import (
        Page,
        Ranking,
        Run,
        RunResult,
        SweepView,
        TrackerComponent,
        masked,
    )
    from dbgsom_core.files import open_regular, write_atomically
    from dbgsom_core.interfaces.component import Component, Nested
    from dbgsom_core.interfaces.context import EpochRecord
    from dbgsom_core.interfaces.engine import (
        EngineComponent,
        samples_in_memory,
        samples_in_partitions,
    )
    from dbgsom_core.interfaces.figures import FigureComponent, Html, MapView, as_label
    from dbgsom_core.interfaces.growth import (
        Birth,
        DataSummary,
        GrowthComponent,
        GrowthState,
        VerticalState,
    )
    from dbgsom_core.interfaces.initialisations import GridComponent, InitialisationComponent, Start
    from dbgsom_core.interfaces.kernels import KernelComponent, ScheduleComponent
    from dbgsom_core.interfaces.labellers import LabelEvidence, LabellerComponent, Surroundings
    from dbgsom_core.interfaces.measures import (
        ClusterStability,
        Evaluation,
        MeasureComponent,
        NotedValue,
        Stability,
        measured,
    )
    from dbgsom_core.interfaces.metrics import MetricComponent
    from dbgsom_core.interfaces.stopping import STOP, StoppingComponent, StopState
    from dbgsom_core.interfaces.stored_types import StoredType
    from dbgsom_core.runs.describe import as_markdown, data_title, headline
    from dbgsom_core.runs.folder import RunFiles, StoredRun
    from dbgsom_core.runs.profile import read_clusters
    from dbgsom_core.runs.results import run_of_fit
    from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE, Grid
    from dbgsom_core.som_map.som_map import Death, Insert, SomMap
    from dbgsom_core.som_map.topology import (
        grid_distances,
        topographic_function,
        topographic_product,
    )
    from dbgsom_core.tables import Columns

__all__ = [
    "HEXAGONAL",
    "LINE",
    "SQUARE",
    "STOP",
    "Assignment",
    "Birth",
    "ClusterStability",
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
    "RunFiles",
    "RunResult",
    "Samples",
    "ScheduleComponent",
    "SomMap",
    "Stability",
    "Start",
    "StopState",
    "StoppingComponent",
    "StoredRun",
    "StoredType",
    "Surroundings",
    "SweepView",
    "Table",
    "TrackerComponent",
    "VerticalState",
    "as_label",
    "as_markdown",
    "available_memory",
    "available_threads",
    "compiled",
    "data_title",
    "grid_distances",
    "headline",
    "hookimpl",
    "masked",
    "measured",
    "one_blas_thread",
    "open_regular",
    "range_rows",
    "read_clusters",
    "run_of_fit",
    "samples_in_memory",
    "samples_in_partitions",
    "share",
    "topographic_function",
    "topographic_product",
    "write_atomically",
]

hookimpl = pluggy.HookimplMarker("dbgsom")

_NAMES = {  # by module
    "engine.compile": "compiled",
    "engine.partitions": "Partitions range_rows",
    "engine.results": "Assignment",
    "engine.runtime": "available_memory available_threads one_blas_thread share",
    "engine.samples": "Samples",
    "errors": "DataError DbgsomError",
    "experiments.datasets": "Data DatasetComponent Table",
    "experiments.trackers": "Page Ranking Run RunResult SweepView TrackerComponent masked",
    "interfaces.component": "Component Nested",
    "interfaces.engine": "EngineComponent samples_in_memory samples_in_partitions",
    "interfaces.figures": "FigureComponent Html MapView as_label",
    "interfaces.context": "EpochRecord",
    "interfaces.growth": "Birth DataSummary GrowthComponent GrowthState VerticalState",
    "interfaces.initialisations": "GridComponent InitialisationComponent Start",
    "interfaces.kernels": "KernelComponent ScheduleComponent",
    "interfaces.labellers": "LabelEvidence LabellerComponent Surroundings",
    "interfaces.measures": (
        "ClusterStability Evaluation MeasureComponent NotedValue Stability measured"
    ),
    "interfaces.metrics": "MetricComponent",
    "interfaces.stopping": "STOP StoppingComponent StopState",
    "interfaces.stored_types": "StoredType",
    "runs.folder": "RunFiles StoredRun",
    "runs.describe": "as_markdown data_title headline",
    "runs.profile": "read_clusters",
    "runs.results": "run_of_fit",
    "som_map.grid": "HEXAGONAL LINE SQUARE Grid",
    "som_map.som_map": "Death Insert SomMap",
    "som_map.topology": "grid_distances topographic_function topographic_product",
    "tables": "Columns",
    "files": "open_regular write_atomically",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"dbgsom_core.{_HOMES[name]}"), name)
