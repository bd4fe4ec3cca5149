"""What the explorer tells of the maps of one run, and of samples on them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import by_prototype
from dbgsom_plugins.figures._drawing import counts, drawn_at
from dbgsom_plugins.figures.explorer._packing import film_of, packed_integers, packed_table, short
from dbgsom_plugins.labellers.clusters import live_links

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView, SomMap
    from dbgsom_plugins.figures.explorer._labels import Labels


@dataclass(frozen=True)
class Shown:
    """What is shown of each map.

    Attributes
    ----------
    rows : int array (m,)
        The samples in the page.
    codes : int array (n,) or None
        The class of each sample of the evaluation, -1 for none.
    classes : int
        How many there are.
    columns : int array (F,)
        The features whose values are told.
    size : {1, 2}
        Bytes of a value of a prototype.
    film : int
        Letters that the film of a map may have.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64] | None
    classes: int
    columns: NDArray[np.int64]
    size: int
    film: int


def told_of_tree(
    view: MapView, shown: Shown, colours: NDArray[np.float64], labels: Labels
) -> dict[str, Any]:
    """Return plain values of a map and its child maps, and where samples are on them.

    ``colours`` (K, 3) are those of the prototypes of the first map, ``labels`` those of the
    neurons of all.
    """
    evaluation, tree = view.evaluation, view.evaluation.tree
    leaf = evaluation.leaf
    novelty = None if view.novelty is None else np.asarray(view.novelty(), dtype=np.float64)
    places = _places(view)
    maps = []
    for number, som_map in enumerate(tree.maps):
        passing = np.flatnonzero(_passes(view, number)[leaf])
        found = won(evaluation, number, passing)
        apart = (
            evaluation.prototype_distances
            if number == 0
            else evaluation.data.pairwise(som_map.prototypes, som_map.prototypes)
        )
        shares = _shares(found[0][:, 0], shown, passing, len(som_map))
        rgb = colours if number == 0 else by_prototype(np.nan_to_num(som_map.prototypes))
        values = view.in_own_units(som_map.prototypes)[:, shown.columns]
        told = told_of_map(som_map, apart, found, shares, novelty, passing)
        maps.append(
            {
                **told,
                "rgb": packed_integers(np.rint(255 * rgb).astype(np.int64).ravel()),
                "prototypes": packed_table(values, shown.size),
                "leaf": tree.leaf_of[number].tolist(),
                "child": tree.child_of[number].tolist(),
                "above": places[number],
                "labels": labels.of(view, number),
            }
        )
    samples = {
        "leaf": packed_integers(leaf[shown.rows]),
        "distance": packed_table(evaluation.leaf_distance[shown.rows][:, None], 2),
    }
    if novelty is not None:
        samples["novelty"] = packed_table(novelty[shown.rows][:, None], 2)
    return {
        "title": as_label(view.title, 120),
        # The rows may be others than those of training, whose quantization error measures told.
        "summary": f"{counts(view)} of {len(evaluation.leaf_distance):,} samples",
        "kind": view.estimator,
        "labels": labels.told(view),
        "maps": maps,
        "epochs": [
            [record.epoch, record.neurons, *short([record.quantization_error])]
            for record in view.history
        ],
        "film": film_of(view, shown.columns, colours, shown.film),
        "samples": samples,
    }


def _passes(view: MapView, number: int) -> NDArray[np.bool_]:
    # For each leaf whether the way down to it leads over this map.
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


def _places(view: MapView) -> list[list[int] | None]:
    # The map and the neuron above each map.
    tree = view.evaluation.tree
    above: list[list[int] | None] = [None] * len(tree.maps)
    for number, children in enumerate(tree.child_of):
        for neuron in np.flatnonzero(children >= 0).tolist():
            above[int(children[neuron])] = [number, neuron]
    return above


def _shares(
    unit: NDArray[np.int64], shown: Shown, rows: NDArray[np.int64], neurons: int
) -> NDArray[np.float64] | None:
    codes, classes = shown.codes, shown.classes
    if codes is None:
        return None
    known = codes[rows] >= 0
    counted = np.bincount(
        unit[known] * classes + codes[rows][known], minlength=neurons * classes
    ).reshape(neurons, classes)
    return np.asarray(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1))


def won(evaluation: Evaluation, number: int, rows: NDArray[np.int64]) -> Won:
    """Return what the samples ``rows`` (m,), which pass a map of the tree, find there."""
    som_map = evaluation.tree.maps[number]
    if number == 0:
        nearest = np.column_stack([evaluation.bmu, _second(evaluation)])
        return nearest, evaluation.distance
    if not len(rows):
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    data = evaluation.data.subset(rows)
    units, distances = data.nearest_units(som_map.prototypes, min(2, len(som_map)))
    found = units[:, 0]
    near = data.distances_to(som_map.prototypes, found) if distances is None else distances[:, 0]
    return np.column_stack([found, units[:, -1]]), near


def _second(evaluation: Evaluation) -> NDArray[np.int64]:
    return evaluation.second_bmu if len(evaluation.som_map) > 1 else evaluation.bmu


def measured(som_map: SomMap, apart: NDArray[np.float64], found: Won) -> dict[str, Any]:
    """Return what each neuron (K,) of a map may be coloured by, nan for no value.

    ``apart`` (K, K) are the distances between its prototypes, ``found`` the two nearest neurons of
    the samples that pass it and the distances to the first.
    """
    nearest, distance = found
    n = len(som_map)
    hits = np.bincount(nearest[:, 0], minlength=n)
    torn = som_map.hops[nearest[:, 0], nearest[:, 1]] > 1
    height = som_map.mean_over_links(apart)
    height = np.where(som_map.degrees() > 0, height, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "hits": hits,
            "error": np.bincount(nearest[:, 0], distance, n) / hits,
            "torn": np.bincount(nearest[:, 0], torn, n) / hits,
            "height": height,
            "density": hits / height,
            "birth": som_map.birth_epochs,
        }


def told_of_map(
    som_map: SomMap,
    apart: NDArray[np.float64],
    found: Won,
    shares: NDArray[np.float64] | None,
    novelty: NDArray[np.float64] | None,
    passing: NDArray[np.int64],
) -> dict[str, Any]:
    """Return plain values that draw a map and tell its neurons.

    ``shares`` (K, C) are the classes of the samples of each neuron. ``novelty`` (n,) is that of all
    samples, ``passing`` (m,) are those that pass the map.
    """
    values = measured(som_map, apart, found)
    if novelty is not None:
        total = np.bincount(found[0][:, 0], novelty[passing], len(som_map))
        with np.errstate(divide="ignore", invalid="ignore"):
            values["novelty"] = total / values["hits"]
    edges = som_map.edges()
    lengths = apart[edges[:, 0], edges[:, 1]][:, None]
    x, y = drawn_at(som_map).T
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
        warnings.simplefilter("ignore")  # parts that no link joins are joined where they are near
        joins, _, _, _, heights = ward_tree(
            som_map.prototypes[live], connectivity=live_links(som_map, live), return_distance=True
        )
    nodes = np.concatenate([live, k + np.arange(n - 1)])
    return nodes[joins], heights


Won = tuple["NDArray[np.int64]", "NDArray[np.float64]"]
