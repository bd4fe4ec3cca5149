"""Euclidean distances of many samples to all prototypes by expanded squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.workers import share

if TYPE_CHECKING:
    from dbgsom_core.engine.pairwise.expanded_loops import Care, Room

# Of ‖x‖² + ‖w‖²: below, the expanded square has lost more than three of its 16 digits.
_CANCELLED = 1e-3
_TASKS = 32  # shares of the rows, at most
_SMALL_WORK = 1 << 21  # multiplications below which a second thread costs more than it saves


@dataclass(frozen=True)
class Expanded:
    """Prototypes ready for ‖x - w‖² = ‖x‖² - 2 x·w + ‖w‖² in float64, about their mean.

    Pairs whose square would lose digits are compared directly, so every float64 distance has a
    relative error of at most (D + 6)*1.7e-13, and mostly of less than 1e-12, and every float32
    distance one of at most 2**-23 (below 1.2e-38, where float32 has fewer digits, that much of
    1.2e-38). `engine.euclidean.accuracy` derives both.
    A distance does not depend on the other samples, nor on how many threads there are.

    Attributes
    ----------
    prototypes : float64 array (K, D)
    dtype : numpy dtype
        Of the distances.
    centre : float64 array (D,)
    blocks, norms : float64 arrays
        See `expanded_loops.pack_blocks`.
    care : Care
    """

    prototypes: NDArray[np.float64]
    dtype: Any
    centre: NDArray[np.float64]
    blocks: NDArray[np.float64]
    norms: NDArray[np.float64]
    care: Care

    @classmethod
    def of(cls, prototypes: NDArray[np.float64], dtype: Any) -> Self:
        """Prepare prototypes (K, D) for distances of a dtype, float32 or float64."""
        from dbgsom_core.engine.aligned import aligned
        from dbgsom_core.engine.llvm.expanded_tile import LANES
        from dbgsom_core.engine.llvm.panel import UNROLL
        from dbgsom_core.engine.pairwise.expanded_loops import Care, pack_blocks

        prototypes = np.ascontiguousarray(prototypes, dtype=np.float64)
        n_neurons, d = prototypes.shape
        centre = prototypes.mean(axis=0)
        centred = prototypes - centre
        single = np.dtype(dtype) == np.float32
        exponent = 100 if single else 900  # of numbers whose squares are far from overflow
        unit = _unit(float(np.abs(centred).max()), exponent)
        n_blocks, depth = -(-n_neurons // LANES), -(-d // UNROLL) * UNROLL
        blocks = aligned((n_blocks, depth, LANES), np.float64)
        norms = aligned((n_blocks, 2, LANES), np.float64)
        # About D + 6 roundings of a square's parts, 2**-52 of ‖x‖² + ‖w‖² each: what is left of
        # them must be a quarter of float32's rounding unit, or a third.
        cancelled = min(_CANCELLED, (d + 6) * 2.0**-26) if single else _CANCELLED
        span = 2.0**exponent
        care = Care(cancelled, 1 / span, span, unit)
        pack_blocks(centred / unit, care, blocks, norms)
        return cls(prototypes, dtype, centre, blocks, norms, care)

    def fill(self, X: NDArray[Any], out: NDArray[Any], threads: int = 1) -> None:
        """Fill out (n, K), C-ordered and of the dtype, with the distances of samples X (n, D)."""
        from dbgsom_core.engine.aligned import for_loops
        from dbgsom_core.engine.llvm.panel import PANEL_ROWS
        from dbgsom_core.engine.pairwise.expanded_loops import PANELS, fill_distances

        X, n = for_loops(X), len(X)
        if n * self.prototypes.size < _SMALL_WORK:
            threads = 1
        tasks = 1 if threads == 1 else min(_TASKS, -(-n // (PANELS * PANEL_ROWS)))
        rooms = [self._room() for _ in range(threads)]
        one = out.dtype.type(1)

        def work(worker: int, task: int) -> None:
            fill_distances(
                one,
                X,
                self.prototypes,
                self.blocks,
                self.norms,
                self.centre,
                self.care,
                rooms[worker],
                out,
                n * task // tasks,
                n * (task + 1) // tasks,
            )

        share(threads, tasks, work)

    def _room(self) -> Room:
        # Memory of one worker.
        from dbgsom_core.engine.aligned import aligned
        from dbgsom_core.engine.llvm.expanded_tile import LANES
        from dbgsom_core.engine.llvm.panel import PANEL_ROWS, TOGETHER
        from dbgsom_core.engine.pairwise.expanded_loops import PANELS, Room

        return Room(
            aligned((PANELS, self.blocks.shape[1], PANEL_ROWS), np.float64),
            aligned((PANELS, PANEL_ROWS), np.float64),
            aligned((PANEL_ROWS, TOGETHER * LANES), self.dtype),
        )


def _unit(reach: float, largest: int) -> float:
    # A power of two at which no coordinate of a prototype exceeds 1, as far as exponents go.
    if not 0 < reach < math.inf:
        return 1.0
    return float(2.0 ** min(max(math.ceil(math.log2(reach)), -largest), largest))
