"""Samples as compiled loops read them: of either dtype, read-only or not, from where they begin."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inlined, inner_loop
from dbgsom_core.engine.llvm.lanes import read_number
from dbgsom_core.engine.llvm.tile import LINE


class Rows(NamedTuple):
    """Samples (n, D), C-contiguous: where they begin, D, and the bytes of a number, 4 or 8."""

    at: int
    columns: int
    size: int

    @classmethod
    def of(cls, X: NDArray[Any]) -> Rows:
        """Return those of X, which must stay in memory while loops use them."""
        assert X.flags.c_contiguous
        assert X.dtype in (np.float32, np.float64)
        return cls(X.ctypes.data, X.shape[1], X.itemsize)


@inlined
def number_at(row: int, k: int, size: int) -> float:
    """Return number k, of ``size`` bytes, of a row that begins at an address, as float64."""
    if size == 4:  # a loop asks once: LLVM makes two loops of it
        number: float = read_number(np.float32(0), row, k)
    else:
        number = read_number(np.float64(0), row, k)
    return number


@inner_loop
def row_distance(samples: Rows, i: int, prototypes: NDArray[np.float64], j: int) -> float:
    """Return the distance of sample i and prototypes[j]: its definition, added up by feature."""
    total, row = 0.0, samples.at + i * samples.columns * samples.size
    for k in range(samples.columns):
        difference = number_at(row, k, samples.size) - prototypes[j, k]
        total += difference * difference
    distance: float = np.sqrt(total)
    return distance


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
