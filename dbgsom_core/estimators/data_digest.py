"""Telling tables apart at the speed of memory: a cryptographic digest takes four times as long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.ranges import each_range

_WORDS = 1 << 14  # of 8 bytes that are summed up together


def data_digest(X: Any) -> str:
    """Return 16 hexadecimal digits that other values, shapes or dtypes give otherwise.

    Meant for mistakes and not for forgers. Each 128 KiB become Σ r_i (w_i xor w_i >> 32) modulo
    2⁶⁴ over their words w with fixed odd numbers r: a single other word always shows, any other
    change but in one of 2³² cases or fewer; and sums are told apart, in their order, by SHA-256.

    Parameters
    ----------
    X : array (n, …), array of texts or objects, or CSR matrix
        What has ``shape``, ``dtype``, and rows where slices are asked for.
    """
    found = hashlib.sha256(f"{X.dtype.str} {X.shape}".encode())
    if issparse(X):
        for part in (X.indptr, X.indices, X.data):
            found.update(data_digest(part).encode())
        return found.hexdigest()[:16]
    # Whole rows at a time, the last word of them filled up with zeros.
    width = max(1, int(np.prod(X.shape[1:])) * max(X.dtype.itemsize, 1))
    ends = [*range(0, X.shape[0], max(1, (1 << 22) // width)), X.shape[0]]
    for sums in each_range(X, list(pairwise(ends)), _sums, 1):
        found.update(sums)
    return found.hexdigest()[:16]


def _sums(X: Any, rows: slice, weights: None) -> bytes:
    # The sums of the words of some rows, one after the other.
    part = np.ascontiguousarray(X[rows])
    if part.dtype == object:
        part = np.frombuffer(repr(part.tolist()).encode(), np.uint8)
    mixed, sums = np.empty(_WORDS, np.uint64), []
    for words in _words(part.reshape(-1).view(np.uint8)):
        rest = mixed[: len(words)]
        np.right_shift(words, np.uint64(32), out=rest)
        np.bitwise_xor(rest, words, out=rest)
        sums.append(np.dot(rest, _factors()[: len(words)]).tobytes())
    return b"".join(sums)


def _words(raw: NDArray[np.uint8]) -> Iterator[NDArray[np.uint64]]:
    whole = len(raw) // 8 * 8
    words = raw[:whole].view(np.uint64)
    for at in range(0, len(words), _WORDS):
        yield words[at : at + _WORDS]
    if whole < len(raw):
        yield np.frombuffer(raw[whole:].tobytes().ljust(8, b"\0"), np.uint64)


@cache
def _factors() -> NDArray[np.uint64]:
    raw = np.random.RandomState(20170424).bytes(8 * _WORDS)  # a stream that never changes
    return np.frombuffer(raw, np.uint64) | np.uint64(1)
