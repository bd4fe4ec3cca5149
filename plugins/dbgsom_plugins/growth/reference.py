"""The rules of the authors' 2017 program where they differ from what the paper means.

They follow the description of its observed behaviour, checked by the conformance vectors; its
source was not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.som_map import SomMap
from dbgsom_plugins.growth import placement
from dbgsom_plugins.growth.snapshot import Placement, Snapshot


def share_errors(som_map: SomMap, errors: NDArray[Any], threshold: float) -> NDArray[np.float64]:
    """Let interior neurons pass an eighth of their error to each boundary neighbour.

    They keep half whatever the number of boundary neighbours, so the rest vanishes; without a
    boundary neighbour nothing changes.

    Returns
    -------
    float64 array (K,)
    """
    degrees = som_map.degrees()
    shared = np.array(errors, dtype=np.float64)
    for neuron in np.flatnonzero((degrees == 4) & (shared >= threshold)):
        heirs = [other for other in som_map.neighbours(int(neuron)) if degrees[other] < 4]
        if heirs:
            shared[heirs] += errors[neuron] / 8
            shared[neuron] = errors[neuron] / 2
    return shared


def place(candidate: int, snapshot: Snapshot) -> Placement:
    """Choose a free cell beside the candidate and extrapolate a prototype for it.

    A candidate of whose free cells a newborn took one is skipped for this epoch.
    """
    neighbours = snapshot.neighbours(candidate)
    free = snapshot.free_cells(candidate)
    if not free:
        return Placement(0)
    if len(free) + len(neighbours) < 4:
        return Placement(9)
    ring = snapshot.second_ring(candidate)
    second = snapshot.second_touching(candidate, free)
    if len(free) == 3:
        return placement.at_end(candidate, neighbours[0], free, second, snapshot)
    if len(free) == 2:
        larger, smaller = neighbours
        if snapshot.errors[larger] == snapshot.errors[smaller]:
            smaller = larger  # with tied errors one neuron plays both parts
        cell = snapshot.nearest_cell(free, larger)
        meets = second is not None and _beside_entry(larger, second, snapshot)
        return placement.at_corner(candidate, cell, (larger, smaller), second, meets, snapshot)
    # The largest of the second ring is averaged in whether or not it touches the cell.
    return placement.in_gap(
        candidate, neighbours, free[0], second, ring[0] if ring else None, snapshot
    )


def _beside_entry(larger: int, second: int, snapshot: Snapshot) -> bool:
    # One number stands for both axes: entry ``larger`` of the flat list x0, y0, x1, y1, …
    c = snapshot.positions[larger // 2][larger % 2]
    x, y = snapshot.positions[second]
    return (c - x) ** 2 + (c - y) ** 2 == 1
