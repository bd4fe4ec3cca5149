"""What passes over samples need to know of a metric, and the methods that they call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MetricCalls:
    """A metric as the engine sees it; a method that it lacks is None, see `MetricComponent`.

    ``scalar_params`` returns the numbers (P,) that ``scalar`` gets. Up to the weight
    ``forms_below`` of linked neighbours ``form`` makes the prototypes. ``judge(loop, *given)``
    calls a loop around ``scalar`` and checks its distances; None: they are taken as they are.
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
        return self.geometry == "euclidean"

    @property
    def level(self) -> Literal["assign", "scalar", "pairwise"]:
        if self.assign is not None:
            return "assign"
        return "pairwise" if self.scalar is None else "scalar"

    def centred(self, means: Any) -> Any:
        """Return means as the centres of groups that the metric asks for."""
        return means if self.centre is None else self.centre(means)
