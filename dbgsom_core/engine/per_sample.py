"""What a pass found of each sample, looked up a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import MapGraph, PerSample, Rows

_ROWS = 1 << 16  # samples looked up at a time


def units_of(found: PerSample) -> NDArray[Any]:
    """Return the units (n,) as they are kept: to be looked up, and not to be computed with."""
    units: NDArray[Any] | None = getattr(found, "units", None)
    return found.bmu if units is None else units


def each_piece(
    found: PerSample, n: int
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.float64]]]:
    """Yield rows, units and distances of the first ``n`` samples, 65536 at a time.

    ``found`` may have a ``piece``: how many it tells of at a time.
    """
    of_rows, piece = getattr(found, "of_rows", None), getattr(found, "piece", _ROWS)
    for first in range(0, n, piece):
        many = slice(first, min(first + piece, n))
        if of_rows is None:
            bmu, distance = found.bmu[many], found.distance[many]
        else:
            bmu, distance = of_rows(many)
        for start in range(0, len(bmu), _ROWS):
            rows = slice(start, min(start + _ROWS, len(bmu)))
            yield slice(first + rows.start, first + rows.stop), bmu[rows], distance[rows]


def add_in_order(
    out: NDArray[np.float64], units: NDArray[Any], values: NDArray[np.float64]
) -> None:
    """Add the values (m,) of units to out (K,), in their order whatever m is."""
    if out.any():
        np.add.at(out, units, values)
    else:
        out += np.bincount(units, values, len(out))


def count_units(
    units: NDArray[Any], weights: NDArray[np.float64] | None, n_units: int
) -> NDArray[Any]:
    """Return how many samples each unit has, int64 (K,), or the sums of their weights."""
    hits: NDArray[Any] = np.zeros(n_units, np.int64 if weights is None else np.float64)
    for start in range(0, len(units), _ROWS):  # to count takes memory
        rows = slice(start, start + _ROWS)
        if weights is None:
            hits += np.bincount(units[rows], minlength=n_units)
        else:
            add_in_order(hits, units[rows], weights[rows])
    return hits


def plainly_unlinked(
    data: Any, prototypes: NDArray[np.float64], graph: MapGraph
) -> NDArray[np.bool_]:
    """Return of which samples the two nearest prototypes are not linked, bool (n,)."""
    if len(prototypes) == 1:
        return np.zeros(data.n, bool)
    return unlinked(data.nearest_units(prototypes, 2)[0], graph)


def unlinked(nearest: NDArray[np.signedinteger[Any]], graph: MapGraph) -> NDArray[np.bool_]:
    """Return of which samples the two ``nearest`` neurons (n, 2) are not linked, bool (n,)."""
    n = len(nearest)
    found = np.empty(n, dtype=bool)
    for start in range(0, n, _ROWS):  # to look up takes room
        first, second = nearest[start : start + _ROWS].T
        found[start : start + _ROWS] = (graph.links[first] != second[:, None]).all(axis=1)
    return found


def groups(keys: NDArray[Any]) -> list[Rows]:
    """Return the rows of each distinct key, each ascending, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]
