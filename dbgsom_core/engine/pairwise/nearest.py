"""The few nearest prototypes of many samples, in Euclidean geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.aligned import for_loops

_CHUNK_NUMBERS = 1 << 17  # products of samples and prototypes that stay in the cache
_UNDERFLOW = 2.0**-1000  # squares that small have lost digits, or all of them


@dataclass(frozen=True)
class NearestFew:
    """Prototypes ready for a search of the k nearest of each sample.

    A matrix product tells which may be among them, about a centre c: ‖x - w‖² is ‖x - c‖² +
    2(‖w - c‖²/2 - (x - c)·(w - c)). What stands in the brackets and the square of the definition
    are computed with fewer than 4D + 20 roundings, of 2⁻⁵³ of ‖x - c‖² + ‖w - c‖² each. Those that
    may be among the nearest are compared by the definition, so what is found is that of the
    definition, ties included.

    Attributes
    ----------
    prototypes : float64 array (K, D)
    k : int
        At most as many as there are prototypes.
    centre : float64 array (D,)
    centred : float64 array (K, D)
        Prototypes less the centre.
    halves : float64 array (K,)
        ‖w - c‖²/2.
    """

    prototypes: NDArray[np.float64]
    k: int
    centre: NDArray[np.float64]
    centred: NDArray[np.float64]
    halves: NDArray[np.float64]

    @classmethod
    def of(cls, prototypes: NDArray[np.float64], k: int) -> Self:
        """Prepare prototypes (K, D)."""
        own = np.ascontiguousarray(for_loops(prototypes), dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            centre = own.mean(axis=0)
            centred = own - centre
            return cls(own, k, centre, centred, np.einsum("ij,ij->i", centred, centred) / 2)

    def find(
        self, X: NDArray[Any], columns: NDArray[np.int64], distances: NDArray[np.float64]
    ) -> None:
        """Fill columns and distances (n, k) with the nearest of samples X (n, D), in order."""
        from dbgsom_core.engine.loops import nearest_few  # numba is slow to import

        n_neurons, d = self.prototypes.shape
        relative, largest = (d + 8) * 2.0**-50, 2 * self.halves.max()
        size = max(64, _CHUNK_NUMBERS // n_neurons)
        products = np.empty((min(size, len(X)), n_neurons))
        few, apart = np.empty(n_neurons, np.int64), np.empty(n_neurons)
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            part = np.ascontiguousarray(for_loops(X[rows]))
            values = products[: len(part)]
            with np.errstate(over="ignore", invalid="ignore"):
                centred = part - self.centre
                np.matmul(centred, self.centred.T, out=values)
                np.subtract(self.halves, values, out=values)
                squares = np.einsum("ij,ij->i", centred, centred)
            slack = relative * (squares + largest) + _UNDERFLOW
            nearest_few(
                part, self.prototypes, values, slack, few, apart, columns[rows], distances[rows]
            )
