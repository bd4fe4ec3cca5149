"""Arrays that begin where a line of the processor's cache does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.llvm.panel import LINE


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array of zeros that begins at a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    array: NDArray[Any] = memory[start : start + size].view(dtype).reshape(shape)
    return array


class _SameMemory:
    """Offers the memory of an array that may not be written as if it might."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # lives as long as what is made of it
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def for_loops(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array over the same memory that loops may read: numba knows one kind of array.

    A read-only array, as joblib hands out, would have every loop compiled once more. No loop writes
    to the samples.
    """
    return array if array.flags.writeable else np.asarray(_SameMemory(array))
