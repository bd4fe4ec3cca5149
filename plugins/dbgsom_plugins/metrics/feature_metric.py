"""What the metrics share that compare feature by feature: calling their compiled loops."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Component

_BLOCK = 1 << 14  # distances that are held at once while units are sought (128 KiB)


class FeatureMetric(Component):
    """Base of metrics whose loop is ``pairwise_NAME`` in `feature_loops`."""

    loop: ClassVar[str]

    def assign(
        self, X: NDArray[Any], prototypes: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D)."""
        loops: Any = import_module("dbgsom_plugins.metrics.feature_loops")
        samples, transposed = _as_loops_want(X, prototypes)
        bmu, distance = np.empty(len(X), dtype=np.int64), np.empty(len(X))
        size = int(np.clip(_BLOCK // max(len(prototypes), 1), 1, 256))
        block = np.empty((size, len(prototypes)))
        for start in range(0, len(X), size):
            rows = slice(start, min(start + size, len(X)))
            found = block[: rows.stop - start]
            self._fill(loops, samples[rows], transposed, found)
            loops.first_smallest_rows(found, bmu[rows], distance[rows])
        return bmu, distance

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of samples X (m, D) to prototypes (K, D)."""
        loops = import_module("dbgsom_plugins.metrics.feature_loops")  # numba: only when used
        distances = np.empty((len(X), len(prototypes)))
        self._fill(loops, *_as_loops_want(X, prototypes), distances)
        return distances

    def _fill(
        self, loops: Any, X: NDArray[Any], prototypes: NDArray[Any], out: NDArray[Any]
    ) -> None:
        getattr(loops, f"pairwise_{self.loop}")(X, prototypes, out)


def _as_loops_want(
    X: NDArray[Any], prototypes: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    samples = np.ascontiguousarray(X, dtype=np.float64)
    return samples, np.ascontiguousarray(np.asarray(prototypes).T, dtype=np.float64)
