"""What the metrics share that compare feature by feature: calling their compiled loops."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Component


class FeatureMetric(Component):
    """Base of metrics whose loops are ``assign_NAME`` and ``pairwise_NAME`` in `feature_loops`."""

    loop: ClassVar[str]

    def assign(
        self, X: NDArray[Any], prototypes: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D)."""
        bmu, distance = np.empty(len(X), dtype=np.int64), np.empty(len(X))
        self._run("assign", X, prototypes, bmu, distance)
        return bmu, distance

    def pairwise(self, X: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of samples X (m, D) to prototypes (K, D)."""
        distances = np.empty((len(X), len(prototypes)))
        self._run("pairwise", X, prototypes, distances)
        return distances

    def _loop(self) -> tuple[str, tuple[float, ...]]:
        # The name of the loops, and what they get besides samples and prototypes.
        return self.loop, ()

    def _run(self, task: str, X: NDArray[Any], prototypes: NDArray[Any], *out: Any) -> None:
        loops = import_module("dbgsom_plugins.metrics.feature_loops")  # numba: only when used
        name, more = self._loop()
        samples = np.ascontiguousarray(X, dtype=np.float64)
        transposed = np.ascontiguousarray(np.asarray(prototypes).T, dtype=np.float64)
        getattr(loops, f"{task}_{name}")(samples, transposed, *more, *out)
