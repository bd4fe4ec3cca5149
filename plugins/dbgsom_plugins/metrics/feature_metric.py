"""What the built-in metrics share: calling their compiled loops on float64 arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import MetricComponent


class FeatureMetric(MetricComponent):
    """Base of metrics whose loops are ``assign_NAME`` and ``pairwise_NAME`` in `feature_loops`.

    Those that ``handle`` sparse samples have such loops in `sparse_loops`, too.
    """

    loop: ClassVar[str]

    def assign(
        self, X: Any, prototypes: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (bmu (m,), distance (m,)) for samples X (m, D) and prototypes (K, D)."""
        n = X.shape[0]
        bmu, distance = np.empty(n, dtype=np.int64), np.empty(n)
        self._run("assign", X, prototypes, bmu, distance)
        return bmu, distance

    def pairwise(self, X: Any, prototypes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distances (m, K) of samples X (m, D) to prototypes (K, D)."""
        distances = np.empty((X.shape[0], len(prototypes)))
        self._run("pairwise", X, prototypes, distances)
        return distances

    def _loop(self) -> tuple[str, tuple[float, ...]]:
        # The name of the loops, and what they get besides samples and prototypes.
        return self.loop, ()

    def _run(self, task: str, X: Any, prototypes: NDArray[Any], *out: Any) -> None:
        name, more = self._loop()
        rows = np.ascontiguousarray(prototypes, dtype=np.float64)
        transposed = np.ascontiguousarray(rows.T)
        if isinstance(X, np.ndarray):
            samples = np.ascontiguousarray(X, dtype=np.float64)
            _loops("feature", task, name)(samples, transposed, *more, *out)
        else:  # a CSR matrix
            norms = np.einsum("ij,ij->i", rows, rows)
            loop = _loops("sparse", task, name)
            loop(X.data, X.indices, X.indptr, transposed, rows, norms, *out)


def _loops(kind: str, task: str, name: str) -> Any:
    module = import_module(f"dbgsom_plugins.metrics.{kind}_loops")  # numba: only when used
    return getattr(module, f"{task}_{name}")
