"""How near what is around a sample is, for labellers that answer by it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def relative_squares(distances: Any, unit: int) -> NDArray[np.float64]:
    """Return (d_j² - d_1²) / d_u² of ascending distances (m, k), u = ``unit`` from 0.

    The last one is the unit where there are fewer.
    """
    from dbgsom_plugins.labellers import loops  # numba is slow to import

    distances = for_loops(distances, np.float64)
    out: NDArray[np.float64] = np.empty_like(distances)
    loops.relative_squares(distances, min(unit, distances.shape[1] - 1), out)
    return out


def for_loops(array: Any, dtype: Any) -> NDArray[Any]:
    """Return one kind of array, for which a loop is compiled once."""
    return np.require(array, dtype, ["C", "A", "W"])
