"""How neurons lie to each other: hops over links, and tables of their cells in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_core.som_map.grid import Grid

_MOST = 1 << 16  # values that a table tells apart
_BLOCK = 1 << 20  # pairs that are looked at together
FAR = 2**16 - 1  # of uint16: hops between neurons that no path links


@compiled
def fill_hops(hops: NDArray[np.uint16], links: NDArray[np.int32]) -> None:
    """Fill in all hops by a breadth-first search from each neuron, in time K².

    Parameters
    ----------
    hops : uint16 array (K, K) or larger
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    """
    neurons = len(links)
    waiting = np.empty(neurons, np.int32)
    for start in range(neurons):
        hops[start, :neurons] = FAR
        hops[start, start] = 0
        waiting[0], first, last = start, 0, 1
        while first < last:
            one = waiting[first]
            first += 1
            farther = int(hops[start, one]) + 1
            if farther >= FAR:
                continue
            for linked in links[one]:
                if linked >= 0 and hops[start, linked] == FAR:
                    hops[start, linked] = farther
                    waiting[last] = linked
                    last += 1


def table_of(
    grid: Grid, positions: NDArray[np.int64], of: str
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return what `SomMap.table` says of cells (K, 2)."""
    n = len(positions)
    keys = np.empty((n, n), dtype=np.int64)  # a whole number for each value
    step = max(1, _BLOCK // n)
    wide = 2 * (int(np.ptp(positions)) if grid.torus is None else sum(grid.torus)) + 1
    for start in range(0, n, step):
        rows = slice(start, start + step)
        cells, others = positions[rows, None], positions[None]
        if of == "plane":
            keys[rows] = grid.squared_distances(cells, others)
        else:
            x, y = np.moveaxis(grid.apart(cells, others), -1, 0)
            keys[rows] = (y + wide // 2) * wide + x + wide // 2
    there = np.flatnonzero(np.bincount(keys.ravel()))
    if len(there) > _MOST:
        raise ValueError(
            f"a kernel that reads {of} tells {_MOST} of them apart, and a map of {n} neurons has "
            f"{len(there)}"
        )
    values: NDArray[Any] = np.sqrt(there.astype(np.float64))
    order = np.arange(len(there))
    if of == "offsets":
        cells = np.column_stack([there % wide, there // wide]) - wide // 2
        order = np.argsort(grid.squared_distances(cells, 0 * cells), kind="stable")
        values = grid.plane(cells[order])
    number = np.empty(int(there[-1]) + 1, dtype=np.uint16)
    number[there[order]] = np.arange(len(there))
    table = np.zeros((n, n + 1), dtype=np.uint16)[:, :n]  # as hops: compiled loops know one kind
    table[:] = number[keys]
    table.setflags(write=False)
    return table, values
