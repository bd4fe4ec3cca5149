"""The maps of one run, and the samples on them, as plain values for the explorer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import by_prototype
from dbgsom_plugins.figures._drawing import cell_centres, summary_line
from dbgsom_plugins.figures.explorer._packing import (
    packed_integers,
    packed_table,
    past_epochs,
    short,
)
from dbgsom_plugins.labellers.neurons import live_links

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView, SomMap
    from dbgsom_plugins.figures.explorer._labels import Labels


@dataclass(frozen=True)
class PageOptions:
    """What the page includes of each map, and how precisely.

    Attributes
    ----------
    rows : int array (m,)
        The samples in the page.
    codes : int array (n,) or None
        The class of each sample of the evaluation, -1 for none.
    classes : int
        How many there are.
    columns : int array (F,)
        The features whose values are included.
    size : {1, 2}
        Bytes of a value of a prototype.
    film : int
        Characters that the past epochs of a map may take.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64] | None
    classes: int
    columns: NDArray[np.int64]
    bytes_per_value: int
    max_film_chars: int


class Nearest(NamedTuple):
    """The two nearest neurons (m, 2) of samples, and the distances (m,) to the nearest."""

    units: NDArray[np.int64]
    distances: NDArray[np.float64]


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
    above = _parent_neurons(view)
    maps = []
    for number, som_map in enumerate(tree.maps):
        sample_rows = np.flatnonzero(_leaves_below(view, number)[leaf])
        nearest = nearest_neurons(evaluation, number, sample_rows)
        prototype_distances = (
            evaluation.prototype_distances
            if number == 0
            else evaluation.data.pairwise(som_map.prototypes, som_map.prototypes)
        )
        shares = _shares(nearest.units[:, 0], options, sample_rows, len(som_map))
        rgb = colours if number == 0 else by_prototype(np.nan_to_num(som_map.prototypes))
        values = view.in_own_units(som_map.prototypes)[:, options.columns]
        of_samples = None if novelty is None else novelty[sample_rows]
        data = map_data(som_map, prototype_distances, nearest, shares, of_samples)
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
        "film": past_epochs(view, options.columns, colours, options.max_film_chars),
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


def _parent_neurons(view: MapView) -> list[list[int] | None]:
    # The map and the neuron above each map.
    tree = view.evaluation.tree
    above: list[list[int] | None] = [None] * len(tree.maps)
    for number, children in enumerate(tree.child_of):
        for neuron in np.flatnonzero(children >= 0).tolist():
            above[int(children[neuron])] = [number, neuron]
    return above


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


def nearest_neurons(evaluation: Evaluation, number: int, rows: NDArray[np.int64]) -> Nearest:
    """Return the nearest neurons of samples ``rows`` (m,) on a map of the tree."""
    som_map = evaluation.tree.maps[number]
    if number == 0:
        second = evaluation.second_bmu if len(som_map) > 1 else evaluation.bmu
        return Nearest(np.column_stack([evaluation.bmu, second]), evaluation.distance)
    if not len(rows):
        return Nearest(np.empty((0, 2), dtype=np.int64), np.empty(0))
    data = evaluation.data.subset(rows)
    units, distances = data.nearest_units(som_map.prototypes, min(2, len(som_map)))
    first = units[:, 0]
    near = data.distances_to(som_map.prototypes, first) if distances is None else distances[:, 0]
    return Nearest(np.column_stack([first, units[:, -1]]), near)


def map_data(
    som_map: SomMap,
    prototype_distances: NDArray[np.float64],
    nearest: Nearest,
    shares: NDArray[np.float64] | None,
    novelty: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Return plain values from which a map is drawn and its neurons are described.

    ``nearest`` is of the samples (m,) on this map, ``novelty`` (m,) theirs; ``shares`` (K, C) are
    those of the classes at each neuron. What cells may be coloured by is nan where it has no value.
    """
    first, second = nearest.units.T
    hits = np.bincount(first, minlength=len(som_map))
    height = som_map.mean_over_links(prototype_distances)  # as in a U-matrix
    height = np.where(som_map.degrees() > 0, height, np.nan)
    of_samples = {"error": nearest.distances, "torn": som_map.hops[first, second] > 1}
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
        warnings.simplefilter("ignore")  # that separate components are connected
        joins, _, _, _, heights = ward_tree(
            som_map.prototypes[live], connectivity=live_links(som_map, live), return_distance=True
        )
    nodes = np.concatenate([live, k + np.arange(n - 1)])
    return nodes[joins], heights
