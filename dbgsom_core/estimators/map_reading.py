"""From the plain values of a model file to a map and its child maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.estimators.archive import UnfitError, one_line
from dbgsom_core.estimators.held_values import StoredTypes, shown
from dbgsom_core.estimators.plain_values import Take, from_plain
from dbgsom_core.som_map.grid import GRIDS, Grid
from dbgsom_core.som_map.som_map import SomMap

MAP_ARRAYS = {
    "positions": "int[K, 2]",
    "prototypes": "finite[K, D]",
    "parents": "int[K]",
    "birth_epochs": "int[K]",
}
GRID_SHAPE = ("offsets", "diagonals", "axes", "corners")
_MOST_PLACES = 64
# Hops between K neurons take 2*K*K bytes, which no file holds: so many, and so many times its own.
_HOP_BYTES = (1 << 28, 1000)
_WIDEST = 1 << 15  # columns and rows, which are hops between parts of a map


def check_room(maps: Sequence[SomMap], size: int) -> None:
    """Raise `UnfitError` where a file of ``size`` bytes cannot hold so many neurons."""
    room = Room(size)
    for som_map in maps:
        room.take(len(som_map))


class Room:
    """How much the hops of a file's maps may still take."""

    def __init__(self, size: int | None) -> None:
        self.left = None if size is None else _HOP_BYTES[0] + _HOP_BYTES[1] * size

    def take(self, neurons: int) -> None:
        """Take what the hops between so many neurons need; UnfitError where it is not there."""
        if self.left is None:
            return
        self.left -= 2 * neurons * (neurons + 1)
        if self.left < 0:
            raise UnfitError(f"holds {neurons} neurons, which is more than a file of its size can")


def read_map(stored: Mapping[str, Any], take: Take, types: StoredTypes, room: Room) -> SomMap:
    """Return a map with its child maps.

    Parameters
    ----------
    stored : mapping
        As `model_file` writes it.
    take : callable
        Gives the arrays.
    types : StoredTypes
    room : Room
        What this map and those below it may take is taken from it.

    Raises
    ------
    NotPlainError, UnfitError
        Something is not what it may be, or does not fit the rest.
    """
    arrays = {name: from_plain(stored[name], take, types) for name in MAP_ARRAYS}
    sizes: dict[str, int] = {}
    for name, holds in MAP_ARRAYS.items():
        problem = types.mismatch(arrays[name], holds, sizes)
        if problem:
            raise UnfitError(f"holds a map whose arrays do not fit each other: {name}{problem}")
    positions, parents, n = arrays["positions"], arrays["parents"], sizes["K"]
    if not (n and sizes["D"]):
        raise UnfitError("holds a map without neurons or columns")
    room.take(n)
    # A map that its growth strategy took apart says so, and is no larger than a whole one can be.
    is_apart = stored.get("apart", False) is True
    span = positions.max(axis=0).astype(object) - positions.min(axis=0).astype(object)
    too_wide = (span >= n).any() and not (is_apart and span.sum() <= _WIDEST)
    if max(abs(positions.min()), abs(positions.max())) > 2**31 or too_wide:
        raise UnfitError("holds a map with neurons that nothing links")
    if (
        (parents < -1).any()
        or (parents >= np.arange(n)).any()
        or (arrays["birth_epochs"] < 0).any()
    ):
        raise UnfitError("holds a map with births out of order")
    som_map = SomMap.restored(**arrays, grid=_grid(stored, positions))
    if som_map.is_apart != is_apart:
        raise UnfitError("holds a map with neurons that nothing links")
    for neuron, child in stored["children"]:
        if not 0 <= neuron < n or neuron in som_map.children:
            raise UnfitError(f"holds a child map of {shown(neuron)}, which is no neuron or has one")
        below = read_map(child, take, types, room)
        if below.prototypes.shape[1] != sizes["D"]:
            raise UnfitError("holds a child map with other columns than its parent")
        if below.grid.flat != som_map.grid.flat:
            raise UnfitError("holds a child map on another grid than its parent")
        som_map.children[int(neuron)] = below
    return som_map


def _grid(stored: Mapping[str, Any], positions: NDArray[Any]) -> Grid:
    # That of a map whose neurons are in these cells; files before hexagonal maps do not tell.
    name, torus = stored.get("grid", "square"), stored.get("torus")
    known = GRIDS.get(name) if isinstance(name, str) else None
    grid = _lattice(name, stored["lattice"]) if "lattice" in stored else known
    if grid is None:
        raise UnfitError(f"holds a map on a grid that is not known here: {shown(name)}")
    if torus is None:
        return grid
    whole = isinstance(torus, list) and [type(one) for one in torus] == [int, int]
    if not whole or min(torus) < 1 or torus[0] * torus[1] != len(positions):
        told = f"{torus[0]} × {torus[1]}" if whole else shown(torus)
        raise UnfitError(f"holds a torus that its neurons do not fill: {told}")
    try:
        grid = grid.closed(*torus)
    except ValueError as error:
        raise UnfitError(f"holds a torus that cannot be: {error}") from error
    if any(grid.home((x, y)) != (x, y) for x, y in positions.tolist()):
        raise UnfitError("holds a torus with neurons outside of it")
    return grid


def _lattice(name: Any, stored: Any) -> Grid:
    # A grid that no built-in is; what it says of itself is looked at before anything uses it.
    try:
        shape: dict[str, Any] = {
            key: tuple((a, b) for a, b in islice(stored[key], _MOST_PLACES + 1))
            for key in GRID_SHAPE
        }
        grid = Grid(**shape, name=str(name)[:200])
        if max(map(len, shape.values())) > _MOST_PLACES:
            raise ValueError("it has too many of them")
        grid.check()
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise UnfitError(f"holds a map on a grid that cannot be: {one_line(error)}") from error
    return grid
