"""The metric's properties and methods that passes over samples use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MetricCalls:
    """A metric as the engine sees it; a missing method is None, see `MetricComponent`.

    ``scalar_params`` returns the parameters (P,) of ``scalar``. While linked neighbours weigh at
    most ``forms_below``, ``form`` makes the prototypes. ``validate(loop, *arguments)`` calls a loop
    over ``scalar`` and checks its distances; None: no check.
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
    validate: Callable[..., Any] | None

    @property
    def is_euclidean(self) -> bool:
        return self.geometry == "euclidean"

    @property
    def level(self) -> Literal["assign", "scalar", "pairwise"]:
        if self.assign is not None:
            return "assign"
        return "pairwise" if self.scalar is None else "scalar"

    def centred(self, means: Any) -> Any:
        """Return the metric's centres of groups with these means."""
        return means if self.centre is None else self.centre(means)
