"""Shortest ways over the links of a map, each link as long as its prototypes lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop


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
    found, n, most = np.zeros(wanted.shape), len(wanted), links.size + 2
    room = np.empty(n), np.empty(most), np.empty(most, np.int64)
    fill_ways(links, apart, wanted, *room, found)
    return found


@inner_loop
def _push(keys: NDArray[np.float64], front: NDArray[np.int64], n: int, key: float, it: int) -> None:
    # Put one more on a heap of n, the least key first.
    at: Any = np.int64(n)
    while at > 0 and keys[(at - 1) >> 1] > key:
        keys[at], front[at] = keys[(at - 1) >> 1], front[(at - 1) >> 1]
        at = (at - 1) >> 1
    keys[at], front[at] = key, it


@inner_loop
def _pop(keys: NDArray[np.float64], front: NDArray[np.int64], n: int) -> None:
    # Take the first off a heap of n.
    key, it, at = keys[n - 1], front[n - 1], np.int64(0)
    while 2 * at + 1 < n - 1:
        below = 2 * at + 1
        if below + 1 < n - 1 and keys[below + 1] < keys[below]:
            below += 1
        if not keys[below] < key:
            break
        keys[at], front[at] = keys[below], front[below]
        at = below
    keys[at], front[at] = key, it


@loop
def fill_ways(
    links: NDArray[np.int32],
    apart: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    ways: NDArray[np.float64],
    keys: NDArray[np.float64],
    front: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Fill the wanted places of out (K, K) as `ways_over_links` says.

    ``ways`` (K,), ``keys`` and ``front`` (K*degree + 2,) are room.
    """
    n_neurons = wanted.shape[0]
    for start in range(n_neurons):
        left = 0
        for neuron in range(n_neurons):
            left += int(wanted[start, neuron])
            ways[neuron] = np.inf
        if left == 0:
            continue
        ways[start], keys[0], front[0], ahead = 0.0, 0.0, start, 1
        while ahead > 0 and left > 0:
            nearest, way_there = front[0], keys[0]
            _pop(keys, front, ahead)
            ahead -= 1
            if way_there > ways[nearest]:  # a shorter way was found since
                continue
            left -= int(wanted[start, nearest])
            for linked in links[nearest]:
                if linked < 0:
                    continue
                way = ways[nearest] + apart[nearest, linked]
                if way < ways[linked]:  # a neuron that was left is nearer than that
                    _push(keys, front, ahead, way, linked)
                    ways[linked], ahead = way, ahead + 1
        for neuron in range(n_neurons):
            if wanted[start, neuron]:
                out[start, neuron] = ways[neuron]


def hops_between(pairs: NDArray[np.int64], ends: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return how many of the linked ``pairs`` (L, 2) lead from one end to the other, (m,).

    ``ends`` (m, 2) and pairs are rows below ``n``; inf where none do.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    stops, found = np.cumsum(np.bincount(both[:, 0], minlength=n)), np.empty(len(ends))
    hops, waiting = np.empty((2, n), np.int64)
    _fill_hops(np.ascontiguousarray(both[:, 1]), stops, ends, hops, waiting, found)
    return found


@loop
def _fill_hops(
    others: NDArray[np.int64],
    stops: NDArray[np.int64],
    ends: NDArray[np.int64],
    hops: NDArray[np.int64],
    waiting: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    # Breadth first, no farther than asked, and on from there where the next has the same start.
    start, first, last = np.int64(-1), 0, 0
    for i in range(ends.shape[0]):
        if ends[i, 0] != start:
            start, first, last = ends[i, 0], 0, 1
            hops[:] = -1
            hops[start], waiting[0] = 0, start
        goal = ends[i, 1]
        while hops[goal] < 0 and first < last:
            one = waiting[first]
            first += 1
            for at in range(stops[one - 1] if one > 0 else 0, stops[one]):
                other = others[at]
                if hops[other] < 0:
                    hops[other] = hops[one] + 1
                    waiting[last] = other
                    last += 1
        out[i] = hops[goal] if hops[goal] >= 0 else np.inf
