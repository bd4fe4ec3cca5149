"""What the built-in metrics share: calling their compiled loops on float64 arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Component

_LOOPS = "dbgsom_plugins.metrics.{}loops"  # they import numba: only when used


class CompiledMetric(Component):
    """Base of metrics whose loops are ``assign_NAME`` and ``pairwise_NAME`` in `loops`.

    A metric that ``handles`` missing values or sparse samples has ``assign_missing_NAME`` in
    `missing_loops`, ``assign_sparse_NAME`` in `sparse_loops`, and so on.
    """

    loop: ClassVar[str]
    handles: ClassVar[tuple[str, ...]] = ()

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

    def _run(self, task: str, X: Any, prototypes: NDArray[Any], *out: Any) -> None:
        rows = np.ascontiguousarray(prototypes, dtype=np.float64)
        transposed = np.ascontiguousarray(rows.T)
        if not isinstance(X, np.ndarray):  # a CSR matrix
            norms = np.einsum("ij,ij->i", rows, rows)
            loop = self._loop("sparse", task)
            loop(X.data, X.indices, X.indptr, transposed, rows, norms, *out)
            return
        samples = np.ascontiguousarray(X, dtype=np.float64)
        may_miss = "missing" in self.handles and np.isnan(samples).any()
        self._loop("missing" if may_miss else "", task)(samples, transposed, *out)

    def _loop(self, kind: str, task: str) -> Any:
        prefix = f"{kind}_" if kind else ""
        return getattr(import_module(_LOOPS.format(prefix)), f"{task}_{prefix}{self.loop}")
