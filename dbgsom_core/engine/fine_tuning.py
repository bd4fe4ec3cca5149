"""Fine-tuning: the nearest linked neighbour of each unit, the nearest neuron of each class.

Distances that decide are float64 and by definition, ties go to the lower row. Sums are of packed
numbers, so that they are the same bits in any order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.compile import Flags, Floats, Integers, inner_loop, loop
from dbgsom_core.engine.lanes import lanes_of, lanes_other, lanes_with, lowest_bit, ties_of
from dbgsom_core.engine.loops import writeable_view
from dbgsom_core.engine.packing import (
    NO_PROTOTYPE,
    Accumulator,
    Accuracy,
    PackedPrototypes,
    PackedSamples,
    Quantisation,
    Rows,
    SampleTiles,
    Workspace,
    aligned,
    row_distance,
)
from dbgsom_core.engine.runtime import share
from dbgsom_core.engine.search_loops import move_samples, slack_of_block
from dbgsom_core.engine.tile import LINE, PANEL_ROWS, ROW_BITS, sweep_panels

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves
_ROWS = 4096  # samples a task


class Classes(NamedTuple):
    """Classes of samples and neurons.

    ``codes`` (n,) are classes 0..C-1, negative for none; ``leads`` (K, C) says whether a class is
    in the majority in a neuron. With ``leads`` (K, 0) there are no classes.
    """

    codes: Integers
    leads: Flags


NO_CLASSES = Classes(np.empty(0, np.int64), np.empty((0, 0), np.bool_))


def classes_of(codes: Integers | None, leads: Flags | None) -> Classes:
    if codes is None or leads is None:
        return NO_CLASSES
    return Classes(np.ascontiguousarray(codes, np.int64), np.ascontiguousarray(leads))


# ---------------------------------------------------------------------------------- one sample


@inner_loop
def is_misplaced(classes: Classes, i: int, j: int) -> bool:
    if classes.leads.shape[1] == 0:
        return False
    code = classes.codes[i]
    return bool(code >= 0 and not classes.leads[j, code])


@inner_loop
def nearest_linked(
    samples: Rows, i: int, prototypes: Floats, neighbours: NDArray[np.int32],
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


# ------------------------------------------------------------------------- in packed sums


@loop
def gather_links(
    packed: Any, halves: NDArray[Any], links: NDArray[np.int32], numbers: NDArray[Any],
    starts: NDArray[Any],
) -> None:  # fmt: skip
    """Fill panels (K, depth, PANEL_ROWS) and their starts with what ``links`` (K, degree) lead to.

    ``packed`` (K, depth) and ``halves`` (K,) are the rows and halves of `PackedPrototypes`.
    """
    for j in range(links.shape[0]):
        for side in range(links.shape[1]):
            other = links[j, side]
            starts[j, side] = NO_PROTOTYPE if other < 0 else halves[other]
            for k in range(packed.shape[1] if other >= 0 else 0):
                numbers[j, k, side] = packed[other, k]


@loop
def linked_blocks(
    tag: Any, samples: Rows, prototypes: Floats, how: Quantisation, blocks: SampleTiles,
    units: NDArray[np.int32], links: NDArray[np.int32], numbers: NDArray[Any],
    starts: NDArray[Any], accuracy: Accuracy, classes: Classes, only_changes: bool,
    runners_up: NDArray[np.int32], added: Accumulator, space: Workspace, start: int, stop: int,
) -> None:  # fmt: skip
    """Find the nearest of the ``links`` (K, degree) of units, and add up what those win.

    ``units`` and ``runners_up`` (B*lanes,) are the unit in each place, and its neighbour found last
    time and now; with ``only_changes`` samples move whose neighbour is another one than last time,
    else all are added. ``numbers`` and ``starts`` are the panels that `gather_links` fills.
    """
    order, found, values = blocks.order, space.rows[0], space.values
    lanes, n, depth = lanes_of(tag), order.size, blocks.numbers.shape[1]
    classed, degree, size = classes.leads.shape[1] > 0, links.shape[1], starts.itemsize * PANEL_ROWS
    found_at, units_at = found.ctypes.data, units.ctypes.data
    slack_at, values_at = space.slack.ctypes.data, values.ctypes.data
    for b in range(start, stop):
        base, block = b * lanes, blocks.numbers.ctypes.data + b * depth * LINE
        inside = (1 << min(lanes, n - base)) - 1
        slack_of_block(tag, blocks.squares.ctypes.data + b * LINE, accuracy, slack_at)
        left, doubtful = (inside, 0) if degree <= PANEL_ROWS else (0, inside)
        while left != 0:  # one turn for each unit of the block
            unit = units[base + lowest_bit(left)]
            same = lanes_with(tag, units_at + base * 4, unit) & left
            left &= ~same
            for lane in range(lanes):
                values[0, lane] = values[1, lane] = np.inf
            sweep_panels(
                tag, 1, block, numbers.ctypes.data + unit * depth * size,
                starts.ctypes.data + unit * size, depth, 1, 0, values_at, space.places.ctypes.data,
                space.nearest.ctypes.data,
            )  # fmt: skip
            doubtful |= ties_of(tag, values_at, slack_at) & same
            while same != 0:
                lane = lowest_bit(same)
                same &= same - 1
                found[lane] = links[unit, space.places[0, lane] & ((1 << ROW_BITS) - 1)]
        rechecked = inside if classed else doubtful
        while rechecked != 0:
            lane = lowest_bit(rechecked)
            rechecked &= rechecked - 1
            i, among = np.int64(order[base + lane]), links[units[base + lane]]
            if doubtful >> lane & 1:
                found[lane] = nearest_linked(samples, i, prototypes, among, classes, np.False_)
            if is_misplaced(classes, i, np.int64(found[lane])):
                own = nearest_linked(samples, i, prototypes, among, classes, np.True_)
                found[lane] = own if own >= 0 else found[lane]
        moved = inside
        if only_changes:
            moved &= lanes_other(tag, found_at, runners_up.ctypes.data + base * 4)
        move_samples(
            tag, samples, how, blocks, b, moved, found, runners_up, only_changes, added, space
        )


class LinkedRunnersUp:
    """What linked neighbours of units won: packed ``sums`` (K, depth) and ``hits`` (K,).

    ``places`` (B*lanes,) is the neighbour of each place; the next pass moves what changed.
    """

    def __init__(self, n_neurons: int, samples: PackedSamples) -> None:
        self.sums = np.zeros((n_neurons, samples.depth))
        self.hits = np.zeros(n_neurons, np.int64)
        self.places = np.zeros(len(samples.blocks.bmu), np.int32)
        self._numbers = aligned((n_neurons, samples.depth, PANEL_ROWS), samples.dtype)
        self._starts = np.full((n_neurons, PANEL_ROWS), NO_PROTOTYPE, samples.dtype)
        self._known = False

    def find(
        self,
        samples: PackedSamples,
        packed: PackedPrototypes,
        prototypes: Floats,
        units: NDArray[np.int32],
        links: NDArray[np.int32],
        classes: Classes,
    ) -> None:
        """Add up what the neighbours win that ``links`` (K, degree) name of ``units``, by place."""
        numbers, starts = self._numbers, self._starts
        if links.shape[1] <= PANEL_ROWS:
            gather_links(packed.rows, packed.halves, links, numbers, starts)

        def work(added: Accumulator, space: Workspace, start: int, stop: int) -> None:
            linked_blocks(
                samples.tag, samples.rows, prototypes, samples.quantisation, samples.blocks, units,
                links, numbers, starts, packed.accuracy, classes, self._known, self.places, added,
                space, start, stop,
            )  # fmt: skip

        samples.each(self.sums, self.hits, 0, work, samples.X.size < _SMALL_WORK)
        self._known = True

    def sort(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> None:
        of_row = np.empty_like(before)
        of_row[before] = self.places[: len(before)]
        self.places[: len(after)] = of_row[after]


# ------------------------------------------------------------------------------ row by row


@loop
def fill_linked(
    samples: Rows, prototypes: Floats, units: Integers,
    neighbours: NDArray[np.int32], classes: Classes, start: int, stop: int, out: Integers,
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


def linked_rows(
    data: Any,
    codes: Integers | None,
    units: Integers,
    prototypes: Floats,
    links: NDArray[np.int32],
    leads: Flags | None,
) -> Integers:
    """Return the linked neighbour (n,) of each sample's unit that lies nearest to it."""
    X, out = np.ascontiguousarray(writeable_view(data.X)), np.empty(data.n, np.int64)
    tasks = 1 if X.size < _SMALL_WORK else -(-data.n // _ROWS)
    ends, rows = [data.n * task // tasks for task in range(tasks + 1)], Rows.of(X)
    classes = classes_of(codes, leads)

    def work(worker: int, task: int) -> None:
        start, stop = ends[task : task + 2]
        fill_linked(rows, prototypes, units, links, classes, start, stop, out)

    share(data.threads, tasks, work)
    return out
