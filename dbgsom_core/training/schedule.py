"""How long each phase lasts and how wide the kernel is in each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.interfaces.guard import guarded, lookup_in_use
from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.som_map.som_map import SomMap

DEFAULT_END = 0.5  # hops; a gaussian then weighs the nearest neighbours with exp(-2) = 0.14
# With the pull on linked neighbours the kernel has next to nothing left to do at the end.
DEFAULT_FINE_END = 0.3  # hops; exp(-5.6) = 0.004
_EASING = 0.5  # share of the fine-tuning phase in which width and pull go to their final values


@dataclass(frozen=True)
class Schedule:
    """Phases and widths over at most ``epochs`` epochs.

    In the growing phase the width runs from the kernel's ``start`` to its ``end`` on its
    ``course``, the share of the phase that is left being 1 in its first epoch and 0 in its last; in
    the fine-tuning phase, the last ``fine_epochs``, it stays at ``end``. With a ``link_pull`` that
    phase begins by easing the pull in. Where the kernel gives no ``end``, the width then goes once
    more from a quarter of the map's side, since the grown grid may have a fold, to ``fine_end``;
    such a phase need not wait for the rest of the growing phase once the map is full.
    """

    epochs: int
    fine_epochs: int
    start: float | None
    end: float
    course: Callable[[float, float, float], float]
    fine_end: float = DEFAULT_END
    link_pull: float = 0.0
    anneals_again: bool = False

    @classmethod
    def of(
        cls,
        kernel: Any,
        growing: GrowthAbilities,
        epochs: int,
        continues: bool = False,
        course: Any = None,
    ) -> Schedule:
        """Return the schedule that a kernel and a growth strategy ask for.

        ``course`` is the component that says how the width goes down; None: the kernel's ``decay``.
        A map whose training ``continues`` is unfolded: the width begins where it ends.
        """
        widths, pull = KernelAbilities.of(kernel), float(growing.link_pull)
        end, fine = widths.end, int(epochs * growing.fine_tuning)
        if growing.growing_epochs is not None and fine > 0:
            fine = max(fine, epochs - growing.growing_epochs)
        if course is None:
            course = lookup_in_use().build("schedule", widths.decay)
        return cls(
            epochs=epochs,
            fine_epochs=min(fine, epochs - 1),  # one at least is left to growth
            start=(end or DEFAULT_END) if continues else widths.start,
            end=end or DEFAULT_END,
            course=guarded("schedule", course, "width"),
            fine_end=end or (DEFAULT_FINE_END if pull > 0 else DEFAULT_END),
            link_pull=pull,
            anneals_again=pull > 0 and not end and not continues,
        )

    @cached_property
    def growing_epochs(self) -> int:
        """How many epochs the growing phase has."""
        return self.epochs - self.fine_epochs

    def full_after(self, epoch: int) -> Self:
        """Return the schedule for a map that is full after an epoch of the growing phase.

        Fine-tuning, as long as ever, follows at once where it anneals once more, since the width
        comes down there.
        """
        if not self.anneals_again or self.fine_epochs == 0:
            return self
        return self.ending_at(epoch + self.fine_epochs)

    def ending_at(self, epochs: int) -> Self:
        """Return the schedule with another bound; fine-tuning is as long as ever."""
        return self if epochs == self.epochs else replace(self, epochs=epochs)

    def phase(self, epoch: int) -> Literal["growing", "fine"]:
        """Return the phase of an epoch, counted from 1."""
        return "growing" if epoch <= self.growing_epochs else "fine"

    def may_grow(self, epoch: int) -> bool:
        """Say whether neurons may be born: in the growing phase but its first and last epoch."""
        return 1 < epoch < self.growing_epochs

    def width(self, epoch: int, som_map: SomMap) -> float:
        """Return the kernel width in hops for an epoch, counted from 1."""
        last = self.growing_epochs
        if epoch > last:
            again = self._again(som_map) if self.anneals_again else self.end
            return float(again * (self.fine_end / again) ** self._eased(epoch))
        start = self.start if self.start is not None else max(_natural_start(som_map), self.end)
        remaining = (last - epoch) / (last - 1) if last > 1 else 0.0
        return float(self.course(start, self.end, remaining))

    def pull(self, epoch: int) -> float:
        """Return how much a sample weighs in its BMU's nearest linked neighbour, in an epoch."""
        return self.link_pull * self._eased(epoch)

    def is_final(self, epoch: int) -> bool:
        """Say whether width and pull have reached their ends, so that the map can come to rest."""
        return epoch >= self.growing_epochs + self._easing_epochs

    def _again(self, som_map: SomMap) -> float:
        natural = _natural_start(som_map)
        return natural if self.start is None else max(min(self.start, natural), self.fine_end)

    @cached_property
    def _easing_epochs(self) -> int:
        return int(_EASING * self.fine_epochs) if self.link_pull > 0 else 0

    def _eased(self, epoch: int) -> float:
        # How far the fine-tuning phase has gone to its final width and pull, from 0 to 1.
        into = epoch - self.growing_epochs
        return 0.0 if into <= 0 else min(1.0, into / max(self._easing_epochs, 1))


def _natural_start(som_map: SomMap) -> float:
    # A quarter of the larger side of a square map with as many neurons: wide enough to unfold it,
    # and it follows the map as it grows.
    (rows, columns), n_neurons = som_map.shape, len(som_map)
    side = max(rows, columns) if rows * columns == n_neurons else n_neurons**0.5
    return max(1.0, side / 4)
