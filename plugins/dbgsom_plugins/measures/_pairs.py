"""Distances between samples, a block at a time: never are all of them held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.api import available_threads, compiled, one_blas_thread, share

if TYPE_CHECKING:
    from dbgsom_core.api import Evaluation

Rows = NDArray[np.int64]

_BLOCK = 1 << 15  # numbers of a block of samples: 256 KiB
_PRODUCTS = 1 << 17  # where distances are matrix products
_WIDEST = 2048  # samples in a block
_LEAST = 200  # of a large number of samples so many look at all others, at least


@compiled
def square_distances(
    samples: NDArray[np.float64], columns: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Fill out (m, b) with squared Euclidean distances of samples (m, D) to columns (D, b).

    Each is added up in the same order wherever it stands, so that equal samples are equally far.
    """
    d = columns.shape[0]
    for i in range(out.shape[0]):
        row, x = out[i], samples[i]
        row[:] = 0.0
        k = 0
        while k + 3 < d:
            one, two, three, four = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(row.size):
                a, b = x[k] - one[j], x[k + 1] - two[j]
                c, e = x[k + 2] - three[j], x[k + 3] - four[j]
                row[j] += (a * a + b * b) + (c * c + e * e)
            k += 4
        while k < d:
            one = columns[k]
            for j in range(row.size):
                a = x[k] - one[j]
                row[j] += a * a
            k += 1


class Pairs:
    """Distances between the samples of an evaluation, in the metric's space.

    Where the metric is Euclidean they are squared. A missing value counts as that of the sample's
    best-matching unit.

    Parameters
    ----------
    evaluation : Evaluation
    by_products : bool
        Whether distances of a sample x to others y are ‖y‖² - 2 x·y, squares less ‖x‖²: they rank
        as distances do but for rounding, in a third of the time. Else equal samples are equally
        far.

    Attributes
    ----------
    squared : bool
    n : int
    """

    def __init__(self, evaluation: Evaluation, by_products: bool = False) -> None:
        data = evaluation.data
        self._data, self._complete = data, None
        self.n, self.squared = data.n, data.is_euclidean
        self._centre: NDArray[np.float64] | None = None
        if by_products and self.squared:
            self._centre = np.average(evaluation.som_map.prototypes, axis=0)
        if not issparse(data.X) and data.incomplete:
            self._complete = data.completed(evaluation.som_map.prototypes)

    def distances(self, some: Rows, others: Rows) -> NDArray[np.float64]:
        """Return the distances (m, b) of samples to others, of which few are held at a time."""
        samples, width = self.rows(some), self._width
        found = np.empty((len(some), len(others)))
        for start in range(0, len(others), width):
            part = slice(start, min(start + width, len(others)))
            found[:, part] = self._between(samples, self._dense(others[part]))
        return found

    def blocks_of_distances(self, some: Rows) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (columns, distances (m, b)) of some samples (m,) to all, block by block."""
        samples = self.rows(some)
        for columns, others in self.blocks():
            yield columns, self._between(samples, others)

    def within(self, groups: Rows) -> Iterator[NDArray[np.float64]]:
        """Yield the distances (m, m) of the samples of each group, (G, m)."""
        if not self.squared:
            yield from (self.distances(group, group) for group in groups)
            return
        samples = self.rows(groups.ravel()).reshape(*groups.shape, -1)
        yield from (self._between(one, one) for one in samples)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (rows, samples (b, D)), dense and complete, over all samples."""
        for start in range(0, self.n, self._width):
            rows = slice(start, min(start + self._width, self.n))
            yield rows, self._dense(rows)

    @property
    def _width(self) -> int:
        block = _BLOCK if self._centre is None else _PRODUCTS
        return int(np.clip(block // max(1, self._data.X.shape[1]), 32, _WIDEST))

    def _between(self, samples: Any, others: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.squared:
            return self._data.pairwise(samples, others)
        if self._centre is None:
            found = np.empty((len(samples), len(others)))
            square_distances(samples, np.ascontiguousarray(others.T), found)
            return found
        others = others - self._centre
        found = (samples - self._centre) @ (-2 * others.T)
        found += np.einsum("ij,ij->i", others, others)
        return np.asarray(found)

    def rows(self, rows: Rows) -> Any:
        """Return samples as a metric takes them, or as float64 (m, D) where `squared`."""
        found = self._data.subset(rows).X if self._complete is None else self._complete[rows]
        return np.ascontiguousarray(found, dtype=np.float64) if self.squared else found

    def _dense(self, rows: Rows | slice) -> NDArray[np.float64]:
        if self._complete is not None:
            found: Any = self._complete[rows]
        elif isinstance(rows, slice):
            found = self._data.X[rows]
        else:
            found = self._data.subset(rows).X
        found = found.toarray() if issparse(found) else found
        return np.ascontiguousarray(found, dtype=np.float64)


def in_threads(m: int, together: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` for slices of m samples, some ``together``, in all threads.

    Slices do not depend on the number of threads, on which no bit of a product may.
    """
    parts = [slice(start, min(start + together, m)) for start in range(0, m, together)]
    with one_blas_thread():
        share(available_threads(), len(parts), lambda worker, task: work(parts[task]))


def sample_size(n: int, most: int) -> int:
    """Return how many samples look at all n: all up to ``most``.

    Of more, as many as make most² comparisons, or 200.
    """
    return n if n <= most else min(n, max(min(_LEAST, most), most * most // n))


def sampled_rows(n: int, most: int, seed: int) -> Rows:
    """Return the samples, ascending, that look at all n."""
    size = sample_size(n, most)
    if size == n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def note_on(size: int, n: int, values: NDArray[np.float64]) -> str:
    """Return what is to be said of the mean of values (m,) of some of n samples."""
    if size == n:
        return ""
    error = float(values.std(ddof=1)) * np.sqrt((1 - size / n) / size)
    return f"from {size} of {n} samples, drawn by the seed; standard error {error:.2g}"
