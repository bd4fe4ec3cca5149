"""Compiled loops of directed growth: the rules of the paper as they are meant, and notches.

A notch is a free cell half of whose links or more lead to neurons, as in a corner between two on
the square grid; filling it keeps a grown map compact.
Neurons that grow alone send out arms two neurons thick. A cell in a corner is worth more than one
at the end of an arm: it adds two links or more instead of one, so the best-matching and the
second-best neuron of a sample have more chances to be linked. Ours, not the paper's.

All of it is one file, as numba does not see that another one has changed. Loops stand where numpy
has functions of whole arrays: those would make numba load its array library. The caller makes all
arrays, as code that makes them takes time to load, too. What begins as np.int64(0) is handed to a
function later: for a plain 0 numba would compile that function once more, for this very number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import compiled, inner_loop

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
UInt16 = NDArray[np.uint16]

# Free cells beside the map: their places (F, 2), sorted by x, then y; the neurons that the links of
# each would lead to (F, L), -1 for none; the other way round the numbers of the cells beside each
# neuron (K, L), -1 where none is free. F is L*K, of which the first are in use. And as it comes for
# each link (L, 3 + L): the grid's offset, x and y, the link that leads the other way, and how far
# its cell lies from that of each link, squared.
Cells = tuple[Int64, Int64, Int64, Int64]
# Room for births: places (B, 2), parents (B,) and prototypes (B, D).
Births = tuple[Int64, Int64, Float64]
# Room for what is in between: arrays (F,), four of rows, one of keys and one of errors. Keys are
# whole numbers; one dtype for all that is sorted is one loop to compile.
Work = tuple[Int64, Int64, Int64, Int64, Float64, Float64]


@compiled
def grown(
    positions: Int64,
    links: Int32,
    hops: UInt16,
    errors: Float64,
    prototypes: Float64,
    threshold: float,
    least: float,
    cells: Cells,
    work: Work,
    births: Births,
) -> int:
    """Find the births of one step: beside boundary neurons, then in notches.

    Parameters
    ----------
    positions : int64 array (K, 2)
    links : int32 array (K, L)
        The neurons that each is linked with, -1 for none.
    hops : uint16 array (K, K)
    errors : float64 array (K,)
        Overwritten: interior neurons share theirs.
    prototypes : float64 array (K, D)
    threshold : float
        From which error on a boundary neuron is served, once, largest error first.
    least : float
        As `filled` knows it; nan: notches stay.
    cells, work, births
        Filled, all but the last of `Cells`, see `Cells`, `Work` and `Births`.

    Returns
    -------
    int
        How many are born; no more than ``births`` has room for.
    """
    share_errors(errors, links, hops, threshold)
    n_cells = _find_cells(positions, links, cells, work)
    born = _serve(links, hops, errors, prototypes, threshold, cells, work, births)
    return _fill(links, errors, prototypes, least, cells, n_cells, work, births, born)


@compiled
def filled(
    positions: Int64,
    links: Int32,
    errors: Float64,
    prototypes: Float64,
    taken: Int64,
    least: float,
    cells: Cells,
    work: Work,
    births: Births,
) -> int:
    """Find a birth for each notch whose neurons' errors add up to ``least``.

    Parameters
    ----------
    positions, links, errors, prototypes, cells, work, births
        As for `grown`; the errors are those that interior neurons have shared.
    taken : int64 array (T, 2)
        Cells that newborns of this step take.
    least : float
        Notches are cells half of whose links or more lead to neurons. Largest sum first, ties by
        cell; the parent is the neuron with the largest error.

    Returns
    -------
    int
        How many are born.
    """
    n_cells = _find_cells(positions, links, cells, work)
    for number in range(n_cells):
        for place in taken:
            if cells[0][number, 0] == place[0] and cells[0][number, 1] == place[1]:
                _close(number, cells)
    return _fill(links, errors, prototypes, least, cells, n_cells, work, births, 0)


@compiled
def share_errors(errors: Float64, links: Int32, hops: UInt16, threshold: float) -> None:
    """Let interior neurons pass half of their error (K,) on to the boundary.

    An interior neuron with an error of at least ``threshold`` splits half of it equally over its
    boundary neighbours or, without any, over the boundary neurons nearest by hops: nothing is
    lost.
    """
    for giver in range(len(errors)):
        if _is_among(-1, links[giver]) or not errors[giver] >= threshold:
            continue
        nearest, heirs = -1, 0
        for other in range(len(errors)):
            if _is_among(-1, links[other]):
                away: Any = np.int64(hops[giver, other])
                if heirs == 0 or away < nearest:
                    nearest, heirs = away, 0
                heirs += away == nearest
        half = errors[giver] / 2
        for other in range(len(errors)):
            if hops[giver, other] == nearest and _is_among(-1, links[other]):
                errors[other] += half / heirs
        errors[giver] -= half


@inner_loop
def _find_cells(positions: Int64, links: Int32, cells: Cells, work: Work) -> int:
    # Fill in the free cells beside the map, see `Cells`. Returns how many they are.
    lowest, highest = positions[0, 1], positions[0, 1]
    for neuron in range(len(positions)):
        lowest = min(lowest, positions[neuron, 1])
        highest = max(highest, positions[neuron, 1])
    height = highest - lowest + 3  # with a row of free cells below and above
    # One slot for each free link of a neuron; those of one cell get the same key.
    places, touching, numbers, ways = cells
    order, merged, slots, _, keys, _ = work
    n: Any = np.int64(0)
    last, degree = -1, len(ways)
    for neuron in range(len(links)):
        for link in range(degree):
            numbers[neuron, link] = -1
            if links[neuron, link] < 0:
                x = positions[neuron, 0] + ways[link, 0]
                y = positions[neuron, 1] + ways[link, 1]
                slots[n], keys[n] = degree * neuron + link, -((x - positions[0, 0]) * height + y)
                n += 1
    _largest_first(keys, n, order, merged)
    for i in range(n):
        neuron, link = slots[order[i]] // degree, slots[order[i]] % degree
        if i == 0 or keys[order[i]] != keys[order[i - 1]]:
            last += 1
            for axis in range(2):
                places[last, axis] = positions[neuron, axis] + ways[link, axis]
            for other in range(degree):
                touching[last, other] = -1
        touching[last, ways[link, 2]] = neuron
        numbers[neuron, link] = last
    return last + 1


@inner_loop
def _serve(
    links: Int32,
    hops: UInt16,
    errors: Float64,
    prototypes: Float64,
    threshold: float,
    cells: Cells,
    work: Work,
    births: Births,
) -> int:
    # Give a newborn to every boundary neuron whose error reaches the threshold, while a cell is
    # free; newborns of this step do not count as neighbours. Returns how many are born.
    order, merged, _, ranks, _, _ = work
    born: Any = np.int64(0)
    _largest_first(errors, len(errors), order, merged)
    for rank in range(len(errors)):
        ranks[order[rank]] = rank
    for rank in range(len(errors)):
        candidate = order[rank]
        if born == len(births[1]) or not errors[candidate] >= threshold:
            break
        largest, smallest, linked = _linked(links[candidate], ranks)
        second = _second_touching(candidate, hops, ranks, cells)
        at_end = second if linked == 1 else -1
        link = _link_to_grow(candidate, largest, at_end, cells)
        if link < 0 or linked == 0:  # no cell, or nothing to extrapolate from
            continue
        number = cells[2][candidate, link]
        # Away from the neighbour on the other side of the cell; on a straight line there is none.
        away = links[candidate, cells[3][link, 2]]
        if away < 0:
            away = links[candidate, smallest]
        if at_end >= 0:
            away = -1
        if not _is_among(second, cells[1][number]):
            second = -1
        _extrapolate(births[2][born], prototypes, candidate, away, second)
        _bear(candidate, number, cells, births, born)
        born += 1
    return int(born)


@inner_loop
def _linked(around: Int32, ranks: Int64) -> tuple[int, int, int]:
    # Which links lead to the neighbours with the largest and the smallest error, and how many do.
    largest, smallest, linked = -1, -1, 0
    for link in range(len(around)):
        if around[link] >= 0:
            rank = ranks[around[link]]
            if linked == 0 or rank < ranks[around[largest]]:
                largest = link
            if linked == 0 or rank > ranks[around[smallest]]:
                smallest = link
            linked += 1
    return largest, smallest, linked


@inner_loop
def _second_touching(candidate: int, hops: UInt16, ranks: Int64, cells: Cells) -> int:
    # Which neuron two hops away touches a free cell of the candidate: largest error first.
    found = -1
    for number in cells[2][candidate]:
        if number < 0:
            continue
        for other in cells[1][number]:
            is_second = other >= 0 and hops[candidate, other] == 2
            if is_second and (found < 0 or ranks[other] < ranks[found]):
                found = other
    return found


@inner_loop
def _link_to_grow(candidate: int, largest: int, at_end: int, cells: Cells) -> int:
    # The first free link, -1 for none: towards the neuron ``at_end`` of an arm if there is one,
    # else to the cell that lies nearest to the largest neighbour, first of several.
    first, nearest = -1, np.int64(0)
    for link in range(len(cells[3])):
        number = cells[2][candidate, link]
        if number < 0:
            continue
        if at_end >= 0:
            if _is_among(at_end, cells[1][number]):
                return link
            away = np.int64(0)
        else:
            away = cells[3][link, 3 + largest]
        if first < 0 or away < nearest:
            first, nearest = link, away
    return first


@inner_loop
def _extrapolate(
    newborn: Float64, prototypes: Float64, candidate: int, away: int, second: int
) -> None:
    # Away from a neighbour, then halfway to a second neuron; -1: from or to none.
    for k in range(len(newborn)):
        w = prototypes[candidate, k]
        if away >= 0:
            w = 2 * w - prototypes[away, k]
        if second >= 0:
            w = (w + prototypes[second, k]) / 2
        newborn[k] = w


@inner_loop
def _fill(
    links: Int32,
    errors: Float64,
    prototypes: Float64,
    least: float,
    cells: Cells,
    n_cells: int,
    work: Work,
    births: Births,
    born: int,
) -> int:
    # Do as `filled` in the cells that are still free. Returns how many are born by now.
    order, merged, _, _, _, claims = work
    for number in range(n_cells):
        claims[number], near = 0.0, 0
        for neuron in cells[1][number]:
            if neuron >= 0:
                claims[number] += errors[neuron]
                near += 1
        if 2 * near < len(cells[3]):
            claims[number] = np.nan
    _largest_first(claims, n_cells, order, merged)
    for i in range(n_cells):
        number = order[i]
        if born == len(births[1]) or not claims[number] >= least:
            break
        around = cells[1][number]
        parent: Any = np.int64(-1)
        for neuron in around:
            if neuron >= 0 and (parent < 0 or errors[neuron] > errors[parent]):
                parent = neuron
        _between(births[2][born], prototypes, around, links)
        _bear(parent, number, cells, births, born)
        born += 1
    return born


@inner_loop
def _between(newborn: Float64, prototypes: Float64, around: Int64, links: Int32) -> None:
    # In a corner the newborn completes the parallelogram w_a + w_b - w_diagonal; it is the mean
    # over the cell's corners or, where there is none, of the neurons around it.
    # Feature by feature: numba would make long code of a loop over features within the others,
    # which takes longer to load than it saves.
    for k in range(len(newborn)):
        total, summands = -0.0, 0  # as 0.0, but adding to it changes not even a sign
        for one in range(len(around)):
            for other in range(one + 1, len(around)):
                a, b = around[one], around[other]
                diagonal = links[a, other] if a >= 0 and b >= 0 else -1  # none for opposite links
                if diagonal >= 0:
                    total += prototypes[a, k] + prototypes[b, k] - prototypes[diagonal, k]
                    summands += 1
        if summands == 0:
            for neuron in around:
                if neuron >= 0:
                    total += prototypes[neuron, k]
                    summands += 1
        newborn[k] = total / summands


@inner_loop
def _bear(parent: int, number: int, cells: Cells, births: Births, born: int) -> None:
    # Note a birth; its cell is no longer free.
    births[0][born, 0], births[0][born, 1] = cells[0][number, 0], cells[0][number, 1]
    births[1][born] = parent
    _close(number, cells)


@inner_loop
def _close(number: int, cells: Cells) -> None:
    for link in range(len(cells[3])):
        neuron = cells[1][number, link]
        if neuron >= 0:
            cells[2][neuron, cells[3][link, 2]] = cells[1][number, link] = -1


@inner_loop
def _is_among(wanted: int, row: NDArray[np.integer[Any]]) -> bool:
    for value in row:  # noqa: SIM110 - numba knows no any()
        if value == wanted:
            return True
    return False


@inner_loop
def _largest_first(keys: Float64, n: int, order: Int64, merged: Int64) -> None:
    # Fill in the order of the first n keys: merged from sorted runs, so ties stay as they are; nan
    # last.
    for i in range(n):
        order[i] = i
    length = 1
    while length < n:
        for start in range(0, n, 2 * length):
            middle, end = min(start + length, n), min(start + 2 * length, n)
            left, right = start, middle
            for i in range(start, end):
                if left < middle and (right == end or _stays(keys, order[left], order[right])):
                    merged[i], left = order[left], left + 1
                else:
                    merged[i], right = order[right], right + 1
        for i in range(n):
            order[i] = merged[i]
        length *= 2


@inner_loop
def _stays(keys: Float64, left: int, right: int) -> bool:
    return bool(keys[left] >= keys[right] or keys[right] != keys[right])
