"""What is told of samples by a map that is no longer trained, a chunk of rows at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, vstack

from dbgsom_core.engine.contract import Samples
from dbgsom_core.engine.nnls import mixture_coefficients
from dbgsom_core.engine.samples import PlainSamples

_CHUNK_NUMBERS = 1 << 22  # numbers of dense samples that are made at a time


class _InMemory(Samples, Protocol):
    @property
    def threads(self) -> int: ...


def distances(data: PlainSamples, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Return the distances (n, K) of samples to prototypes (K, D), in the dtype of the samples."""
    out = np.empty((data.n, len(prototypes)), dtype=data.X.dtype)

    def keep(rows: slice, block: NDArray[np.float64]) -> None:
        if block.base is not out:
            out[rows] = block

    data.each_block(prototypes, keep, out if out.dtype == np.float64 else None)
    return out


def mixtures(
    data: _InMemory, prototypes: NDArray[np.float64], sparse: bool = False
) -> NDArray[np.floating[Any]] | csr_array:
    """Return the mixture coefficients (n, K) of samples, in their dtype."""
    out = None if sparse else np.zeros((data.n, len(prototypes)), dtype=data.X.dtype)
    size = max(1, _CHUNK_NUMBERS // max(data.X.shape[1], 1))
    parts = []
    for start in range(0, data.n, size):
        part = data.subset(slice(start, start + size))
        dense = part.X
        if issparse(part.X) or data.incomplete:
            dense = completed(part, prototypes)
        found = mixture_coefficients(dense, prototypes, data.threads).astype(data.X.dtype)
        if out is None:
            parts.append(found)
        else:
            found.toarray(out=out[start : start + size])
    return vstack(parts, format="csr") if out is None else out


def completed(data: Samples, prototypes: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Return the samples (n, D) with their nearest prototype's value where one is missing.

    Without missing values that is a copy.
    """
    X: NDArray[Any] = data.X.toarray() if issparse(data.X) else data.X.copy()
    if data.incomplete:
        rows, columns = np.nonzero(np.isnan(X))
        X[rows, columns] = prototypes[data.assign(prototypes).bmu[rows], columns]
    return X
