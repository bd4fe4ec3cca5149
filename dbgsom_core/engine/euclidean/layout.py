"""Compiled loops that lay prototypes out for the fast search and hand back what neurons won."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop
from dbgsom_core.engine.euclidean.packing import Accuracy, Packed, Panels
from dbgsom_core.engine.llvm.tile import PANEL_ROWS
from dbgsom_core.engine.rows import aligned

_LEAST_NEURONS = 128  # that there is room for
FAR = 1e9  # packed units, in which the data has size 1: prototypes beyond are none of ours


@inner_loop
def pack_rows(
    prototypes: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: float,
    before: NDArray[np.float64],
    packed: NDArray[np.float64],
    halves: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> float:
    """Fill packed (K, D) with the prototypes in packed coordinates, halves (K,) with ‖w‖²/2.

    ``steps`` (K,) are the squared distances to the packed prototypes ``before``; 0 where those
    have no rows. Returns the largest norm, or -1 where an entry is too far from the data or nan.
    """
    largest, moves = 0.0, before.shape[0] > 0
    for j in range(prototypes.shape[0]):
        # The two sums take as long as one: each waits for its own last addition.
        square = square_of_step = 0.0
        for k in range(prototypes.shape[1]):
            value = (prototypes[j, k] - centre[k]) * scale
            if not abs(value) < FAR:  # also where it is nan
                return -1.0
            packed[j, k] = value
            square += value * value
            if moves:
                step = value - before[j, k]
                square_of_step += step * step
        halves[j], steps[j] = 0.5 * square, square_of_step
        largest = max(largest, square)
    return float(np.sqrt(largest) * (1 + 1e-9))


@loop
def lay_panels(
    prototypes: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: float,
    before: NDArray[np.float64],
    ids: NDArray[np.int32],
    packed: NDArray[np.float64],
    halves: NDArray[np.float64],
    steps: NDArray[np.float64],
    drift: NDArray[np.float64],
    numbers: NDArray[Any],
    starts: NDArray[Any],
    panel_of: NDArray[np.int32],
    moved: NDArray[np.float32],
    moves: NDArray[np.float32],
    rows: NDArray[Any],
    halves_of: NDArray[Any],
) -> float:
    """Pack prototypes (K, D) as `pack_rows`, and lay the rows ``ids`` (G, PANEL_ROWS) in panels.

    What panels hold is also laid by neuron: ``rows`` (K, depth) and ``halves_of`` (K,).

    Entries of ``numbers`` beyond feature D stay 0, as do those of a place that holds no prototype,
    whose start is inf. Where ``before`` has the packed prototypes of the last pass, and not no
    rows, ``drift`` (G,) grows by how far a prototype of each panel moved at most; ``moved`` (G,)
    is the drift, and ``moves`` (K,) what each prototype moved since then, both rounded up as
    bounds must not be too tight.

    Returns what `pack_rows` does; where that is -1 no panel changes.
    """
    largest = float(pack_rows(prototypes, centre, scale, before, packed, halves, steps))
    if largest < 0:
        return largest
    d = packed.shape[1]
    for j in range(packed.shape[0]):
        halves_of[j] = halves[j]
        step = np.sqrt(steps[j]) * (1 + 2e-6)
        moves[j] = np.nextafter(np.float32(step), np.float32(np.inf)) if step > 0 else 0.0
        for k in range(d):
            rows[j, k] = -packed[j, k]
    for g in range(ids.shape[0]):
        farthest = 0.0
        for r in range(ids.shape[1]):
            j = ids[g, r]
            if j < 0:
                if starts[g, r] < np.inf:  # else it was empty before
                    starts[g, r] = np.inf
                    for k in range(d):
                        numbers[g, k, r] = 0.0
                continue
            starts[g, r] = halves[j]
            panel_of[j] = g
            for k in range(d):
                numbers[g, k, r] = rows[j, k]
            farthest = max(farthest, steps[j])
        drift[g] += np.sqrt(farthest) * (1 + 1e-6)
        moved[g] = np.nextafter(np.float32(drift[g] * (1 + 1e-6)), np.float32(np.inf))
    return largest


@loop
def unpack_errors(errors: NDArray[np.int64], steps: float, out: NDArray[np.float64]) -> float:
    """Fill out (K,) with errors (K,), which are whole numbers of 1/steps; return their sum."""
    total = 0
    for j in range(len(errors)):
        out[j] = errors[j] / steps
        total += errors[j]
    return total / steps


@loop
def unpack_sums(
    sums: NDArray[np.float64],
    hits: NDArray[Any],
    centre: NDArray[np.float64],
    scale: float,
    out: NDArray[np.float64],
) -> None:
    """Fill out (K, D) with the sums of the samples as given, from those of the packed ones."""
    larger = 1.0 / scale  # exact: the scale is a power of two
    for j in range(out.shape[0]):
        count = np.float64(hits[j])
        for k in range(out.shape[1]):
            out[j, k] = sums[j, k] * larger + count * centre[k]


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


class Laid(NamedTuple):
    """Prototypes in packed coordinates (K, D), in panels, and how exact their values are.

    ``rows`` (K, depth) = -w and ``halves`` (K,) = ‖w‖²/2 are what panels hold, by neuron.
    """

    packed: NDArray[np.float64]
    panels: Panels
    accuracy: Accuracy
    rows: NDArray[Any]
    halves: NDArray[Any]


class PanelRoom:
    """Memory for panels, used again from pass to pass: fresh memory costs as much as filling it."""

    def __init__(self, samples: Packed) -> None:
        self._samples = samples
        self._room: tuple[NDArray[Any], ...] | None = None
        self._panels: Panels | None = None  # what is in use of it
        self._rows = self._halves = np.empty(0)

    def lay(
        self,
        prototypes: NDArray[np.float64],
        ids: NDArray[np.int32],
        drift: NDArray[np.float64],
        before: NDArray[np.float64] | None = None,
    ) -> Laid | None:
        """Lay prototypes (K, D) out in panels that hold the rows ``ids`` (G, PANEL_ROWS).

        Parameters
        ----------
        drift : float64 array (G,)
            How far the prototypes of each panel moved before; what they moved since ``before``,
            the packed prototypes of the last pass, is added.

        Returns
        -------
        Laid or None
            Valid until the next call; None, and nothing is changed, where a prototype is too far
            from the data for packed numbers.
        """
        samples, packed = self._samples, np.empty(prototypes.shape)
        panels = self._panels
        if panels is None or panels.ids is not ids or len(self._rows) != len(prototypes):
            panels = self._take(len(prototypes), ids)
        rows, halves = self._rows, self._halves
        frame, before = samples.frame, packed[:0] if before is None else before
        largest = lay_panels(
            prototypes, frame.centre, frame.scale, before, ids, packed, self._squares,
            self._steps, drift, panels.numbers, panels.starts, panels.panel_of, panels.drift,
            panels.moves, rows, halves,
        )  # fmt: skip
        if largest < 0:
            return None
        return Laid(packed, panels, samples.accuracy(largest), rows, halves)

    def _take(self, n_neurons: int, ids: NDArray[np.int32]) -> Panels:
        n_panels = len(ids)
        if self._room is None or len(self._room[0]) < n_neurons or len(self._room[4]) < n_panels:
            neurons = max(n_neurons + n_neurons // 2, _LEAST_NEURONS)  # for a map that grows, too
            self._make_room(neurons, max(n_panels + n_panels // 2, neurons // PANEL_ROWS))
        assert self._room is not None
        of_neurons, of_panels = self._room[:4], self._room[4:]
        self._rows, self._halves, panel_of, moves = (array[:n_neurons] for array in of_neurons)
        numbers, starts, moved = (array[:n_panels] for array in of_panels)
        self._panels = Panels(numbers, starts, ids, panel_of, moved, moves)
        return self._panels

    def _make_room(self, neurons: int, panels: int) -> None:
        depth, dtype = self._samples.depth, self._samples.dtype
        self._squares, self._steps = np.empty(neurons), np.empty(neurons)
        self._room = (
            aligned((neurons, depth), dtype),
            np.empty(neurons, dtype),
            np.empty(neurons, np.int32),
            np.empty(neurons, np.float32),
            aligned((panels, depth, PANEL_ROWS), dtype),
            np.full((panels, PANEL_ROWS), np.inf, dtype),
            np.empty(panels, np.float32),
        )
