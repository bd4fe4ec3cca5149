"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.nnls_exact import exact_active_set
from dbgsom_core.engine.workers import available_threads, share

_CHUNK = 64  # samples that one task handles
_SMALL_WORK = 1 << 18  # numbers in all products below which one thread does it
_SLACK = 1e-8  # how far from optimal a solution of the normal equations may be, relative
_EXACT = 1e-10  # residuals below this share of a sample's size are as good as 0


class Turned(NamedTuple):
    """Prototypes w_j = centre + d_j, mirrored so that the centre lies on the first axis.

    Far from the origin all prototypes are nearly parallel. Kept apart, the small differences
    ``small`` (K, D) lose no digit to the large common part ``big``, which adds to the first entry
    alone. ``columns`` (D, K) is ``small`` transposed, ``gram`` (K, K) holds the products of the
    whole prototypes over ``scale``, ``norms`` (K,) the lengths of the differences.
    """

    centre: NDArray[np.float64]
    mirror: NDArray[np.float64]
    big: float
    small: NDArray[np.float64]
    columns: NDArray[np.float64]
    norms: NDArray[np.float64]
    gram: NDArray[np.float64]
    scale: float


def mixture_coefficients(
    X: NDArray[Any], prototypes: NDArray[np.float64], threads: int | None = None
) -> NDArray[np.float64]:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) in the form of Bro & de Jong (1997),
    which works on the Gram matrix and so shares its cost among all samples. A solution that does
    not pass the conditions of an optimum, computed from the residual itself, is found once more
    by orthogonal factors. A row of the result depends on its sample alone.

    Parameters
    ----------
    X : float array (n, D)
    prototypes : float64 array (K, D)
    threads : int or None
        None: as many as this process may use.
    """
    samples = np.ascontiguousarray(X)
    n = len(samples)
    turned = _turned(np.ascontiguousarray(prototypes, dtype=np.float64))
    coefficients = np.zeros((n, len(prototypes)))

    def work(worker: int, task: int) -> None:
        _solve_rows(samples, task * _CHUNK, min((task + 1) * _CHUNK, n), turned, coefficients)

    helpers = 1 if n * prototypes.size < _SMALL_WORK else threads or available_threads()
    share(helpers, -(-n // _CHUNK), work)
    return coefficients


def _turned(prototypes: NDArray[np.float64]) -> Turned:
    centre = prototypes.mean(axis=0)
    length = float(np.linalg.norm(centre))
    mirror = centre.copy()
    mirror[0] += np.copysign(length, centre[0])
    # Householder's reflection takes the centre to the first axis, away from its own side.
    mirror *= np.sqrt(2.0) / (np.linalg.norm(mirror) or 1.0)
    big = float(-np.copysign(length, centre[0]))
    small = prototypes - centre
    small = np.ascontiguousarray(small - np.outer(small @ mirror, mirror))
    whole = small.copy()
    whole[:, 0] += big
    gram = whole @ whole.T
    scale = float(np.trace(gram)) / len(gram) or 1.0
    norms = np.sqrt(np.einsum("ij,ij->i", small, small))
    columns = np.ascontiguousarray(small.T)
    return Turned(centre, mirror, big, small, columns, norms, gram / scale, scale)


@compiled
def _solve_rows(
    X: NDArray[Any], start: int, stop: int, turned: Turned, out: NDArray[np.float64]
) -> None:
    n_neurons, d = turned.small.shape
    factor = np.empty((n_neurons, n_neurons))
    solution, products = np.empty(n_neurons), np.empty(n_neurons)
    passive = np.empty(n_neurons, dtype=np.int64)
    x, residual = np.empty(d), np.empty(d)
    for i in range(start, stop):
        along, is_zero = 0.0, True
        for k in range(d):
            x[k] = np.float64(X[i, k]) - turned.centre[k]
            along += x[k] * turned.mirror[k]
            is_zero = is_zero and X[i, k] == 0.0
        if is_zero:  # the turned sample is 0 but for rounding
            continue
        size = 0.0
        for k in range(d):
            x[k] -= along * turned.mirror[k]
            size += x[k] * x[k]
        x[0] += turned.big
        _products(turned, x, products)
        for j in range(n_neurons):
            products[j] = (products[j] + turned.big * x[0]) / turned.scale
        _one_active_set(turned.gram, products, out[i], factor, solution, passive)
        if not _is_optimal(turned, x, np.sqrt(size), out[i], residual, products):
            out[i, :] = 0.0
            exact_active_set(turned.small, turned.columns, turned.norms, turned.big, x, out[i])


@compiled
def _products(turned: Turned, x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    # The products of x with the small differences.
    out[:] = 0.0
    for k in range(x.size):
        value = x[k]
        for j in range(out.size):
            out[j] += value * turned.columns[k, j]


@compiled
def _is_optimal(
    turned: Turned,
    x: NDArray[np.float64],
    size: float,
    c: NDArray[np.float64],
    residual: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> bool:
    # Kuhn and Tucker's conditions. The residual is orthogonal to the prototypes that take part,
    # so its product with another one is that with the difference of the two, which is small.
    first = 0
    total = 0.0
    residual[:] = x
    for j in range(c.size):
        if c[j] > 0.0:
            total += c[j]
            if c[j] > c[first]:
                first = j
            for k in range(x.size):
                residual[k] -= c[j] * turned.small[j, k]
    residual[0] -= total * turned.big
    length = 0.0
    for k in range(x.size):
        length += residual[k] * residual[k]
    length = max(np.sqrt(length), _EXACT * size)
    _products(turned, residual, gradient)
    common = turned.big * residual[0]
    if total > 0.0:
        whole = abs(turned.big) + turned.norms[first]
        if abs(gradient[first] + common) > _SLACK * whole * length:
            return False
        common = -gradient[first]
    for j in range(c.size):
        slope = gradient[j] + common
        reach = turned.norms[j] + (turned.norms[first] if total > 0.0 else abs(turned.big))
        if slope > _SLACK * reach * length or (c[j] > 0.0 and -slope > _SLACK * reach * length):
            return False
    return True


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
