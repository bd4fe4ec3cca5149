"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled


def mixture_coefficients(X: NDArray[Any], prototypes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) in the form of Bro & de Jong (1997),
    which works on the Gram matrix and so shares its cost among all samples.

    Parameters
    ----------
    X : float array (n, D)
    prototypes : float64 array (K, D)
    """
    samples = np.ascontiguousarray(X, dtype=np.float64)
    gram = prototypes @ prototypes.T
    scale = float(np.trace(gram)) / len(gram) or 1.0
    coefficients = np.zeros((len(X), len(prototypes)))
    _active_sets(np.ascontiguousarray(gram / scale), samples @ prototypes.T / scale, coefficients)
    return coefficients


@compiled
def _active_sets(
    gram: NDArray[np.float64], products: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    n_neurons = gram.shape[0]
    factor = np.empty((n_neurons, n_neurons))
    solution = np.empty(n_neurons)
    passive = np.empty(n_neurons, dtype=np.int64)
    for i in range(products.shape[0]):
        _one_active_set(gram, products[i], out[i], factor, solution, passive)


@compiled
def _one_active_set(
    gram: NDArray[np.float64],
    product: NDArray[np.float64],
    c: NDArray[np.float64],
    factor: NDArray[np.float64],
    solution: NDArray[np.float64],
    passive: NDArray[np.int64],
) -> None:
    n_neurons = c.size
    largest = 0.0
    for j in range(n_neurons):
        largest = max(largest, abs(product[j]))
    tolerance = 1e-10 * max(largest, 1e-300)
    gradient = product.copy()
    inside = np.zeros(n_neurons, dtype=np.bool_)
    barred = np.zeros(n_neurons, dtype=np.bool_)
    size = 0
    for _ in range(3 * n_neurons):
        enters = -1
        for j in range(n_neurons):
            if (
                not inside[j]
                and not barred[j]
                and gradient[j] > tolerance
                and (enters < 0 or gradient[j] > gradient[enters])
            ):
                enters = j
        if enters < 0:
            return
        passive[size] = enters
        size += 1
        inside[enters] = True
        if not _factorize(gram, passive, size, factor):
            # Linearly dependent on those inside: it can add nothing.
            size -= 1
            inside[enters] = False
            barred[enters] = True
            continue
        while True:
            _solve(factor, product, passive, size, solution)
            step = 1.0
            for p in range(size):
                if solution[p] <= 0.0:
                    at = c[passive[p]]
                    step = min(step, at / (at - solution[p])) if at > solution[p] else 0.0
            for p in range(size):
                c[passive[p]] += step * (solution[p] - c[passive[p]])
            kept = 0
            for p in range(size):
                j = passive[p]
                if solution[p] <= 0.0 and c[j] <= 1e-14:
                    c[j] = 0.0
                    inside[j] = False
                else:
                    passive[kept] = j
                    kept += 1
            if kept == size:
                break
            size = kept
            _factorize(gram, passive, size, factor)
        if not inside[enters]:
            barred[enters] = True  # rounding sent it straight back: do not try for ever
        for j in range(n_neurons):
            total = product[j]
            for p in range(size):
                total -= gram[j, passive[p]] * c[passive[p]]
            gradient[j] = total


@compiled
def _factorize(
    gram: NDArray[np.float64], passive: NDArray[np.int64], size: int, factor: NDArray[np.float64]
) -> bool:
    # Cholesky factor of the passive part of the Gram matrix; False when it is not definite.
    for a in range(size):
        for b in range(a + 1):
            total = gram[passive[a], passive[b]]
            for m in range(b):
                total -= factor[a, m] * factor[b, m]
            if a == b:
                if total <= 1e-12 * gram[passive[a], passive[a]]:
                    return False
                factor[a, a] = np.sqrt(total)
            else:
                factor[a, b] = total / factor[b, b]
    return True


@compiled
def _solve(
    factor: NDArray[np.float64],
    product: NDArray[np.float64],
    passive: NDArray[np.int64],
    size: int,
    solution: NDArray[np.float64],
) -> None:
    for a in range(size):
        total = product[passive[a]]
        for m in range(a):
            total -= factor[a, m] * solution[m]
        solution[a] = total / factor[a, a]
    for a in range(size - 1, -1, -1):
        total = solution[a]
        for m in range(a + 1, size):
            total -= factor[m, a] * solution[m]
        solution[a] = total / factor[a, a]
