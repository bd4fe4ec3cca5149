"""What the explorer tells of each map of a tree."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_plugins.figures._drawing import drawn_at
from dbgsom_plugins.figures.explorer._packing import packed_integers, packed_table, short
from dbgsom_plugins.labellers.clusters import live_links

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, SomMap


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
