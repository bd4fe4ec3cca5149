"""Non-negative least squares of one sample by orthogonal factors: slower, and exact far out.

Normal equations square the condition of the prototypes: with a common offset of 1e6 spreads no
digit is left. Householder's reflections keep small rows beside a large first one (Cox & Higham
1998, "Stability of Householder QR factorization for weighted least squares problems").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled

_SLOPE = 1e-11  # gradients below this share of what they are made of are rounding
_NOTHING = 1e-13  # as are residuals, and what is left of a column, below this share


@compiled
def exact_active_set(
    small: NDArray[np.float64],
    columns: NDArray[np.float64],
    norms: NDArray[np.float64],
    big: float,
    x: NDArray[np.float64],
    c: NDArray[np.float64],
) -> None:
    """Fill c (K,), zeros at first; ``big`` is added to the first entries of ``small`` (K, D).

    Parameters
    ----------
    small, columns, norms, big
        See `Turned`.
    x : float64 array (D,)
        The whole sample, in the same coordinates.
    """
    n_neurons, d = small.shape
    room = min(n_neurons, d)
    reflectors, upper = np.zeros((room, d)), np.zeros((room, room))
    rest, residual = np.empty(d), np.empty(d)
    solution = np.empty(room)
    passive = np.empty(room + 1, dtype=np.int64)
    inside, barred = np.zeros(n_neurons, np.bool_), np.zeros(n_neurons, np.bool_)
    largest = norms.max()
    for k in range(d):
        off = x[k] - big if k == 0 else x[k]
        largest = max(largest, abs(off))
    rest[:] = x
    size = 0
    for _ in range(3 * n_neurons):
        _residual(reflectors, size, rest, residual)
        length = np.sqrt((residual * residual).sum())
        if size == room or (size > 0 and length <= _NOTHING * largest):
            return
        enters = _steepest(columns, norms, big, residual, length, passive, size, inside, barred)[0]
        if enters < 0:
            return
        if not _append(small, big, enters, size, reflectors, upper, rest, _NOTHING * largest):
            barred[enters] = True  # linearly dependent on those inside: it can add nothing
            continue
        passive[size], inside[enters] = enters, True
        size += 1
        while True:
            _back_substitute(upper, rest, size, solution)
            step = 1.0
            for p in range(size):
                if solution[p] <= 0.0:
                    at = c[passive[p]]
                    step = min(step, at / (at - solution[p])) if at > solution[p] else 0.0
            kept = 0
            for p in range(size):
                j = passive[p]
                c[j] += step * (solution[p] - c[j])
                if solution[p] <= 0.0 and c[j] <= 1e-14:
                    c[j], inside[j] = 0.0, False
                else:
                    passive[kept] = j
                    kept += 1
            if kept == size:
                break
            size = kept
            rest[:] = x
            for p in range(size):
                _append(small, big, passive[p], p, reflectors, upper, rest, 0.0)
        if not inside[enters]:
            barred[enters] = True  # rounding sent it straight back: do not try for ever


@compiled
def _steepest(
    columns: NDArray[np.float64],
    norms: NDArray[np.float64],
    big: float,
    residual: NDArray[np.float64],
    length: float,
    passive: NDArray[np.int64],
    size: int,
    inside: NDArray[np.bool_],
    barred: NDArray[np.bool_],
) -> tuple[int, float]:
    # The prototype that lowers the residual fastest, (-1, 0) for none. The residual is orthogonal
    # to those inside: its product with the difference to one of them loses no digit to the offset.
    n_neurons = columns.shape[1]
    slopes = np.zeros(n_neurons)
    for k in range(residual.size):
        value = residual[k]
        for j in range(n_neurons):
            slopes[j] += value * columns[k, j]
    common, reach = big * residual[0], abs(big)
    if size > 0:
        common, reach = -slopes[passive[0]], norms[passive[0]]
    best, steepest = -1, 0.0
    for j in range(n_neurons):
        slope = slopes[j] + common
        counts = slope > steepest and slope > _SLOPE * (norms[j] + reach) * length
        if counts and not inside[j] and not barred[j]:
            best, steepest = j, slope
    return best, steepest


@compiled
def _append(
    small: NDArray[np.float64],
    big: float,
    j: int,
    size: int,
    reflectors: NDArray[np.float64],
    upper: NDArray[np.float64],
    rest: NDArray[np.float64],
    nothing: float,
) -> bool:
    # Append prototype j to the factors, and reflect ``rest``; False where nothing is left of it.
    d = small.shape[1]
    column = small[j].copy()
    column[0] += big
    for p in range(size):
        _reflect(reflectors[p], p, column)
    left = 0.0
    for k in range(size, d):
        left += column[k] * column[k]
    left = np.sqrt(left)
    if left <= (nothing if size > 0 else 0.0):
        return False
    for p in range(size):
        upper[p, size] = column[p]
    pivot = -left if column[size] > 0.0 else left
    upper[size, size] = pivot
    column[size] -= pivot
    total = 0.0
    for k in range(size, d):
        total += column[k] * column[k]
    for k in range(size, d):
        reflectors[size, k] = column[k] * np.sqrt(2.0 / total)
    _reflect(reflectors[size], size, rest)
    return True


@compiled
def _reflect(reflector: NDArray[np.float64], start: int, vector: NDArray[np.float64]) -> None:
    along = 0.0
    for k in range(start, vector.size):
        along += reflector[k] * vector[k]
    for k in range(start, vector.size):
        vector[k] -= along * reflector[k]


@compiled
def _residual(
    reflectors: NDArray[np.float64],
    size: int,
    rest: NDArray[np.float64],
    residual: NDArray[np.float64],
) -> None:
    residual[:size] = 0.0
    residual[size:] = rest[size:]
    for p in range(size - 1, -1, -1):
        _reflect(reflectors[p], p, residual)


@compiled
def _back_substitute(
    upper: NDArray[np.float64],
    rest: NDArray[np.float64],
    size: int,
    solution: NDArray[np.float64],
) -> None:
    for a in range(size - 1, -1, -1):
        total = rest[a]
        for b in range(a + 1, size):
            total -= upper[a, b] * solution[b]
        solution[a] = total / upper[a, a]
