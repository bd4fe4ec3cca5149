"""Non-negative least squares against one set of prototypes, for many samples at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dbgsom_core.engine.compile import Floats, Integers, inner_loop, loop
from dbgsom_core.engine.runtime import available_threads, share

_CHUNK = 64  # samples of a task
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
    """Memory of one worker for one sample: its residual (D,), products (K,) with the differences.

    ``inverse`` (rank, rank) is that of the Gram matrix of the prototypes that take part; the others
    (rank,) are of those: their optimum, a column of the inverse, and the residual's slopes.
    """

    residual: Floats
    products: Floats
    inverse: Floats
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
    tasks = -(-n // _CHUNK)
    workers = 1 if n * prototypes.size < _SMALL_WORK else threads or available_threads()
    shapes = d, n_neurons, (rank, rank), rank, rank, rank
    spaces = [Workspace(*map(np.empty, shapes)) for _ in range(max(1, min(workers, tasks)))]
    found: list[Any] = [None] * tasks

    def work(worker: int, task: int) -> None:
        rows = X[task * _CHUNK : (task + 1) * _CHUNK]
        samples, m = reflected(rows), len(rows)
        samples[:, 0] += big
        counts, members = np.zeros(m, np.int64), np.empty((m, rank), np.int64)
        values = np.empty((m, rank))
        # Reflected, a sample of zeros is 0 but for rounding.
        live = np.flatnonzero(rows.any(axis=1))
        solve_rows(known, columns, samples, live, spaces[worker], counts, members, values)
        for row in np.flatnonzero(counts < 0):
            counts[row] = -1 - counts[row]  # what there is must do where scipy gives up
            with suppress(RuntimeError):
                inside = _solve_exactly(whole, samples[row])
                counts[row] = len(inside)
                members[row, : len(inside)], values[row, : len(inside)] = inside.T
        filled = np.arange(rank) < counts[:, None]
        found[task] = counts, members[filled], values[filled]

    share(workers, tasks, work)
    counts, members, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    coefficients = csr_array((values, members, starts), shape=(n, n_neurons))
    coefficients.sort_indices()
    return coefficients


def _solve_exactly(whole: Floats, sample: Floats) -> Floats:
    # The prototypes that take part, and by how much, (size, 2). By orthogonal factors, which keep
    # small rows beside a large first. Normal equations square the condition of the prototypes: with
    # a common offset of 1e7 spreads no digit is left.
    from scipy.optimize import nnls  # slow to import, and seldom needed

    columns = np.sort(np.unique(whole, axis=0, return_index=True)[1])  # scipy stumbles over copies
    values, _ = nnls(whole[columns].T, sample, maxiter=30 * len(columns))
    inside = np.flatnonzero(values)
    return np.column_stack([columns[inside], values[inside]])


@loop
def solve_rows(
    prototypes: Prototypes, columns: Floats, samples: Floats, live: Integers, space: Workspace,
    counts: Integers, members: Integers, values: Floats,
) -> None:  # fmt: skip
    """Solve for the ``live`` rows of samples (n, D), which lie in the prototypes' coordinates.

    The first ``counts[i]`` entries of row i of ``members`` and ``values`` say which prototypes take
    part and by how much; where rounding hides the optimum counts are -1 less these. Kuhn and
    Tucker's conditions are looked at first. The residual is orthogonal to the prototypes that take
    part, so its product with another one is that with the difference of the two, which is small.
    """
    big, small, norms, scale = prototypes.big, prototypes.small, prototypes.norms, prototypes.scale
    residual, products = space.residual, space.products
    target, gradient = space.target, space.gradient
    (d, n_neurons), rank = columns.shape, values.shape[1]
    whole_d = d - d % 4
    most = _PATIENCE + 2 * rank
    for i in live:
        size, rounds, norm = 0, 0, 0.0
        for k in range(d):
            residual[k] = samples[i, k]
            norm += samples[i, k] * samples[i, k]
        while True:
            length, total, first = 0.0, np.sqrt(norm), 0
            for k in range(d):
                length += residual[k] * residual[k]
            length = np.sqrt(length)
            for a in range(size):
                total += values[i, a] * norms[members[i, a]]
                first = a if values[i, a] > values[i, first] else first
            if length <= _ROUNDING * total:
                break
            for j in range(n_neurons):
                products[j] = 0.0
            for k in range(0, whole_d, 4):  # sums are fetched and put back less often
                x, y, z, u = residual[k], residual[k + 1], residual[k + 2], residual[k + 3]
                p, q, r, s = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
                for j in range(n_neurons):
                    total = products[j] + x * p[j]
                    total += y * q[j]
                    total += z * r[j]
                    products[j] = total + u * s[j]
            for k in range(whole_d, d):
                x, p = residual[k], columns[k]
                for j in range(n_neurons):
                    products[j] += x * p[j]
            whole = big * residual[0]
            common, reach, balanced = whole, abs(big), True
            if size > 0:
                common, reach = -products[members[i, first]], norms[members[i, first]]
                balanced = abs(whole - common) <= _SLACK * (abs(big) + reach) * length
            for a in range(size):
                j = members[i, a]
                slope = products[j] + common
                balanced = balanced and abs(slope) <= _SLACK * (norms[j] + reach) * length
                gradient[a] = (products[j] + whole) / scale  # what rounding left of the slopes
                products[j] = -np.inf
            least = (_SLACK if rounds == most else _STEEP) * length
            entrant = _steepest(prototypes, products, common, least, reach)
            if entrant < 0 and balanced:
                break
            if rounds == most:
                size = -1 - size
                break
            rounds += 1
            while entrant >= 0 and size + 1 < rank:
                if _border(prototypes.gram, space, members[i], size, entrant):
                    gradient[size] = (products[entrant] + common) / scale
                    values[i, size] = 0.0
                    size += 1
                    break
                products[entrant] = -np.inf  # it depends on those inside: it can add nothing
                entrant = _steepest(prototypes, products, common, least, reach)
            for a in range(size):
                target[a] = values[i, a]
            for b in range(size):
                for a in range(size):
                    target[a] += gradient[b] * space.inverse[b, a]
            size = _walk_to_optimum(space, members[i], values[i], size)
            total = 0.0
            for k in range(d):
                residual[k] = samples[i, k]
            for a in range(size):
                total += values[i, a]
                for k in range(d):
                    residual[k] -= values[i, a] * small[members[i, a], k]
            residual[0] -= total * big
        counts[i] = size


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
def _border(gram: Floats, space: Workspace, members: Integers, size: int, j: int) -> bool:
    # Border the inverse of the Gram matrix of those inside by prototype j; False where it depends
    # on them.
    inverse, column = space.inverse, space.column
    for a in range(size):
        column[a] = 0.0
    for b in range(size):
        product = gram[j, members[b]]
        for a in range(size):
            column[a] += product * inverse[b, a]
    left = gram[j, j]
    for a in range(size):
        left -= gram[j, members[a]] * column[a]
    if left <= _DEPENDENT * gram[j, j]:
        return False
    for b in range(size):
        part = column[b] / left
        for a in range(size):
            inverse[b, a] += part * column[a]
        inverse[b, size] = inverse[size, b] = -part
    inverse[size, size] = 1.0 / left
    members[size] = j
    return True


@inner_loop
def _walk_to_optimum(space: Workspace, members: Integers, values: Floats, size: int) -> int:
    # Walk from the values to the target, their unconstrained optimum; what reaches 0 on the way
    # leaves, and the target becomes that of the others. Returns how many stay.
    inverse, target, column = space.inverse, space.target, space.column
    while True:
        step, leaves = 1.0, -1
        for a in range(size):
            if target[a] <= 0.0:
                at = values[a]
                reached = at / (at - target[a]) if at > 0.0 else 0.0
                if leaves < 0 or reached < step:
                    step, leaves = reached, a
        for a in range(size):
            walked = values[a] + step * (target[a] - values[a])
            values[a] = target[a] if leaves < 0 else walked
        if leaves < 0:
            return size
        size -= 1
        gone = target[leaves]
        for b in range(size + 1):  # the last one takes its place
            column[b] = inverse[leaves, b]
        pivot = column[leaves]
        column[leaves] = column[size]
        for b in range(size):
            inverse[leaves, b] = inverse[size, b]
        inverse[leaves, leaves] = inverse[size, size]
        for b in range(size):
            inverse[b, leaves] = inverse[leaves, b]
        members[leaves], values[leaves] = members[size], values[size]
        target[leaves] = target[size]
        for b in range(size):
            part = column[b] / pivot
            for a in range(size):
                inverse[b, a] -= part * column[a]
            target[b] -= part * gone
