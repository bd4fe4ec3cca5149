"""Schedules of the kernel's width."""

from __future__ import annotations

import math

from pydantic import Field

from dbgsom_core.api import Component


class Linear(Component):
    """Down in equal steps: (start - end)*t + end, t from 1 to 0 (Vasighi & Amini 2017)."""

    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops."""
        return (start - end) * remaining + end


class Exponential(Component):
    """Down by equal factors: start*(end/start)**(1 - t), t from 1 to 0."""

    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops."""
        return float(start * (end / start) ** (1.0 - remaining))


class Constant(Component):
    """The start's width until the growing phase ends; give the kernel a ``start``."""

    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops."""
        return start


class Cyclic(Component):
    """Down by equal factors again and again, each time from less (after Loshchilov & Hutter 2017).

    Cycle c of 0, 1, … begins at end*(start/end)**(damping**c), and all end at ``end``.
    """

    cycles: int = Field(default=3, ge=1, le=10**4, description="how often the width goes down")
    damping: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the way up, in the width's logarithm, of each next cycle",
    )

    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops."""
        gone = (1.0 - remaining) * self.cycles
        cycle = min(math.floor(gone), self.cycles - 1)
        top = self.damping**cycle * (1.0 - (gone - cycle))
        return float(end * (start / end) ** top)
