"""What becomes of the neighbours of some samples, told by comparisons with a part of the others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import available_threads, share
from dbgsom_plugins.measures._nearest import nearest
from dbgsom_plugins.measures._nearest_loops import draw_members, mean_excess, squares_between
from dbgsom_plugins.measures._pairs import Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._rings import Rings

    Three = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

_OTHERS = 4096  # samples among which ranks are told
_OF_RING = 32  # equally near samples on the map whose ranks are told
_FEW = 512  # of the others, among which a limit is looked for
_TOGETHER = 1 << 22  # distances that are held at a time
_TASK = 64  # samples that a thread ranks at a time


def neighbours(evaluation: Evaluation, some: NDArray[np.int64], rings: Rings) -> Three:
    """Return the ``intruders``, ``lost`` and ``shared`` (m,) of samples; see `neighbours._Kept`.

    The k nearest in the data are looked for among all samples: what is lost and what is shared is
    exact for each of the m. Ranks in the data, of up to 32 of the equally near on the map, are
    those among 4096 samples times how many these stand for; where a rank is not far above k, a
    sample's sum is too large by k·n/4096 at most in the mean, 1/4096 of the measure.

    Parameters
    ----------
    some : int64 array (m,)
        Places among the samples in the order of their neurons, ``rings.by_unit``, ascending.
    """
    m, own, pairs = len(some), rings.by_unit[some], Pairs(evaluation)
    neurons, kind = np.unique(rings.units[own], return_inverse=True)
    kind, worth = kind.ravel(), rings.worth(neurons)
    shape = m, rings.k + _OF_RING
    members, weights = np.empty(shape, np.int64), np.empty(shape)
    generator = np.random.default_rng((evaluation.seed, 1))
    lots = generator.random((m, _OF_RING))
    draw_members(worth, kind, rings.by_unit, rings.ends, rings.hits, some, lots, members, weights)
    n = evaluation.data.n
    others = np.sort(generator.choice(n, min(n, _OTHERS), replace=False))
    intruders, limits = _ranked(evaluation, pairs, own, others, members, weights, rings.k)
    found = nearest(evaluation, pairs, own, rings.k, worth, kind, limits)
    return intruders, *found.worth().T


def _ranked(
    evaluation: Evaluation,
    pairs: Pairs,
    own: NDArray[np.int64],
    others: NDArray[np.int64],
    members: NDArray[np.int64],
    weights: NDArray[np.float64],
    k: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Sums over members of max(0, rank - k), and a distance within which there are k samples.
    m, n = len(own), evaluation.data.n
    out, limits = np.empty(m), np.full(m, np.inf)
    among = evaluation.data.subset(others) if pairs.squared else None
    where, itself = _places(others, members), _places(others, own)
    few = slice(None, None, max(1, len(others) // _FEW))
    together = max(1, _TOGETHER // len(others))
    for start in range(0, m, together):
        rows = slice(start, min(start + together, m))
        apart: Any
        if among is None:
            apart = pairs.distances(own[rows], others)
        else:
            apart = among.distances(pairs.rows(own[rows])).T
        apart = np.ascontiguousarray(apart, np.float32)
        ranked = _to_members(pairs, own[rows], members[rows], weights[rows])
        of_rows = (apart, ranked, weights[rows], where[rows], itself[rows], out[rows])
        share(available_threads(), -(-len(apart) // _TASK), partial(_rank, of_rows, n, k))
        known = np.partition(np.where(weights[rows] > 0, ranked, np.inf), k - 1, axis=1)
        limits[rows] = known[:, k - 1]
        if len(others[few]) > k:  # one may be the sample itself
            known = np.partition(apart[:, few], k, axis=1)
            limits[rows] = np.minimum(limits[rows], known[:, k])
    return out, limits


def _rank(of_rows: tuple[NDArray[Any], ...], n: int, k: int, worker: int, task: int) -> None:
    apart, ranked, weights, where, own, out = (
        one[task * _TASK : (task + 1) * _TASK] for one in of_rows
    )
    mean_excess(apart, ranked, weights, where, own, n, k, out)


def _to_members(
    pairs: Pairs, own: NDArray[np.int64], members: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    # Distances of samples (m,) to the members (m, w) of each.
    found = np.zeros(members.shape)
    if pairs.squared:
        squares_between(pairs.rows(own), pairs.rows(members.ravel()), found)
        return np.sqrt(found).astype(np.float32)
    for i in range(len(own)):
        counts = weights[i] > 0
        found[i, counts] = pairs.distances(own[i : i + 1], members[i, counts])[0]
    return found.astype(np.float32)


def _places(ascending: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    # Where numbers are, -1 for those that are not there.
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[at] == wanted, at, -1)
