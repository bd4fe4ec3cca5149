"""What a schedule is: how the kernel's width goes from its start to its end."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """A schedule of the kernel's width over the growing phase.

    In the fine-tuning phase the width is at the kernel's ``end``, whatever the schedule.
    """

    def width(self, start: float, end: float, remaining: float) -> float:
        """Return the width in hops, finite and above 0.

        Parameters
        ----------
        start, end : float
            What the kernel says, or what follows from the map's size.
        remaining : float
            The share of the phase that is left: 1 in its first epoch, 0 in its last.
        """
