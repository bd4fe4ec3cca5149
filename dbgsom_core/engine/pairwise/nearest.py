"""The few nearest prototypes of many samples, in Euclidean geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dbgsom_core.engine.pairwise.nearest_loops import Packed, Room

_SPARE = 1e-3  # packed units: more than rounding in float64 makes of a distance
_EXTREME = 1e150  # beyond it, or below its inverse, squares overflow or round to nothing
_CENTRED = 256  # prototypes whose median is the centre
_SHARE = 16  # nearest for each MANY lows: others of the same low are rare


@dataclass(frozen=True)
class NearestFew:
    """Prototypes ready for a search of the k nearest of each sample.

    Compared in whole numbers of 16 bits, about the median of some of the prototypes, whose rounding
    is known: that tells which may be among them. Only those are compared by definition, so what is
    found is that of the definition, ties included.

    Attributes
    ----------
    packed : Packed
    k : int
        At most as many as there are prototypes.
    """

    packed: Packed
    k: int

    @classmethod
    def of(cls, prototypes: NDArray[np.float64], k: int) -> Self:
        """Prepare prototypes (K, D)."""
        from dbgsom_core.engine.aligned import aligned
        from dbgsom_core.engine.llvm.coarse_tile import LANES, NONE, PAIRS
        from dbgsom_core.engine.llvm.few import TOLD
        from dbgsom_core.engine.pairwise.nearest_loops import LONGEST, Packed, pack_prototypes

        n_neurons, d = prototypes.shape
        own = aligned((n_neurons, _up(d, TOLD)), np.float64)
        own[:, :d] = prototypes
        centre = centre_of(prototypes)
        longest = _longest(prototypes - centre)
        n_blocks = -(-n_neurons // LANES)
        norms = aligned((n_blocks, LANES), np.int32)
        norms[:] = NONE
        packed = Packed(
            own,
            np.array(prototypes.T, np.float64, order="C"),
            centre,
            aligned((n_blocks, _up(d, 2 * PAIRS) // 2, LANES, 2), np.int16),
            norms,
            min(LONGEST / longest, _EXTREME) if longest else 1.0,
            # half a unit of each feature of both, and what float64 makes of the rest
            math.sqrt(d) + _SPARE if longest < _EXTREME else math.inf,
        )
        if longest < _EXTREME:
            pack_prototypes(packed)
        else:
            norms.reshape(-1)[:n_neurons] = 0  # all alike
        return cls(packed, k)

    @property
    def size(self) -> int:
        """How many numbers the prototypes are."""
        return self.packed.by_feature.size

    def room(self) -> Room:
        """Return memory for one worker, which may serve again and again."""
        from dbgsom_core.engine.aligned import aligned
        from dbgsom_core.engine.llvm.coarse_tile import MANY, NONE
        from dbgsom_core.engine.llvm.few import RANKED
        from dbgsom_core.engine.llvm.panel import PANEL_ROWS
        from dbgsom_core.engine.pairwise.nearest_loops import COMPARED, Room

        n_neurons, depth = self.packed.prototypes.shape
        values = aligned((PANEL_ROWS, _up(n_neurons, MANY)), np.int32)
        values[:] = NONE
        return Room(
            aligned((PANEL_ROWS, depth), np.float64),
            aligned((self.packed.blocks.shape[1], PANEL_ROWS, 2), np.int16),
            aligned((PANEL_ROWS,), np.float64),
            values,
            aligned((PANEL_ROWS, -(-self.k // _SHARE) * MANY), np.int32),
            aligned((2, n_neurons + RANKED), np.int64),
            aligned((2, n_neurons + RANKED), np.float64),
            aligned((COMPARED + RANKED,), np.uint32),
            aligned((RANKED,), np.int32),
        )

    def find(
        self,
        X: NDArray[Any],
        columns: NDArray[np.int64],
        values: NDArray[np.float64],
        room: Room,
    ) -> None:
        """Fill columns and values (n, k) with the nearest of samples X (n, D) and how far they are.

        In order, the first of equal ones.
        """
        from dbgsom_core.engine.aligned import for_loops
        from dbgsom_core.engine.pairwise.nearest_loops import nearest_few

        nearest_few(for_loops(X), self.packed, room, columns, values)


def centre_of(prototypes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a point (D,) in the midst of prototypes (K, D), wherever a few of them are."""
    some = prototypes[:: _up(len(prototypes), _CENTRED) // _CENTRED]
    return np.asarray(np.median(some, axis=0))


def _longest(vectors: NDArray[np.float64]) -> float:
    # Of the norms, whose squares may overflow.
    reach = float(np.abs(vectors).max())
    if not 0 < reach < math.inf:
        return reach
    return reach * float(np.sqrt(np.square(vectors / reach).sum(axis=1).max()))


def _up(number: int, step: int) -> int:
    # To the next multiple.
    return -(-number // step) * step
