"""What the explorer's page knows of a run, in plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import MAX_CATEGORIES, categorical
from dbgsom_plugins.figures._sheet import counts
from dbgsom_plugins.figures.explorer._maps import told_of_map, won
from dbgsom_plugins.figures.explorer._packing import packed_integers, packed_table, short
from dbgsom_plugins.figures.label_map import class_name_of, name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView

_VALUES = 1_000_000  # of samples that are in the page
_PRECISE = 300_000  # values of prototypes up to which each has two bytes
_PROTOTYPES = 800_000  # values of prototypes in the page
_NEAREST = 3  # samples of each leaf whose values come first
_CLASSES = 60  # more are no categories to look at
_IDS = 1_500_000  # letters of the samples' names
_GREY = (150, 155, 163)


def payload(view: MapView, max_samples: int) -> dict[str, Any]:
    """Return all that the page shows; the same view gives the same values.

    Above ``max_samples`` it knows a sample of them, drawn by the evaluation's seed.
    """
    notes: list[str] = []
    view = _of_one_target(view, notes)
    evaluation, tree = view.evaluation, view.evaluation.tree
    if evaluation.som_map.grid.torus is not None:
        notes.append("The map is a torus: left is joined with right, and top with bottom.")
    rng = np.random.default_rng(evaluation.seed)
    leaf = evaluation.leaf
    novelty = None if view.novelty is None else np.asarray(view.novelty(), dtype=np.float64)
    classes, codes = _classes(view)
    columns = _columns(view, notes)
    told_values = len(columns) * sum(map(len, tree.maps))
    maps = []
    places = _places(view)
    for number, som_map in enumerate(tree.maps):
        passing = np.flatnonzero(_passes(view, number)[leaf])
        found = won(evaluation, number, passing)
        apart = (
            evaluation.prototype_distances
            if number == 0
            else evaluation.data.pairwise(som_map.prototypes, som_map.prototypes)
        )
        shares = _shares(found[0][:, 0], codes, passing, len(som_map), len(classes))
        size = 2 if told_values <= _PRECISE else 1
        maps.append(
            {
                **told_of_map(som_map, apart, found, shares, columns, size, novelty, passing),
                "leaf": tree.leaf_of[number].tolist(),
                "child": tree.child_of[number].tolist(),
                "above": places[number],
                "labels": _labels(view, number),
            }
        )
    return {
        "title": as_label(view.title, 120),
        "summary": counts(view),
        "kind": view.estimator,
        "features": [as_label(name) for name in _feature_names(view, columns)],
        "image": _image(view, columns),
        "classes": classes,
        "palette": _palette(len(classes)),
        "colours": _palette(MAX_CATEGORIES),
        "labels": _label_names(view),
        "maps": maps,
        "samples": _samples(view, max_samples, codes, columns, rng, notes, novelty),
        "epochs": [
            [record.epoch, record.neurons, *short([record.quantization_error])]
            for record in view.history
        ],
        "notes": notes,
    }


def _of_one_target(view: MapView, notes: list[str]) -> MapView:
    # Of several targets the first one is shown.
    labels = np.asarray(view.neuron_labels)
    if labels.ndim == 1:
        return view
    notes.append(f"Answers and values are those of the first of {labels.shape[1]} targets.")
    leaves = None if view.leaf_labels is None else np.asarray(view.leaf_labels)[:, 0]
    return replace(view, neuron_labels=labels[:, 0], leaf_labels=leaves)


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


def _feature_names(view: MapView, columns: NDArray[np.int64]) -> list[str]:
    features = view.evaluation.som_map.prototypes.shape[1]
    if len(view.feature_names) == features:
        return [str(view.feature_names[column]) for column in columns]
    return [f"feature {column}" for column in columns]


def _columns(view: MapView, notes: list[str]) -> NDArray[np.int64]:
    """Return which features are told: those that vary most where they are too many."""
    tree = view.evaluation.tree
    features, neurons = view.evaluation.som_map.prototypes.shape[1], sum(map(len, tree.maps))
    most = max(1, _PROTOTYPES // neurons)
    if features <= most:
        return np.arange(features)
    spread = np.nan_to_num(np.nanstd(view.evaluation.som_map.prototypes, axis=0))
    notes.append(f"Of {features} features these are the {most} in which prototypes differ most.")
    return np.sort(np.argsort(-spread, kind="stable")[:most])


def _image(view: MapView, columns: NDArray[np.int64]) -> list[int] | None:
    shape = view.image_shape
    if shape is None or shape[0] * shape[1] != len(columns):
        return None
    features = view.evaluation.som_map.prototypes.shape[1]
    return list(shape) if len(columns) == features else None


def _classes(view: MapView) -> tuple[list[str], NDArray[np.int64] | None]:
    """Return the names of the samples' classes and each sample's (n,), -1 for none."""
    evaluation = view.evaluation
    y = evaluation.y
    if y is None or view.estimator == "regressor":
        return [], None
    y = np.asarray(y)
    labelled = evaluation.labelled
    labelled = np.ones(len(y), dtype=np.bool_) if labelled is None else labelled
    if y.dtype.kind == "f":
        labelled = labelled & np.isfinite(y)
    if y.dtype == object:
        y = np.array([str(one) for one in y])
    kinds, found = np.unique(y[labelled], return_inverse=True)
    if not 0 < len(kinds) <= _CLASSES:
        return [], None
    codes = np.full(len(y), -1, dtype=np.int64)
    codes[labelled] = found
    return [class_name_of(view, kind) for kind in kinds.tolist()], codes


def _palette(count: int) -> list[list[int]]:
    colours = np.rint(255 * categorical(min(count, MAX_CATEGORIES))).astype(int).tolist()
    return [*colours, *[list(_GREY)] * (count - len(colours))]


def _shares(
    unit: NDArray[np.int64],
    codes: NDArray[np.int64] | None,
    rows: NDArray[np.int64],
    neurons: int,
    classes: int,
) -> NDArray[np.float64] | None:
    if codes is None:
        return None
    known = codes[rows] >= 0
    counted = np.bincount(
        unit[known] * classes + codes[rows][known], minlength=neurons * classes
    ).reshape(neurons, classes)
    return np.asarray(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1))


def _label_names(view: MapView) -> dict[str, Any]:
    """Return the texts of the labels, with colours where they are few enough to be told apart."""
    if view.estimator == "regressor":
        return {"kind": "values"}
    names = _distinct(view)
    texts = [name_of(view, one) for one in names]
    few = len(names) <= MAX_CATEGORIES and len(names) < len(view.evaluation.tree)
    return {"kind": "few" if few else "many", "names": texts, "palette": _palette(len(names))}


def _distinct(view: MapView) -> list[Any]:
    labels = view.neuron_labels
    if view.leaf_labels is not None:
        labels = np.concatenate([labels, view.leaf_labels])
    return np.unique(labels).tolist()  # type: ignore[no-any-return]


def _labels(view: MapView, number: int) -> list[Any]:
    """Return the label of each neuron of a map: a value, or its place among the names."""
    tree = view.evaluation.tree
    if number == 0:
        labels = np.asarray(view.neuron_labels)
        known = np.ones(len(labels), dtype=np.bool_)
    elif view.leaf_labels is None:
        return [None] * len(tree.maps[number])
    else:
        leaves = tree.leaf_of[number]
        labels, known = np.asarray(view.leaf_labels)[leaves], leaves >= 0
    if view.estimator == "regressor":
        return short(np.where(known, labels.astype(np.float64), np.nan))
    found = np.searchsorted(np.array(_distinct(view)), labels)
    return [place if sure else None for place, sure in zip(found.tolist(), known, strict=True)]


def _samples(
    view: MapView,
    most: int,
    codes: NDArray[np.int64] | None,
    columns: NDArray[np.int64],
    rng: np.random.Generator,
    notes: list[str],
    novelty: NDArray[np.float64] | None,
) -> dict[str, Any]:
    evaluation = view.evaluation
    n = len(evaluation.leaf)
    rows = np.arange(n)
    if n > most:
        rows = np.sort(rng.choice(n, most, replace=False))
        notes.append(
            f"Of {n:,} samples these are {most:,}, drawn at random with seed {evaluation.seed}; "
            "numbers and colours of neurons count all of them."
        )
    leaf, distance = evaluation.leaf[rows], evaluation.leaf_distance[rows]
    valued = _valued(leaf, distance, len(columns), rng)
    if len(valued) < len(rows):
        notes.append(
            f"The values of {len(valued):,} samples are in this page: the nearest to each neuron, "
            "and others drawn at random."
        )
    told: dict[str, Any] = {
        "all": n,
        "n": len(rows),
        "ids": _ids(view, rows, notes),
        "named": "row" if view.sample_ids is None or view.sample_ids.dtype.kind in "iu" else "id",
        "rows": packed_integers(rows),
        "leaf": packed_integers(leaf),
        "distance": packed_table(distance[:, None], 2),
        "valued": packed_integers(valued),
        "values": packed_table(_dense(evaluation, rows[valued])[:, columns], 1),
    }
    if novelty is not None:
        told["novelty"] = packed_table(novelty[rows][:, None], 2)
    if codes is not None:
        told["classes"] = packed_integers(codes[rows] + 1)
    elif evaluation.y is not None and np.asarray(evaluation.y).dtype.kind in "fiu":
        told["targets"] = packed_table(np.asarray(evaluation.y, np.float64)[rows][:, None], 2)
    return told


def _valued(
    leaf: NDArray[np.int64], distance: NDArray[np.float64], features: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return which samples have their values in the page, ascending."""
    most = max(1, _VALUES // max(1, features))
    if len(leaf) <= most:
        return np.arange(len(leaf))
    order = np.lexsort([distance, leaf])
    first = np.flatnonzero(np.r_[True, np.diff(leaf[order]) > 0])
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)]))
    nearest = order[np.argsort(rank, kind="stable")[: np.count_nonzero(rank < _NEAREST)]][:most]
    others = np.setdiff1d(np.arange(len(leaf)), nearest)
    more = rng.choice(others, min(len(others), most - len(nearest)), replace=False)
    return np.sort(np.concatenate([nearest, more]))


def _dense(evaluation: Evaluation, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    chosen = evaluation.X[rows]
    return np.asarray(chosen.toarray() if hasattr(chosen, "toarray") else chosen)


def _ids(view: MapView, rows: NDArray[np.int64], notes: list[str]) -> list[str] | None:
    if view.sample_ids is None:
        return None
    chosen = np.asarray(view.sample_ids)[rows]
    if np.array_equal(chosen, rows):
        return None
    ids = [as_label(one) for one in chosen.tolist()]
    if sum(map(len, ids)) > _IDS:
        notes.append("The samples' names are too long for this page: rows are numbered instead.")
        return None
    return ids
