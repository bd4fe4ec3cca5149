"""Distance metrics and their capabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.errors import UnfitError
from dbgsom_core.interfaces.component import Abilities, Component, is_number
from dbgsom_core.interfaces.guard import error_names, is_own

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.context import FloatArray


CLAIMS = ("identity", "symmetry", "triangle")
HANDLES = ("missing", "sparse")


@runtime_checkable
class Metric(Protocol):
    """A distance metric. One of three levels is required; the engine picks the fastest offered.

    Level ``assign(X, prototypes) -> (bmu, distance)``
        X : float array (m, D), one chunk of prepared samples, float32 or float64, read-only.
        prototypes : float64 array (K, D).
        bmu : int array (m,), the nearest prototype, ties to the lowest index.
        distance : float64 array (m,), the distance to it.

    Level ``scalar(x, w, params) -> distance``
        A class attribute ``scalar = staticmethod(numba.njit(f))`` for one pair, which the engine
        compiles into its own loop: pure arithmetic. x, w : float64 arrays (D,), one prepared sample
        and one prototype. params : float64 array (P,), see ``scalar_params``. distance : float.

    Level ``pairwise(X, prototypes) -> distances``
        The same arguments as ``assign``; distances : float64 array (m, K). Called per chunk of
        rows, from several threads.
    """

    def pairwise(self, X: FloatArray, prototypes: FloatArray) -> FloatArray:
        """Return the distances (m, K) of m samples to K prototypes."""


class MetricComponent(Component):
    """Base of metrics: none of the levels of `Metric`, and of all else the defaults.

    No method may change its arguments.

    Optional capabilities
        ``prepare(X) -> X``: map samples, (n, D), into the space in which the map lives (cosine:
        unit rows). Called once on training data, and on what is predicted, from several threads.
        ``centre(means) -> prototypes``: turn kernel-weighted means of prepared samples, (K, D),
        into prototypes, (K, D) (cosine: unit vectors). Without it the mean is the prototype.
        ``scalar_params() -> params``: what ``scalar`` gets; without it the fields that are numbers
        or truth values, in the order in which they are declared.
        ``examples(generator, n) -> X``: n raw samples (n, D) that the metric accepts, for the
        conformance kit; n normal ones without it.
        ``claims`` (attribute): which of ``"identity"`` (d(x, x) = 0), ``"symmetry"`` and
        ``"triangle"`` hold between prepared samples; the conformance kit tests what is claimed.
        ``geometry`` (attribute): ``"euclidean"`` says that the distance is the square root
        of the float64 sum of squared differences, added feature by feature. The engine then finds
        the same units by its own fast search and uses the methods for the rest.
        ``fit(X) -> state``: learn from the raw training samples (n, D), once in a training. The
        state, a mapping of names to numpy arrays, is saved with the model, and ``prepare`` gets it
        as its second argument: ``prepare(X, state)``. Samples of weight 0 are left out.
        ``uses_state`` (attribute): True when `pairwise` and `assign` take that state, too, as their
        third argument: ``pairwise(X, prototypes, state)``. `prepare` may then be missing.
        ``learns_weighted`` (attribute): True when `fit` takes the positive sample weights
        (n,), a weight of 2 being the sample twice, as its second argument: ``fit(X, weights)``.
        ``form(X, units, influence, weights, so_far) -> prototypes``: make the prototypes (K, D),
        float64, of each epoch from the samples themselves (manhattan: weighted medians). units,
        int64 (n,), are the group of each sample: its neuron, or a pair of neurons that it trains;
        influence, float64 (G, K), what a sample of each group weighs in each neuron; weights,
        float64 (n,) or None, what it weighs besides; so_far, float64 (K, D), the prototypes until
        now, to be kept where nothing reaches. Without it prototypes are ``centre`` of the means.
        ``forms_below`` (attribute): they are means, too, while the kernel gives linked
        neighbours more than this share of the weight of a neuron's own samples (median: 0.25).
        ``handles`` (attribute): what else the methods take; with ``"missing"`` in it an
        entry of X may be nan. Such a feature is left out and sums are scaled by D/observed. With
        ``"sparse"`` X may be a scipy CSR matrix, in ``prepare`` as well.
    """

    assign: ClassVar[Callable[..., Any] | None] = None
    scalar: ClassVar[Callable[..., Any] | None] = None
    pairwise: ClassVar[Callable[..., Any] | None] = None
    prepare: ClassVar[Callable[..., Any] | None] = None
    centre: ClassVar[Callable[..., Any] | None] = None
    scalar_params: ClassVar[Callable[..., Any] | None] = None
    examples: ClassVar[Callable[..., Any] | None] = None
    fit: ClassVar[Callable[..., Any] | None] = None
    claims: ClassVar[tuple[str, ...]] = ()
    learns_weighted: ClassVar[bool] = False
    uses_state: ClassVar[bool] = False
    forms_below: ClassVar[float] = math.inf
    handles: ClassVar[tuple[str, ...]] = ()

    @property
    def geometry(self) -> str | None:
        return None  # nothing is known of it

    @property
    def form(self) -> Callable[..., Any] | None:
        return None  # prototypes are means


@dataclass(frozen=True)
class MetricAbilities(MetricCalls, Abilities):
    """Capabilities of a metric; see `MetricComponent`. A missing method is None."""

    kind: ClassVar[str] = "metric"
    defaults: ClassVar[Component] = MetricComponent()
    unguarded: ClassVar[tuple[str, ...]] = ("scalar",)

    prepare: Callable[..., Any] | None
    examples: Callable[..., Any] | None
    fit: Callable[..., Any] | None
    learns_weighted: bool
    uses_state: bool
    claims: tuple[str, ...]
    handles: tuple[str, ...]

    @classmethod
    def of(cls, component: Any, **known: Any) -> Self:
        """Return the capabilities of a metric; capabilities are returned unchanged."""
        if isinstance(component, cls):
            return component
        validate = None if is_own(component) else partial(check_loop, component)
        found = super().of(component, name=type(component).__name__, validate=validate, **known)
        if found.scalar_params is not None:
            return found
        return replace(found, scalar_params=partial(_numbers, component))

    def check(self) -> None:
        looped = self.assign is None or self.pairwise is None
        if self.scalar is not None and looped and not hasattr(self.scalar, "py_func"):
            raise UnfitError(
                "has a scalar that is no compiled function: write scalar = "
                "staticmethod(numba.njit(f)) in its class"
            )
        if self.fit is not None and self.prepare is None and not self.uses_state:
            raise UnfitError("lacks prepare, which gets what its fit returns")
        if self.uses_state and (self.fit is None or self.level == "scalar"):
            raise UnfitError("has uses_state without fit, or without assign or pairwise")
        self.require("geometry", "'euclidean' or None", (None, "euclidean").__contains__)
        self.require(
            "forms_below", "a number from 0", lambda one: is_number(one, 0) or one == math.inf
        )
        for name, known in (("claims", CLAIMS), ("handles", HANDLES)):
            self.require(name, f"some of {known}", lambda some: set(some) <= set(known))  # noqa: B023

    def knowing(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return the capabilities with methods bound to the state of ``fit``."""

        def bind(method: Any) -> Any:
            return None if method is None else lambda *given: method(*given, state)

        names = ("prepare", "assign", "pairwise") if self.uses_state else ("prepare",)
        return replace(self, **{name: bind(getattr(self, name)) for name in names})

    def prepared(self, X: Any) -> Any:
        """Return samples X (n, D) in the space in which the map lives."""
        return X if self.prepare is None else self.prepare(X)

    def check_promises(self, X: NDArray[Any]) -> None:
        """Raise ComponentError where distances of prepared samples are not what it claims."""
        if self.validate is not None:
            from dbgsom_core.interfaces.validation import promises  # numpy is slow to import

            self.validate(promises, self, X)


def check_loop(metric: Component, loop: Callable[..., Any], *given: Any) -> Any:
    """Call a loop around ``scalar``; check the distances that it returns, alone or behind units."""
    from dbgsom_core.interfaces.validation import distances

    with error_names("metric", metric, "" if loop.__name__ == "promises" else "scalar"):
        answer = loop(*given)
        found = answer[1] if isinstance(answer, tuple) else answer
        distances(found, found.shape)
        return answer


def _numbers(metric: Component) -> list[float]:
    values = [getattr(metric, field) for field in type(metric).model_fields]
    return [value for value in values if isinstance(value, (bool, int, float))]
