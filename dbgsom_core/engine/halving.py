"""Groups of samples, each cut in two where it is longest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop

TURNS = 3  # of the power iteration, whose start is the sample farthest out
ALIKE = 1e-9  # what differs less, relative to the farthest, does so by rounding
MEAN, AXIS, NEXT = 0, 1, 2  # what is where in the room of the loop


def cut(
    X: NDArray[Any],
    weights: NDArray[np.float64],
    groups: NDArray[np.int64],
    times: int,
    least: float,
) -> NDArray[np.int64]:
    """Return groups of samples in up to ``2**times`` parts, (n,): ``groups << times`` and the part.

    A group is cut in two across its longest direction, nearly its first principal component, at its
    mean, and so are its parts.

    Parameters
    ----------
    X : float array (n, D)
    weights : float64 array (n,)
    groups : int64 array (n,)
        Not negative.
    times : int
    least : float
        Groups and parts of a smaller weight stay whole.
    """
    size = np.frexp(np.abs(X).max(initial=0.0))[1]  # so that no square leaves float64
    numbers = np.ldexp(np.ascontiguousarray(X, dtype=np.float64), -size)
    room = np.empty((3, X.shape[1]))
    for _ in range(times):
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
        beyond = np.zeros(len(groups), np.int64)
        cut_across(numbers, weights, order, starts, least, room, beyond)
        groups = 2 * groups + beyond
    return groups


@loop
def cut_across(
    X: NDArray[np.float64],
    weights: NDArray[np.float64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    least: float,
    room: NDArray[np.float64],
    beyond: NDArray[np.int64],
) -> None:
    """Write 1 to ``beyond`` (n,) of samples on one side of their group's mean.

    The g-th group are the samples ``order[starts[g]:starts[g + 1]]``; ``room`` is (3, D).
    """
    d = X.shape[1]
    for g in range(starts.size - 1):
        total = 0.0
        for k in range(d):
            room[MEAN, k] = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            total += weights[i]
            for k in range(d):
                room[MEAN, k] += weights[i] * X[i, k]
        if total < least:
            continue
        for k in range(d):
            room[MEAN, k] /= total
        farthest = 0.0
        for at in range(starts[g], starts[g + 1]):
            i, square = order[at], 0.0
            for k in range(d):
                square += (X[i, k] - room[MEAN, k]) ** 2
            if square > farthest * (1 + ALIKE):  # or else rounding chooses among equals
                farthest = square
                for k in range(d):
                    room[NEXT, k] = X[i, k] - room[MEAN, k]
        if farthest == 0.0:
            continue
        for turn in range(TURNS + 1):
            square = 0.0
            for k in range(d):
                square += room[NEXT, k] ** 2
            for k in range(d):
                room[AXIS, k] = room[NEXT, k] / np.sqrt(square)
                room[NEXT, k] = 0.0
            for at in range(starts[g], starts[g + 1]):
                i, along = order[at], 0.0
                for k in range(d):
                    along += (X[i, k] - room[MEAN, k]) * room[AXIS, k]
                if turn == TURNS:
                    beyond[i] = along > ALIKE * np.sqrt(farthest)
                else:
                    for k in range(d):
                        room[NEXT, k] += weights[i] * along * (X[i, k] - room[MEAN, k])
