"""The births that compiled growth finds for a map, which it leaves as it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Birth, Grid, Position, SomMap


def grown(
    som_map: SomMap, errors: NDArray[Any], threshold: float, least: float, most: int
) -> list[Birth]:
    """Return at most ``most`` births beside boundary neurons, then in notches.

    Parameters
    ----------
    som_map : SomMap
        The map with K neurons.
    errors : array (K,)
        Errors before interior neurons share theirs.
    threshold : float
        From which error on a boundary neuron gets a newborn, where a cell is free.
    least : float
        How much the errors of a notch's neurons add up to before it is filled; nan: never.
    most : int
    """
    from dbgsom_plugins.growth import growth_loops  # numba is slow to import

    errors = np.array(errors, dtype=np.float64)  # the loop shares them in place
    prototypes, rooms = _rooms(som_map, most)
    given = (som_map.hops, errors, prototypes, float(threshold), float(least))
    return _born(growth_loops.grown, som_map, given, rooms)


def filled(
    som_map: SomMap, errors: NDArray[Any], least: float, taken: Sequence[Position], most: int
) -> list[Birth]:
    """Return at most ``most`` births in notches, whose neurons' errors add up to ``least``.

    Parameters
    ----------
    som_map : SomMap
        The map with K neurons.
    errors : array (K,)
        Errors after interior neurons have shared theirs.
    least : float
    taken : sequence of (x, y)
        Cells that newborns of this step take.
    most : int
    """
    from dbgsom_plugins.growth import growth_loops

    prototypes, rooms = _rooms(som_map, most)
    places = np.array(taken, dtype=np.int64).reshape(-1, 2)
    given = (_as_known(errors), prototypes, places, float(least))
    return _born(growth_loops.filled, som_map, given, rooms)


def _as_known(array: NDArray[Any]) -> NDArray[np.float64]:
    # The loops are compiled for one kind of array: a read-only one would be another.
    flags = array.flags
    if array.dtype == np.float64 and flags.c_contiguous and flags.writeable:
        return array
    return np.array(array, np.float64, order="C")


def _rooms(som_map: SomMap, most: int) -> tuple[NDArray[np.float64], tuple[Any, Any, Any]]:
    # The prototypes, and what the loops fill: `Cells`, `Work` and `Births` of growth_loops.
    prototypes, grid = _as_known(som_map.prototypes), som_map.grid
    neurons, features = prototypes.shape
    slots, rows = grid.degree * neurons, np.int64  # free links, so free cells, are no more
    room = max(min(most, slots), 0)
    cells = (
        np.empty((slots, 2), rows),
        np.empty((slots, grid.degree), rows),
        np.empty((neurons, grid.degree), rows),
        _ways(grid),
    )
    work = (*np.empty((4, slots), rows), *np.empty((2, slots)))
    births = np.empty((room, 2), rows), np.empty(room, rows), np.empty((room, features))
    return prototypes, (cells, work, births)


@lru_cache(maxsize=4)
def _ways(grid: Grid) -> NDArray[np.int64]:
    around = np.array(grid.offsets)
    apart = grid.flat.squared_distances(around[:, None], around)
    return np.column_stack([around, grid.opposite, apart]).astype(np.int64)


def _born(
    loop: Any, som_map: SomMap, given: tuple[Any, ...], rooms: tuple[Any, Any, Any]
) -> list[Birth]:
    born = loop(som_map.positions, som_map.links, *given, *rooms)
    places, parents, prototypes = (one[:born] for one in rooms[2])
    found = zip(places.tolist(), prototypes, parents.tolist(), strict=True)
    return [Birth((x, y), prototype, parent) for (x, y), prototype, parent in found]
