"""Fine-tuning: the nearest linked neighbour of each unit, the nearest neuron of each class.

Distances that decide are float64 and by definition, ties go to the lower row. Sums are of packed
numbers, so that they are the same bits in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import inner_loop, loop
from dbgsom_core.engine.euclidean.layout import PackedPrototypes
from dbgsom_core.engine.euclidean.packing import (
    Accuracy,
    Blocks,
    Chunk,
    Frame,
    Packed,
    PackedAnew,
    PackedSamples,
    Tally,
    Workspace,
    pack_row,
)
from dbgsom_core.engine.euclidean.search_loops import move_samples, slack_of_block
from dbgsom_core.engine.llvm.lanes import lanes_of, lanes_other, lanes_with, lowest_bit
from dbgsom_core.engine.llvm.tile import LINE, nearest_of_links
from dbgsom_core.engine.rows import Rows, number_at, row_distance
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.workers import share

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves
_ROWS = 4096  # samples a task


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


NO_CLASSES = Classes(np.empty(0, np.int64), np.empty((0, 0), np.bool_))


def classes_of(codes: NDArray[np.int64] | None, leads: NDArray[np.bool_] | None) -> Classes:
    """Return classes (n,) and where they lead (K, C) for the loops; None: there are none."""
    if codes is None or leads is None:
        return NO_CLASSES
    return Classes(np.ascontiguousarray(codes, np.int64), np.ascontiguousarray(leads))


def own_neurons(prototypes: NDArray[np.float64], leads: NDArray[np.bool_]) -> OwnNeurons:
    """Return for each class the neurons in which it leads, and their prototypes."""
    code, rows = np.nonzero(leads.T)  # by class, then by row
    ends = np.searchsorted(code, np.arange(leads.shape[1] + 1))
    return OwnNeurons(
        rows.astype(np.int64), ends.astype(np.int64), np.ascontiguousarray(prototypes[rows].T)
    )


# ---------------------------------------------------------------------------------- one sample


@inner_loop
def is_misplaced(classes: Classes, i: int, j: int) -> bool:
    """Return whether sample i has a class that does not lead in neuron j."""
    if classes.leads.shape[1] == 0:
        return False
    code = classes.codes[i]
    return bool(code >= 0 and not classes.leads[j, code])


@inner_loop
def nearest_linked(
    samples: Rows, i: int, prototypes: NDArray[np.float64], neighbours: NDArray[np.int32],
    classes: Classes, own: bool,
) -> int:  # fmt: skip
    """Return which of the ``neighbours`` (some rows, -1 for none) lies nearest to sample i.

    With ``own`` only those count in which the sample's class leads; -1 when there is none.
    """
    best, nearest = -1, np.inf
    for side in range(neighbours.size):
        j = np.int64(neighbours[side])
        if j < 0 or (own and is_misplaced(classes, i, j)):
            continue
        distance = row_distance(samples, i, prototypes, j)
        if best < 0 or distance < nearest or (distance == nearest and j < best):
            best, nearest = j, distance
    return best


@inner_loop
def nearest_own(
    samples: Rows, i: int, unit: int, classes: Classes, own: OwnNeurons,
    squares: NDArray[np.float64],
) -> int:  # fmt: skip
    """Return the nearest neuron in which the class of sample i leads.

    It is the ``unit`` where the sample has no class, or its class leads there or nowhere.
    ``squares`` (M,) is overwritten. The inner loop runs over neurons, so that it can use vectors
    without changing the order of a sum.
    """
    code = classes.codes[i]
    if not is_misplaced(classes, i, unit) or own.ends[code] == own.ends[code + 1]:
        return unit
    first, last = own.ends[code], own.ends[code + 1]
    at = samples.at + i * samples.columns * samples.size
    for m in range(first, last):
        squares[m] = 0.0
    for k in range(samples.columns):
        x = number_at(at, k, samples.size)
        for m in range(first, last):
            difference = x - own.columns[k, m]
            squares[m] += difference * difference
    best, nearest = first, np.sqrt(squares[first])
    for m in range(first + 1, last):
        distance = np.sqrt(squares[m])
        if distance < nearest:
            best, nearest = m, distance
    return int(own.rows[best])


# ------------------------------------------------------------------------- in packed sums


@dataclass
class LinkedRunnersUp:
    """What linked neighbours won: packed ``sums`` (K, depth) and ``hits`` (K,).

    ``places`` (B*lanes,) is the neighbour that each place pulled last time, of samples in memory.
    """

    places: NDArray[np.int32] | None
    sums: NDArray[np.float64]
    hits: NDArray[np.int64]

    def sorted(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> LinkedRunnersUp:
        """Return the same for samples whose order (n,) was another one ``before``."""
        assert self.places is not None
        of_row, places = np.empty_like(before), np.zeros_like(self.places)
        of_row[before] = self.places[: len(before)]
        places[: len(after)] = of_row[after]
        return LinkedRunnersUp(places, self.sums, self.hits)


@loop
def linked_blocks(
    one: Any,
    samples: Rows,
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
    space: Workspace,
    start: int,
    stop: int,
) -> None:
    """Do as `fill_linked` for the samples of blocks ``start`` to ``stop`` and add them up.

    Parameters
    ----------
    units, seconds : int32 array (B*lanes,)
        The unit in each place, and its neighbour found last time and now.
    sides : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    rows, halves : array (K, depth), array (K,)
        All prototypes as `layout.PackedPrototypes` holds them.
    only_changes : bool
        Move only samples whose neighbour is another one than last time, else add all.
    """
    numbers, order, found = blocks.numbers, blocks.order, space.places[0, 0]
    lanes, n, depth = lanes_of(one), order.size, numbers.shape[1]
    classed, degree = classes.leads.shape[1] > 0, sides.shape[1]
    numbers_at, squares_at = numbers.ctypes.data, blocks.squares.ctypes.data
    slack_at = space.slack.ctypes.data
    rows_at, halves_at, sides_at = rows.ctypes.data, halves.ctypes.data, sides.ctypes.data
    found_at, units_at, seconds_at = found.ctypes.data, units.ctypes.data, seconds.ctypes.data
    for b in range(start, stop):
        base = b * lanes
        inside = (1 << min(lanes, n - base)) - 1
        slack_of_block(one, squares_at + b * LINE, accuracy, slack_at)
        left, doubtful = (inside, 0) if degree == 4 or degree == 6 else (0, inside)
        while left != 0:  # one turn for each unit of the block
            unit = units[base + lowest_bit(left)]
            same = lanes_with(one, units_at + base * 4, unit) & left
            left &= ~same
            doubtful |= nearest_of_links(
                one, degree, numbers_at + b * depth * LINE, depth, rows_at, halves_at,
                sides_at + unit * degree * 4, slack_at, same, found_at,
            )  # fmt: skip
        rechecked = inside if classed else doubtful
        while rechecked != 0:
            lane = lowest_bit(rechecked)
            rechecked &= rechecked - 1
            i, among = np.int64(order[base + lane]), sides[units[base + lane]]
            if doubtful >> lane & 1:
                found[lane] = nearest_linked(samples, i, prototypes, among, classes, np.False_)
            if is_misplaced(classes, i, np.int64(found[lane])):
                own = nearest_linked(samples, i, prototypes, among, classes, np.True_)
                found[lane] = own if own >= 0 else found[lane]
        moved = inside
        if only_changes:
            moved &= lanes_other(one, found_at, seconds_at + base * 4)
        move_samples(
            one, samples, frame, blocks, b, moved, found, seconds, only_changes, tally, space
        )


def linked_seconds(
    samples: PackedSamples | PackedAnew,
    laid: PackedPrototypes,
    prototypes: NDArray[np.float64],
    units: NDArray[np.int32],
    links: NDArray[np.int32],
    classes: Classes,
    before: LinkedRunnersUp | None,
) -> LinkedRunnersUp:
    """Return what the linked neighbours nearest to the samples won, until the next call.

    Parameters
    ----------
    laid : PackedPrototypes
        The prototypes (K, D) in panels.
    units : int array
        Those whose neighbours count.
    links : int32 array (K, degree)
        The linked neighbours of each neuron, -1 for none.
    before : LinkedRunnersUp or None
        What the last call returned of samples in memory; it is changed and returned where it fits.
    """
    n_neurons, stay = len(links), isinstance(samples, PackedSamples)
    if before is None or len(before.hits) != n_neurons or not stay:
        sums = np.zeros((n_neurons, samples.depth))
        before = LinkedRunnersUp(None, sums, np.zeros(n_neurons, np.int64))
    known, places = before.places is not None, before.places
    if stay and places is None:
        before.places = places = np.zeros_like(units)

    def work(tally: Tally, space: Workspace, chunk: Chunk) -> None:
        here = np.zeros_like(chunk.units) if places is None else places
        own = _in(classes, chunk)
        tally_linked(samples, prototypes, laid, links, own, here, tally, space, chunk, known)

    samples.each(units, before.sums, before.hits, 0, work, samples.X.size < _SMALL_WORK)
    return before


def tally_linked(
    samples: Packed, prototypes: NDArray[np.float64], laid: PackedPrototypes,
    links: NDArray[np.int32], classes: Classes, places: NDArray[np.int32], tally: Tally,
    space: Workspace, chunk: Chunk, known: bool = False,
) -> None:  # fmt: skip
    """Tally what the linked neighbours of the units of a chunk win, or what is new of it."""
    linked_blocks(
        samples.one, chunk.samples, prototypes, samples.frame, chunk.blocks, chunk.units, links,
        laid.rows, laid.halves, laid.accuracy, classes, known, places, tally, space,
        chunk.start, chunk.stop,
    )  # fmt: skip


@loop
def own_blocks(
    one: Any,
    samples: Rows,
    frame: Frame,
    blocks: Blocks,
    classes: Classes,
    own: OwnNeurons,
    units: NDArray[np.int32],
    tally: Tally,
    squares: NDArray[np.float64],
    packed: NDArray[np.float64],
    start: int,
    stop: int,
) -> None:
    """Do as `fill_own` for blocks ``start`` to ``stop`` and tally what that moves.

    ``units`` (B*lanes,) is filled by place; ``squares`` and ``packed`` (D,) are overwritten.
    """
    lanes = lanes_of(one)
    for place in range(start * lanes, min(stop * lanes, blocks.order.size)):
        i, unit = blocks.order[place], blocks.bmu[place]
        j = nearest_own(samples, i, unit, classes, own, squares)
        units[place] = j
        if j == unit:
            continue
        tally.hits[unit] -= 1
        tally.hits[j] += 1
        pack_row(samples, i, frame, packed)
        for k in range(packed.size):
            tally.sums[unit, k] -= packed[k]
            tally.sums[j, k] += packed[k]


def own_class(
    samples: PackedSamples | PackedAnew,
    prototypes: NDArray[np.float64],
    classes: Classes,
    units: NDArray[np.int32],
    sums: NDArray[np.float64],
    hits: NDArray[np.int64],
) -> None:
    """Move each sample whose class does not lead in its unit to the nearest neuron where it does.

    ``units``, packed ``sums`` (K, depth) and ``hits`` (K,) are changed.
    """
    own, d = own_neurons(prototypes, classes.leads), samples.X.shape[1]

    def work(tally: Tally, space: Workspace, chunk: Chunk) -> None:
        own_blocks(
            samples.one, chunk.samples, samples.frame, chunk.blocks, _in(classes, chunk), own,
            chunk.units, tally, np.empty(len(own.rows)), np.empty(d), chunk.start, chunk.stop,
        )  # fmt: skip

    samples.each(units, sums, hits, 0, work, samples.X.size < _SMALL_WORK)


def _in(classes: Classes, chunk: Chunk) -> Classes:
    return classes._replace(codes=classes.codes[chunk.of]) if len(classes.codes) else classes


# ------------------------------------------------------------------------------ row by row


@loop
def fill_linked(
    samples: Rows, prototypes: NDArray[np.float64], units: NDArray[np.int64],
    neighbours: NDArray[np.int32], classes: Classes, start: int, stop: int, out: NDArray[np.int64],
) -> None:  # fmt: skip
    """Fill out (n,) from ``start`` to ``stop`` with the nearest linked neighbour of each unit.

    ``neighbours`` are (K, degree). Those in which the sample's class leads come first.
    """
    for i in range(start, stop):
        j = nearest_linked(samples, i, prototypes, neighbours[units[i]], classes, np.False_)
        if is_misplaced(classes, i, j):
            own = nearest_linked(samples, i, prototypes, neighbours[units[i]], classes, np.True_)
            j = own if own >= 0 else j
        out[i] = j


@loop
def fill_own(
    samples: Rows, units: NDArray[np.int64], classes: Classes, own: OwnNeurons,
    squares: NDArray[np.float64], start: int, stop: int, out: NDArray[np.int64],
) -> None:  # fmt: skip
    """Fill out (n,) from ``start`` to ``stop`` with the nearest neuron in which the class leads."""
    for i in range(start, stop):
        out[i] = nearest_own(samples, i, units[i], classes, own, squares)


def linked_rows(
    samples: PlainSamples,
    codes: NDArray[np.int64] | None,
    units: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    links: NDArray[np.int32],
    leads: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Return the linked neighbour (n,) of each sample's unit that lies nearest to it."""
    classes = classes_of(codes, leads)

    def fill(rows: Rows, start: int, stop: int, out: NDArray[np.int64]) -> None:
        fill_linked(rows, prototypes, units, links, classes, start, stop, out)

    return _by_rows(samples, fill)


def own_rows(
    samples: PlainSamples,
    codes: NDArray[np.int64],
    units: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    leads: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads, or its unit."""
    own, classes = own_neurons(prototypes, leads), classes_of(codes, leads)

    def fill(rows: Rows, start: int, stop: int, out: NDArray[np.int64]) -> None:
        fill_own(rows, units, classes, own, np.empty(len(own.rows)), start, stop, out)

    return _by_rows(samples, fill)


def _by_rows(samples: PlainSamples, fill: Callable[..., None]) -> NDArray[np.int64]:
    X, out = np.ascontiguousarray(samples.X), np.empty(samples.n, np.int64)
    tasks = 1 if X.size < _SMALL_WORK else -(-samples.n // _ROWS)
    ends, rows = [samples.n * task // tasks for task in range(tasks + 1)], Rows.of(X)
    share(samples.threads, tasks, lambda _, task: fill(rows, ends[task], ends[task + 1], out))
    return out
