"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dbgsom_core.engine.compile import Floats, Integers, inner_loop, loop
from dbgsom_core.engine.runtime import available_threads, share

_CHUNK = 64  # samples of a task
_MOST_NUMBERS = 1 << 22  # numbers of a worker's workspace
_SMALL_WORK = 1 << 18  # numbers in all products below which one thread is faster
_ENTRANTS = 8  # prototypes that enter the active set between two computations of the residual
STEEP = 1e-10  # share of its bound that a gradient entry must exceed to enter
_SLACK = 1e-8  # and may have at an optimum
ROUNDING = 2.0**-50  # relative rounding error of a residual
_DEPENDENT = 1e-12  # share of a squared length: a smaller remainder is linear dependence
_PATIENCE = 16  # rounds per sample, plus one for every two active prototypes


def mixture_coefficients(
    X: NDArray[Any], prototypes: Floats, threads: int | None = None
) -> csr_array:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) in the form of Bro & de Jong (1997),
    which works on the Gram matrix, shared by all samples. Up to eight prototypes enter the active
    set before the residuals of a chunk and their products with all prototypes are computed again.
    Optimality (Kuhn & Tucker) is checked on the residual itself; where the Gram matrix has lost too
    many digits, scipy's nnls solves. A row of the result depends on its sample alone; where the
    optimum is not unique it has at most D entries.
    """
    n, n_neurons = len(X), len(prototypes)
    reflected = _Reflected(np.asarray(prototypes, dtype=np.float64))
    chunk = min(_CHUNK, max(8, _MOST_NUMBERS // (min(prototypes.shape) + 1) ** 2))
    tasks = -(-n // chunk)
    helpers = 1 if n * prototypes.size < _SMALL_WORK else threads or available_threads()
    spaces = [workspace(chunk, *prototypes.shape) for _ in range(max(1, min(helpers, tasks)))]
    found: list[Any] = [None] * tasks

    def work(worker: int, task: int) -> None:
        space = spaces[worker]
        n_live = reflected.load_samples(X[task * chunk : (task + 1) * chunk], space)
        while n_live > 0:
            fill_products(space, reflected.columns, n_live)
            n_live = improve_rows(reflected.prototypes, space, n_live)
        for row in np.flatnonzero(space.rounds < 0):
            reflected.solve_exactly(space, int(row))
        counts = space.counts[: min(chunk, n - task * chunk)].copy()
        filled = np.arange(space.values.shape[1]) < counts[:, None]
        found[task] = (
            counts,
            space.members[: len(counts)][filled],
            space.values[: len(counts)][filled],
        )

    share(helpers, tasks, work)
    counts, members, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    coefficients = csr_array((values, members, starts), shape=(n, n_neurons))
    coefficients.sort_indices()
    return coefficients


class _Reflected:
    """Prototypes centred and reflected (Householder) so that their mean is on the first axis."""

    def __init__(self, prototypes: Floats) -> None:
        self.centre = prototypes.mean(axis=0)
        length = float(np.linalg.norm(self.centre))
        mirror = self.centre.copy()
        mirror[0] += np.copysign(length, self.centre[0])
        # The sign of the reflected centre is the opposite of its first entry's: no cancellation.
        self.mirror = mirror * (np.sqrt(2.0) / (np.linalg.norm(mirror) or 1.0))
        big = float(-np.copysign(length, self.centre[0]))
        small = self._reflect(prototypes)
        self.whole = small.copy()
        self.whole[:, 0] += big
        gram = self.whole @ self.whole.T
        scale = float(np.trace(gram)) / len(gram) or 1.0
        gram /= scale
        norms = np.sqrt(np.einsum("ij,ij->i", small, small))
        lengths = np.sqrt(np.diag(gram))
        steepness = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self.prototypes = Prototypes(big, small, norms, gram, scale, steepness)
        self.columns = np.ascontiguousarray(small.T)

    def _reflect(self, rows: NDArray[Any]) -> Floats:
        centred = np.asarray(rows, dtype=np.float64) - self.centre
        # Row by row: in a matrix product a row's rounding may depend on the other rows.
        along = (centred * self.mirror).sum(axis=1)
        return np.ascontiguousarray(centred - along[:, None] * self.mirror)

    def load_samples(self, X: NDArray[Any], space: Workspace) -> int:
        """Write samples to a workspace; return how many are not zero and need a solution."""
        n = len(X)
        space.samples[:n] = self._reflect(X)
        space.samples[:n, 0] += self.prototypes.big
        space.residuals[:n] = space.samples[:n]
        space.counts[:], space.rounds[:] = 0, 0
        live = np.flatnonzero(X.any(axis=1))  # X itself: reflected zeros have rounding errors
        space.live[: len(live)] = live
        return len(live)

    @cached_property
    def distinct(self) -> Integers:
        """Rows of the distinct prototypes: nnls of scipy 1.15 fails for duplicate columns."""
        return np.sort(np.unique(self.whole, axis=0, return_index=True)[1])

    def solve_exactly(self, space: Workspace, row: int) -> None:
        """Solve for one sample by orthogonal factors.

        Normal equations square the condition number of the prototypes: with a common offset of 1e7
        standard deviations they lose all digits.
        """
        from scipy.optimize import nnls  # slow to import, and seldom needed

        columns = self.distinct
        try:
            values, _ = nnls(self.whole[columns].T, space.samples[row], maxiter=30 * len(columns))
        except RuntimeError:  # no convergence: the last active set is the answer
            return
        inside = np.flatnonzero(values)
        space.counts[row] = len(inside)
        space.members[row, : len(inside)] = columns[inside]
        space.values[row, : len(inside)] = values[inside]


# ---------------------------------------------------------------------- compiled loops
# Few functions, each called once: numba compiles an inlined function again for each call.


class Prototypes(NamedTuple):
    """Prototypes w_j = centre + d_j, reflected so that the centre is on the first axis.

    Far from the origin all prototypes are nearly parallel: the differences d_j, ``small`` (K, D),
    and the first entry of the centre, ``big``, are stored separately to keep their digits.
    ``norms`` (K,) are ‖d_j‖, ``gram`` (K, K) is the Gram matrix of the w_j over ``scale``,
    ``steepness`` (K,) the inverse lengths of the w_j in these units.
    """

    big: float
    small: Floats
    norms: Floats
    gram: Floats
    scale: float
    steepness: Floats


class Workspace(NamedTuple):
    """Arrays of one worker: reflected samples (N, D) and their solutions.

    The first ``counts[i]`` entries of row i of ``members`` and ``values`` are the active set of
    sample i and its coefficients, ``inverses[i]`` the inverse of the set's Gram matrix. ``live``
    are the samples that are not solved yet, ``rounds`` (N,) their iterations, -1 where rounding
    prevents an optimum. ``products`` has a row for each live sample. The other arrays are scratch
    memory for one sample.
    """

    samples: Floats
    residuals: Floats
    products: Floats
    live: Integers
    rounds: Integers
    counts: Integers
    members: Integers
    values: Floats
    inverses: Floats
    target: Floats
    column: Floats
    known: Integers
    before: Floats
    coefficients: Floats
    entrants: Integers


def workspace(rows: int, n_neurons: int, d: int) -> Workspace:
    """Return a workspace for ``rows`` samples of D features."""
    rank, whole = min(n_neurons, d) + 1, np.int64
    return Workspace(
        samples=np.empty((rows, d)),
        residuals=np.empty((rows, d)),
        products=np.empty((rows, n_neurons)),
        live=np.empty(rows, whole),
        rounds=np.empty(rows, whole),
        counts=np.empty(rows, whole),
        members=np.empty((rows, rank), whole),
        values=np.empty((rows, rank)),
        inverses=np.empty((rows, rank, rank)),
        target=np.empty(rank),
        column=np.empty(rank),
        known=np.empty(rank + _ENTRANTS, whole),
        before=np.empty(rank + _ENTRANTS),
        coefficients=np.zeros(n_neurons),
        entrants=np.empty(_ENTRANTS, whole),
    )


@loop
def fill_products(space: Workspace, columns: Floats, n_live: int) -> None:
    """Fill ``products`` with live residuals times the transposed differences, columns (D, K).

    Products are summed by feature, so that each depends on its sample alone.
    """
    d, n_neurons = columns.shape
    whole = d - d % 4
    for at in range(n_live):
        rest, row = space.residuals[space.live[at]], space.products[at]
        for j in range(n_neurons):
            row[j] = 0.0
        for k in range(0, whole, 4):  # unrolled: fewer loads and stores of the sums
            x, y, z, u = rest[k], rest[k + 1], rest[k + 2], rest[k + 3]
            p, q, r, s = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(n_neurons):
                total = row[j] + x * p[j]
                total += y * q[j]
                total += z * r[j]
                row[j] = total + u * s[j]
        for k in range(whole, d):
            x, p = rest[k], columns[k]
            for j in range(n_neurons):
                row[j] += x * p[j]


@loop
def improve_rows(prototypes: Prototypes, space: Workspace, n_live: int) -> int:
    """Do one active-set iteration for each live sample; return how many remain live.

    Samples that meet the Kuhn-Tucker conditions are solved. The residual is orthogonal to the
    active prototypes, so its product with another prototype is that with their difference.
    """
    big, small, norms, gram, scale, steepness = prototypes
    samples, residuals, products, rounds = (
        space.samples,
        space.residuals,
        space.products,
        space.rounds,
    )
    members, values, inverses = space.members, space.values, space.inverses
    target, column, known, before = space.target, space.column, space.known, space.before
    d, n_kept = samples.shape[1], 0
    max_rounds = _PATIENCE + values.shape[1] // 2
    for at in range(n_live):
        i = space.live[at]
        size, first = space.counts[i], 0
        length, total = 0.0, 0.0
        for k in range(d):
            length += residuals[i, k] * residuals[i, k]
            total += samples[i, k] * samples[i, k]
        length, total = np.sqrt(length), np.sqrt(total)
        for a in range(size):
            total += values[i, a] * norms[members[i, a]]
            first = a if values[i, a] > values[i, first] else first
        if length <= ROUNDING * total:
            continue
        whole = big * residuals[i, 0]
        common, reach, balanced = whole, abs(big), True
        if size > 0:
            common, reach = -products[at, members[i, first]], norms[members[i, first]]
            balanced = abs(whole - common) <= _SLACK * (abs(big) + reach) * length
        for a in range(size):
            j = members[i, a]
            slope = products[at, j] + common
            balanced = balanced and abs(slope) <= _SLACK * (norms[j] + reach) * length
            known[a], before[a], target[a] = j, values[i, a], values[i, a]
            column[a] = (products[at, j] + whole) / scale
            products[at, j] = -np.inf
        share = _SLACK if rounds[i] == max_rounds else STEEP
        n_entrants = _select_entrants(
            products, at, common, share * length, reach, norms, steepness, space.entrants
        )
        if n_entrants == 0 and balanced:
            continue
        rounds[i] = -1 if rounds[i] == max_rounds else rounds[i] + 1
        if rounds[i] < 0:
            continue
        n_known = size
        for b in range(size):  # correct rounding errors of the active gradient
            for a in range(size):
                target[a] += column[b] * inverses[i, b, a]
        for entrant in range(-1, n_entrants):
            if entrant >= 0:
                j = space.entrants[entrant]
                for a in range(size):
                    space.coefficients[members[i, a]] = values[i, a]
                slope = (products[at, j] + common) / scale
                for a in range(n_known):
                    slope -= gram[j, known[a]] * (space.coefficients[known[a]] - before[a])
                for a in range(size):
                    space.coefficients[members[i, a]] = 0.0
                min_slope = STEEP * (norms[j] + reach) * length / scale
                if size + 1 == values.shape[1] or slope <= min_slope:
                    continue
                if not _border(j, slope, gram, i, size, members, values, inverses, target, column):
                    continue
                known[n_known], before[n_known] = j, 0.0
                n_known, size = n_known + 1, size + 1
            size = _walk_to_optimum(i, size, members, values, inverses, target, column)
        space.counts[i] = size
        total = 0.0
        for k in range(d):
            residuals[i, k] = samples[i, k]
        for a in range(size):
            total += values[i, a]
            for k in range(d):
                residuals[i, k] -= values[i, a] * small[members[i, a], k]
        residuals[i, 0] -= total * big
        space.live[n_kept] = i
        n_kept += 1
    return n_kept


@inner_loop
def _select_entrants(
    products: Floats,
    at: int,
    common: float,
    min_slope: float,
    reach: float,
    norms: Floats,
    steepness: Floats,
    entrants: Integers,
) -> int:
    # Fill ``entrants`` with the prototypes of steepest descent, steepest first; return how many.
    found, lowest = 0, 0.0
    for j in range(norms.size):
        slope = products[at, j] + common
        if slope * steepness[j] > lowest and slope > min_slope * (norms[j] + reach):
            rank = min(found, entrants.size - 1)
            while rank > 0:
                above = entrants[rank - 1]
                if (products[at, above] + common) * steepness[above] >= slope * steepness[j]:
                    break
                entrants[rank] = above
                rank -= 1
            entrants[rank] = j
            found = min(found + 1, entrants.size)
            if found == entrants.size:
                last = entrants[found - 1]
                lowest = (products[at, last] + common) * steepness[last]
    return found


@inner_loop
def _border(
    j: int,
    slope: float,
    gram: Floats,
    i: int,
    size: int,
    members: Integers,
    values: Floats,
    inverses: Floats,
    target: Floats,
    column: Floats,
) -> bool:
    # Add prototype j to the active set by bordering its inverse Gram matrix, and update the target;
    # False where j is linearly dependent on the set.
    for a in range(size):
        column[a] = 0.0
    for b in range(size):
        product = gram[j, members[i, b]]
        for a in range(size):
            column[a] += product * inverses[i, b, a]
    left = gram[j, j]
    for a in range(size):
        left -= gram[j, members[i, a]] * column[a]
    if left <= _DEPENDENT * gram[j, j]:
        return False
    for b in range(size):
        share = column[b] / left
        for a in range(size):
            inverses[i, b, a] += share * column[a]
        inverses[i, b, size] = inverses[i, size, b] = -share
        target[b] = values[i, b] - share * slope
    inverses[i, size, size] = 1.0 / left
    target[size] = slope / left
    members[i, size], values[i, size] = j, 0.0
    return True


@inner_loop
def _walk_to_optimum(
    i: int,
    size: int,
    members: Integers,
    values: Floats,
    inverses: Floats,
    target: Floats,
    column: Floats,
) -> int:
    # Move from the values towards the target, their unconstrained optimum; a prototype whose
    # coefficient reaches 0 leaves the active set. Returns the size of the set.
    while True:
        step, leaving = 1.0, -1
        for a in range(size):
            if target[a] <= 0.0:
                at = values[i, a]
                reached = at / (at - target[a]) if at > 0.0 else 0.0
                if leaving < 0 or reached < step:
                    step, leaving = reached, a
        for a in range(size):
            walked = values[i, a] + step * (target[a] - values[i, a])
            values[i, a] = target[a] if leaving < 0 else walked
        if leaving < 0:
            return size
        size -= 1
        excess = target[leaving]
        for b in range(size + 1):  # the last member takes its index
            column[b] = inverses[i, leaving, b]
        pivot = column[leaving]
        column[leaving] = column[size]
        for b in range(size):
            inverses[i, leaving, b] = inverses[i, size, b]
        inverses[i, leaving, leaving] = inverses[i, size, size]
        for b in range(size):
            inverses[i, b, leaving] = inverses[i, leaving, b]
        members[i, leaving], values[i, leaving] = members[i, size], values[i, size]
        target[leaving] = target[size]
        for b in range(size):
            share = column[b] / pivot
            for a in range(size):
                inverses[i, b, a] -= share * column[a]
            target[b] -= share * excess
