"""What passes over samples need to know of a metric, and the methods that they call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MetricCalls:
    """A metric as the engine sees it; a method that it lacks is None.

    Attributes
    ----------
    name : str
        What errors call it.
    assign, pairwise : callable or None
        ``assign(X, prototypes) -> (bmu, distance)``, ``pairwise(X, prototypes) -> distances``.
    scalar : compiled function or None
        ``scalar(x, w, params) -> distance``.
    scalar_params : callable
        Returns what ``scalar`` gets as ``params``, numbers (P,).
    geometry : str or None
    centre : callable or None
        ``centre(means) -> prototypes``; None: a mean is the prototype.
    form : callable or None
        ``form(X, units, influence, weights, so_far) -> prototypes``.
    forms_below : float
        The weight of linked neighbours up to which ``form`` makes the prototypes.
    judge : callable or None
        ``judge(loop, *given)`` calls a loop around ``scalar`` and looks at the distances that it
        gives; None: they are taken as they are.
    """

    name: str
    assign: Callable[..., Any] | None
    scalar: Callable[..., Any] | None
    pairwise: Callable[..., Any] | None
    scalar_params: Callable[[], Any]
    geometry: str | None
    centre: Callable[[Any], Any] | None
    form: Callable[..., Any] | None
    forms_below: float
    judge: Callable[..., Any] | None

    @property
    def is_euclidean(self) -> bool:
        """Whether distances are roots of sums of squared differences, added feature by feature."""
        return self.geometry == "euclidean"

    @property
    def level(self) -> Literal["assign", "scalar", "pairwise"]:
        """The level that finds best-matching units: the fastest that the metric offers."""
        if self.assign is not None:
            return "assign"
        return "pairwise" if self.scalar is None else "scalar"

    def centred(self, means: Any) -> Any:
        """Return the prototypes (K, D) for means (K, D)."""
        return means if self.centre is None else self.centre(means)
