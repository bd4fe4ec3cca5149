"""What the built-in metrics share: calling their compiled loops on float64 arrays."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import MetricComponent

_NUMBERS = 1 << 15  # distances held at once while units are sought: they stay in cache
_LEAST_ROWS = 64  # a call of some loops has more to set up than a sample costs


class FeatureMetric(MetricComponent):
    """Base of metrics whose loop is ``pairwise_NAME`` in `feature_loops`.

    Those that ``handle`` sparse samples have ``pairwise_NAME`` and ``assign_NAME`` in
    `sparse_loops`, too.
    """

    loop: ClassVar[str]

    def assign(
        self, X: Any, prototypes: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D)."""
        n, n_neurons = X.shape[0], len(prototypes)
        bmu, distance = np.empty(n, dtype=np.int64), np.empty(n)
        if not isinstance(X, np.ndarray):
            _run_sparse(f"assign_{self.loop}", X, prototypes, bmu, distance)
            return bmu, distance
        fill = self._dense(prototypes)
        smallest = _loops("feature").first_smallest_rows
        size = max(_LEAST_ROWS, _NUMBERS // n_neurons)
        distances = _aligned(min(n, size), n_neurons)
        for start in range(0, n, size):
            rows = slice(start, start + size)
            found = distances[: n - start]
            fill(X[rows], found)
            smallest(found, bmu[rows], distance[rows])
        return bmu, distance

    def pairwise(self, X: Any, prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of samples X (m, D) to prototypes (K, D)."""
        distances = _aligned(X.shape[0], len(prototypes))
        if isinstance(X, np.ndarray):
            self._dense(prototypes)(X, distances)
        else:
            _run_sparse(f"pairwise_{self.loop}", X, prototypes, distances)
        return distances

    def _loop(self) -> tuple[str, tuple[float, ...]]:
        # The name of the loop, and what it gets besides samples and prototypes.
        return self.loop, ()

    def _dense(self, prototypes: NDArray[Any]) -> Callable[[NDArray[Any], NDArray[Any]], None]:
        # What fills distances (m, K) for dense samples (m, D).
        name, more = self._loop()
        loop = getattr(_loops("feature"), f"pairwise_{name}")
        transposed = _aligned(*prototypes.T.shape)
        transposed[:] = prototypes.T

        def fill(X: NDArray[Any], out: NDArray[Any]) -> None:
            # Writeable, so that the loop is compiled for one kind of array only.
            loop(np.require(X, np.float64, ["C", "W"]), transposed, *more, out)

        return fill


def _aligned(rows: int, columns: int) -> NDArray[np.float64]:
    # Begins a line of the cache, so that no vector lies across two: a third less time.
    numbers = np.empty(rows * columns + 8)
    start = -numbers.ctypes.data % 64 // 8
    return numbers[start : start + rows * columns].reshape(rows, columns)


def _run_sparse(name: str, X: Any, prototypes: NDArray[Any], *out: NDArray[Any]) -> None:
    rows = np.ascontiguousarray(prototypes, dtype=np.float64)
    norms = np.einsum("ij,ij->i", rows, rows)
    transposed = np.ascontiguousarray(rows.T)
    loop = getattr(_loops("sparse"), name)
    loop((X.data, X.indices, X.indptr), (transposed, rows, norms), *out)


def _loops(kind: str) -> Any:
    return import_module(f"dbgsom_plugins.metrics.{kind}_loops")  # numba: only when used
