"""Free cells between neurons: filling them keeps a grown map compact. Ours, not the paper's.

Neurons that grow alone send out arms two neurons thick. A cell in the corner between two of them
is worth more than one at the end of an arm: it adds two links or more instead of one, so the
best-matching and the second-best neuron of a sample have more chances to be linked.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Birth
from dbgsom_core.som_map import Position, SomMap, beside


def fill(
    som_map: SomMap, errors: NDArray[Any], threshold: float, taken: Iterable[Position]
) -> list[Birth]:
    """Return a birth for each free cell whose neurons' errors add up to the threshold.

    Parameters
    ----------
    som_map : SomMap
        The map with K neurons; it is not changed.
    errors : float array (K,)
        Errors after interior neurons have shared theirs.
    threshold : float
    taken : iterable of (x, y)
        Cells that newborns of this epoch take.

    Returns
    -------
    list of Birth
        For cells that touch two neurons of the map or more; largest sum first, ties by cell. The
        parent is the neuron with the largest error.
    """
    occupied = {(x, y): neuron for neuron, (x, y) in enumerate(som_map.positions.tolist())}
    free = {cell for position in occupied for cell in beside(position)}
    free -= occupied.keys()
    free -= set(taken)
    claims = []
    for cell in sorted(free):
        touching = [occupied[near] for near in beside(cell) if near in occupied]
        if len(touching) < 2 or errors[touching].sum() < threshold:
            continue
        parent = max(touching, key=lambda neuron: errors[neuron])
        birth = Birth(cell, between(cell, touching, occupied, som_map.prototypes), parent)
        claims.append((-float(errors[touching].sum()), birth))
    return [birth for _, birth in sorted(claims, key=lambda claim: claim[0])]


def between(
    cell: Position,
    touching: list[int],
    occupied: dict[Position, int],
    prototypes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the prototype of a cell that touches two neurons or more.

    In a corner it completes the parallelogram w_a + w_b - w_diagonal; it is the mean over the
    cell's corners, or of the touching prototypes where there is none.
    """
    positions = {neuron: position for position, neuron in occupied.items()}
    corners = []
    for a, b in combinations(touching, 2):
        (ax, ay), (bx, by) = positions[a], positions[b]
        diagonal = occupied.get((ax + bx - cell[0], ay + by - cell[1]))
        if diagonal is not None:
            corners.append(prototypes[a] + prototypes[b] - prototypes[diagonal])
    return np.asarray(np.mean(corners if corners else prototypes[touching], axis=0))
