"""The schedule of a training: its two phases, and the kernel's width in each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Floats
from dbgsom_core.interfaces.component import active_registry, guarded
from dbgsom_core.interfaces.growth import GrowthComponent
from dbgsom_core.interfaces.kernels import KernelComponent
from dbgsom_core.som_map.som_map import SomMap

DEFAULT_END = 0.5  # hops; a gaussian then weighs the nearest neighbours with exp(-2) = 0.14
# With the pull on linked neighbours the kernel hardly matters at the end.
DEFAULT_FINE_END = 0.3  # hops; exp(-5.6) = 0.004
_WIDE = 3.0  # hops, where the kernel's start is auto; see tests/benchmarks/README.md
_EASING = 0.5  # share of the fine-tuning phase in which width and pull go to their final values


@dataclass(frozen=True)
class Schedule:
    """Phases and widths over at most ``epochs`` epochs.

    In the growing phase the width goes from the kernel's ``start`` to its ``end`` by the function
    ``width_schedule(start, end, remaining)``, ``remaining`` from 1 to 0; in the fine-tuning phase,
    the last ``fine_epochs``, it stays at ``end``. With a ``link_pull`` that phase begins by easing
    the pull in. Where the kernel has no ``end``, the width is then annealed again, from a quarter
    of the map's side, as the grown grid may have a fold, to ``fine_end``; such a phase begins as
    soon as the map is full. So does one of a kernel whose ``start`` is auto, and anneals then.
    """

    epochs: int
    fine_epochs: int
    start: float | Literal["auto"] | None
    end: float
    width_schedule: Callable[[float, float, float], float]
    fine_end: float = DEFAULT_END
    link_pull: float = 0.0
    anneals_again: bool = False
    anneals_once_full: bool = False

    @classmethod
    def from_parts(
        cls,
        kernel: KernelComponent,
        growing: GrowthComponent,
        epochs: int,
        continues: bool = False,
        width_schedule: Any = None,
    ) -> Self:
        """Return the schedule of a kernel and a growth strategy.

        ``width_schedule`` is a component; None: the kernel's ``decay``. A map whose training
        ``continues`` is unfolded: the width is at its end from the start.
        """
        widths = guarded(kernel)
        pull = float(growing.link_pull)
        end = widths.end or DEFAULT_END
        fine_end = end
        if pull > 0 and widths.end is None:
            fine_end = DEFAULT_FINE_END
        fine_epochs = int(epochs * growing.fine_tuning)
        if growing.growing_epochs is not None and fine_epochs > 0:
            fine_epochs = max(fine_epochs, epochs - growing.growing_epochs)
        if width_schedule is None:
            width_schedule = active_registry().build("schedule", widths.decay)
        may_anneal = pull > 0 and not continues
        return cls(
            epochs=epochs,
            fine_epochs=min(fine_epochs, epochs - 1),  # at least one growing epoch
            start=end if continues else widths.start,
            end=end,
            width_schedule=guarded(width_schedule).width,
            fine_end=fine_end,
            link_pull=pull,
            anneals_again=may_anneal and widths.end is None,
            anneals_once_full=may_anneal and (widths.end is None or widths.start == "auto"),
        )

    # ------------------------------------------------------------------------------- phases

    @property
    def growing_epochs(self) -> int:
        return self.epochs - self.fine_epochs

    def phase(self, epoch: int) -> Literal["growing", "fine"]:
        return "growing" if epoch <= self.growing_epochs else "fine"

    def may_grow(self, epoch: int) -> bool:
        """Return whether neurons may be added: in growing epochs but the first and the last."""
        return 1 < epoch < self.growing_epochs

    def full_after(self, epoch: int) -> Self:
        """Return the schedule for a map that is full after an epoch of the growing phase.

        Fine-tuning, of the same length, follows at once where it anneals.
        """
        if not self.anneals_once_full or self.fine_epochs == 0:
            return self
        return self.ending_at(epoch + self.fine_epochs)

    def ending_at(self, epochs: int) -> Self:
        """Return the schedule of a map that is full before; fine-tuning is of the same length."""
        if epochs == self.epochs:
            return self
        return replace(self, epochs=epochs, anneals_again=self.anneals_once_full)

    def is_final(self, epoch: int) -> bool:
        """Return whether width and pull are at their final values."""
        return epoch >= self.growing_epochs + self._easing_epochs

    # ------------------------------------------------------------------------------- widths

    def width(self, epoch: int, som_map: SomMap) -> float:
        """Return the kernel's width in hops."""
        if epoch > self.growing_epochs:
            return self._fine_width(epoch, som_map)
        if self.start is None or self.start == "auto":
            start = max(self._natural_width(som_map), self.end)
        else:
            start = self.start
        last = self.growing_epochs
        remaining = (last - epoch) / (last - 1) if last > 1 else 0.0
        return float(self.width_schedule(start, self.end, remaining))

    def _fine_width(self, epoch: int, som_map: SomMap) -> float:
        begin = self.end
        if self.anneals_again:
            begin = self._natural_width(som_map)
            if self.start is not None and self.start != "auto":
                begin = max(min(self.start, begin), self.fine_end)
        return float(begin * (self.fine_end / begin) ** self._easing_progress(epoch))

    def _natural_width(self, som_map: SomMap) -> float:
        # A quarter of the larger side, or of that of a square map of as many neurons: wide enough
        # to unfold the map, and it follows growth.
        rows, columns = som_map.shape
        n_neurons = len(som_map)
        side: float = n_neurons**0.5
        if rows * columns == n_neurons:
            side = max(rows, columns)
        least = min(_WIDE, side / 2) if self.start == "auto" else 1.0
        return max(least, side / 4)

    def pull(self, epoch: int) -> float:
        """Return the weight of a sample in its BMU's nearest linked neighbour, in an epoch."""
        return self.link_pull * self._easing_progress(epoch)

    @property
    def _easing_epochs(self) -> int:
        return int(_EASING * self.fine_epochs) if self.link_pull > 0 else 0

    def _easing_progress(self, epoch: int) -> float:
        # Progress of the fine-tuning phase towards its final width and pull, from 0 to 1.
        into = epoch - self.growing_epochs
        return min(1.0, into / max(self._easing_epochs, 1))


def kernel_weights(som_map: SomMap, kernel: Any, width: float) -> tuple[Floats, NDArray[np.uint16]]:
    """Return the kernel's weights (H,), and the index of each pair of neurons' weight (K, K)."""
    if kernel.reads == "hops":
        index = som_map.hops
        distances = np.arange(som_map.diameter + 1, dtype=np.float64)
    else:
        index, distances = som_map.table(kernel.reads)
    return np.asarray(kernel.weight(distances, width), np.float64), index
