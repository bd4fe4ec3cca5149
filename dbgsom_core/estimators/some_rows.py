"""Some rows of data as they come: arrays, frames, files, collections in partitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_consistent_length

from dbgsom_core.interfaces.engine import opened_table

PLACES = 8  # of a collection in partitions, from which rows are taken


class SomeRows:
    """Rows of X (n, D) and y as they come, some of which can be had."""

    def __init__(self, X: Any, y: Any) -> None:
        self.X, self.y, self._sizes = X, y, _partitions(X)
        if self._sizes is None and not hasattr(X, "shape"):
            self.X = np.asarray(X)
        if issparse(X):
            self.X = X.tocsr()  # others have no rows
        self.n = self.X.shape[0] if self._sizes is None else sum(self._sizes)
        if self._sizes is not None and self.n == 0:
            raise ValueError("X has no rows")
        if y is not None and not hasattr(y, "partitions"):
            check_consistent_length(range(self.n), y)
        if getattr(self.X, "ndim", 2) != 2 and len(self.X.shape) != 2:
            raise ValueError(f"X has shape {tuple(self.X.shape)}, not rows and columns")
        self.width = int(self.X.shape[1])
        kind = getattr(self.X, "dtype", None)
        itemsize = 4 if kind == np.float32 else 8
        whole = self.n * self.width * itemsize
        self.nbytes = self.X.nnz * (itemsize + 4) if issparse(X) else whole

    def some(self, count: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """Return about so many of the rows, all if there are no more."""
        if self._sizes is not None:
            return self._of_partitions(count)
        if self.n <= count:
            return self.X, self.y
        rows = np.sort(rng.choice(self.n, count, replace=False))
        return _picked(self.X, rows), _of(self.y, rows)

    def classes(self, count: int) -> int:
        """Return how many distinct targets the first rows have; of samples of no class, too."""
        first = np.asarray(_of(self.y, np.arange(min(count, self.n))))
        if first.dtype == object:  # what is None has no order beside texts
            first = first.astype(str)
        return len(np.unique(first))

    def _of_partitions(self, count: int) -> tuple[Any, Any]:
        # The first rows of some of them: nobody loads all for an estimate.
        assert self._sizes is not None
        some = [i for i, size in enumerate(self._sizes) if size]
        some = [some[i] for i in np.unique(np.linspace(0, len(some) - 1, PLACES).astype(int))]
        each = -(-count // len(some))
        starts = np.concatenate([[0], np.cumsum(self._sizes)])
        parts, rows = [], []
        for i in some:
            size = min(each, self._sizes[i])
            part = self.X.partitions[i].compute()[:size]
            parts.append(np.asarray(part))
            rows.append(np.arange(starts[i], starts[i] + size))
        return np.concatenate(parts), _of(self.y, np.concatenate(rows))


def _partitions(X: Any) -> list[int] | None:
    # The rows of each partition of a collection that is computed later.
    if not hasattr(X, "partitions") or not hasattr(X, "compute"):
        return None
    if hasattr(X, "chunks"):
        sizes: Sequence[float] = X.chunks[0]
        if any(math.isnan(size) for size in sizes):
            raise ValueError("the chunk sizes of X are unknown: call X.compute_chunk_sizes()")
        return [int(size) for size in sizes]
    return [int(size) for size in X.map_partitions(len).compute()]


def _picked(X: Any, rows: NDArray[np.int64]) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if hasattr(X, "to_pandas") and hasattr(X, "take"):  # of pyarrow, whose [] are columns
        return X.take(rows)
    table: Any = None if isinstance(X, np.ndarray) else opened_table(X)
    return (X if table is None else table)[rows]


def _of(y: Any, rows: NDArray[np.int64]) -> Any:
    if y is None:
        return None
    return y.iloc[rows] if hasattr(y, "iloc") else np.asarray(y)[rows]
