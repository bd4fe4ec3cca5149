"""The maps of one run, and the samples on them, as plain values for the explorer."""

from __future__ import annotations

import warnings
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import by_prototype
from dbgsom_plugins.figures._drawing import cell_centres, summary_line
from dbgsom_plugins.labellers.clusters import live_links

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView, SomMap
    from dbgsom_plugins.figures.explorer._payload import Labels


_STEPS = {1: 2**8 - 2, 2: 2**16 - 2}  # from a column's least to its largest value, by bytes
_MOST_DECIMALS = 7


@dataclass(frozen=True)
class PageOptions:
    """What the page includes of each map, and how precisely."""

    rows: NDArray[np.int64]  # (m,) samples in the page
    codes: NDArray[np.int64] | None  # (n,) class of each sample of the evaluation, -1 for none
    classes: int  # how many there are
    columns: NDArray[np.int64]  # (F,) features whose values are included
    bytes_per_value: int  # of a prototype, 1 or 2


def tree_data(
    view: MapView, options: PageOptions, colours: NDArray[np.float64], labels: Labels
) -> dict[str, Any]:
    """Return plain values of a map and its child maps, and where samples are on them.

    ``colours`` (K, 3) are those of the prototypes of the first map, ``labels`` those of the
    neurons of all.
    """
    evaluation, tree = view.evaluation, view.evaluation.tree
    leaf = evaluation.leaf
    novelty = None if view.novelty is None else np.asarray(view.novelty(), dtype=np.float64)
    above: list[list[int] | None] = [None] * len(tree.maps)  # map and neuron above each map
    for number, children in enumerate(tree.child_of):
        for neuron in np.flatnonzero(children >= 0).tolist():
            above[int(children[neuron])] = [number, neuron]
    maps = []
    for number, som_map in enumerate(tree.maps):
        sample_rows = np.flatnonzero(_leaves_below(view, number)[leaf])
        units, distances = nearest_neurons(evaluation, number, sample_rows)
        prototype_distances = (
            evaluation.prototype_distances
            if number == 0
            else evaluation.data.pairwise(som_map.prototypes, som_map.prototypes)
        )
        shares = _shares(units[:, 0], options, sample_rows, len(som_map))
        rgb = colours if number == 0 else by_prototype(np.nan_to_num(som_map.prototypes))
        values = view.in_own_units(som_map.prototypes)[:, options.columns]
        of_samples = None if novelty is None else novelty[sample_rows]
        data = map_data(som_map, prototype_distances, units, distances, shares, of_samples)
        maps.append(
            {
                **data,
                "rgb": packed_integers(np.rint(255 * rgb).astype(np.int64).ravel()),
                "prototypes": packed_table(values, options.bytes_per_value),
                "leaf": tree.leaf_of[number].tolist(),
                "child": tree.child_of[number].tolist(),
                "above": above[number],
                "labels": labels.of(view, number),
            }
        )
    samples = {
        "leaf": packed_integers(leaf[options.rows]),
        "distance": packed_table(evaluation.leaf_distance[options.rows][:, None], 2),
    }
    if novelty is not None:
        samples["novelty"] = packed_table(novelty[options.rows][:, None], 2)
    return {
        "title": as_label(view.title, 120),
        # The samples need not be those of training, so their number is given.
        "summary": f"{summary_line(view)} of {len(evaluation.leaf_distance):,} samples",
        "kind": view.estimator,
        "labels": labels.data(view),
        "maps": maps,
        "epochs": [
            [record.epoch, record.neurons, *short([record.quantization_error])]
            for record in view.history
        ],
        "samples": samples,
    }


def _leaves_below(view: MapView, number: int) -> NDArray[np.bool_]:
    # Which leaves are below this map.
    tree = view.evaluation.tree
    below = {number}
    for other in range(number, len(tree.maps)):  # children have higher numbers
        if other in below:
            below.update(int(child) for child in tree.child_of[other] if child >= 0)
    passes = np.zeros(len(tree), dtype=np.bool_)
    for other in below:
        leaves = tree.leaf_of[other]
        passes[leaves[leaves >= 0]] = True
    return passes


def _shares(
    unit: NDArray[np.int64], options: PageOptions, rows: NDArray[np.int64], neurons: int
) -> NDArray[np.float64] | None:
    codes, classes = options.codes, options.classes
    if codes is None:
        return None
    known = codes[rows] >= 0
    counted = np.bincount(
        unit[known] * classes + codes[rows][known], minlength=neurons * classes
    ).reshape(neurons, classes)
    return np.asarray(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1))


def nearest_neurons(
    evaluation: Evaluation, number: int, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the two nearest neurons (m, 2) of samples ``rows`` on a map, and distances (m,)."""
    som_map = evaluation.tree.maps[number]
    if number == 0:
        second = evaluation.second_bmu if len(som_map) > 1 else evaluation.bmu
        return np.column_stack([evaluation.bmu, second]), evaluation.distance
    if not len(rows):
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    data = evaluation.data.subset(rows)
    units, distances = data.nearest_units(som_map.prototypes, min(2, len(som_map)))
    first = units[:, 0]
    near = data.distances_to(som_map.prototypes, first) if distances is None else distances[:, 0]
    return np.column_stack([first, units[:, -1]]), near


def map_data(
    som_map: SomMap,
    prototype_distances: NDArray[np.float64],
    units: NDArray[np.int64],
    distances: NDArray[np.float64],
    shares: NDArray[np.float64] | None,
    novelty: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Return plain values from which a map is drawn and its neurons are described.

    ``units`` (m, 2) and ``distances`` are of the samples on this map, ``novelty`` (m,) theirs;
    ``shares`` (K, C) are those of the classes at each neuron. What is unknown of a neuron is None.
    """
    first, second = units.T
    hits = np.bincount(first, minlength=len(som_map))
    height = som_map.mean_over_links(prototype_distances)  # as in a U-matrix
    height = np.where(som_map.degrees() > 0, height, np.nan)
    of_samples = {"error": distances, "torn": som_map.hops[first, second] > 1}
    if novelty is not None:
        of_samples["novelty"] = novelty
    with np.errstate(divide="ignore", invalid="ignore"):
        values: dict[str, NDArray[Any]] = {
            name: np.bincount(first, samples, len(som_map)) / hits
            for name, samples in of_samples.items()
        }
        values |= {"hits": hits, "height": height, "density": hits / height}
    values["birth"] = som_map.birth_epochs
    edges = som_map.edges()
    lengths = prototype_distances[edges[:, 0], edges[:, 1]][:, None]
    x, y = cell_centres(som_map).T
    joins, heights = dendrogram(som_map, values["hits"])
    return {
        "n": len(som_map),
        "x": short(x),
        "y": short(y),
        "cells": packed_integers((som_map.positions - som_map.positions.min(axis=0)).ravel()),
        "first": som_map.positions.min(axis=0).tolist(),
        "corners": [short(corner) for corner in som_map.grid.corners],
        "edges": packed_integers(edges.ravel()),
        "lengths": packed_table(lengths, 2),
        "parents": som_map.parents.tolist(),
        "values": {name: short(one) for name, one in values.items()},
        "shares": None if shares is None else packed_integers(np.rint(255 * shares).ravel()),
        "joins": packed_integers(joins.ravel()),
        "heights": short(heights),
    }


def dendrogram(
    som_map: SomMap, hits: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how neighbouring neurons with hits are joined one by one (Ward), and how far apart.

    Join i makes node K + i of two earlier nodes, neurons being the first K. Neurons without hits
    are in none: they pass their links on.
    """
    live = np.flatnonzero(hits > 0)
    n, k = len(live), len(som_map)
    if n < 2 or not np.isfinite(som_map.prototypes).all():
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    from sklearn.cluster import ward_tree

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ward_tree says that it joins separate components
        joins, _, _, _, heights = ward_tree(
            som_map.prototypes[live], connectivity=live_links(som_map, live), return_distance=True
        )
    nodes = np.concatenate([live, k + np.arange(n - 1)])
    return nodes[joins], heights


# ------------------------------------------------------------------------------------------ packing


def packed_integers(values: NDArray[Any]) -> dict[str, Any]:
    """Return integers of at least 0 as little-endian bytes in base64, one to four each."""
    largest = int(values.max(initial=0))
    size = 1 if largest < 2**8 else 2 if largest < 2**16 else 4
    content = np.ascontiguousarray(values, dtype=f"<u{size}").tobytes()
    return {"size": size, "data": b64encode(content).decode()}


def packed_table(values: NDArray[Any], size: int) -> dict[str, Any]:
    """Return a table (R, D) with each column in equal steps from its least to its largest value.

    A value is ``low + (code - 1) * step`` of its column; code 0 stands for no value, which is what
    nan and infinities are. ``size`` is the number of bytes of a code.
    """
    table = np.array(values, dtype=np.float64)
    known, (low, high) = np.isfinite(table), _column_ends(table)
    most = 2 ** (8 * size) - 1
    step = high / (most - 1) - low / (most - 1)  # high - low may overflow
    codes = np.zeros(table.shape)
    np.divide(table - low, step, out=codes, where=(step > 0) & known)
    codes = np.where(known, np.clip(np.rint(codes), 0, most - 1) + 1, 0)
    return {
        "rows": len(table),
        "low": low.tolist(),
        "step": step.tolist(),
        "size": size,
        "data": b64encode(codes.astype(f"<u{size}").tobytes()).decode(),
    }


def packed_exactly(values: NDArray[Any], size: int) -> dict[str, Any]:
    """Return a table as `packed_table`, with columns of few decimals as they are.

    Values that are multiples of 0.1, 0.01 … are stored in such steps where two bytes are enough for
    the column, and ``exact`` says whether all columns are. Where one byte is enough, ``size`` is 1.
    """
    values = np.asarray(values, dtype=np.float64)
    steps = [_decimal_step(column[np.isfinite(column)]) for column in values.T]
    spans = [0 if one is None else one[1] for one in steps]
    exact = all(one is not None for one in steps)
    size = 1 if exact and max(spans, default=0) <= _STEPS[1] else size
    found = packed_table(values, size)
    codes = np.frombuffer(b64decode(found["data"]), f"<u{size}").reshape(values.shape).copy()
    for column, one in enumerate(steps):
        if one is None or one[1] > _STEPS[size]:
            exact = False
            continue
        decimals, _, low = one
        known = np.isfinite(values[:, column])
        codes[known, column] = np.rint(values[known, column] * 10**decimals) - low + 1
        found["low"][column], found["step"][column] = low / 10**decimals, 1 / 10**decimals
    return {**found, "data": b64encode(codes.tobytes()).decode(), "exact": exact}


def _decimal_step(values: NDArray[np.float64]) -> tuple[int, int, int] | None:
    """Return decimals, their steps from the least to the largest value, and the least in steps."""
    for decimals in range(_MOST_DECIMALS):
        scaled = values * 10.0**decimals
        steps = np.rint(scaled)
        low, high = (float(steps.min()), float(steps.max())) if len(steps) else (0.0, 0.0)
        if high - low > _STEPS[2]:
            return None
        if (np.abs(scaled - steps) <= 1e-6 * np.maximum(1.0, np.abs(scaled))).all():
            return decimals, int(high - low), int(low)
    return None


def short(values: Any) -> list[float | None]:
    """Return numbers with five significant digits; None for those that are not finite."""
    return [
        (int(one) if one.is_integer() and abs(one) < 1e15 else float(f"{one:.5g}"))
        if np.isfinite(one)
        else None
        for one in np.asarray(values, dtype=np.float64).tolist()
    ]


def _column_ends(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the largest finite value of each column; 0 where there is none."""
    known = np.isfinite(table)
    low = np.where(known, table, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, table, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(known.any(axis=0), low, 0.0), np.where(known.any(axis=0), high, 0.0)
