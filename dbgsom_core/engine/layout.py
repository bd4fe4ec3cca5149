"""Compiled loops that lay prototypes out for the fast search and hand back what neurons won."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.fast_loops import Panels
from dbgsom_core.engine.packing import PackedSamples, aligned
from dbgsom_core.engine.panel import PANEL_ROWS


@compiled
def pack_rows(
    prototypes: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: float,
    out: NDArray[np.float64],
) -> float:
    """Fill out (K, D) with the prototypes in packed coordinates; return the largest |entry|.

    Where an entry is nan that is what it returns, and ``out`` is not complete.
    """
    largest = 0.0
    for j in range(prototypes.shape[0]):
        for k in range(prototypes.shape[1]):
            value = (prototypes[j, k] - centre[k]) * scale
            out[j, k] = value
            if np.isnan(value):
                return np.nan
            largest = max(largest, abs(value))
    return largest


@compiled
def lay_panels(
    packed: NDArray[np.float64],
    ids: NDArray[np.int32],
    halves: NDArray[np.float64],
    numbers: NDArray[Any],
    starts: NDArray[Any],
    panel_of: NDArray[np.int32],
) -> None:
    """Fill panels that hold the packed prototypes (K, D) with the rows ``ids`` (G, PANEL_ROWS).

    ``halves`` (K,) is filled with ‖w‖²/2. Entries of ``numbers`` beyond feature D stay 0.
    """
    d = packed.shape[1]
    for j in range(packed.shape[0]):
        total = 0.0
        for k in range(d):
            total += packed[j, k] * packed[j, k]
        halves[j] = 0.5 * total
    for g in range(ids.shape[0]):
        for r in range(ids.shape[1]):
            j = ids[g, r]
            if j < 0:
                starts[g, r] = np.inf
                for k in range(d):
                    numbers[g, k, r] = 0.0
                continue
            starts[g, r] = halves[j]
            panel_of[j] = g
            for k in range(d):
                numbers[g, k, r] = -packed[j, k]


@compiled
def add_drift(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    ids: NDArray[np.int32],
    drift: NDArray[np.float64],
) -> None:
    """Add to ``drift`` (G,) how far a prototype of each panel moved at most, rounded up."""
    for g in range(ids.shape[0]):
        farthest = 0.0
        for r in range(ids.shape[1]):
            j = ids[g, r]
            if j < 0:
                continue
            total = 0.0
            for k in range(before.shape[1]):
                step = after[j, k] - before[j, k]
                total += step * step
            farthest = max(farthest, total)
        drift[g] += np.sqrt(farthest) * (1 + 1e-6)


@compiled
def unpack_sums(
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
    centre: NDArray[np.float64],
    scale: float,
    out: NDArray[np.float64],
) -> None:
    """Fill out (K, D) with the sums of the samples as given, from those of the packed ones."""
    for j in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[j, k] = sums[j, k] / scale + hits[j] * centre[k]


class PanelRoom:
    """Memory for panels, used again from pass to pass: fresh memory costs as much as filling it."""

    def __init__(self, samples: PackedSamples) -> None:
        self._depth = samples.blocks.numbers.shape[1]
        self._dtype = samples.X.dtype
        self._numbers = aligned((0, self._depth, PANEL_ROWS), self._dtype)
        self._starts = np.empty((0, PANEL_ROWS), self._dtype)
        self._halves = np.empty(0)
        self._panel_of = np.empty(0, np.int32)

    def panels(
        self, packed: NDArray[np.float64], ids: NDArray[np.int32], drift: NDArray[np.float32]
    ) -> Panels:
        """Lay packed prototypes (K, D) out in panels that hold the rows ``ids`` (G, PANEL_ROWS).

        The panels are valid until the next call.
        """
        if len(self._numbers) != len(ids):
            self._numbers = aligned((len(ids), self._depth, PANEL_ROWS), self._dtype)
            self._starts = np.empty((len(ids), PANEL_ROWS), self._dtype)
        if len(self._halves) != len(packed):
            self._halves, self._panel_of = np.empty(len(packed)), np.empty(len(packed), np.int32)
        lay_panels(packed, ids, self._halves, self._numbers, self._starts, self._panel_of)
        return Panels(self._numbers, self._starts, ids, self._panel_of, drift)
