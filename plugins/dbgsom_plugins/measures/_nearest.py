"""The nearest of all samples to a few of them, and what those nearest ones are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import available_threads, one_blas_thread, share
from dbgsom_plugins.measures._nearest_loops import centred, see_nearest
from dbgsom_plugins.measures._pair_loops import count, look_up_tables
from dbgsom_plugins.measures._shell_loops import Looking
from dbgsom_plugins.measures._shells import in_shells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation
    from dbgsom_plugins.measures._pairs import Pairs

_GROUP = 512  # samples that look together, at most
_PRODUCTS = 1 << 17  # in a block: half a megabyte
_READ = 1 << 20  # numbers of the samples that are read at a time
_DIRECTIONS = 24
_MANY_FEATURES = 32  # from which it pays to look along some directions first
_PAYS = 32  # unless one in so many pairs is left
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

    @property
    def arrays(self) -> tuple[NDArray[np.float64], ...]:
        """All three, as loops take them."""
        return self.near, self.near_worth, self.tied

    def clear(self) -> None:
        """Forget all."""
        self.near[:], self.near_worth[:], self.tied[:] = np.inf, 0.0, 0.0

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


@dataclass(frozen=True)
class _View:
    """How samples are compared: by all coordinates, or by those along some directions.

    Attributes
    ----------
    directions : float32 array (D, p) or None
    share : float
        What centred samples' norms are multiplied by.
    columns : float32 array (p, m)
        -2 q of the samples that look.
    least : float64 array (m,)
        The least that their norms may be.
    """

    directions: NDArray[np.float32] | None
    share: float
    columns: NDArray[np.float32]
    least: NDArray[np.float64]

    @classmethod
    def of(cls, q: NDArray[np.float32], directions: NDArray[np.float32] | None) -> _View:
        d = q.shape[1]
        whole, seen = np.square(q.astype(np.float64)).sum(axis=1), q
        if directions is None:
            share = 1 - (d + 32) * _ROUNDING
            least = share * whole
        else:
            p = directions.shape[1]
            share = (4 * math.sqrt(p) * (d + 2) + p + 32) * _ROUNDING
            seen = np.matmul(q, directions)
            least = np.square(seen.astype(np.float64)).sum(axis=1) - share * whole
        return cls(directions, share, np.ascontiguousarray(-2 * seen.T), least - _TINY)

    def part(self, group: slice) -> _View:
        columns = np.ascontiguousarray(self.columns[:, group])
        return _View(self.directions, self.share, columns, self.least[group])

    def limits(self, squares: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return what products are compared with, for squared distances (m,) in its unit."""
        with np.errstate(over="ignore"):
            return np.asarray(squares * (1 + 2.0**-20) - self.least, np.float32)

    def seen(
        self, x: NDArray[np.float32], norms: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the products (b, m) of samples with those that look, and their least norms."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.directions is not None:
                x = np.matmul(x, self.directions)
                norms = np.einsum("ij,ij->i", x, x, dtype=np.float32) - norms
            return np.matmul(x, self.columns), norms


def _directions(prototypes: NDArray[np.float64]) -> NDArray[np.float32] | None:
    # Orthonormal directions along which the map spreads most, or nearly so.
    d = prototypes.shape[1]
    if d < _MANY_FEATURES:
        return None
    apart = prototypes - prototypes.mean(axis=0)
    reach = float(np.abs(apart).max())
    if not 0 < reach < math.inf:
        return None
    apart /= reach
    found = np.random.default_rng(0).normal(size=(d, _DIRECTIONS))
    for _ in range(2):
        found = np.linalg.qr(apart.T @ (apart @ found))[0]
    return found.astype(np.float32)


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
    far more than all roundings; else these are at most (D + 14)·u·N. So norms are taken
    (D + 32)·u too small, and no pair within L is missed.

    Where there are many features x and q are first seen along p orthonormal directions, where they
    are no farther apart. To come there costs each of p coordinates (D + 2)·u·‖x‖, rounding of the
    direction included, so that the distance is too large by √p·(D + 2)·u·(‖x‖ + ‖q‖) at most, and
    its square by 4√p·(D + 2)·u·N and a little, to which p + 14 come as before. Where more than one
    in 32 pairs is left all coordinates are looked at from then on.

    What falls below the least numbers of float32 costs less than 2**-100·(1 + N) and is added. q
    does not exceed 1, so that only an x whose norm overflows is farther than any limit that does
    not; an infinite limit less an infinite norm is nan, which counts as near. Pairs that are not
    ruled out are compared by definition in float64. `test_nearest.py` looks for pairs that are
    missed.
    """
    X, units, d = evaluation.data.X, evaluation.bmu, evaluation.data.X.shape[1]
    looking = pairs.rows(some)
    centre = looking.mean(axis=0)
    reach = float(np.abs(looking - centre).max())
    exponent = -math.ceil(math.log2(reach)) if 0 < reach < math.inf else 0
    scale = 2.0 ** min(max(exponent, -_LARGEST), _LARGEST)
    small = ((looking - centre) * scale).astype(np.float32)
    view = _View.of(small, None)
    apart = evaluation.data.pairwise(looking, evaluation.som_map.prototypes)
    those = Looking(some, looking, -2 * small, view.least, apart, worth, kind)
    closer = in_shells(evaluation, those, limits, view, centre, scale, found)
    if closer is None:
        return
    limits = closer
    views = [view]
    # One after the other where the samples are read in order.
    threads = 1 if getattr(X, "in_order", False) else available_threads()
    size = min(_GROUP, -(-len(some) // threads))
    groups = [slice(start, start + size) for start in range(0, len(some), size)]
    block = max(64, _PRODUCTS // max(size, d))
    read = max(block, _READ // d)

    def work(worker: int, task: int) -> None:
        group = groups[task]
        part, own, queries = found.part(group), some[group], looking[group]
        left = [view.part(group) for view in views]
        view, within = left.pop(), np.square(limits[group] * scale)
        bounds = view.limits(within)
        x, norms = np.empty((block, d), np.float32), np.empty(block, np.float32)
        for start in range(0, len(units), read):
            samples: Any = X[start : start + read]
            if not samples.flags.writeable or not samples.flags.c_contiguous:
                samples = np.array(samples)  # loops are compiled for one kind of array
            of_samples = np.ascontiguousarray(units[start : start + read], np.int64)
            for first in range(0, len(samples), block):
                here = samples[first : first + block]
                b = len(here)
                centred(here, centre, scale, view.share, x[:b], norms[:b])
                compared = see_nearest(
                    *view.seen(x[:b], norms[:b]),
                    here,
                    start + first,
                    of_samples[first : first + b],
                    own,
                    queries,
                    worth,
                    kind[group],
                    scale * scale,
                    view.least,
                    bounds,
                    part.near,
                    part.near_worth,
                    part.tied,
                )
                if left and compared * _PAYS > b * len(own):
                    view = left.pop()
                    bounds = view.limits(np.minimum(within, part.near[:, -1] * scale**2))

    with one_blas_thread():
        directions = _directions(evaluation.som_map.prototypes)
        if directions is not None:
            views.append(_View.of(small, directions))
        share(threads, len(groups), work)
