"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from dbgsom_core.engine.compile import Floats, Integers, inner_loop, loop
from dbgsom_core.engine.runtime import share

_CHUNK = 128  # samples of a task
_SMALL_WORK = 1 << 18  # numbers in all products below which one thread is faster
_ROUNDING = 2.0**-50  # relative rounding error of a residual, and of a slope for each column
_DEPENDENT = 1e-14  # share of a squared length: a smaller remainder is linear dependence


def mixture_coefficients(X: NDArray[Any], prototypes: Floats, threads: int = 1) -> csr_array:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) on the Gram matrix, which all samples
    share (Bro & de Jong 1997). What it finds is looked at again by the residual itself, until the
    conditions of an optimum (Kuhn & Tucker) hold within rounding. The Gram matrix holds squares:
    where samples lie more than 1e5 times farther from the origin than from each other, mixtures
    are near them, but not the nearest ones. A row depends on its sample alone; where the
    optimum is not unique it has at most D entries.
    """
    prototypes = np.ascontiguousarray(prototypes, dtype=np.float64)
    gram = prototypes @ prototypes.T
    columns = np.ascontiguousarray(prototypes.T)
    rank = min(prototypes.shape)
    tasks = -(-len(X) // _CHUNK)
    if len(X) * prototypes.size < _SMALL_WORK:
        threads = 1
    blocks: list[Any] = [csr_array((0, len(prototypes)))] * max(tasks, 1)

    def work(worker: int, task: int) -> None:
        rows = np.array(X[task * _CHUNK : (task + 1) * _CHUNK], dtype=np.float64)
        coefficients = np.zeros((len(rows), len(prototypes)))
        factor = np.empty((rank, rank))
        members = np.empty(rank, dtype=np.int64)
        scratch = np.empty((5, len(prototypes)))
        solve_rows(rows, columns, gram, coefficients, factor, members, scratch)
        blocks[task] = csr_array(coefficients)

    share(threads, tasks, work)
    return csr_array(vstack(blocks, format="csr"))


@loop
def solve_rows(
    X: Floats,
    columns: Floats,
    gram: Floats,
    coefficients: Floats,
    factor: Floats,
    members: Integers,
    scratch: Floats,
) -> None:
    """Fill coefficients (n, K), zeros before, of samples X (n, D) for prototypes' columns (D, K).

    The active set of a sample is ``members``, ``factor`` the Cholesky factor of its Gram matrix.
    A round moves the coefficients to the optimum on the active set, or to where the first of them
    is 0, which leaves it. Where nothing had to leave, the prototype of steepest descent enters.
    """
    n_neurons = len(gram)
    slopes, move, barred, products, lengths = scratch
    for j in range(n_neurons):
        lengths[j] = np.sqrt(gram[j, j])
    for i in range(len(X)):
        x = X[i]
        values = coefficients[i]
        size = 0
        settled = True
        exact = True
        least = 0.0
        for j in range(n_neurons):
            barred[j] = 0.0
        for _ in range(4 * n_neurons + 4):
            # Slopes by the Gram matrix are quick. Those of the residual are right: with them the
            # sample begins, and what the others call an optimum is looked at again.
            if exact:
                squares = _slopes_of_residual(x, columns, values, members[:size], slopes)
            else:
                for j in range(n_neurons):
                    slopes[j] = products[j]
                for member in members[:size]:
                    for j in range(n_neurons):
                        slopes[j] -= values[member] * gram[member, j]
            if size == 0:
                least = _ROUNDING * _ROUNDING * squares
                for j in range(n_neurons):
                    products[j] = slopes[j]
            if settled:
                entrant = -1
                steepest = _ROUNDING * len(x) * np.sqrt(squares)
                if squares > least and size < len(members):
                    for j in range(n_neurons):
                        if barred[j] == 0.0 and slopes[j] > steepest * lengths[j]:
                            entrant = j
                            steepest = slopes[j] / lengths[j]
                if entrant < 0 and exact:
                    break
                exact = entrant < 0 or (exact and size > 0)
                if entrant < 0:
                    continue
                barred[entrant] = 1.0
                members[size] = entrant
                if not _extend_factor(factor, gram, members, size):
                    continue
                size += 1
            _solve(factor[:size], members, slopes, move)
            step = 1.0
            leaving = -1
            for a in range(size):
                value = values[members[a]]
                if value + move[a] <= 0.0 and (leaving < 0 or -value / move[a] < step):
                    step = -value / move[a]
                    leaving = a
            for a in range(size):
                values[members[a]] = max(values[members[a]] + step * move[a], 0.0)
            settled = leaving < 0
            if settled:
                for j in range(n_neurons):
                    barred[j] = 0.0
                for member in members[:size]:
                    barred[member] = 1.0
            else:
                # What entered and leaves at once was called steep by rounding: it stays barred.
                settled = leaving == size - 1 and step == 0.0
                left = members[leaving]
                values[left] = 0.0
                if not settled:
                    barred[left] = 0.0
                size -= 1
                for a in range(leaving, size):
                    members[a] = members[a + 1]
                    _extend_factor(factor, gram, members, a)


@inner_loop
def _slopes_of_residual(
    x: Floats, columns: Floats, values: Floats, members: Integers, slopes: Floats
) -> float:
    # Fill the products of all prototypes with the residual, and return its squared length.
    squares = 0.0
    for j in range(len(slopes)):
        slopes[j] = 0.0
    for k in range(len(x)):
        rest = x[k]
        for member in members:
            rest -= values[member] * columns[k, member]
        squares += rest * rest
        for j in range(len(slopes)):
            slopes[j] += rest * columns[k, j]
    return squares


@inner_loop
def _extend_factor(factor: Floats, gram: Floats, members: Integers, size: int) -> bool:
    # Append the row of member number ``size``; False where it is dependent on those before.
    j = members[size]
    row = factor[size]
    left = gram[j, j]
    for a in range(size):
        total = gram[j, members[a]]
        for b in range(a):
            total -= factor[a, b] * row[b]
        row[a] = total / factor[a, a]
        left -= row[a] * row[a]
    row[size] = np.sqrt(max(left, _DEPENDENT * gram[j, j]))
    independent: bool = left > _DEPENDENT * gram[j, j]
    return independent


@inner_loop
def _solve(factor: Floats, members: Integers, slopes: Floats, move: Floats) -> None:
    # Fill what the members' coefficients lack of the optimum, where their slopes are 0.
    size = len(factor)
    for a in range(size):
        total = slopes[members[a]]
        for b in range(a):
            total -= factor[a, b] * move[b]
        move[a] = total / factor[a, a]
    for a in range(size - 1, -1, -1):
        move[a] /= factor[a, a]
        for b in range(a):
            move[b] -= factor[a, b] * move[a]
