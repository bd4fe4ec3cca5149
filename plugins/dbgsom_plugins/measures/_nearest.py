"""The nearest of all samples to a few of them, and what those nearest ones are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import available_threads, one_blas_thread, share
from dbgsom_plugins.measures._nearest_loops import centred, see_nearest
from dbgsom_plugins.measures._pair_loops import count, look_up_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._pairs import Pairs

_GROUP = 512  # samples that look together, at most
_PRODUCTS = 1 << 17  # in a block: half a megabyte
_READ = 1 << 20  # numbers of the samples that are read at a time
_ROUNDING = 2.0**-24  # of float32
_TINY = 2.0**-100
_LARGEST = 500  # exponent of a unit whose square float64 can hold


@dataclass(frozen=True)
class Nearest:
    """The k nearest samples to each of m, and others that are as far as the last of them.

    Attributes
    ----------
    near : float64 array (m, k)
        Distances, or their squares, ascending.
    near_worth : float64 array (m, k, 2)
        What those samples are worth: two numbers.
    tied : float64 array (m, 3)
        How many others are as far as the last, and what they are worth together.
    """

    near: NDArray[np.float64]
    near_worth: NDArray[np.float64]
    tied: NDArray[np.float64]

    @classmethod
    def none(cls, m: int, k: int) -> Nearest:
        """Return places for k samples."""
        return cls(np.full((m, k), np.inf), np.zeros((m, k, 2)), np.zeros((m, 3)))

    def part(self, where: slice) -> Nearest:
        """Return the places of some of the m, in the same memory."""
        return Nearest(self.near[where], self.near_worth[where], self.tied[where])

    def worth(self) -> NDArray[np.float64]:
        """Return what the k nearest are worth together (m, 2), the mean over orders of equals."""
        last = self.near == self.near[:, -1:]  # those that others are as far as, too
        sure = (self.near_worth * ~last[:, :, None]).sum(axis=1)
        equal = (self.near_worth * last[:, :, None]).sum(axis=1) + self.tied[:, 1:]
        places = last.sum(axis=1)
        chance = places / (places + self.tied[:, 0])
        return np.asarray(sure + chance[:, None] * equal)


def nearest(
    evaluation: Evaluation,
    pairs: Pairs,
    some: NDArray[np.int64],
    k: int,
    worth: NDArray[np.float64],
    kind: NDArray[np.int64],
    limits: NDArray[np.float64],
) -> Nearest:
    """Return the k nearest of all samples to ``some`` of them (m,), but for themselves.

    Parameters
    ----------
    worth, kind : float64 array (u, K, 2), int64 array (m,)
        What a sample is worth, by its neuron, and which row of that counts for each of the m.
    limits : float64 array (m,)
        Distances in the metric's units within which there are k others, or inf.
    """
    found = Nearest.none(len(some), k)
    if pairs.squared:
        _scan(evaluation, pairs, some, worth, kind, limits, found)
        return found
    pairs.each(
        some, lambda where: _Looking(evaluation.bmu, some[where], worth[kind[where]], found, where)
    )
    return found


class _Looking:
    # See `_pairs.Looker`: keeps the nearest of whatever metric, and ranks nothing.

    def __init__(
        self,
        units: NDArray[np.int64],
        own: NDArray[np.int64],
        worth: NDArray[np.float64],
        found: Nearest,
        where: slice,
    ) -> None:
        self._units, self._own, self._worth = units, own, worth
        self._found, m = found.part(where), len(own)
        self._bounds = np.zeros((m, 1)), np.zeros(m, np.int64)
        self._tables = np.zeros((m, 2), np.int64), np.zeros(m)
        look_up_tables(*self._bounds, *self._tables)
        self._counts = np.zeros((m, 1, 2), np.int64)

    def see(self, start: int, distances: NDArray[np.float64]) -> None:
        found, units = self._found, self._units[start : start + distances.shape[1]]
        count(
            distances,
            start,
            self._own,
            np.ascontiguousarray(units),
            *self._bounds,
            *self._tables,
            self._counts,
            found.near,
            self._worth,
            found.near_worth,
            found.tied,
        )

    def done(self) -> None:
        pass


def _scan(
    evaluation: Evaluation,
    pairs: Pairs,
    some: NDArray[np.int64],
    worth: NDArray[np.float64],
    kind: NDArray[np.int64],
    limits: NDArray[np.float64],
    found: Nearest,
) -> None:
    """Find them by products in float32 which leave few pairs to compare by definition.

    With x and q less the mean of those that look, in a unit in which these do not exceed 1, in
    float32, ‖x - q‖² = ‖x‖² - 2 x·q + ‖q‖². Let u = 2**-24 and N = ‖x‖² + ‖q‖². Rounding x and q
    and adding up D products, in whatever order, costs at most (D + 3)·u·N, as 2‖x‖‖q‖ <= N. The
    norm of x is rounded once, u·N; so are the limit t = L - ‖q‖² and t less the norm, 2u·(L + N)
    together. A pair with ‖x - q‖² <= L has ‖x - q‖² <= 2N: where L > 4N, half of L is between them,
    far more than all roundings; else these are at most (D + 14)·u·N. So norms are taken (D + 32)·u
    too small, and no pair within L is missed. What falls below the least numbers of float32 costs
    less than 2**-100·(1 + N) and is added. q does not exceed 1, so that only an x whose norm
    overflows is farther than any limit that does not; an infinite limit less an infinite norm is
    nan, which counts as near. Pairs that are not ruled out are compared by definition in float64.
    `test_nearest.py` looks for pairs that are missed.
    """
    X, units, d = evaluation.data.X, evaluation.bmu, evaluation.data.X.shape[1]
    looking = pairs.rows(some)
    centre, share_left = looking.mean(axis=0), 1 - (d + 32) * _ROUNDING
    reach = float(np.abs(looking - centre).max())
    exponent = -math.ceil(math.log2(reach)) if 0 < reach < math.inf else 0
    scale = 2.0 ** min(max(exponent, -_LARGEST), _LARGEST)
    small, norms = np.empty(looking.shape, np.float32), np.empty(len(looking), np.float32)
    centred(looking, centre, scale, share_left, small, norms)
    least = share_left * np.square((looking - centre) * scale).sum(axis=1) - _TINY
    with np.errstate(over="ignore"):
        bounds = (np.square(limits * scale) * (1 + 2.0**-20) - least).astype(np.float32)
    columns = -2 * np.ascontiguousarray(small.T)
    # One after the other where the samples are read in order.
    threads = 1 if getattr(X, "in_order", False) else available_threads()
    size = min(_GROUP, -(-len(some) // threads))
    groups = [slice(start, start + size) for start in range(0, len(some), size)]
    block = max(64, _PRODUCTS // max(size, d))
    read = max(block, _READ // d)

    def work(worker: int, task: int) -> None:
        group = groups[task]
        of, queries, own = columns[:, group], looking[group], some[group]
        of, m = np.ascontiguousarray(of), len(own)
        narrow = np.empty((block, d), np.float32)
        products, own_norms = np.empty((block, m), np.float32), np.empty(block, np.float32)
        part = found.part(group)
        for start in range(0, len(units), read):
            samples: Any = X[start : start + read]
            if not samples.flags.writeable or not samples.flags.c_contiguous:
                samples = np.array(samples)  # loops are compiled for one kind of array
            of_samples = np.ascontiguousarray(units[start : start + read], np.int64)
            for first in range(0, len(samples), block):
                here = samples[first : first + block]
                b = len(here)
                centred(here, centre, scale, share_left, narrow[:b], own_norms[:b])
                with np.errstate(over="ignore", invalid="ignore"):
                    np.matmul(narrow[:b], of, out=products[:b])
                see_nearest(
                    products[:b],
                    own_norms[:b],
                    here,
                    start + first,
                    of_samples[first : first + b],
                    own,
                    queries,
                    worth,
                    kind[group],
                    scale * scale,
                    least[group],
                    bounds[group],
                    part.near,
                    part.near_worth,
                    part.tied,
                )

    with one_blas_thread():
        share(threads, len(groups), work)
