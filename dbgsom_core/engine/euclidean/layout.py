"""Compiled loops that lay prototypes out for the fast search and hand back what neurons won."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop
from dbgsom_core.engine.euclidean.packing import Accuracy, Frame, Packed, Panels
from dbgsom_core.engine.llvm.tile import PANEL_ROWS
from dbgsom_core.engine.rows import aligned

# A place without prototype begins with this: the row that the search keeps in the lowest bits of a
# value would make inf no number.
_NO_PROTOTYPE = 1e38
FAR = 1e9  # packed units, in which the data has size 1: prototypes beyond are none of ours


@loop
def pack_prototypes(
    prototypes: NDArray[np.float64],
    frame: Frame,
    before: NDArray[np.float64],
    packed: NDArray[np.float64],
    steps: NDArray[np.float64],
    drift: NDArray[np.float64],
    panels: Panels,
    rows: NDArray[Any],
    halves: NDArray[Any],
) -> float:
    """Pack prototypes (K, D): exactly in ``packed`` (K, depth), rounded in rows and ``panels``.

    ``rows`` (K, depth) = -w and ``halves`` (K,) = ‖w‖²/2 are what panels hold. Entries beyond
    feature D stay 0, as do those of a place that holds no prototype, whose start is 10^38. Where
    ``before`` has the packed prototypes of the last pass, and not no rows, ``drift`` (G,) grows by
    how far a prototype of each panel moved at most; the drift and the moves of the panels are
    rounded up, as bounds must not be too tight. ``steps`` (K,) is overwritten.

    Returns the largest norm, or -1, and no panel changes, where an entry is too far from the data
    or nan.
    """
    largest, moves, d = 0.0, before.shape[0] > 0, prototypes.shape[1]
    for j in range(prototypes.shape[0]):
        # The two sums take as long as one: each waits for its own last addition.
        square = square_of_step = 0.0
        for k in range(d):
            value = (prototypes[j, k] - frame.centre[k]) * frame.scale
            if not abs(value) < FAR:  # also where it is nan
                return -1.0
            packed[j, k] = value
            square += value * value
            if moves:
                step = value - before[j, k]
                square_of_step += step * step
        halves[j], steps[j] = 0.5 * square, np.sqrt(square_of_step)
        largest = max(largest, square)
    for j in range(packed.shape[0]):
        step = steps[j] * (1 + 2e-6)
        panels.moves[j] = np.nextafter(np.float32(step), np.float32(np.inf)) if step > 0 else 0.0
        for k in range(d):
            rows[j, k] = -packed[j, k]
    for g in range(panels.ids.shape[0]):
        farthest = 0.0
        for r in range(panels.ids.shape[1]):
            j = panels.ids[g, r]
            if j < 0:
                continue
            panels.starts[g, r] = halves[j]
            for k in range(d):
                panels.numbers[g, k, r] = rows[j, k]
            farthest = max(farthest, steps[j])
        drift[g] += farthest * (1 + 1e-6)
        panels.drift[g] = np.nextafter(np.float32(drift[g] * (1 + 1e-6)), np.float32(np.inf))
    return float(np.sqrt(largest) * (1 + 1e-9))


@loop
def unpack_means(
    before: NDArray[np.float64],
    sums: NDArray[np.float64],
    reached: NDArray[np.float64],
    pull: float,
    more: NDArray[np.float64],
    hits: NDArray[np.int64],
    centre: NDArray[np.float64],
    scale: float,
    out: NDArray[np.float64],
) -> None:
    """Fill out (K, D) with the means that packed ``sums`` over ``reached`` (K,) are.

    Sums may have more columns than D. Where ``more`` has rows, it and the ``hits`` (K,) that go
    with it are added, ``pull`` times. A row that nothing reaches is that of ``before``.
    """
    adds = more.shape[0] > 0
    for j in range(out.shape[0]):
        weight = reached[j] + pull * np.float64(hits[j]) if adds else reached[j]
        if not weight > 0:
            for k in range(out.shape[1]):
                out[j, k] = before[j, k]
            continue
        larger = 1.0 / (weight * scale)
        for k in range(out.shape[1]):
            total = sums[j, k] + pull * more[j, k] if adds else sums[j, k]
            out[j, k] = total * larger + centre[k]


def patches(positions: NDArray[np.int64], rows: int) -> NDArray[np.int32]:
    """Cut a map into patches of ``rows`` neurons, compact on the grid and all full but the last.

    A path winds through the map in strips two cells high, there and back; it is cut into pieces.

    Parameters
    ----------
    positions : int array (K, 2)
        Grid cells (x, y) of the neurons; their shape may be any.
    rows : int

    Returns
    -------
    int32 array (G, rows)
        Rows of the neurons, -1 where the last patch is not full.
    """
    x, y = (positions - np.minimum.reduce(positions)).T
    strip, width = y >> 1, int(np.maximum.reduce(x)) + 1
    along = np.where(strip & 1, width - 1 - x, x)
    return in_rows(np.argsort(2 * (strip * width + along) + (y & 1)), rows)


def in_rows(neurons: NDArray[np.intp], rows: int) -> NDArray[np.int32]:
    """Lay a list of neurons out in rows of fixed length, the last one filled with -1."""
    laid = np.full(-(-len(neurons) // rows) * rows, -1, np.int32)
    laid[: len(neurons)] = neurons
    return laid.reshape(-1, rows)


class PackedPrototypes(NamedTuple):
    """Prototypes in packed coordinates (K, depth), in panels, and how exact their values are.

    ``rows`` (K, depth) = -w and ``halves`` (K,) = ‖w‖²/2 are what panels hold, by neuron.
    """

    packed: NDArray[np.float64]
    panels: Panels
    accuracy: Accuracy
    rows: NDArray[Any]
    halves: NDArray[Any]


class PrototypePacker:
    """Packs the prototypes of a training; arrays are used again while panels are the same."""

    def __init__(self, samples: Packed) -> None:
        self._samples = samples
        self._panels: Panels | None = None
        self._rows = self._halves = self._steps = np.empty(0)

    def pack(
        self,
        prototypes: NDArray[np.float64],
        ids: NDArray[np.int32],
        drift: NDArray[np.float64],
        before: NDArray[np.float64] | None = None,
    ) -> PackedPrototypes | None:
        """Pack prototypes (K, D) in panels that hold the rows ``ids`` (G, PANEL_ROWS).

        Parameters
        ----------
        drift : float64 array (G,)
            How far the prototypes of each panel moved before; what they moved since ``before``,
            the packed prototypes of the last pass, is added.

        Returns
        -------
        PackedPrototypes or None
            Valid until the next call; None where a prototype is too far from the data for packed
            numbers.
        """
        samples, k = self._samples, len(prototypes)
        packed = np.zeros((k, samples.depth))
        panels = self._panels
        if panels is None or panels.ids is not ids or len(self._rows) != k:
            panels = self._panels = Panels(
                aligned((len(ids), samples.depth, PANEL_ROWS), samples.dtype),
                np.full(ids.shape, _NO_PROTOTYPE, samples.dtype),
                ids,
                np.empty(len(ids), np.float32),
                np.empty(k, np.float32),
            )
            self._rows = aligned((k, samples.depth), samples.dtype)
            self._halves = np.empty(k, samples.dtype)
            self._steps = np.empty(k)
        before = packed[:0] if before is None else before
        largest = pack_prototypes(
            prototypes, samples.frame, before, packed, self._steps, drift, panels, self._rows,
            self._halves,
        )  # fmt: skip
        if largest < 0:
            return None
        return PackedPrototypes(packed, panels, samples.accuracy(largest), self._rows, self._halves)
