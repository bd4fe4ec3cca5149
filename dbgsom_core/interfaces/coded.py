"""Columns of few values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Coded:
    """A column of values that come again and again.

    Attributes
    ----------
    codes : int64 array (n,)
        Rows of ``values``; negative where there is none.
    values : array (m, …)
    """

    codes: NDArray[np.int64]
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.codes)
