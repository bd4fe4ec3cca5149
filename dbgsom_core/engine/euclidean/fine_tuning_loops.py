"""Compiled loops of fine-tuning: the nearest linked neighbour, the nearest neuron of a class.

Distances that decide are float64 and by definition, ties go to the lower row. Sums are of packed
numbers (see `block_loops`), so that they are the same bits in any order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.euclidean.blocks import (
    Accuracy,
    Blocks,
    Frame,
    Tally,
    pack_row,
)
from dbgsom_core.engine.euclidean.pass_loops import slack_of_block, turn_block
from dbgsom_core.engine.llvm.bounds import lanes_other, lanes_with, lowest_bit
from dbgsom_core.engine.llvm.neighbours import LINKS, nearest_side
from dbgsom_core.engine.llvm.panel import LINE, lanes_of
from dbgsom_core.engine.llvm.transpose import add_row
from dbgsom_core.engine.loops import euclidean_distance


class Classes(NamedTuple):
    """Classes of samples and neurons.

    ``codes`` (n,) are classes 0..C-1, negative for none; ``leads`` (K, C) says whether a class is
    in the majority in a neuron. With ``leads`` (K, 0) there are no classes.
    """

    codes: NDArray[np.int64]
    leads: NDArray[np.bool_]


class OwnNeurons(NamedTuple):
    """Neurons by class: those of class c are ``rows[ends[c]:ends[c + 1]]``, ascending.

    ``columns`` (D, M) holds their prototypes in that order.
    """

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]
    columns: NDArray[np.float64]


@compiled
def is_stranger(classes: Classes, i: int, j: int) -> bool:
    """Say whether sample i has a class that does not lead in neuron j."""
    if classes.leads.shape[1] == 0:
        return False
    code = classes.codes[i]
    return bool(code >= 0 and not classes.leads[j, code])


@compiled
def nearest_linked(
    X: NDArray[Any],
    i: int,
    prototypes: NDArray[np.float64],
    neighbours: NDArray[np.int32],
    classes: Classes,
    own: bool,
) -> int:
    """Return which of the ``neighbours`` (some rows, -1 for none) lies nearest to sample i.

    With ``own`` only those count in which the sample's class leads; -1 when there is none.
    """
    best, nearest = -1, np.inf
    for side in range(neighbours.size):
        j = int(neighbours[side])
        if j < 0 or (own and is_stranger(classes, i, j)):
            continue
        distance = euclidean_distance(X, i, prototypes, j)
        if best < 0 or distance < nearest or (distance == nearest and j < best):
            best, nearest = j, distance
    return best


@compiled
def linked_rows(
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    units: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    classes: Classes,
    start: int,
    stop: int,
    out: NDArray[np.int64],
) -> None:
    """Fill out (n,) from ``start`` to ``stop`` with the nearest linked neighbour of each unit.

    ``neighbours`` are (K, degree). Those in which the sample's class leads come first.
    """
    for i in range(start, stop):
        j = nearest_linked(X, i, prototypes, neighbours[units[i]], classes, np.False_)
        if is_stranger(classes, i, j):
            own = nearest_linked(X, i, prototypes, neighbours[units[i]], classes, np.True_)
            j = own if own >= 0 else j
        out[i] = j


@compiled
def linked_blocks(
    one: Any,
    X: NDArray[Any],
    prototypes: NDArray[np.float64],
    frame: Frame,
    blocks: Blocks,
    units: NDArray[np.int32],
    sides: NDArray[np.int32],
    rows: NDArray[Any],
    halves: NDArray[Any],
    accuracy: Accuracy,
    classes: Classes,
    only_changes: bool,
    seconds: NDArray[np.int32],
    tally: Tally,
    start: int,
    stop: int,
) -> None:
    """Do as `linked_rows` for the samples of blocks ``start`` to ``stop`` and add them up.

    Parameters
    ----------
    units, seconds : int32 array (B*lanes,)
        The unit in each place, and its neighbour found last time and now.
    sides : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    rows, halves : array (K, depth), array (K,)
        All prototypes as `layout.Laid` holds them.
    only_changes : bool
        Move only samples whose neighbour is another one than last time, else add all.
    """
    numbers, _, order, _ = blocks
    lanes, n, depth = lanes_of(one), order.size, numbers.shape[1]
    classed = classes.leads.shape[1] > 0
    slack, found = np.empty((2, lanes), numbers.dtype), np.zeros(lanes, np.int32)
    turned, alike = np.zeros((lanes, depth), X.dtype), X.itemsize == numbers.itemsize
    sums, hits, _, _ = tally
    turned_at, sums_at = turned.ctypes.data, sums.ctypes.data
    # Asked once: see `comparisons.Addresses`.
    numbers_at, squares_at, slack_at = (
        numbers.ctypes.data,
        blocks.squares.ctypes.data,
        slack.ctypes.data,
    )
    rows_at, halves_at, sides_at = rows.ctypes.data, halves.ctypes.data, sides.ctypes.data
    found_at, units_at, seconds_at = found.ctypes.data, units.ctypes.data, seconds.ctypes.data
    for b in range(start, stop):
        base = b * lanes
        inside = (1 << min(lanes, n - base)) - 1
        slack_of_block(one, squares_at + b * LINE, accuracy, slack_at)
        left, doubtful = (inside, 0) if sides.shape[1] == LINKS else (0, inside)
        while left != 0:  # one turn for each unit of the block
            unit = units[base + lowest_bit(left)]
            same = lanes_with(one, units_at + base * 4, unit) & left
            left &= ~same
            doubtful |= nearest_side(
                one,
                numbers_at + b * depth * LINE,
                depth,
                rows_at,
                halves_at,
                sides_at + unit * LINKS * 4,
                slack_at,
                same,
                found_at,
            )
        asked = inside if classed else doubtful
        while asked != 0:
            lane = lowest_bit(asked)
            asked &= asked - 1
            i, among = int(order[base + lane]), sides[units[base + lane]]
            if doubtful >> lane & 1:
                found[lane] = nearest_linked(X, i, prototypes, among, classes, np.False_)
            if is_stranger(classes, i, int(found[lane])):
                own = nearest_linked(X, i, prototypes, among, classes, np.True_)
                found[lane] = own if own >= 0 else found[lane]
        moved = inside
        if only_changes:
            moved &= lanes_other(one, found_at, seconds_at + base * 4)
        if moved != 0 and alike:
            turn_block(one, b, numbers, numbers_at, turned, turned_at)
        while moved != 0:
            lane = lowest_bit(moved)
            moved &= moved - 1
            j, before = found[lane], seconds[base + lane]
            seconds[base + lane] = j
            if not alike:
                pack_row(X, order[base + lane], frame, turned[lane])
            row = turned_at + lane * depth * turned.itemsize
            if only_changes:
                hits[before] -= 1
                add_row(X[0, 0], row, depth, -1.0, sums_at + before * depth * 8)
            hits[j] += 1
            add_row(X[0, 0], row, depth, 1.0, sums_at + j * depth * 8)
    slack[0, 0] = 0.0  # used until here, see `comparisons.Addresses`


@compiled
def nearest_own(
    X: NDArray[Any], i: int, code: int, own: OwnNeurons, squares: NDArray[np.float64]
) -> int:
    """Return the neuron of class ``code``, which has one, that lies nearest to sample i.

    ``squares`` is (M,) numbers of room. The inner loop runs over neurons, so that it can use
    vectors without changing the order of a sum.
    """
    first, last = own.ends[code], own.ends[code + 1]
    squares[first:last] = 0.0
    for k in range(X.shape[1]):
        x = np.float64(X[i, k])
        for m in range(first, last):
            difference = x - own.columns[k, m]
            squares[m] += difference * difference
    best, nearest = first, np.sqrt(squares[first])
    for m in range(first + 1, last):
        distance = np.sqrt(squares[m])
        if distance < nearest:
            best, nearest = m, distance
    return int(own.rows[best])


@compiled
def own_rows(
    X: NDArray[Any],
    units: NDArray[np.int64],
    classes: Classes,
    own: OwnNeurons,
    start: int,
    stop: int,
    out: NDArray[np.int64],
) -> None:
    """Fill out (n,) from ``start`` to ``stop`` with the nearest neuron in which the class leads.

    A sample keeps its unit if it has no class, or its class leads there or nowhere.
    """
    squares = np.empty(own.rows.size)
    for i in range(start, stop):
        out[i] = units[i]
        code = classes.codes[i]
        if is_stranger(classes, i, units[i]) and own.ends[code] < own.ends[code + 1]:
            out[i] = nearest_own(X, i, code, own, squares)


@compiled
def own_blocks(
    one: Any,
    X: NDArray[Any],
    frame: Frame,
    blocks: Blocks,
    classes: Classes,
    own: OwnNeurons,
    units: NDArray[np.int32],
    tally: Tally,
    start: int,
    stop: int,
) -> None:
    """Do as `own_rows` for blocks ``start`` to ``stop`` and tally what that moves.

    ``units`` (B*lanes,) is filled by place.
    """
    _, _, order, bmu = blocks
    lanes, packed = lanes_of(one), np.empty(X.shape[1], X.dtype)
    squares = np.empty(own.rows.size)
    for place in range(start * lanes, min(stop * lanes, order.size)):
        i, unit = order[place], bmu[place]
        units[place] = unit
        code = classes.codes[i]
        if not is_stranger(classes, i, unit) or own.ends[code] == own.ends[code + 1]:
            continue
        j = nearest_own(X, i, code, own, squares)
        units[place] = j
        tally.hits[unit] -= 1
        tally.hits[j] += 1
        pack_row(X, i, frame, packed)
        for k in range(packed.size):
            tally.sums[unit, k] -= packed[k]
            tally.sums[j, k] += packed[k]
