"""Shortest ways over the links of a map, each link as long as its prototypes lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop


def ways_over_links(
    links: NDArray[np.int32], apart: NDArray[np.float64], wanted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how long the shortest ways are that are wanted, float64 (K, K), 0 elsewhere.

    From neurons (row) to others (column), by the algorithm of Dijkstra (1959), which goes no
    farther than what is wanted; inf where there is no way.

    Parameters
    ----------
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    apart : float64 array (K, K)
        How long links are; none is negative.
    wanted : bool array (K, K)
    """
    found, n = np.zeros(wanted.shape), len(wanted)
    fill_ways(links, apart, wanted, np.empty(n), np.empty(n, np.int64), found)
    return found


@loop
def fill_ways(
    links: NDArray[np.int32],
    apart: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    ways: NDArray[np.float64],
    front: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Fill the wanted places of out (K, K) as `ways_over_links` says; ways, front (K,) are room."""
    n_neurons = wanted.shape[0]
    for start in range(n_neurons):
        left = 0
        for neuron in range(n_neurons):
            left += int(wanted[start, neuron])
            ways[neuron] = np.inf
        if left == 0:
            continue
        ways[start], front[0], ahead = 0.0, start, 1
        while ahead > 0 and left > 0:
            at = 0
            for place in range(1, ahead):
                if ways[front[place]] < ways[front[at]]:
                    at = place
            nearest = front[at]
            ahead -= 1
            front[at] = front[ahead]
            left -= int(wanted[start, nearest])
            for linked in links[nearest]:
                if linked < 0:
                    continue
                way = ways[nearest] + apart[nearest, linked]
                if way < ways[linked]:
                    if ways[linked] == np.inf:  # a neuron that was left is nearer than that
                        front[ahead] = linked
                        ahead += 1
                    ways[linked] = way
        for neuron in range(n_neurons):
            if wanted[start, neuron]:
                out[start, neuron] = ways[neuron]
