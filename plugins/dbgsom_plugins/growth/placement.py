"""Where a boundary neuron puts its newborn, and with which prototype (Vasighi & Amini 2017).

The rules of the paper as they are meant; `reference` holds those of the authors' program.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.som_map import Position, SomMap
from dbgsom_plugins.growth.snapshot import Placement, Snapshot


def share_errors(som_map: SomMap, errors: NDArray[Any], threshold: float) -> NDArray[np.float64]:
    """Let interior neurons pass half of their error on to the boundary.

    An interior neuron with an error of at least ``threshold`` splits half of it equally over its
    boundary neighbours or, without any, over the boundary neurons nearest by hops: nothing is
    lost.

    Returns
    -------
    float64 array (K,)
    """
    degrees = som_map.degrees()
    boundary = np.flatnonzero(degrees < 4)
    shared = np.array(errors, dtype=np.float64)
    givers = np.flatnonzero((degrees == 4) & (shared >= threshold))
    if len(givers):
        hops = som_map.hops[np.ix_(givers, boundary)]
        is_heir = hops == hops.min(axis=1, keepdims=True)
        halves = shared[givers] / 2
        giver, heir = np.nonzero(is_heir)
        np.add.at(shared, boundary[heir], (halves / is_heir.sum(axis=1))[giver])
        shared[givers] -= halves
    return shared


def place(candidate: int, snapshot: Snapshot) -> Placement:
    """Choose a free cell beside the candidate and extrapolate a prototype for it.

    A candidate whose preferred cell a newborn took uses its next free one.
    """
    neighbours = snapshot.neighbours(candidate)
    free = snapshot.free_cells(candidate)
    if not free:
        return Placement(0)
    second = snapshot.second_touching(candidate, free)
    if len(neighbours) == 1:
        return at_end(candidate, neighbours[0], free, second, snapshot)
    if len(neighbours) == 2:
        larger, smaller = neighbours
        cell = snapshot.nearest_cell(free, larger)
        # The neighbour on the other side of the cell; on a straight line there is none.
        away = next((o for o in neighbours if snapshot.opposite(candidate, o) == cell), smaller)
        meets = second is not None and snapshot.touches(second, cell)
        return at_corner(candidate, cell, (larger, away), second, meets, snapshot)
    return in_gap(candidate, neighbours, free[0], second, second, snapshot)


def at_end(
    candidate: int,
    neighbour: int,
    free: list[Position],
    second: int | None,
    snapshot: Snapshot,
) -> Placement:
    """Place a newborn at the end of an arm: towards the second ring, or aside (codes 32, 31)."""
    b = snapshot.prototypes[candidate]
    if second is not None:
        cell = next(cell for cell in free if snapshot.touches(second, cell))
        return Placement(32, cell, (b + snapshot.prototypes[second]) / 2, neighbour, -1, second)
    ahead = snapshot.opposite(candidate, neighbour)
    cell = next((cell for cell in free if cell != ahead), free[0])
    return Placement(31, cell, 2 * b - snapshot.prototypes[neighbour], neighbour)


def at_corner(
    candidate: int,
    cell: Position,
    pair: tuple[int, int],
    second: int | None,
    meets: bool,
    snapshot: Snapshot,
) -> Placement:
    """Place a newborn of a neuron with two neighbours (codes 21, 22, 23).

    ``pair`` holds the neighbour that fixes the cell and the one that is extrapolated away from;
    the prototype of ``second`` is averaged in where it ``meets`` the cell.
    """
    larger, away = pair
    w = 2 * snapshot.prototypes[candidate] - snapshot.prototypes[away]
    if second is None:
        return Placement(21, cell, w, larger, away)
    if meets:
        mean = (w + snapshot.prototypes[second]) / 2
        return Placement(22, cell, mean, larger, away, second)
    return Placement(23, cell, w, larger, away, second)


def in_gap(
    candidate: int,
    neighbours: list[int],
    cell: Position,
    second: int | None,
    used: int | None,
    snapshot: Snapshot,
) -> Placement:
    """Fill the one free cell of a neuron with three neighbours (codes 11, 12).

    Where some ``second`` neuron touches the cell, the prototype of ``used`` is averaged in.
    """
    away = next(o for o in neighbours if snapshot.opposite(candidate, o) == cell)
    w = 2 * snapshot.prototypes[candidate] - snapshot.prototypes[away]
    if second is None or used is None:
        return Placement(11, cell, w, -1, away)
    return Placement(12, cell, (w + snapshot.prototypes[used]) / 2, -1, away, used)
