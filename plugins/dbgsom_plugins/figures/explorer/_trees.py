"""What the explorer tells of the maps of one run, and of samples on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import by_prototype
from dbgsom_plugins.figures._drawing import counts
from dbgsom_plugins.figures.explorer._film import film_of
from dbgsom_plugins.figures.explorer._maps import told_of_map, won
from dbgsom_plugins.figures.explorer._packing import packed_integers, packed_table, short

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView
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
