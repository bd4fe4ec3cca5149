"""The components of an estimator, the metric with what it learned, and what goes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.component import Component, given_fields, nested_fields
from dbgsom_core.interfaces.engine import Engine, EngineAbilities
from dbgsom_core.interfaces.growth import GrowthAbilities, GrowthStrategy
from dbgsom_core.interfaces.guard import lookup_in_use
from dbgsom_core.interfaces.initialisations import GridShape
from dbgsom_core.interfaces.kernels import Kernel, KernelAbilities, Schedule
from dbgsom_core.interfaces.labellers import Labeller, LabellerAbilities
from dbgsom_core.interfaces.measures import MeasureAbilities
from dbgsom_core.interfaces.metrics import Metric, MetricAbilities
from dbgsom_core.interfaces.stopping import StoppingRule, judges_targets, measures_of

PARTS = ("metric", "kernel", "growth", "labeller", "engine")
# Parameters that only training looks at, and the kind that each takes. They have short forms, too.
LOOP = {"grid": "grid", "init": "initialisation", "schedule": "schedule", "stopping": "stopping"}
KIND_OF = {**{kind: kind for kind in PARTS}, **LOOP}

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.samples import Samples


@dataclass(frozen=True)
class Parts:
    """The built parts of one estimator.

    ``init`` may be an array (K0, D), ``schedule`` is None where the kernel's ``decay`` says it.
    """

    metric: Metric
    kernel: Kernel
    growth: GrowthStrategy
    labeller: Labeller
    engine: Engine
    grid: GridShape
    init: Any = None
    schedule: Schedule | None = None
    stopping: tuple[StoppingRule, ...] = ()

    def each(self) -> Iterator[tuple[str, str, Any]]:
        """Yield parameter, kind and component of each part; those of a list as ``stopping.0``."""
        for name, kind in KIND_OF.items():
            part = getattr(self, name)
            if isinstance(part, tuple):
                yield from ((f"{name}.{i}", kind, one) for i, one in enumerate(part))
            elif isinstance(part, Component):
                yield name, kind, part

    def over(self, X: Any, metric: MetricAbilities, weights: Any = None) -> Samples:
        """Return samples X (n, D) as the engine holds them; see `Engine.over`."""
        samples: Samples = self.at_engine.over(X, metric, weights)
        return samples

    @cached_property
    def at_engine(self) -> EngineAbilities:
        return EngineAbilities.of(self.engine)

    @cached_property
    def growing(self) -> GrowthAbilities:
        return GrowthAbilities.of(self.growth)

    @property
    def spreading_factor(self) -> float | None:
        """That with which maps grow; None where the strategy has none."""
        growing = _of_single_map(self.growth)
        return None if growing.spreading_factor is None else float(growing.spreading_factor)


def _of_single_map(growth: Any) -> GrowthAbilities:
    """Return what the strategy can do that grows a single map, within one around it."""
    growing = GrowthAbilities.of(growth)
    return growing if growing.base is None else _of_single_map(growing.base)


# ------------------------------------------------------------------------- the fitted metric


@dataclass(frozen=True)
class FittedMetric:
    """A metric and the state that its ``fit`` returned."""

    metric: Metric
    state: Mapping[str, NDArray[Any]] | None = None  # read-only; None: it learns nothing

    @cached_property
    def abilities(self) -> MetricAbilities:
        """What the metric can do, its ``prepare`` with what it learned."""
        found = MetricAbilities.of(self.metric)
        return found if self.state is None else found.knowing(self.state)

    def __getstate__(self) -> dict[str, Any]:
        return {"metric": self.metric, "state": self.state}  # the rest is found out again


def fitted(
    metric: Metric, X: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> FittedMetric:
    """Return the metric fitted to raw training samples X (n, D), where it learns anything.

    Samples of weight 0 are left out; the weights (n,) of the others go to a metric that
    ``learns_weighted``.
    """
    abilities = MetricAbilities.of(metric)
    if abilities.fit is None:
        return FittedMetric(metric)
    given: tuple[Any, ...] = (X,)
    if weights is not None:
        kept = weights > 0
        given = (X[kept], weights[kept])[: 2 if abilities.learns_weighted else 1]
    from dbgsom_core.engine.runtime import one_blas_thread  # numpy is slow to import

    with one_blas_thread():
        state = abilities.fit(*given)
    return restored(metric, state)


def restored(metric: Metric, state: Mapping[str, NDArray[Any]] | None) -> FittedMetric:
    if state is None:
        return FittedMetric(metric)
    kept = {name: value.copy() for name, value in state.items()}
    for value in kept.values():
        value.flags.writeable = False
    return FittedMetric(metric, kept)


# ------------------------------------------------------------------------ what goes together

USUAL_LABELLERS = {"vq": "index", "classifier": "linear_vote", "regressor": "local_linear"}


def measured_by_default(measure: Any, estimator: str) -> bool:
    """Return whether a measure (or its class) is in the default list of this kind of estimator."""
    kinds = MeasureAbilities.of(measure).estimators
    return kinds is None or estimator in kinds


def measure_suits(measure: Any, estimator: str) -> bool:
    """Return whether a measure means something for this kind of estimator when it is named."""
    kinds = tuple(MeasureAbilities.of(measure).estimators or ())
    if estimator == "regressor":
        return not kinds or "regressor" in kinds
    return kinds != ("regressor",)


def why_not(kind: str, name: str, component: Any, estimator: str) -> str | None:
    """Return why a labeller or growth strategy ``name`` cannot serve an estimator, and the cure."""
    if kind == "labeller":
        able, usual = LabellerAbilities.of(component), USUAL_LABELLERS[estimator]
        kinds = able.estimators if able.columns is None else ("regressor",)
        if kinds is not None and estimator not in kinds:
            suited = " or ".join(kinds)
            return f"labeller {name} is for estimator {suited}, not for {estimator}; use '{usual}'"
    elif estimator == "regressor" and GrowthAbilities.of(component).needs_classes:
        return f"growth {name} needs class labels, which a regressor has not; use another threshold"
    return None


def why_not_measured(rule: Any, estimator: str) -> str | None:
    """Return why a stopping rule's measure says nothing of an estimator; None: it does."""
    for measure in measures_of(rule):
        if not measure_suits(measure, estimator):
            name = lookup_in_use().name_of("measure", measure)
            suited = " or ".join(MeasureAbilities.of(measure).estimators or ())
            return f"measure '{name}' is for estimator {suited}, not for {estimator}"
    return None


def why_no_grid(growth: Any, grid: Any) -> str | None:
    """Return why a growth strategy cannot use a grid component, or None."""
    growing = _of_single_map(growth)
    try:
        growing.grid(grid)
    except ComponentError:
        raise
    except ValueError as error:
        if growing.start_shape is not None:  # it is a matter of the shape
            return str(error)
        return f"{error}; a torus is for maps of fixed size: take growth fixed, or another grid"
    return None


def why_no_kernel(kernel: Any, metric: Any) -> str | None:
    """Return why a kernel does not go with a metric, and the cure; None: it does."""
    if not KernelAbilities.of(kernel).inhibits or MetricAbilities.of(metric).form is None:
        return None
    return (
        f"kernel {type(kernel).__name__} has negative weights, and metric "
        f"{type(metric).__name__} allows no negative weights in its update: take "
        "another kernel, or a metric whose prototypes are means"
    )


def why_not_filled(growth: Any, field: str, value: Any) -> str | None:
    """Return why a parameter of the estimator cannot set this field of the strategy, or None."""
    if field not in type(growth).model_fields:
        if "base" in nested_fields(type(growth)):  # a strategy around another one passes it on
            return why_not_filled(growth.base, field, value)
        name = type(growth).__name__
        return f"growth strategy {name} has no {field}; leave {field}={value!r} out"
    given = given_fields(growth)
    if field in given and given[field] != value:
        return f"{field}={value!r} contradicts growth's {field}={given[field]!r}; give it once"
    return None


def why_no_start(init: Any, growth: Any, n_features: int | None = None) -> str | None:
    """Return why prototypes in a component's ``values`` are no start; None: they may be."""
    values = getattr(init, "values", None)
    if not values or not isinstance(values[0], tuple):
        return None
    given = (len(values), len(values[0]))
    rows, columns = _of_single_map(growth).shape
    wanted = (rows * columns, n_features or given[1])
    return None if given == wanted else start_shape_error(given, rows, columns, wanted[1])


def start_shape_error(given: tuple[int, ...], rows: int, columns: int, n_features: int) -> str:
    return (
        f"init has shape {given}, but the map starts with {rows} × {columns} neurons in "
        f"{n_features} dimensions: shape {(rows * columns, n_features)}"
    )


def check_suits(parts: Parts, estimator: str) -> None:
    """Raise ValueError when parts do not go together, or cannot serve this estimator."""
    problems = [why_no_kernel(parts.kernel, parts.metric), why_no_grid(parts.growth, parts.grid)]
    for kind, part in (("labeller", parts.labeller), ("growth", parts.growth)):
        problems.append(why_not(kind, type(part).__name__, part, estimator))
    for rule in parts.stopping:
        if problem := why_not_measured(rule, estimator):
            problems.append(f"stopping {lookup_in_use().name_of('stopping', rule)}: {problem}")
    for problem in filter(None, problems):
        raise ValueError(problem)


def reads_target(parts: Parts) -> str | None:
    """Return which part cannot do without targets, as kind and class; None: they all can."""
    if parts.growing.needs_classes:
        return f"growth {type(parts.growth).__name__}"
    if LabellerAbilities.of(parts.labeller).needs_target:
        return f"labeller {type(parts.labeller).__name__}"
    rule = next(filter(judges_targets, parts.stopping), None)
    return None if rule is None else f"stopping {type(rule).__name__}"
