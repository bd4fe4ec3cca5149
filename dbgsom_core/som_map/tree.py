"""The tree of maps: its leaves, and the descent of samples to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Assignment, Integers, PerSample, groups
from dbgsom_core.engine.samples import Samples
from dbgsom_core.som_map.som_map import SomMap


@dataclass(frozen=True)
class Tree:
    """A map, its child maps, theirs, and so on, with the leaves: the neurons without a child map.

    Maps are numbered depth first, a neuron's child map when its row comes; leaves likewise, so
    those of a map without children are its neurons in row order.

    ``depths`` of maps are 1 for the root; ``leaf_of`` and ``child_of`` are for each map the leaf
    and the number of the child map, of each neuron (K,), or -1; ``paths`` (L, depth) the rows of
    the neurons that lead from the root to each leaf, then -1.
    """

    maps: Sequence[SomMap]
    depths: Sequence[int]
    leaf_of: Sequence[Integers]
    child_of: Sequence[Integers]
    paths: Integers

    @classmethod
    def of(cls, root: SomMap) -> Self:
        maps: list[SomMap] = []
        depths: list[int] = []
        leaf_of: list[Integers] = []
        child_of: list[Integers] = []
        paths: list[tuple[int, ...]] = []

        def visit(som_map: SomMap, path: tuple[int, ...]) -> int:
            number = len(maps)
            maps.append(som_map)
            depths.append(len(path) + 1)
            leaf_of.append(np.full(len(som_map), -1, dtype=np.int64))
            child_of.append(np.full(len(som_map), -1, dtype=np.int64))
            for neuron in range(len(som_map)):
                child = som_map.children.get(neuron)
                if child is None:
                    leaf_of[number][neuron] = len(paths)
                    paths.append((*path, neuron))
                else:
                    child_of[number][neuron] = visit(child, (*path, neuron))
            return number

        visit(root, ())
        padded = np.full((len(paths), max(depths)), -1, dtype=np.int64)
        for leaf, path in enumerate(paths):
            padded[leaf, : len(path)] = path
        return cls(maps, depths, leaf_of, child_of, padded)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def depth(self) -> int:
        return int(self.paths.shape[1])

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        weights = np.empty((len(self), self.maps[0].prototypes.shape[1]))
        for som_map, leaves in zip(self.maps, self.leaf_of, strict=True):
            weights[leaves[leaves >= 0]] = som_map.prototypes[leaves >= 0]
        return weights

    def live(self, hits: NDArray[Any]) -> list[Integers]:
        """Return for each map the rows of the neurons with a child map or ``hits`` (L,)."""
        live = []
        for leaves, children in zip(self.leaf_of, self.child_of, strict=True):
            may_win = (children >= 0) | (hits[leaves] > 0)
            live.append(np.flatnonzero(may_win))
        return live


@dataclass(frozen=True)
class Descent:
    """The ``leaf`` (n,) where samples end, the rows ``path`` (n, depth) of neurons, then -1."""

    leaf: Integers
    path: Integers
    assignment: PerSample

    @property
    def distance(self) -> NDArray[np.float64]:
        return self.assignment.distance


def descend(
    tree: Tree, data: Samples, live: Sequence[Integers] | None = None, start: int = 0
) -> Descent:
    """Return the descent of samples: to the nearest neuron, then within its child map, and so on.

    The leaf is not always the nearest of all leaves. Samples begin in map ``start`` and are
    searched in groups, one for each map on their paths; ``live`` are for each map the rows of the
    neurons that may win.
    """
    n = data.n
    if len(tree.maps) == 1:
        assignment, units = _units(tree, data, live, 0)
        return Descent(units, units[:, None], assignment)
    leaf = np.empty(n, dtype=np.int64)
    distance = np.empty(n)
    path = np.full((n, tree.depth), -1, dtype=np.int64)
    waiting: list[tuple[int, Integers]] = [(start, np.arange(n))]
    while waiting:
        number, rows = waiting.pop()
        here = data if len(rows) == n else data.subset(rows)
        assignment, units = _units(tree, here, live, number)
        path[rows, tree.depths[number] - 1] = units
        leaf[rows] = tree.leaf_of[number][units]
        distance[rows] = assignment.distance
        children = tree.child_of[number][units]
        deeper = np.flatnonzero(children >= 0)
        for group in groups(children[deeper]):
            members = deeper[group]
            waiting.append((int(children[members[0]]), rows[members]))
    return Descent(leaf, path, Assignment(leaf, distance))


def _units(
    tree: Tree, data: Samples, live: Sequence[Integers] | None, number: int
) -> tuple[PerSample, Integers]:
    # The nearest neurons of one map: the assignment, and its units as rows of the map.
    prototypes = tree.maps[number].prototypes
    if live is None:
        assignment = data.assign(prototypes)
        return assignment, assignment.bmu
    assignment = data.assign(prototypes[live[number]])
    return assignment, live[number][assignment.bmu]


def fallback_leaves(tree: Tree, data: Samples, hits: NDArray[Any]) -> Integers:
    """Return for each leaf (L,) the leaf whose label it has: itself when it won a sample.

    A dead leaf's is where its prototype descends to, from its own map, over live neurons only.
    """
    fallback = np.arange(len(tree))
    live = tree.live(hits)
    for number, leaves in enumerate(tree.leaf_of):
        dead = leaves[(leaves >= 0) & (hits[leaves] == 0)]
        if len(dead):
            prototypes = Samples(tree.weights[dead], data.metric)
            fallback[dead] = descend(tree, prototypes, live, start=number).leaf
    return fallback


def leaf_map(tree: Tree) -> SomMap:
    """Return the leaves as one map, for labellers.

    The maps lie side by side, a free column between two; leaves of different maps are not
    linked. Without child maps it is the map itself.
    """
    if len(tree.maps) == 1:
        return tree.maps[0]
    positions = np.empty((len(tree), 2), dtype=np.int64)
    column = 0
    grid = tree.maps[0].grid.flat
    links = np.empty((len(tree), grid.degree), dtype=np.int32)
    for som_map, leaves in zip(tree.maps, tree.leaf_of, strict=True):
        is_leaf = leaves >= 0
        cells = som_map.positions
        cells = cells - cells.min(axis=0) + (column, 0)
        positions[leaves[is_leaf]] = cells[is_leaf]
        linked = som_map.links
        linked = np.where(linked >= 0, leaves[linked], -1)  # as leaves; -1 for a child map's neuron
        links[leaves[is_leaf]] = linked[is_leaf]
        column = int(cells[:, 0].max()) + 2
    return SomMap(positions, tree.weights, grid, links)
