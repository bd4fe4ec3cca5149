"""Compiled loops that find the hops between neurons, and keep them up to date while a map grows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled, loop

FAR = 2**16 - 1  # of uint16: hops between neurons that no path links


@loop
def add_hops(hops: NDArray[np.uint16], links: NDArray[np.int32], first: int, stop: int) -> None:
    """Fill in the hops to and from neurons ``first`` to ``stop``, which join one after another.

    Parameters
    ----------
    hops : uint16 array (K, K) or larger
        Right for the neurons before ``first``; those of others become fewer where a newcomer joins
        neurons that were farther apart.
    links : int32 array (K, degree) or larger
        The linked neighbours of each neuron, -1 for none.
    """
    for new in range(first, stop):
        joins = False
        for other in range(new):
            nearest: Any = FAR
            for linked in links[new]:
                if 0 <= linked < new:
                    nearest = min(nearest, np.int64(hops[linked, other]))
            # One hop further than the nearest of its neighbours.
            hops[new, other] = hops[other, new] = min(nearest + 1, FAR)
        hops[new, new] = 0
        for one in links[new]:
            for other in links[new]:
                if 0 <= one < new and 0 <= other < new:
                    joins |= hops[one, other] > 2
        if not joins:  # nobody else came closer
            continue
        for one in range(new):
            for other in range(new):
                through = np.int64(hops[one, new]) + np.int64(hops[new, other])
                if through < hops[one, other]:
                    hops[one, other] = through


@compiled
def fill_hops(hops: NDArray[np.uint16], links: NDArray[np.int32]) -> None:
    """Fill in all hops, whatever the map: in time K², where adding its neurons may take K³.

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
