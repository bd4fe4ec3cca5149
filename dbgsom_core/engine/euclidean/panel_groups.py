"""Which neurons share a panel: patches of the map, since neighbours move together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def patches(positions: NDArray[np.int64], rows: int) -> NDArray[np.int32]:
    """Cut a map into patches of ``rows`` neurons, compact on the grid and all full but the last.

    A path winds through the map in strips two cells high, there and back; it is cut into pieces.

    Parameters
    ----------
    positions : int array (K, 2)
        Grid cells (x, y) of the neurons; their shape may be any.
    rows : int

    Returns
    -------
    int32 array (G, rows)
        Rows of the neurons, -1 where the last patch is not full.
    """
    x, y = (positions - np.minimum.reduce(positions)).T
    strip, width = y >> 1, int(np.maximum.reduce(x)) + 1
    along = np.where(strip & 1, width - 1 - x, x)
    return in_rows(np.argsort(2 * (strip * width + along) + (y & 1)), rows)


def in_rows(neurons: NDArray[np.intp], rows: int) -> NDArray[np.int32]:
    """Lay a list of neurons out in rows of fixed length, the last one filled with -1."""
    laid = np.full(-(-len(neurons) // rows) * rows, -1, np.int32)
    laid[: len(neurons)] = neurons
    return laid.reshape(-1, rows)
