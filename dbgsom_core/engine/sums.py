"""Sums of what neurons won over any kind of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse


def has_missing(X: NDArray[Any]) -> bool:
    """Say whether a dense array holds nan."""
    # A sum is nan where an entry is; most arrays need no array of answers.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.sum(X)) and np.isnan(X).any())


def won_sums(
    X: Any,
    weights: NDArray[np.float64] | None,
    incomplete: bool,
    bmu: NDArray[np.int64],
    n_neurons: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the sums (K, D) of the samples that each neuron won, and what was seen of them.

    Parameters
    ----------
    X : float array or CSR matrix (n, D)
    weights : float64 array (n,) or None
    incomplete : bool
        Whether X holds nan.
    bmu : int64 array (n,)
        Rows below ``n_neurons``.

    Returns
    -------
    (sums, seen)
        Float64 (K, D); ``seen``, the weights of what was observed, is None for complete samples.
    """
    from dbgsom_core.engine import loops
    from dbgsom_core.engine.rows import for_loops

    sums = np.zeros((n_neurons, X.shape[1]))
    seen = np.zeros_like(sums) if incomplete else None
    given = weights if weights is not None else np.ones(X.shape[0])
    if issparse(X):
        loops.add_sparse(X.data, X.indices, X.indptr, given, bmu, sums)
    elif seen is not None:
        loops.add_observed(for_loops(X), given, bmu, sums, seen)
    else:
        add_samples(X, weights, bmu, sums)
    return sums, seen


def add_samples(
    X: NDArray[Any],
    weights: NDArray[np.float64] | None,
    bmu: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Add the rows of complete samples X (n, D) to the ``sums`` (K, D) of units (n,), in order."""
    from dbgsom_core.engine.loops import add_weighted
    from dbgsom_core.engine.rows import for_loops

    add_weighted(for_loops(X), np.ones(len(X)) if weights is None else weights, bmu, sums)
