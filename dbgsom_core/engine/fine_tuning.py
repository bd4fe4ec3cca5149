"""Fine-tuning: the linked neighbour of its BMU that is nearest to each sample.

Distances are exact float64, ties go to the lower row. Sums are of packed numbers, so that their
bits do not depend on the order.
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
    PackedRows,
    PackedSamples,
    Rows,
    Workspace,
    aligned,
    row_distance,
    squares_at,
    tile_at,
)
from dbgsom_core.engine.runtime import share
from dbgsom_core.engine.search_loops import lanes_inside, move_samples, slack_of_block
from dbgsom_core.engine.tile import PANEL_ROWS, ROW_BITS, sweep_panels

_SMALL_WORK = 1 << 19  # numbers in the data below which a second thread costs more than it saves
_ROWS = 4096  # samples a task: enough that a thread works longer than it takes to start


class Classes(NamedTuple):
    """Classes of samples and neurons.

    ``codes`` (n,) are classes 0..C-1, negative for none; ``majority`` (K, C) marks the majority
    classes of each neuron, (K, 0) without classes.
    """

    codes: Integers
    majority: Flags


NO_CLASSES = Classes(np.empty(0, np.int64), np.empty((0, 0), np.bool_))


def classes_of(codes: Integers | None, majority: Flags | None) -> Classes:
    if codes is None or majority is None:
        return NO_CLASSES
    return Classes(np.ascontiguousarray(codes, np.int64), np.ascontiguousarray(majority))


# ---------------------------------------------------------------------------------- one sample


@inner_loop
def is_misplaced(classes: Classes, i: int, j: int) -> bool:
    if classes.majority.shape[1] == 0:
        return False
    code = classes.codes[i]
    return bool(code >= 0 and not classes.majority[j, code])


@inner_loop
def nearest_linked(
    samples: Rows, i: int, prototypes: Floats, neighbours: NDArray[np.int32],
    classes: Classes, own_class: bool,
) -> int:  # fmt: skip
    """Return which of the ``neighbours`` (rows of prototypes, or -1) is nearest to sample i.

    With ``own_class`` among those with the sample's class in the majority; -1 for none.
    """
    neighbour = -1
    nearest = np.inf
    for side in range(neighbours.size):
        j = np.int64(neighbours[side])
        if j < 0 or (own_class and is_misplaced(classes, i, j)):
            continue
        distance = row_distance(samples, i, prototypes, j)
        if neighbour < 0 or distance < nearest or (distance == nearest and j < neighbour):
            neighbour = j
            nearest = distance
    return neighbour


# ------------------------------------------------------------------------- in packed sums


class LinkTiles(NamedTuple):
    """A panel for each neuron with its linked neighbours' prototypes.

    ``links`` (K, degree) are the neighbours, -1 for none; ``numbers`` (K, depth, PANEL_ROWS) and
    ``starts`` (K, PANEL_ROWS) as in `PrototypeTiles`.
    """

    links: NDArray[np.int32]
    numbers: NDArray[Any]
    starts: NDArray[Any]


@loop
def gather_links(packed: Any, halves: NDArray[Any], tiles: LinkTiles) -> None:
    """Fill the panels; ``packed`` (K, depth) and ``halves`` (K,) are as in `PackedPrototypes`."""
    links = tiles.links
    for j in range(links.shape[0]):
        for side in range(links.shape[1]):
            neighbour = links[j, side]
            if neighbour < 0:
                tiles.starts[j, side] = NO_PROTOTYPE
                continue
            tiles.starts[j, side] = halves[neighbour]
            for k in range(packed.shape[1]):
                tiles.numbers[j, k, side] = packed[neighbour, k]


@loop
def linked_blocks(
    tag: Any, data: PackedRows, prototypes: Floats, accuracy: Accuracy, neighbours: LinkTiles,
    classes: Classes, units: NDArray[np.int32], runners_up: NDArray[np.int32], only_changes: bool,
    added: Accumulator, space: Workspace, start: int, stop: int,
) -> None:  # fmt: skip
    """Find each sample's nearest linked neighbour of its BMU, and add the sample to its sum.

    ``units`` (B*lanes,) are the BMUs by slot; ``runners_up`` (B*lanes,) the neighbours of the last
    pass, overwritten. With ``only_changes`` samples with another neighbour move between sums, else
    all are added.
    """
    tiles = data.tiles
    links = neighbours.links
    starts = neighbours.starts
    nearest = space.rows[0]
    values = space.values
    lanes = lanes_of(tag)
    depth = tiles.numbers.shape[1]
    has_classes = classes.majority.shape[1] > 0
    size = starts.itemsize * PANEL_ROWS
    nearest_at = nearest.ctypes.data
    units_at = units.ctypes.data
    slack_at = space.slack.ctypes.data
    values_at = values.ctypes.data
    for b in range(start, stop):
        base = b * lanes
        inside = lanes_inside(tag, tiles, b)
        slack_of_block(tag, squares_at(tiles, b), accuracy, slack_at)
        left = inside
        ambiguous = 0
        if links.shape[1] > PANEL_ROWS:  # they fit no panel: all lanes are compared exactly
            left = 0
            ambiguous = inside
        while left != 0:  # for each unit of the block
            unit = units[base + lowest_bit(tag, left)]
            same = lanes_with(tag, units_at + base * 4, unit) & left
            left &= ~same
            for lane in range(lanes):
                values[0, lane] = values[1, lane] = np.inf
            panel_at = neighbours.numbers.ctypes.data + unit * depth * size
            start_at = starts.ctypes.data + unit * size
            sweep_panels(
                tag, 1, tile_at(tiles, b), panel_at, start_at, depth, 1, 0, values_at,
                space.slots.ctypes.data, space.nearest.ctypes.data,
            )  # fmt: skip
            ambiguous |= ties_of(tag, values_at, slack_at) & same
            while same != 0:
                lane = lowest_bit(tag, same)
                same &= same - 1
                side = space.slots[0, lane] & ((1 << ROW_BITS) - 1)
                nearest[lane] = links[unit, side]
        rechecked = inside if has_classes else ambiguous
        while rechecked != 0:
            lane = lowest_bit(tag, rechecked)
            rechecked &= rechecked - 1
            i = np.int64(tiles.order[base + lane])
            linked = links[units[base + lane]]
            if ambiguous >> lane & 1:
                nearest[lane] = nearest_linked(data.rows, i, prototypes, linked, classes, np.False_)
            if is_misplaced(classes, i, np.int64(nearest[lane])):
                of_class = nearest_linked(data.rows, i, prototypes, linked, classes, np.True_)
                if of_class >= 0:
                    nearest[lane] = of_class
        moved = inside
        if only_changes:
            moved &= lanes_other(tag, nearest_at, runners_up.ctypes.data + base * 4)
        move_samples(tag, data, b, moved, nearest, runners_up, only_changes, added, space)


class LinkedRunnersUp:
    """Packed ``sums`` (K, depth) and ``hits`` (K,) of the samples by nearest linked neighbour.

    ``runners_up`` (B*lanes,) are the neighbours by slot of the last pass.
    """

    def __init__(self, n_neurons: int, samples: PackedSamples) -> None:
        self.sums = np.zeros((n_neurons, samples.depth))
        self.hits = np.zeros(n_neurons, np.int64)
        self.runners_up = np.zeros(len(samples.blocks.bmu), np.int32)
        self._numbers = aligned((n_neurons, samples.depth, PANEL_ROWS), samples.dtype)
        self._starts = np.full((n_neurons, PANEL_ROWS), NO_PROTOTYPE, samples.dtype)
        self._known = False

    def find(
        self,
        samples: PackedSamples,
        prototypes: PackedPrototypes,
        units: NDArray[np.int32],
        links: NDArray[np.int32],
        classes: Classes,
    ) -> None:
        """Find the linked neighbours of ``units`` (B*lanes,), and update sums and hits."""
        neighbours = LinkTiles(links, self._numbers, self._starts)
        if links.shape[1] <= PANEL_ROWS:
            gather_links(prototypes.rows, prototypes.halves, neighbours)

        def work(added: Accumulator, space: Workspace, start: int, stop: int) -> None:
            linked_blocks(
                samples.tag, samples.packed, prototypes.given, prototypes.accuracy, neighbours,
                classes, units, self.runners_up, self._known, added, space, start, stop,
            )  # fmt: skip

        samples.each(self.sums, self.hits, 0, work, samples.X.size < _SMALL_WORK)
        self._known = True

    def sort(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> None:
        by_row = np.empty_like(before)
        by_row[before] = self.runners_up[: len(before)]
        self.runners_up[: len(after)] = by_row[after]


# ------------------------------------------------------------------------------ row by row


@loop
def fill_linked(
    samples: Rows, prototypes: Floats, units: Integers,
    neighbours: NDArray[np.int32], classes: Classes, start: int, stop: int, out: Integers,
) -> None:  # fmt: skip
    """Fill out (n,) from ``start`` to ``stop`` with each sample's nearest linked neighbour.

    ``neighbours`` is (K, degree); those with the sample's class in the majority come first.
    """
    for i in range(start, stop):
        linked = neighbours[units[i]]
        j = nearest_linked(samples, i, prototypes, linked, classes, np.False_)
        if is_misplaced(classes, i, j):
            of_class = nearest_linked(samples, i, prototypes, linked, classes, np.True_)
            if of_class >= 0:
                j = of_class
        out[i] = j


def linked_rows(
    data: Any,
    codes: Integers | None,
    units: Integers,
    prototypes: Floats,
    links: NDArray[np.int32],
    majority: Flags | None,
) -> Integers:
    """Return, for each sample (n,), the nearest linked neighbour of its BMU."""
    X = np.ascontiguousarray(writeable_view(data.X))
    out = np.empty(data.n, np.int64)
    tasks = 1 if X.size < _SMALL_WORK else -(-data.n // _ROWS)
    ends = [data.n * task // tasks for task in range(tasks + 1)]
    rows = Rows.from_samples(X)
    classes = classes_of(codes, majority)

    def work(worker: int, task: int) -> None:
        start, stop = ends[task : task + 2]
        fill_linked(rows, prototypes, units, links, classes, start, stop, out)

    share(data.threads, tasks, work)
    return out
