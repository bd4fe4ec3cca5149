"""Every hook of dbgsom: one for each kind of component, two for transformers, four for runs.

A plugin is a module (or package) that an entry point of the group ``dbgsom.plugins`` names. It
states ``DBGSOM_API_VERSION`` and implements any of these hooks with ``dbgsom_core.api.hookimpl``.
An offering hook is called once, at discovery; it must be cheap, so give ``"module:Class"`` strings
for classes whose import is not.

pluggy marks what implements a hook and refuses what is registered twice or fits none; it calls no
hook. Its calls stop at the first error, run in reverse and forget whose answer is whose, while here
each offer is asked for and each observer told on its own. A ``run`` is a `dbgsom_core.api.Run`, a
``result`` a `dbgsom_core.api.RunResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from dbgsom_core.interfaces.context import EpochRecord
    from dbgsom_core.interfaces.stopping import Stop
    from dbgsom_core.interfaces.stored_types import StoredType

hookspec = pluggy.HookspecMarker("dbgsom")

# A component is offered as its class or, to keep discovery fast, as "module:Class". The class
# derives from the base of its kind.
Offer = type | str


@hookspec
def dbgsom_metrics() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer distance metrics: ``{name: class}``, each a `dbgsom_core.api.MetricComponent`."""


@hookspec
def dbgsom_kernels() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer neighbourhood kernels: ``{name: class}``, each a `dbgsom_core.api.KernelComponent`."""


@hookspec
def dbgsom_growth_strategies() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer growth strategies: ``{name: class}``, each a `dbgsom_core.api.GrowthComponent`."""


@hookspec
def dbgsom_initialisations() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer ways to start: ``{name: class}``, each a `dbgsom_core.api.InitialisationComponent`."""


@hookspec
def dbgsom_grids() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer grids: ``{name: class}``, each a `dbgsom_core.api.GridComponent`."""


@hookspec
def dbgsom_schedules() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer schedules of width: ``{name: class}``, each a `dbgsom_core.api.ScheduleComponent`."""


@hookspec
def dbgsom_stopping_rules() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer stopping rules: ``{name: class}``, each a `dbgsom_core.api.StoppingComponent`."""


@hookspec
def dbgsom_labellers() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer labellers: ``{name: class}``, each a `dbgsom_core.api.LabellerComponent`."""


@hookspec
def dbgsom_datasets() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer data sets: ``{name: class}``, each a `dbgsom_core.api.DatasetComponent`."""


@hookspec
def dbgsom_measures() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer measures: ``{name: class}``, each a `dbgsom_core.api.MeasureComponent`."""


@hookspec
def dbgsom_figures() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer figures: ``{name: class}``, each a `dbgsom_core.api.FigureComponent`."""


@hookspec
def dbgsom_trackers() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer trackers: ``{name: class}``, each a `dbgsom_core.api.TrackerComponent`."""


@hookspec
def dbgsom_engines() -> Mapping[str, Offer]:  # type: ignore[empty-body]
    """Offer engines: ``{name: class}``, each a `dbgsom_core.api.EngineComponent`."""


@hookspec
def dbgsom_prepare_steps() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Name transformers for the section ``prepare`` of configurations: ``{name: "module:Class"}``.

    Each is a scikit-learn transformer. List it in `dbgsom_transformers`, too, or no model that was
    prepared by it can be saved.
    """


@hookspec
def dbgsom_transformers() -> Mapping[str, StoredType]:  # type: ignore[empty-body]
    """List transformers that model files may hold: ``{name: dbgsom_core.api.StoredType}``.

    A configuration names such a prepare step ``module:Class`` without this hook, too; but what no
    list knows can be neither saved nor loaded. Files know it as ``distribution:name``.
    """


@hookspec
def dbgsom_run_started(run: Any) -> None:
    """Hear that a run has started: the data is loaded and valid, training has not begun."""


@hookspec
def dbgsom_epoch_finished(run: Any, epoch: EpochRecord) -> Stop | None:
    """Hear that the model has finished one epoch; `STOP` as the answer ends training."""


@hookspec
def dbgsom_run_finished(run: Any, result: Any) -> None:
    """Hear that a run has finished and how well."""


@hookspec
def dbgsom_run_failed(run: Any, error: BaseException) -> None:
    """Hear that a run has ended without a result; a `KeyboardInterrupt`: somebody ended it."""


# kind -> the hook that offers components of that kind, in the order in which they are listed
KINDS: dict[str, str] = {
    "metric": "dbgsom_metrics",
    "kernel": "dbgsom_kernels",
    "growth": "dbgsom_growth_strategies",
    "initialisation": "dbgsom_initialisations",
    "grid": "dbgsom_grids",
    "schedule": "dbgsom_schedules",
    "stopping": "dbgsom_stopping_rules",
    "labeller": "dbgsom_labellers",
    "dataset": "dbgsom_datasets",
    "measure": "dbgsom_measures",
    "figure": "dbgsom_figures",
    "tracker": "dbgsom_trackers",
    "engine": "dbgsom_engines",
}

PREPARE_STEPS = "dbgsom_prepare_steps"
TRANSFORMERS = "dbgsom_transformers"

LIFECYCLE_HOOKS: tuple[str, ...] = (
    "dbgsom_run_started",
    "dbgsom_epoch_finished",
    "dbgsom_run_finished",
    "dbgsom_run_failed",
)
