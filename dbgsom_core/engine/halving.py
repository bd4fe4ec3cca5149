"""Groups of samples, each cut in two where it is longest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import loop

TURNS = 3  # of the power iteration, whose start is the sample farthest out
ALIKE = 1e-9  # what differs less, relative to the farthest, does so by rounding
MEAN, AXIS, NEXT = 0, 1, 2  # rows of the workspace of the loop


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
    space = np.empty((3, X.shape[1]))
    for _ in range(times):
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
        beyond = np.zeros(len(groups), np.int64)
        cut_across(numbers, weights, order, starts, least, space, beyond)
        groups = 2 * groups + beyond
    return groups


@loop
def cut_across(
    X: NDArray[np.float64],
    weights: NDArray[np.float64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    least: float,
    space: NDArray[np.float64],
    beyond: NDArray[np.int64],
) -> None:
    """Write 1 to ``beyond`` (n,) of samples on one side of their group's mean.

    The g-th group are the samples ``order[starts[g]:starts[g + 1]]``; ``space`` is (3, D).
    """
    d = X.shape[1]
    for g in range(starts.size - 1):
        total = 0.0
        for k in range(d):
            space[MEAN, k] = 0.0
        for at in range(starts[g], starts[g + 1]):
            i = order[at]
            total += weights[i]
            for k in range(d):
                space[MEAN, k] += weights[i] * X[i, k]
        if total < least:
            continue
        for k in range(d):
            space[MEAN, k] /= total
        farthest = 0.0
        for at in range(starts[g], starts[g + 1]):
            i, square = order[at], 0.0
            for k in range(d):
                square += (X[i, k] - space[MEAN, k]) ** 2
            if square > farthest * (1 + ALIKE):  # or else rounding chooses among equals
                farthest = square
                for k in range(d):
                    space[NEXT, k] = X[i, k] - space[MEAN, k]
        if farthest == 0.0:
            continue
        for turn in range(TURNS + 1):
            square = 0.0
            for k in range(d):
                square += space[NEXT, k] ** 2
            for k in range(d):
                space[AXIS, k] = space[NEXT, k] / np.sqrt(square)
                space[NEXT, k] = 0.0
            for at in range(starts[g], starts[g + 1]):
                i, along = order[at], 0.0
                for k in range(d):
                    along += (X[i, k] - space[MEAN, k]) * space[AXIS, k]
                if turn == TURNS:
                    beyond[i] = along > ALIKE * np.sqrt(farthest)
                else:
                    for k in range(d):
                        space[NEXT, k] += weights[i] * along * (X[i, k] - space[MEAN, k])
