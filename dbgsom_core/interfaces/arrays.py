"""How arrays are called in signatures, and tables that do not lie in memory."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


@runtime_checkable
class Table(Protocol):
    """Samples (n, D) of which blocks of rows can be had: a memory map, a dataset of h5py or zarr.

    Engines that read in blocks take what has these three; numbers other than float32 become
    float64, block by block. One that is pickled as the place of its rows may have ``files``, the
    paths of what it reads: workers of a cluster then read them. One that is best read from its
    beginning to its end has ``in_order = True``.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""

    @property
    def dtype(self) -> Any:
        """The type of its numbers, one of numpy's."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return the rows (m, D) of a slice without a step."""
