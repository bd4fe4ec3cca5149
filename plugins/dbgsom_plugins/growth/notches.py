"""Free cells between neurons: filling them keeps a grown map compact. Ours, not the paper's.

Neurons that grow alone send out arms two neurons thick. A cell in the corner between two of them
is worth more than one at the end of an arm: it adds two links or more instead of one, so the
best-matching and the second-best neuron of a sample have more chances to be linked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Birth
from dbgsom_core.som_map import DIRECTIONS, Position, SomMap


def fill(
    som_map: SomMap,
    errors: NDArray[Any],
    threshold: float,
    taken: Iterable[Position],
    most: int | None = None,
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
    most : int, optional
        Return no more than so many.

    Returns
    -------
    list of Birth
        For cells that touch two neurons of the map or more; largest sum first, ties by cell. The
        parent is the neuron with the largest error.
    """
    cells, touching = som_map.open_cells()
    known = np.append(np.asarray(errors, dtype=np.float64), 0.0)  # row -1: nobody, without error
    north, south, east, west = known[touching].T
    claims = north + south + east + west
    enough = np.flatnonzero((np.sum(touching >= 0, axis=1) >= 2) & (claims >= threshold))
    enough = enough[np.argsort(-claims[enough], kind="stable")]
    births: list[Birth] = []
    taken = set(taken)
    for (x, y), around in zip(cells[enough].tolist(), touching[enough].tolist(), strict=True):
        if most is not None and len(births) >= most:
            break
        if (x, y) not in taken:
            near = [neuron for neuron in around if neuron >= 0]
            parent = max(near, key=known.__getitem__)
            births.append(Birth((x, y), between((x, y), around, som_map), parent))
    return births


def between(cell: Position, around: list[int], som_map: SomMap) -> NDArray[np.float64]:
    """Return the prototype of a cell with neurons at two of its sides or more.

    In a corner it completes the parallelogram w_a + w_b - w_diagonal; it is the mean over the
    cell's corners, or of the neurons at its sides where there is none.

    Parameters
    ----------
    cell : (x, y)
    around : list of int
        The neurons to its north, south, east and west, -1 for none.
    som_map : SomMap
    """
    prototypes, (x, y) = som_map.prototypes, cell
    beside = [(n, dx, dy) for n, (dx, dy) in zip(around, DIRECTIONS, strict=True) if n >= 0]
    corners: list[NDArray[np.float64]] = []
    for (a, ax, ay), (b, bx, by) in combinations(beside, 2):
        diagonal = som_map.neuron_at((x + ax + bx, y + ay + by))
        if diagonal is not None:
            corners.append(prototypes[a] + prototypes[b] - prototypes[diagonal])
    summands = corners or [prototypes[n] for n, _, _ in beside]
    return np.asarray(reduce(np.add, summands) / len(summands))
