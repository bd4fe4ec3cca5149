"""Compiled loops of non-negative least squares: many samples against the same prototypes.

Few functions, each called at one place: what numba puts into its caller it compiles again there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop

_ENTRANTS = 8  # prototypes that may enter between two computations of the residual
STEEP = 1e-10  # share of its bound that a slope must exceed to enter
_SLACK = 1e-8  # and may have at an optimum
ROUNDING = 2.0**-50  # of all that a residual is made of
_DEPENDENT = 1e-12  # of a squared length, what is left when it depends on those inside
_PATIENCE = 16  # rounds that a sample may take, and another for two prototypes that take part


class Prototypes(NamedTuple):
    """Prototypes w_j = centre + d_j, mirrored so that the centre lies on the first axis.

    Far from the origin all prototypes are nearly parallel. Kept apart, the small differences
    ``small`` (K, D) lose no digit to the large common part ``big``, which adds to the first entry
    alone. ``norms`` (K,) are the lengths of the differences, ``gram`` (K, K) holds the products of
    the whole prototypes over ``scale``, ``steepness`` (K,) their inverse lengths in these units.
    """

    big: float
    small: NDArray[np.float64]
    norms: NDArray[np.float64]
    gram: NDArray[np.float64]
    scale: float
    steepness: NDArray[np.float64]


class Room(NamedTuple):
    """Memory of one worker: samples (N, D) in the coordinates of the prototypes and their solution.

    The first ``counts[i]`` entries of row i of ``members`` and ``values`` say which prototypes take
    part in sample i and by how much, ``inverses[i]`` holds the inverse of their Gram matrix.
    ``live`` are the samples in work, ``rounds`` (N,) counts theirs; it is -1 where rounding hides
    the optimum. ``products`` has a row for each live sample. The others are for one sample at a
    time.
    """

    samples: NDArray[np.float64]
    residuals: NDArray[np.float64]
    products: NDArray[np.float64]
    live: NDArray[np.int64]
    rounds: NDArray[np.int64]
    counts: NDArray[np.int64]
    members: NDArray[np.int64]
    values: NDArray[np.float64]
    inverses: NDArray[np.float64]
    target: NDArray[np.float64]
    column: NDArray[np.float64]
    known: NDArray[np.int64]
    before: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    entrants: NDArray[np.int64]


def room_for(rows: int, n_neurons: int, d: int) -> Room:
    """Return room for so many samples (rows, D)."""
    rank, whole = min(n_neurons, d) + 1, np.int64
    return Room(
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
def fill_products(room: Room, columns: NDArray[np.float64], n_live: int) -> None:
    """Fill ``products`` with those of the live residuals and the small differences (D, K).

    Each is added up by feature, so that it depends on its sample alone.
    """
    d, n_neurons = columns.shape
    whole = d - d % 4
    for at in range(n_live):
        rest, row = room.residuals[room.live[at]], room.products[at]
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
def improve_rows(prototypes: Prototypes, room: Room, n_live: int) -> int:
    """Bring each live sample nearer to its optimum by means of its ``products``.

    Kuhn and Tucker's conditions are looked at first; samples that meet them live no longer.
    Returns how many do. The residual is orthogonal to the prototypes that take part, so its product
    with another one is that with the difference of the two, which is small.
    """
    big, small, norms, gram, scale, steepness = prototypes
    samples, residuals, products, rounds = room.samples, room.residuals, room.products, room.rounds
    members, values, inverses = room.members, room.values, room.inverses
    target, column, known, before = room.target, room.column, room.known, room.before
    d, kept = samples.shape[1], 0
    most = _PATIENCE + values.shape[1] // 2
    for at in range(n_live):
        i = room.live[at]
        size, first = room.counts[i], 0
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
            products, at, common, share * length, reach, norms, steepness, room.entrants
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
                j = room.entrants[place]
                for a in range(size):
                    room.coefficients[members[i, a]] = values[i, a]
                slope = (products[at, j] + common) / scale
                for a in range(n_known):
                    slope -= gram[j, known[a]] * (room.coefficients[known[a]] - before[a])
                for a in range(size):
                    room.coefficients[members[i, a]] = 0.0
                least = STEEP * (norms[j] + reach) * length / scale
                if size + 1 == values.shape[1] or slope <= least:
                    continue
                if not _border(j, slope, gram, i, size, members, values, inverses, target, column):
                    continue
                known[n_known], before[n_known] = j, 0.0
                n_known, size = n_known + 1, size + 1
            size = _settle(i, size, members, values, inverses, target, column)
        room.counts[i] = size
        total = 0.0
        for k in range(d):
            residuals[i, k] = samples[i, k]
        for a in range(size):
            total += values[i, a]
            for k in range(d):
                residuals[i, k] -= values[i, a] * small[members[i, a], k]
        residuals[i, 0] -= total * big
        room.live[kept] = i
        kept += 1
    return kept


@inner_loop
def _steepest(
    products: NDArray[np.float64],
    at: int,
    common: float,
    least: float,
    reach: float,
    norms: NDArray[np.float64],
    steepness: NDArray[np.float64],
    entrants: NDArray[np.int64],
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
    gram: NDArray[np.float64],
    i: int,
    size: int,
    members: NDArray[np.int64],
    values: NDArray[np.float64],
    inverses: NDArray[np.float64],
    target: NDArray[np.float64],
    column: NDArray[np.float64],
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
def _settle(
    i: int,
    size: int,
    members: NDArray[np.int64],
    values: NDArray[np.float64],
    inverses: NDArray[np.float64],
    target: NDArray[np.float64],
    column: NDArray[np.float64],
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
