"""Distance metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from dbgsom_core.interfaces.component import Component

CLAIMS = ("identity", "symmetry", "triangle")
HANDLES = ("missing", "sparse")


class MetricComponent(Component):
    """Base of distance metrics.

    A metric has at least one of three levels, `assign`, `scalar` and `pairwise`; the engine picks
    the fastest. X is samples that `prepare` has seen, float32 or float64 (m, D), read-only;
    prototypes are float64 (K, D). All else is optional; what is None is left out. No method may
    change its arguments, and several threads call them.

    Attributes
    ----------
    assign : method ``(X, prototypes) -> (bmu, distance)``, or None
        The nearest prototype of each sample, int (m,), ties to the lowest index, and the distance
        to it, float64 (m,).
    scalar : compiled function ``(x, w, params) -> distance``, or None
        A class attribute ``scalar = staticmethod(numba.njit(f))`` for one pair, which the engine
        compiles into its own loop: pure arithmetic. x, w : float64 (D,), a prepared sample and a
        prototype. params : float64 (P,), what ``scalar_params`` returns.
    pairwise : method ``(X, prototypes) -> distances``, or None
        Distances float64 (m, K), for some rows at a time.
    prepare : method ``(X) -> X``, or None
        Maps samples, (n, D), into the space in which the map lives (cosine: unit rows). Called once
        on training data, and on what is predicted.
    centre : method ``(means) -> prototypes``, or None
        Turns kernel-weighted means of prepared samples, (K, D), into prototypes, (K, D) (cosine:
        unit vectors). Without it the mean is the prototype.
    fit : method ``(X) -> state``, or None
        Learns from the raw training samples (n, D), once in a training. The state, a mapping of
        names to numpy arrays, is saved with the model, and ``prepare`` gets it as its second
        argument: ``prepare(X, state)``. Samples of weight 0 are left out.
    learns_weighted : bool
        True when ``fit`` takes the positive sample weights (n,), a weight of 2 being the sample
        twice, as its second argument: ``fit(X, weights)``.
    uses_state : bool
        True when ``pairwise`` and ``assign`` take that state, too, as their third argument:
        ``pairwise(X, prototypes, state)``. ``prepare`` may then be missing.
    form : method ``(X, units, influence, weights, so_far) -> prototypes``, or None
        Makes the prototypes (K, D), float64, of each epoch from the samples themselves (manhattan:
        weighted medians). units, int64 (n,), are the group of each sample: its neuron, or a pair of
        neurons that it trains; influence, float64 (G, K), what a sample of each group weighs in
        each neuron; weights, float64 (n,) or None, what it weighs besides; so_far, float64 (K, D),
        the prototypes until now, to be kept where nothing reaches. Without it prototypes are
        ``centre`` of the means.
    forms_below : float
        They are means, too, while the kernel gives linked neighbours more than this share of the
        weight of a neuron's own samples (median: 0.25).
    geometry : "euclidean" or None
        ``"euclidean"`` says that the distance is the square root of the float64 sum of squared
        differences, added feature by feature. The engine then finds the same units by its own fast
        search and uses the methods for the rest.
    claims : tuple of str
        Which of ``"identity"`` (d(x, x) = 0), ``"symmetry"`` and ``"triangle"`` hold between
        prepared samples; the conformance kit tests what is claimed.
    handles : tuple of str
        What else the methods take; with ``"missing"`` in it an entry of X may be nan. Such a
        feature is left out and sums are scaled by D/observed. With ``"sparse"`` X may be a scipy
        CSR matrix, in ``prepare`` as well.
    examples : method ``(generator, n) -> X``, or None
        n raw samples (n, D) that the metric accepts, for the conformance kit; normal ones without
        it.
    """

    KIND: ClassVar[str] = "metric"
    assign: ClassVar[Callable[..., Any] | None] = None
    scalar: ClassVar[Callable[..., Any] | None] = None
    pairwise: ClassVar[Callable[..., Any] | None] = None
    prepare: ClassVar[Callable[..., Any] | None] = None
    centre: ClassVar[Callable[..., Any] | None] = None
    fit: ClassVar[Callable[..., Any] | None] = None
    learns_weighted: ClassVar[bool] = False
    uses_state: ClassVar[bool] = False
    forms_below: ClassVar[float] = math.inf
    claims: ClassVar[tuple[str, ...]] = ()
    handles: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[Callable[..., Any] | None] = None

    # Properties, as both may depend on a field.

    @property
    def geometry(self) -> str | None:
        return None

    @property
    def form(self) -> Callable[..., Any] | None:
        return None

    @classmethod
    def lacks(cls) -> str:
        levels = (cls.assign, cls.pairwise, cls.scalar)
        return "assign or pairwise (or scalar)" if levels == (None, None, None) else ""

    def scalar_params(self) -> Any:
        """Return what ``scalar`` gets: the fields that are numbers or truth values, as declared."""
        values = [getattr(self, field) for field in self.__class__.model_fields]
        return [value for value in values if isinstance(value, (bool, int, float))]

    # ------------------------------------------------------------- how engines call a metric

    @property
    def is_euclidean(self) -> bool:
        return self.geometry == "euclidean"

    @property
    def level(self) -> Literal["assign", "scalar", "pairwise"]:
        if self.assign is not None:
            return "assign"
        return "pairwise" if self.scalar is None else "scalar"

    def prepared(self, X: Any) -> Any:
        """Return samples X (n, D) in the space in which the map lives."""
        return X if self.prepare is None else self.prepare(X)

    def centred(self, means: Any) -> Any:
        """Return the metric's centres of groups with these means."""
        return means if self.centre is None else self.centre(means)

    def _call_loop(self, loop: Callable[..., Any], *given: Any) -> Any:
        # A loop over ``scalar``; the distances of a third party's are checked.
        return loop(*given)
