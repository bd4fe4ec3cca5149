"""The components of an estimator, the fitted metric, and checks of compatibility."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dbgsom_core.errors import ComponentError, DataError, ParameterError
from dbgsom_core.interfaces.component import (
    Component,
    MetricWithState,
    active_registry,
    check_promises,
    given_fields,
    guarded,
    nested_fields,
)
from dbgsom_core.interfaces.engine import EngineComponent
from dbgsom_core.interfaces.growth import GrowthComponent, start_grid, start_shape
from dbgsom_core.interfaces.initialisations import GridComponent
from dbgsom_core.interfaces.kernels import KernelComponent, ScheduleComponent
from dbgsom_core.interfaces.labellers import LabellerComponent
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.interfaces.stopping import StoppingComponent, judges_targets, measures_of

PARTS = ("metric", "kernel", "growth", "labeller", "engine")
# Parameters used in training only. All have short forms.
TRAINING_PARTS = ("grid", "init", "schedule", "stopping")
KIND_OF = {name: name for name in (*PARTS, *TRAINING_PARTS)} | {"init": "initialisation"}

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.samples import Samples


@dataclass(frozen=True)
class Parts:
    """The components of an estimator.

    ``init`` may be an array (K0, D), ``schedule`` None: the kernel's ``decay``.
    """

    metric: MetricComponent
    kernel: KernelComponent
    growth: GrowthComponent
    labeller: LabellerComponent
    engine: EngineComponent
    grid: GridComponent
    init: Any = None
    schedule: ScheduleComponent | None = None
    stopping: tuple[StoppingComponent, ...] = ()

    def each(self) -> Iterator[tuple[str, str, Any]]:
        """Yield parameter, kind and component; items of a list as ``stopping.0``."""
        for name, kind in KIND_OF.items():
            part = getattr(self, name)
            if isinstance(part, tuple):
                for i, item in enumerate(part):
                    yield f"{name}.{i}", kind, item
            elif isinstance(part, Component):
                yield name, kind, part

    def over(self, X: Any, metric: MetricComponent, weights: Any = None) -> Samples:
        """Return samples X (n, D) as the engine holds them; see `EngineComponent.over`."""
        samples: Samples = guarded(self.engine).over(X, metric, weights)
        check_promises(metric, samples.X)
        return samples

    @cached_property
    def growing(self) -> GrowthComponent:
        """The growth strategy as the core calls it."""
        growth: GrowthComponent = guarded(self.growth)
        return growth

    @property
    def spreading_factor(self) -> float | None:
        """The spreading factor of growth; None where the strategy has none."""
        factor = base_growth(self.growth).spreading_factor
        return None if factor is None else float(factor)


def base_growth(growth: GrowthComponent) -> GrowthComponent:
    """Return the innermost strategy, which grows a single map, as the core calls it."""
    growing: GrowthComponent = guarded(growth)
    return growing if growing.base is None else base_growth(growing.base)


# ------------------------------------------------------------------------- the fitted metric


@dataclass(frozen=True)
class FittedMetric:
    """A metric and the state that its ``fit`` returned."""

    metric: MetricComponent
    state: Mapping[str, NDArray[Any]] | None = None  # read-only; None: no ``fit``

    @cached_property
    def calls(self) -> Any:
        """The metric as engines call it: its methods have got the state."""
        metric: Any = guarded(self.metric)
        return metric if self.state is None else MetricWithState(metric, self.state)

    def __getstate__(self) -> dict[str, Any]:
        return {"metric": self.metric, "state": self.state}


def fit_metric(
    metric: MetricComponent, X: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> FittedMetric:
    """Return the metric fitted to raw training samples X (n, D), if it has ``fit``.

    Samples of weight 0 are left out; a metric that ``learns_weighted`` gets the other weights.
    """
    learner = guarded(metric)
    if learner.fit is None:
        return FittedMetric(metric)
    given: tuple[Any, ...] = (X,)
    if weights is not None:
        counts = weights > 0
        given = (X[counts],)
        if learner.learns_weighted:
            given = (X[counts], weights[counts])
    from dbgsom_core.engine.runtime import one_blas_thread  # numpy is slow to import

    with one_blas_thread():
        state = learner.fit(*given)
    return restore_metric(metric, state)


def restore_metric(
    metric: MetricComponent, state: Mapping[str, NDArray[Any]] | None
) -> FittedMetric:
    if state is None:
        return FittedMetric(metric)
    copies = {name: value.copy() for name, value in state.items()}
    for value in copies.values():
        value.flags.writeable = False
    return FittedMetric(metric, copies)


# --------------------------------------------------------------------------- compatibility

DEFAULT_LABELLERS = {"vq": "index", "classifier": "linear_vote", "regressor": "local_linear"}


def is_default_measure(measure: Any, estimator: str) -> bool:
    """Return whether a measure (or its class) is in the default list of this kind of estimator."""
    kinds = measure.estimators
    return kinds is None or estimator in kinds


def is_suitable_measure(measure: Any, estimator: str) -> bool:
    """Return whether a measure can be computed for this kind of estimator."""
    kinds = tuple(measure.estimators or ())
    if estimator == "regressor":
        return not kinds or "regressor" in kinds
    return kinds != ("regressor",)


def component_problem(kind: str, name: str, component: Any, estimator: str) -> str | None:
    """Return why a labeller or growth strategy does not suit an estimator, with a hint, or None."""
    if kind == "labeller":
        able = guarded(component)
        usual = DEFAULT_LABELLERS[estimator]
        kinds = able.estimators if able.columns is None else ("regressor",)
        if kinds is not None and estimator not in kinds:
            suited = " or ".join(kinds)
            return f"labeller {name} is for estimator {suited}, not for {estimator}; use '{usual}'"
    elif estimator == "regressor" and guarded(component).needs_classes:
        return f"growth {name} needs class labels, and a regressor has none; use another threshold"
    return None


def measure_problem(rule: Any, estimator: str) -> str | None:
    """Return why a stopping rule's measure does not suit an estimator, or None."""
    for measure in measures_of(rule):
        if not is_suitable_measure(measure, estimator):
            name = active_registry().name_of("measure", measure)
            suited = " or ".join(measure.estimators or ())
            return f"measure '{name}' is for estimator {suited}, not for {estimator}"
    return None


def grid_problem(growth: Any, grid: Any) -> str | None:
    """Return why a growth strategy cannot use a grid component, or None."""
    growing = base_growth(growth)
    try:
        start_grid(growing, grid)
    except ComponentError:
        raise
    except ValueError as error:
        if growing.start_shape() is not None:  # a map of fixed size
            return str(error)
        return f"{error}; a torus is for maps of fixed size: take growth fixed, or another grid"
    return None


def kernel_problem(kernel: Any, metric: Any) -> str | None:
    """Return why a kernel does not suit a metric, with a hint, or None."""
    if not guarded(kernel).inhibits or guarded(metric).form is None:
        return None
    return (
        f"kernel {type(kernel).__name__} has negative weights, and metric "
        f"{type(metric).__name__} allows no negative weights in its update: take "
        "another kernel, or a metric whose prototypes are means"
    )


def field_problem(growth: Any, field: str, value: Any) -> str | None:
    """Return why a parameter of the estimator cannot set this field of the strategy, or None."""
    if field not in type(growth).model_fields:
        if "base" in nested_fields(type(growth)):
            return field_problem(growth.base, field, value)
        name = type(growth).__name__
        return f"growth strategy {name} has no {field}; leave {field}={value!r} out"
    given = given_fields(growth)
    if field in given and given[field] != value:
        return f"{field}={value!r} contradicts growth's {field}={given[field]!r}; give it once"
    return None


def start_shape_error(given: tuple[int, ...], rows: int, columns: int, n_features: int) -> str:
    return (
        f"init has shape {given}, but the map starts with {rows} × {columns} neurons in "
        f"{n_features} dimensions: shape {(rows * columns, n_features)}"
    )


def check_start(parts: Parts, n_features: int) -> None:
    """Raise `ParameterError` where ``values`` of ``init`` have the wrong shape for such samples."""
    values = getattr(parts.init, "values", None)
    if not values or not isinstance(values[0], tuple):
        return
    given = (len(values), len(values[0]))
    rows, columns = start_shape(base_growth(parts.growth))
    if given != (rows * columns, n_features):
        raise ParameterError(start_shape_error(given, rows, columns, n_features), "init")


def find_misfits(parts: Parts, estimator: str) -> Iterator[tuple[str, str]]:
    """Yield the parameter and a sentence for each part that suits others or the estimator not."""
    is_fixed = base_growth(parts.growth).start_shape() is not None
    problems = [
        ("kernel", kernel_problem(parts.kernel, parts.metric)),
        ("growth" if is_fixed else "grid", grid_problem(parts.growth, parts.grid)),
    ]
    for kind, part in (("labeller", parts.labeller), ("growth", parts.growth)):
        problems.append((kind, component_problem(kind, type(part).__name__, part, estimator)))
    for rule in parts.stopping:
        problem = measure_problem(rule, estimator)
        if problem is not None:
            name = active_registry().name_of("stopping", rule)
            problems.append(("stopping", f"stopping {name}: {problem}"))
    for parameter, problem in problems:
        if problem is not None:
            yield parameter, problem


def check_compatible(parts: Parts, estimator: str) -> None:
    """Raise `ParameterError` when parts are incompatible with each other or this estimator."""
    for parameter, problem in find_misfits(parts, estimator):
        raise ParameterError(problem, parameter)
    try:
        guarded(parts.labeller).check()
    except DataError as error:
        raise ParameterError(str(error), "labeller") from error


def find_target_reader(parts: Parts) -> str | None:
    """Return the kind and class of a part that needs targets, or None."""
    if parts.growing.needs_classes:
        return f"growth {type(parts.growth).__name__}"
    if guarded(parts.labeller).needs_target:
        return f"labeller {type(parts.labeller).__name__}"
    for rule in parts.stopping:
        if judges_targets(rule):
            return f"stopping {type(rule).__name__}"
    return None
