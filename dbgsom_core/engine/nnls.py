"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dbgsom_core.engine.compile import Floats, Integers, inner_loop, loop
from dbgsom_core.engine.runtime import available_threads, share

_CHUNK = 64  # samples of a task
_MOST_NUMBERS = 1 << 22  # numbers that a worker may hold for them
_SMALL_WORK = 1 << 18  # numbers in all products below which one thread does it
_STEEP = 1e-10  # share of its bound that a slope must exceed to enter
_SLACK = 1e-8  # and may have at an optimum
_ROUNDING = 2.0**-50  # of all that a residual is made of
_DEPENDENT = 1e-12  # of a squared length, what is left when it depends on those inside
_PATIENCE = 16  # rounds that a sample may take, and two for each prototype that may take part


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
    the optimum. ``products`` has a row for each live sample; ``target``, ``column`` and
    ``gradient`` are for one sample at a time.
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
    gradient: Floats


def mixture_coefficients(
    X: NDArray[Any], prototypes: Floats, threads: int | None = None
) -> csr_array:
    """Return the non-negative c (n, K) that minimise ‖x - Σ_j c_j w_j‖ for each sample x.

    The active-set method of Lawson & Hanson (1974, ch. 23) in the form of Bro & de Jong (1997),
    which works on the Gram matrix and so shares its cost among all samples. A solution counts as
    optimal by conditions computed from the residual itself; where the Gram matrix has lost too many
    digits for that, scipy solves by orthogonal factors. A row of the result depends on its sample
    alone, and where several mixtures are as good it has at most D entries.
    """
    n, n_neurons, d = len(X), *prototypes.shape
    centre = prototypes.mean(axis=0)
    length = float(np.linalg.norm(centre))
    mirror = centre.copy()
    mirror[0] += np.copysign(length, centre[0])
    # Householder's reflection takes the centre to the first axis, away from its own side.
    mirror *= np.sqrt(2.0) / (np.linalg.norm(mirror) or 1.0)

    def reflected(rows: NDArray[Any]) -> Floats:
        turned = np.asarray(rows, dtype=np.float64) - centre
        # Sums of each row by itself: a product of matrices may depend on the other rows.
        along = (turned * mirror).sum(axis=1)
        return np.ascontiguousarray(turned - along[:, None] * mirror)

    big, small = float(-np.copysign(length, centre[0])), reflected(prototypes)
    whole = small.copy()
    whole[:, 0] += big
    gram = whole @ whole.T
    scale = float(np.trace(gram)) / n_neurons or 1.0
    gram /= scale
    lengths = np.sqrt(np.diag(gram))
    steepness = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    norms = np.sqrt(np.einsum("ij,ij->i", small, small))
    known = Prototypes(big, small, norms, gram, scale, steepness)
    columns, rank = np.ascontiguousarray(small.T), min(n_neurons, d) + 1
    chunk = min(_CHUNK, max(8, _MOST_NUMBERS // rank**2))
    tasks = -(-n // chunk)
    workers = 1 if n * prototypes.size < _SMALL_WORK else threads or available_threads()
    shapes = (chunk, d), (chunk, d), (chunk, n_neurons), chunk, chunk, chunk, (chunk, rank)
    more = (chunk, rank), (chunk, rank, rank), rank, rank, rank
    whole_numbers = range(3, 7)
    spaces = [
        Workspace._make(
            np.empty(shape, np.int64 if at in whole_numbers else np.float64)
            for at, shape in enumerate([*shapes, *more])
        )
        for _ in range(max(1, min(workers, tasks)))
    ]
    found: list[Any] = [None] * tasks

    def work(worker: int, task: int) -> None:
        space, rows = spaces[worker], X[task * chunk : (task + 1) * chunk]
        m = len(rows)
        space.samples[:m] = reflected(rows)
        space.samples[:m, 0] += big
        space.residuals[:m] = space.samples[:m]
        space.counts[:], space.rounds[:] = 0, 0
        live = np.flatnonzero(
            rows.any(axis=1)
        )  # reflected, a sample of zeros is 0 but for rounding
        space.live[: len(live)], n_live = live, len(live)
        while n_live > 0:
            fill_products(space, columns, n_live)
            n_live = improve_rows(known, space, n_live)
        for row in np.flatnonzero(space.rounds < 0):
            _solve_exactly(whole, space, int(row))
        counts = space.counts[:m].copy()
        filled = np.arange(rank) < counts[:, None]
        found[task] = counts, space.members[:m][filled], space.values[:m][filled]

    share(workers, tasks, work)
    counts, members, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    coefficients = csr_array((values, members, starts), shape=(n, n_neurons))
    coefficients.sort_indices()
    return coefficients


def _solve_exactly(whole: Floats, space: Workspace, row: int) -> None:
    # By orthogonal factors, which keep small rows beside a large first. Normal equations square the
    # condition of the prototypes: with a common offset of 1e7 spreads no digit is left.
    from scipy.optimize import nnls  # slow to import, and seldom needed

    columns = np.sort(np.unique(whole, axis=0, return_index=True)[1])  # scipy stumbles over copies
    try:
        values, _ = nnls(whole[columns].T, space.samples[row], maxiter=30 * len(columns))
    except RuntimeError:  # it goes round in circles: what there is must do
        return
    inside = np.flatnonzero(values)
    space.counts[row] = len(inside)
    space.members[row, : len(inside)] = columns[inside]
    space.values[row, : len(inside)] = values[inside]


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
    """Bring each live sample nearer to its optimum by means of its ``products``.

    Kuhn and Tucker's conditions are looked at first; samples that meet them live no longer.
    Returns how many do. The residual is orthogonal to the prototypes that take part, so its product
    with another one is that with the difference of the two, which is small.
    """
    big, small, norms, scale = prototypes.big, prototypes.small, prototypes.norms, prototypes.scale
    samples, residuals, products = space.samples, space.residuals, space.products
    members, values, rounds = space.members, space.values, space.rounds
    target, gradient = space.target, space.gradient
    d, kept = samples.shape[1], 0
    most = _PATIENCE + 2 * values.shape[1]
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
        if length <= _ROUNDING * total:
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
            gradient[a] = (products[at, j] + whole) / scale  # what rounding left of the slopes
            products[at, j] = -np.inf
        least = (_SLACK if rounds[i] == most else _STEEP) * length
        entrant = _steepest(prototypes, products[at], common, least, reach)
        if entrant < 0 and balanced:
            continue
        rounds[i] = -1 if rounds[i] == most else rounds[i] + 1
        if rounds[i] < 0:
            continue
        while entrant >= 0 and size + 1 < values.shape[1]:
            if _border(prototypes.gram, space, i, size, entrant):
                gradient[size] = (products[at, entrant] + common) / scale
                size += 1
                break
            products[at, entrant] = -np.inf  # it depends on those inside: it can add nothing
            entrant = _steepest(prototypes, products[at], common, least, reach)
        for a in range(size):
            target[a] = values[i, a]
        for b in range(size):
            for a in range(size):
                target[a] += gradient[b] * space.inverses[i, b, a]
        size = _walk_to_optimum(space, i, size)
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
    prototypes: Prototypes, products: Floats, common: float, least: float, reach: float
) -> int:
    # The prototype in whose direction the residual falls fastest, -1 where none is steep enough.
    found, largest = -1, 0.0
    for j in range(products.size):
        slope = products[j] + common
        steep = slope * prototypes.steepness[j]
        if steep > largest and slope > least * (prototypes.norms[j] + reach):
            found, largest = j, steep
    return found


@inner_loop
def _border(gram: Floats, space: Workspace, i: int, size: int, j: int) -> bool:
    # Border the inverse of the Gram matrix of those inside by prototype j, which takes part by 0;
    # False where it depends on them.
    members, inverses, column = space.members, space.inverses, space.column
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
        part = column[b] / left
        for a in range(size):
            inverses[i, b, a] += part * column[a]
        inverses[i, b, size] = inverses[i, size, b] = -part
    inverses[i, size, size] = 1.0 / left
    members[i, size], space.values[i, size] = j, 0.0
    return True


@inner_loop
def _walk_to_optimum(space: Workspace, i: int, size: int) -> int:
    # Walk from the values to the target, their unconstrained optimum; what reaches 0 on the way
    # leaves, and the target becomes that of the others. Returns how many stay.
    members, values, inverses = space.members, space.values, space.inverses
    target, column = space.target, space.column
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
            part = column[b] / pivot
            for a in range(size):
                inverses[i, b, a] -= part * column[a]
            target[b] -= part * gone
