"""Compiled loops that keep links and hops between neurons up to date while a map grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled

FAR = np.iinfo(np.uint16).max  # hops between neurons that no path links


@compiled
def link(positions: NDArray[np.int64], sides: NDArray[np.int32], first: int) -> tuple[int, int]:
    """Link the neurons from row ``first`` on, which join one after another, with those beside them.

    Parameters
    ----------
    positions : int64 array (K, 2)
        The cells (x, y) of all neurons; those before ``first`` are distinct.
    sides : int32 array (K, 4)
        The neuron to the north, south, east and west of each, -1 for none: right for those before
        ``first``. Updated.

    Returns
    -------
    (taken, lonely) : int
        The first row whose cell another one has, where linking ends, and the first row with no
        neuron before it beside it; -1 for none.
    """
    lonely = -1
    for new in range(first, len(positions)):
        x, y = positions[new, 0], positions[new, 1]
        for side in range(4):
            sides[new, side] = -1
        beside = 0
        for other in range(new):
            east, north = positions[other, 0] - x, positions[other, 1] - y
            away = abs(east) + abs(north)
            if away == 0:
                return new, lonely
            if away == 1:
                side = (0 if north > 0 else 1) if east == 0 else (2 if east > 0 else 3)
                sides[new, side] = other
                sides[other, side ^ 1] = new  # opposite directions come in pairs
                beside += 1
        if beside == 0 and lonely < 0:
            lonely = new
    return -1, lonely


@compiled
def add_hops(hops: NDArray[np.uint16], sides: NDArray[np.int32], first: int, stop: int) -> None:
    """Fill in the hops to and from neurons ``first`` to ``stop``, which join one after another.

    Parameters
    ----------
    hops : uint16 array (K, K) or larger
        Right for the neurons before ``first``; those of others become fewer where a newcomer joins
        neurons that were farther apart.
    sides : int32 array (K, 4) or larger
        The linked neighbours of each neuron, -1 for none.
    """
    for new in range(first, stop):
        joins = False
        for other in range(new):
            nearest = int(FAR)
            for linked in sides[new]:
                if 0 <= linked < new:
                    nearest = min(nearest, int(hops[linked, other]))
            # One hop further than the nearest of its neighbours.
            hops[new, other] = hops[other, new] = min(nearest + 1, int(FAR))
        hops[new, new] = 0
        for one in sides[new]:
            for other in sides[new]:
                if 0 <= one < new and 0 <= other < new:
                    joins |= hops[one, other] > 2
        if not joins:  # nobody else came closer
            continue
        for one in range(new):
            for other in range(new):
                through = int(hops[one, new]) + int(hops[new, other])
                if through < hops[one, other]:
                    hops[one, other] = through
