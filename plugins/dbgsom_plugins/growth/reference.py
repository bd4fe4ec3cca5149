"""The rules of the authors' 2017 program where they differ from what the paper means.

They follow the description of its observed behaviour, checked by the conformance vectors; its
source was not read. On other grids than its square one they are told in links: shares of errors
count all links of a neuron, a corner is a neuron with two neighbours, a gap one with more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Position, SomMap
from dbgsom_plugins.growth.snapshot import Placement, Snapshot


def share_errors(som_map: SomMap, errors: NDArray[Any], threshold: float) -> NDArray[np.float64]:
    """Let interior neurons pass an eighth of their error to each boundary neighbour.

    That is half of it over all neighbours of the program's square grid. They keep half whatever the
    number of boundary neighbours, so the rest vanishes; without a boundary neighbour nothing
    changes.

    Returns
    -------
    float64 array (K,)
    """
    boundary = som_map.boundary()
    shared = np.array(errors, dtype=np.float64)
    for neuron in np.flatnonzero(~boundary & (shared >= threshold)):
        heirs = [other for other in som_map.neighbours(int(neuron)) if boundary[other]]
        if heirs:
            shared[heirs] += errors[neuron] / (2 * som_map.grid.degree)
            shared[neuron] = errors[neuron] / 2
    return shared


def serve(
    som_map: SomMap, shared: NDArray[np.float64], threshold: float, most: int | None = None
) -> list[tuple[int, Placement]]:
    """Serve every boundary neuron whose error reaches the threshold, once.

    Parameters
    ----------
    som_map : SomMap
        The map with K neurons; it is not changed.
    shared : float array (K,)
        Errors after interior neurons have shared theirs.
    threshold : float
    most : int, optional
        Stop after so many newborns.

    Returns
    -------
    list of (candidate row, Placement)
        In the order served: largest error first, ties by row.
    """
    candidates = np.flatnonzero(som_map.boundary() & (shared >= threshold))
    candidates = candidates[np.argsort(-shared[candidates], kind="stable")]
    snapshot = Snapshot(som_map, shared)
    served: list[tuple[int, Placement]] = []
    born = 0
    for candidate in candidates.tolist():
        if most is not None and born >= most:
            break
        placed = place(candidate, snapshot)
        if placed.position is not None:
            snapshot.take(placed.position)
            born += 1
        served.append((candidate, placed))
    return served


def place(candidate: int, snapshot: Snapshot) -> Placement:
    """Choose a free cell beside the candidate and extrapolate a prototype for it.

    A candidate of whose free cells a newborn took one is skipped for this epoch.
    """
    neighbours = snapshot.neighbours(candidate)
    free = snapshot.free_cells(candidate)
    if not free:
        return Placement(0)
    if len(free) + len(neighbours) < snapshot.grid.degree:
        return Placement(9)
    ring = snapshot.second_ring(candidate)
    second = snapshot.second_touching(candidate, free)
    if len(neighbours) == 1:
        return at_end(candidate, neighbours[0], free, second, snapshot)
    if len(neighbours) == 2:
        larger, smaller = neighbours
        if snapshot.errors[larger] == snapshot.errors[smaller]:
            smaller = larger  # with tied errors one neuron plays both parts
        cell = snapshot.nearest_cell(free, larger)
        meets = second is not None and _meets(cell, larger, second, snapshot)
        return at_corner(candidate, cell, (larger, smaller), second, meets, snapshot)
    # The largest of the second ring is averaged in whether or not it touches the cell.
    return in_gap(candidate, neighbours, free[0], second, ring[0] if ring else None, snapshot)


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
    """Fill a free cell of a neuron with three neighbours or more (codes 11, 12).

    Where some ``second`` neuron touches the cell, the prototype of ``used`` is averaged in.
    """
    across = (o for o in neighbours if snapshot.opposite(candidate, o) == cell)
    away = next(across, neighbours[-1])
    w = 2 * snapshot.prototypes[candidate] - snapshot.prototypes[away]
    if second is None or used is None:
        return Placement(11, cell, w, -1, away)
    return Placement(12, cell, (w + snapshot.prototypes[used]) / 2, -1, away, used)


def _meets(cell: Position, larger: int, second: int, snapshot: Snapshot) -> bool:
    if snapshot.grid.degree != 4:  # the program's slip is of its own grid
        return snapshot.touches(second, cell)
    # One number stands for both axes: entry ``larger`` of the flat list x0, y0, x1, y1, …
    c = snapshot.positions[larger // 2][larger % 2]
    x, y = snapshot.positions[second]
    return (c - x) ** 2 + (c - y) ** 2 == 1
