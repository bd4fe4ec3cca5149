"""What changes a map besides births: neurons die or move, or a row or column comes between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.som_map.grid import Position
from dbgsom_core.som_map.som_map import SomMap


class Death(NamedTuple):
    """A neuron (row) that goes; its children become those of its parent."""

    neuron: int


class Move(NamedTuple):
    """A neuron (row) that goes to the cell ``position`` (x, y), free or about to be."""

    neuron: int
    position: Position


class Insert(NamedTuple):
    """A whole row or column between two neurons (rows) that are linked along it.

    Cells of the line of ``neuron`` and of that of ``other`` that are linked get a newborn between
    them: the mean of the two, and the child of the one in the line of ``neuron``. What lies beyond
    moves on by one cell.
    """

    neuron: int
    other: int


Change = Death | Move | Insert
CHANGES = (Death, Move, Insert)
Newborn = tuple[Position, NDArray[np.float64], int]


def change_of(stored: Any) -> Change:
    """Return the change that JSON holds as a list; ValueError where it is none."""
    match stored:
        case [int(neuron)]:
            return Death(neuron)
        case [int(neuron), [int(x), int(y)]]:
            return Move(neuron, (x, y))
        case [int(neuron), int(other)]:
            return Insert(neuron, other)
    raise ValueError("a change of the map is none that is known")


def changed_map(
    som_map: SomMap, changes: Sequence[Change]
) -> tuple[SomMap, NDArray[np.int64], list[Newborn]]:
    """Return a map that is another one by these changes; deaths come first, an `Insert` alone.

    Returns
    -------
    changed : SomMap
    rows : int64 array (K',)
        The row before of each of its neurons.
    newborn : list of (position, prototype, parent)
        What is to be born for an `Insert`, with parents as rows of the changed map.

    Raises
    ------
    ValueError
        The changes cannot be.
    """
    n, positions = len(som_map), som_map.positions
    for one in changes:
        for row in (one.neuron, one.other) if isinstance(one, Insert) else (one.neuron,):
            if not 0 <= row < n:
                raise ValueError(f"{one} names a neuron that is not among the {n} of the map")
    inserts = [one for one in changes if isinstance(one, Insert)]
    if inserts and len(changes) > 1:
        raise ValueError(f"{inserts[0]} comes with other changes; it has to be the only one")
    if inserts:
        positions, newborn = _opened(som_map, *inserts[0])
        return som_map.rearranged(np.arange(n), positions), np.arange(n), newborn
    dead = [one.neuron for one in changes if isinstance(one, Death)]
    moves = {one.neuron: one.position for one in changes if isinstance(one, Move)}
    if len({*dead, *moves}) < len(changes):
        raise ValueError("a neuron dies or moves twice in one epoch")
    if len(dead) >= n:
        raise ValueError("every neuron dies; a map has at least one")
    for neuron, cell in moves.items():
        positions[neuron] = cell
    rows = np.delete(np.arange(n), dead)
    return som_map.rearranged(rows, positions[rows]), rows, []


def _opened(som_map: SomMap, neuron: int, other: int) -> tuple[NDArray[np.int64], list[Newborn]]:
    # The cells of all neurons once there is room between two lines, and who is born there.
    grid, positions = som_map.grid, som_map.positions
    step = positions[other] - positions[neuron]
    if grid.torus is not None:
        raise ValueError("a torus has no room for another row or column")
    if other not in som_map.neighbours(neuron) or np.abs(step).sum() != 1:
        told = f"{positions[neuron].tolist()} and {positions[other].tolist()}"
        raise ValueError(f"no row or column fits between {told}: they are not linked along one")
    axis, ahead = int(step[1] != 0), int(step.sum())
    link = grid.offsets.index((int(step[0]), int(step[1])))
    line = np.flatnonzero(positions[:, axis] == positions[neuron, axis])
    beyond = ahead * (positions[:, axis] - positions[neuron, axis]) > 0
    moved = positions + beyond[:, None] * step
    newborn: list[Newborn] = []
    for one, across in zip(line.tolist(), som_map.links[line, link].tolist(), strict=True):
        if across >= 0:
            x, y = (positions[one] + step).tolist()
            mean = 0.5 * (som_map.prototypes[one] + som_map.prototypes[across])
            newborn.append(((x, y), mean, one))
    return moved, newborn
