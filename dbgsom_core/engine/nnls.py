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
_MOST_NUMBERS = 1 << 22  # numbers that a worker may hold for them
_SMALL_WORK = 1 << 18  # numbers in all products below which one thread does it
_ENTRANTS = 8  # prototypes that may enter between two computations of the residual
STEEP = 1e-10  # share of its bound that a slope must exceed to enter
_SLACK = 1e-8  # and may have at an optimum
ROUNDING = 2.0**-50  # of all that a residual is made of
_DEPENDENT = 1e-12  # of a squared length, what is left when it depends on those inside
_PATIENCE = 16  # rounds that a sample may take, and another for two prototypes that take part


def mixture_coefficients(
    X: NDArray[Any], prototypes: Floats, threads: int | None = None
) -> csr_array:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) in the form of Bro & de Jong (1997),
    which works on the Gram matrix and so shares its cost among all samples; a few prototypes enter
    between two computations of the residual and of its products with all of them, which are those
    of a whole chunk. A solution counts as optimal by conditions computed from the residual itself;
    where the Gram matrix has lost too many digits for that, scipy solves by orthogonal factors.
    A row of the result depends on its sample alone, and where several mixtures are as good it has
    at most D entries.

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
        n_live = reflected.begin(X[task * chunk : (task + 1) * chunk], space)
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
    """Prototypes as the loops want them, and how samples are brought to the same coordinates."""

    def __init__(self, prototypes: Floats) -> None:
        self.centre = prototypes.mean(axis=0)
        length = float(np.linalg.norm(self.centre))
        mirror = self.centre.copy()
        mirror[0] += np.copysign(length, self.centre[0])
        # Householder's reflection takes the centre to the first axis, away from its own side.
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
        turned = np.asarray(rows, dtype=np.float64) - self.centre
        # Sums of each row by itself: a product of matrices may depend on the other rows.
        along = (turned * self.mirror).sum(axis=1)
        return np.ascontiguousarray(turned - along[:, None] * self.mirror)

    def begin(self, X: NDArray[Any], space: Workspace) -> int:
        """Write samples to a worker's workspace; returns how many are to be solved."""
        n = len(X)
        space.samples[:n] = self._reflect(X)
        space.samples[:n, 0] += self.prototypes.big
        space.residuals[:n] = space.samples[:n]
        space.counts[:], space.rounds[:] = 0, 0
        live = np.flatnonzero(X.any(axis=1))  # turned, a sample of zeros is 0 but for rounding
        space.live[: len(live)] = live
        return len(live)

    @cached_property
    def distinct(self) -> Integers:
        """The prototypes that are the first of their kind: scipy 1.15 stumbles over copies."""
        return np.sort(np.unique(self.whole, axis=0, return_index=True)[1])

    def solve_exactly(self, space: Workspace, row: int) -> None:
        """Solve for one sample by orthogonal factors, which keep small rows beside a large first.

        Normal equations square the condition of the prototypes: with a common offset of 1e7
        spreads no digit is left.
        """
        from scipy.optimize import nnls  # slow to import, and seldom needed

        columns = self.distinct
        try:
            values, _ = nnls(self.whole[columns].T, space.samples[row], maxiter=30 * len(columns))
        except RuntimeError:  # it goes round in circles: what there is must do
            return
        inside = np.flatnonzero(values)
        space.counts[row] = len(inside)
        space.members[row, : len(inside)] = columns[inside]
        space.values[row, : len(inside)] = values[inside]


# ---------------------------------------------------------------------- compiled loops
# Few functions, each called at one place: what numba puts into its caller it compiles again there.


class Prototypes(NamedTuple):
    """Prototypes w_j = centre + d_j, mirrored so that the centre lies on the first axis.

    Far from the origin all prototypes are nearly parallel. Kept apart, the small differences
    ``small`` (K, D) lose no digit to the large common part ``big``, which adds to the first entry
    alone. ``norms`` (K,) are the lengths of the differences, ``gram`` (K, K) holds the products of
    the whole prototypes over ``scale``, ``steepness`` (K,) their inverse lengths in these units.
    """

    big: float
    small: Floats
    norms: Floats
    gram: Floats
    scale: float
    steepness: Floats


class Workspace(NamedTuple):
    """Memory of one worker: samples (N, D) in the coordinates of the prototypes and their solution.

    The first ``counts[i]`` entries of row i of ``members`` and ``values`` say which prototypes take
    part in sample i and by how much, ``inverses[i]`` holds the inverse of their Gram matrix.
    ``live`` are the samples in work, ``rounds`` (N,) counts theirs; it is -1 where rounding hides
    the optimum. ``products`` has a row for each live sample. The others are for one sample at a
    time.
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
    """Return a workspace for so many samples (rows, D)."""
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
    """Fill ``products`` with those of the live residuals and the small differences (D, K).

    Each is added up by feature, so that it depends on its sample alone.
    """
    d, n_neurons = columns.shape
    whole = d - d % 4
    for at in range(n_live):
        rest, row = space.residuals[space.live[at]], space.products[at]
        for j in range(n_neurons):
            row[j] = 0.0
        for k in range(0, whole, 4):  # four at a time: sums are fetched and put back less often
            x, y, z, u = rest[k], rest[k + 1], rest[k + 2], rest[k + 3]
            one, two, three, four = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for j in range(n_neurons):
                total = row[j] + x * one[j]
                total += y * two[j]
                total += z * three[j]
                row[j] = total + u * four[j]
        for k in range(whole, d):
            x, one = rest[k], columns[k]
            for j in range(n_neurons):
                row[j] += x * one[j]


@loop
def improve_rows(prototypes: Prototypes, space: Workspace, n_live: int) -> int:
    """Bring each live sample nearer to its optimum by means of its ``products``.

    Kuhn and Tucker's conditions are looked at first; samples that meet them live no longer.
    Returns how many do. The residual is orthogonal to the prototypes that take part, so its product
    with another one is that with the difference of the two, which is small.
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
    d, kept = samples.shape[1], 0
    most = _PATIENCE + values.shape[1] // 2
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
        share = _SLACK if rounds[i] == most else STEEP
        n_entrants = _steepest(
            products, at, common, share * length, reach, norms, steepness, space.entrants
        )
        if n_entrants == 0 and balanced:
            continue
        rounds[i] = -1 if rounds[i] == most else rounds[i] + 1
        if rounds[i] < 0:
            continue
        n_known = size
        for b in range(size):  # what rounding left of the slopes inside
            for a in range(size):
                target[a] += column[b] * inverses[i, b, a]
        for place in range(-1, n_entrants):
            if place >= 0:
                j = space.entrants[place]
                for a in range(size):
                    space.coefficients[members[i, a]] = values[i, a]
                slope = (products[at, j] + common) / scale
                for a in range(n_known):
                    slope -= gram[j, known[a]] * (space.coefficients[known[a]] - before[a])
                for a in range(size):
                    space.coefficients[members[i, a]] = 0.0
                least = STEEP * (norms[j] + reach) * length / scale
                if size + 1 == values.shape[1] or slope <= least:
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
        space.live[kept] = i
        kept += 1
    return kept


@inner_loop
def _steepest(
    products: Floats,
    at: int,
    common: float,
    least: float,
    reach: float,
    norms: Floats,
    steepness: Floats,
    entrants: Integers,
) -> int:
    # The prototypes in whose directions the residual falls fastest, the steepest first.
    found, lowest = 0, 0.0
    for j in range(norms.size):
        slope = products[at, j] + common
        if slope * steepness[j] > lowest and slope > least * (norms[j] + reach):
            place = min(found, entrants.size - 1)
            while place > 0:
                above = entrants[place - 1]
                if (products[at, above] + common) * steepness[above] >= slope * steepness[j]:
                    break
                entrants[place] = above
                place -= 1
            entrants[place] = j
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
    # Border the inverse of the Gram matrix of those inside by prototype j and aim at the optimum;
    # False where j depends on them: it can add nothing.
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
    # Walk from the values to the target, their unconstrained optimum; who reaches 0 on the way
    # leaves, and the target becomes that of the others. Returns how many stay.
    while True:
        step, leaves = 1.0, -1
        for a in range(size):
            if target[a] <= 0.0:
                at = values[i, a]
                reached = at / (at - target[a]) if at > 0.0 else 0.0
                if leaves < 0 or reached < step:
                    step, leaves = reached, a
        for a in range(size):
            walked = values[i, a] + step * (target[a] - values[i, a])
            values[i, a] = target[a] if leaves < 0 else walked
        if leaves < 0:
            return size
        size -= 1
        gone = target[leaves]
        for b in range(size + 1):  # the last one takes its place
            column[b] = inverses[i, leaves, b]
        pivot = column[leaves]
        column[leaves] = column[size]
        for b in range(size):
            inverses[i, leaves, b] = inverses[i, size, b]
        inverses[i, leaves, leaves] = inverses[i, size, size]
        for b in range(size):
            inverses[i, b, leaves] = inverses[i, leaves, b]
        members[i, leaves], values[i, leaves] = members[i, size], values[i, size]
        target[leaves] = target[size]
        for b in range(size):
            share = column[b] / pivot
            for a in range(size):
                inverses[i, b, a] -= share * column[a]
            target[b] -= share * gone
