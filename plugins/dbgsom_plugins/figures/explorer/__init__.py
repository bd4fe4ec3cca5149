"""The explorer: a map, its neurons and its samples in one interactive page.

The page is plain JavaScript on canvas without a build step: with thumbnails of 400 neurons plotly
takes 5.0 MB, bokeh 1.7 and altair 1.2, d3 draws none of this by itself, and 0.5 MB is the limit.

What it knows of a run are plain values. Arrays are base64 of little-endian numbers: float32, which
keeps seven digits, or unsigned integers.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections import Counter
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, Html, as_label
from dbgsom_plugins.figures._drawing import cell_centres, fold_note, is_torus, summary_line
from dbgsom_plugins.figures._names import answers_of, class_name_of, name_of, texts_of
from dbgsom_plugins.figures._style import MAX_CATEGORIES, by_prototype, categorical
from dbgsom_plugins.figures.variables import names_of
from dbgsom_plugins.labellers._trees import tree_of_groups

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dbgsom_core.api import Evaluation, MapView, SomMap

    Rows = NDArray[np.int64]

_SCRIPTS = (
    "state",
    "groups",
    "colours",
    "map",
    "pointer",
    "growth",
    "details",
    "samples",
    "selection",
    "clusters",
    "start",
)
_ESCAPED = "<>&\u2028\u2029"  # characters that mean something to HTML or end a line of a script
# Bounds that keep the page of the largest map and table at about 10 MB: base64 takes 5.3 bytes for
# a float32.
_VALUES = 500_000  # of samples
_PROTOTYPES = 800_000  # values of prototypes
_IDS = 1_500_000  # characters of the samples' names
_SAVED = 400_000  # values of prototypes in a file of groups, up to 4 MB of the page
_DIGITS = 7  # of these values, of the range of their column
_NAME = 100  # characters of the name of a group
_TEXTS, _LEAST_TEXT = 3_000_000, 12  # of all columns beside the samples, and of a text that is cut
_NEAREST = 3  # samples of each leaf whose values come first: enough to see what it stands for
_FEW = 6  # categories whose colours are those of `label_map`
_CLASSES = 60  # more are no categories to look at
_GREY = (150, 155, 163)  # of categories that have no colour of their own


class Explorer(FigureComponent):
    """The map as one interactive page: zoom, hover, colours, samples, clusters, child maps, growth.

    The page needs no other file, no server and no network. Values are those of the data where the
    prepare steps can be undone, else those that the map sees; distances are those of the map.
    """

    max_samples: int = Field(
        default=100_000, ge=1, description="samples in the page; of more it holds a seeded sample"
    )

    def draw(self, view: MapView) -> Html:
        return Html(page(payload(view, self.max_samples)))


def page(values: dict[str, Any]) -> str:
    """Return the page that shows a payload, whose texts are text whatever they hold."""
    data = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in _ESCAPED:
        data = data.replace(character, f"\\u{ord(character):04x}")
    scripts = [_file(f"{name}.js") for name in _SCRIPTS]
    template = Template(_file("explorer.html"))
    return template.substitute(
        title=escape(values["title"] or "Map"),
        style=_file("explorer.css"),
        data=data,
        script="\n".join(scripts),
    )


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------- plain values


def payload(view: MapView, max_samples: int) -> dict[str, Any]:
    """Return all that the page shows as plain values; the same view gives the same.

    Of more than ``max_samples`` samples the page has some, drawn with the evaluation's seed.
    """
    evaluation = view.evaluation
    notes: list[str] = []
    if is_torus(evaluation.som_map):
        notes.append("The map is a torus: left is joined with right, and top with bottom.")
    notes += fold_note(evaluation.som_map)
    classes, codes = _classes(view)
    columns = _columns(view, notes)
    names = names_of(view)
    image = view.image_shape
    if image is not None and not np.prod(image) == len(columns) == len(names):
        image = None
    novelty = None
    if view.novelty is not None:
        novelty = np.asarray(view.novelty(), dtype=np.float64)
    labels, label_codes = _labels(view)
    maps = _maps(view, codes, len(classes), novelty)
    for values, som_map, labels_of_map in zip(maps, evaluation.tree.maps, label_codes, strict=True):
        prototypes = som_map.prototypes
        colours = 255 * by_prototype(np.nan_to_num(prototypes))
        values["rgb"] = packed(np.rint(colours).astype(int).ravel())
        values["prototypes"] = packed(view.in_own_units(prototypes)[:, columns])
        values["labels"] = packed(labels_of_map)
    epochs = [(epoch.epoch, epoch.neurons, epoch.quantization_error) for epoch in view.history]
    return {
        "title": as_label(view.title, 120),
        # The samples need not be those of training, so their number is given.
        "summary": f"{summary_line(view)} of {evaluation.data.n:,} samples",
        "features": [as_label(names[column]) for column in columns.tolist()],
        "telling": _telling(view, columns, is_image=image is not None),
        "image": image,
        "classes": classes,
        "palette": _palette(len(classes)),
        "colours": [_palette(_FEW), _palette(MAX_CATEGORIES)],  # of few groups, and of more
        "units": view.undo is not None,
        "labels": labels,
        "groups": _groups(view, notes),
        "maps": maps,
        "epochs": packed(np.array(epochs, dtype=float).reshape(-1, 3)),
        "samples": _samples(view, max_samples, columns, codes, novelty, notes),
        "notes": notes,
    }


def packed(values: ArrayLike) -> dict[str, Any]:
    """Return an array as base64; of a number that is not finite it has nan."""
    values = np.asarray(values)
    dtype = np.dtype("f4")
    if values.dtype.kind in "ui":
        dtype = np.min_scalar_type(values.max(initial=0))
    with np.errstate(over="ignore"):
        codes = values.astype(dtype.newbyteorder("<"))
    if dtype.kind == "f":
        codes[~np.isfinite(codes)] = np.nan
    kind = f"{dtype.kind}{dtype.itemsize}"
    return {"type": kind, "shape": codes.shape, "data": b64encode(codes.tobytes()).decode()}


def _columns(view: MapView, notes: list[str]) -> Rows:
    """Return the features on the page: those that vary most where they are too many."""
    prototypes = view.evaluation.som_map.prototypes
    features = prototypes.shape[1]
    n_neurons = sum(map(len, view.evaluation.tree.maps))
    most = max(1, _PROTOTYPES // n_neurons)
    if features <= most:
        return np.arange(features)
    spread = np.nan_to_num(np.nanstd(prototypes, axis=0))
    notes.append(f"Of {features} features the page has the {most} in which prototypes differ most.")
    return np.sort(np.argsort(-spread, kind="stable")[:most])


def _telling(view: MapView, columns: Rows, *, is_image: bool) -> list[int]:
    """Return the columns by how much prototypes differ in them, most first.

    Values are those of the map, after the prepare steps. Unless they are pixels of an image, the
    spread of a column is divided by its largest absolute value.
    """
    prototypes = view.evaluation.som_map.prototypes[:, columns]
    spread = np.nan_to_num(np.nanstd(prototypes, axis=0))
    if not is_image:
        size = np.nan_to_num(np.nanmax(np.abs(prototypes), axis=0))
        spread = np.divide(spread, size, out=np.zeros_like(spread), where=size > 0)
    return np.argsort(-spread, kind="stable").tolist()  # type: ignore[no-any-return]


def _palette(count: int) -> list[list[int]]:
    """Return colours of so many categories, grey ones after as many as can be told apart."""
    colours = np.rint(255 * categorical(min(count, MAX_CATEGORIES)))
    palette: list[list[int]] = colours.astype(int).tolist()
    while len(palette) < count:
        palette.append(list(_GREY))
    return palette


# ------------------------------------------------------------------------------------------- labels


def _classes(view: MapView) -> tuple[list[str], Rows | None]:
    """Return the names of the samples' classes and each sample's (n,), -1 for none."""
    evaluation = view.evaluation
    if evaluation.y is None or view.estimator == "regressor":
        return [], None
    y = np.asarray(evaluation.y)
    labelled = np.ones(len(y), dtype=np.bool_)
    if evaluation.labelled is not None:
        labelled = evaluation.labelled
    if y.dtype.kind == "f":
        labelled = labelled & np.isfinite(y)
    if y.dtype == object:
        y = y.astype(str)
    classes, numbers = np.unique(y[labelled], return_inverse=True)
    if not 0 < len(classes) <= _CLASSES:
        return [], None
    codes = np.full(len(y), -1, dtype=np.int64)
    codes[labelled] = numbers
    return [class_name_of(view, label) for label in classes.tolist()], codes


def _labels(view: MapView) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
    """Return what the labels of neurons are, and for each map of the tree those of its neurons.

    They are numbers, or places among the names; nan where a neuron has a child map.
    """
    tree = view.evaluation.tree
    labels = [np.asarray(view.neuron_labels)]
    is_leaf = [np.ones(len(labels[0]), dtype=np.bool_)]
    if view.leaf_labels is not None:
        for leaves in tree.leaf_of[1:]:
            labels.append(np.asarray(view.leaf_labels)[leaves])
            is_leaf.append(leaves >= 0)
    about: dict[str, Any] = {"kind": "values"}
    codes = labels
    if view.estimator != "regressor":
        values = np.unique(np.concatenate(labels))
        codes = [np.searchsorted(values, of_map) for of_map in labels]
        names = [name_of(view, value) for value in values.tolist()]
        about = {"kind": "few", "what": answers_of(view), "names": names}
        about["palette"] = _palette(len(names))
        # As many labels as neurons are their numbers.
        if len(names) > MAX_CATEGORIES or len(names) >= len(tree):
            about["kind"] = "many"
        elif view.profile is not None:
            clusters = [name_of(view, cluster) for cluster in view.profile.clusters.tolist()]
            descriptions = [as_label(name, 60) for name in view.profile.names]
            about["said"] = dict(zip(clusters, descriptions, strict=True))
    return about, list(map(_nan_unless, is_leaf, codes))


def _nan_unless(is_known: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(is_known, values, np.nan)


# --------------------------------------------------------------------------------------------- maps


def _maps(
    view: MapView, codes: Rows | None, classes: int, novelty: NDArray[np.float64] | None
) -> list[dict[str, Any]]:
    """Return plain values of a map and its child maps.

    ``codes`` (n,) are the classes of the samples, -1 for none, ``novelty`` (n,) theirs.
    """
    evaluation, tree = view.evaluation, view.evaluation.tree
    rows = {0: np.arange(evaluation.data.n)}  # of the samples on each map
    above: dict[int, list[int] | None] = {0: None}  # map and neuron above it
    maps = []
    for number, som_map in enumerate(tree.maps):
        here, children = rows[number], tree.child_of[number]
        units, distances = _nearest(evaluation, number, here)
        bmu, second = units.T
        for neuron in np.flatnonzero(children >= 0).tolist():
            child = int(children[neuron])  # has a higher number
            rows[child], above[child] = here[bmu == neuron], [number, neuron]
        of_samples = {"error": distances, "torn": som_map.hops[bmu, second] > 1}
        if novelty is not None:
            of_samples["novelty"] = novelty[here]
        lengths = evaluation.prototype_distances
        if number:
            lengths = evaluation.data.pairwise(som_map.prototypes, som_map.prototypes)
        values = map_data(som_map, lengths, bmu, of_samples)
        values["leaf"] = tree.leaf_of[number].tolist()
        values["child"] = children.tolist()
        values["above"] = above[number]
        values["shares"] = None
        if codes is not None:
            is_known = codes[here] >= 0
            counts = np.zeros((len(som_map), classes))
            np.add.at(counts, (bmu[is_known], codes[here][is_known]), 1)
            totals = counts.sum(axis=1, keepdims=True)
            values["shares"] = packed(counts / np.maximum(totals, 1))
        maps.append(values)
    return maps


def _nearest(evaluation: Evaluation, number: int, rows: Rows) -> tuple[Rows, NDArray[np.float64]]:
    """Return the two nearest neurons (m, 2) of samples ``rows`` on a map, and distances (m,)."""
    som_map = evaluation.tree.maps[number]
    if number == 0:
        second = evaluation.bmu
        if len(som_map) > 1:
            second = evaluation.second_bmu
        return np.column_stack([evaluation.bmu, second]), evaluation.distance
    if not len(rows):
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    data = evaluation.data.subset(rows)
    units, _ = data.nearest_units(som_map.prototypes, min(2, len(som_map)))
    units = units[:, [0, -1]]
    return units, data.distances_to(som_map.prototypes, units[:, 0])


def map_data(
    som_map: SomMap,
    lengths: NDArray[np.float64],
    units: Rows,
    of_samples: dict[str, NDArray[Any]],
) -> dict[str, Any]:
    """Return plain values from which a map is drawn and its neurons are described.

    ``lengths`` (K, K) are distances of prototypes; ``units`` (m,) and ``of_samples`` (m,) are of
    the samples on this map. What is unknown of a neuron is nan.
    """
    hits = np.bincount(units, minlength=len(som_map))
    is_linked = som_map.degrees() > 0
    height = np.where(is_linked, som_map.mean_over_links(lengths), np.nan)  # as in a U-matrix
    values = {"hits": hits, "height": height, "birth": som_map.birth_epochs}
    with np.errstate(divide="ignore", invalid="ignore"):
        values["density"] = hits / height
        for name, samples in of_samples.items():
            values[name] = np.bincount(units, samples, len(som_map)) / hits
    edges = som_map.edges()
    return {
        "n": len(som_map),
        "places": packed(cell_centres(som_map)),
        "cells": som_map.positions.tolist(),
        "corners": np.round(som_map.grid.corners, 5).tolist(),
        "edges": packed(edges),
        "lengths": packed(lengths[edges[:, 0], edges[:, 1]]),
        "parents": som_map.parents.tolist(),
        "values": {name: packed(of_neurons) for name, of_neurons in values.items()},
    }


# ------------------------------------------------------------------------------------------- groups


def _groups(view: MapView, notes: list[str]) -> dict[str, Any]:
    """Return the groups of leaves, the tree of joins along which they are edited, and prototypes.

    Leaves are those of the tree of maps. Join i makes node L + i of two earlier ones, the L leaves
    being the first; those without training samples are in none, and ``stands`` (L,) are the leaves
    whose group each has. Cut at the number of ``names`` the tree gives the groups of the map.
    """
    evaluation = view.evaluation
    weights = evaluation.tree.weights
    n = len(weights)
    hits = view.leaf_hits
    if hits is None:
        hits = np.bincount(evaluation.leaf, minlength=n)
    live, dead = np.flatnonzero(hits > 0), np.flatnonzero(hits == 0)
    if not np.isfinite(weights).all():
        live, dead = live[:0], dead[:0]
    names, of_live = _names_of_groups(view, live)
    joins, heights = tree_of_groups(weights[live], hits[live].astype(np.float64), of_live)
    nodes = np.concatenate([live, n + np.arange(len(joins))])
    stands, of = np.arange(n), np.zeros(n, dtype=np.int64)
    if len(live) and len(dead):
        apart = evaluation.data.pairwise(weights[dead], weights[live])
        stands[dead] = live[apart.argmin(axis=1)]
    of[live] = of_live
    prototypes = None
    if weights[live].size <= _SAVED:
        prototypes = _rounded(weights[live])
    else:
        notes.append("This map is too large for groups to be saved from its page.")
    return {
        "live": packed(live),
        "stands": packed(stands),
        "of": packed(of[stands]),
        "names": names,
        "joins": packed(nodes[joins]),
        "heights": packed(heights),
        "prototypes": prototypes,
    }


def _names_of_groups(view: MapView, live: Rows) -> tuple[list[str] | None, Rows]:
    """Return names of the map's clusters, and the places of those of leaves; None for no clusters.

    As many labels as leaves are their numbers.
    """
    if view.estimator == "vq" and answers_of(view) == "clusters":
        labels = view.neuron_labels if view.leaf_labels is None else view.leaf_labels
        values, places = np.unique(np.asarray(labels)[live], return_inverse=True)
        if 0 < len(values) < len(live):
            names = [view.label_names.get(value, value) for value in values.tolist()]
            return [as_label(name, _NAME) for name in names], places
    return None, np.zeros(len(live), dtype=np.int64)


def _rounded(prototypes: NDArray[Any]) -> list[list[float]]:
    """Return prototypes (K, D) with as many digits as tell them apart, for a file that is read."""
    spread = np.ptp(prototypes, axis=0) if len(prototypes) else np.zeros(prototypes.shape[1])
    columns = []
    for column, width in zip(prototypes.T.tolist(), spread.tolist(), strict=True):
        size = width or max(map(abs, column), default=0.0) or 1.0
        digits = _DIGITS - math.floor(math.log10(size))
        columns.append([round(value, digits) for value in column])
    return list(map(list, zip(*columns, strict=True)))


# ------------------------------------------------------------------------------------------ samples


def _samples(
    view: MapView,
    most: int,
    columns: Rows,
    codes: Rows | None,
    novelty: NDArray[np.float64] | None,
    notes: list[str],
) -> dict[str, Any]:
    evaluation, n = view.evaluation, view.evaluation.data.n
    rng = np.random.default_rng(evaluation.seed)
    rows = np.arange(n)
    if n > most:
        notes.append(
            f"Of {n:,} samples these are {most:,}, drawn at random with seed {evaluation.seed}; "
            "hits and colours of neurons, but for columns beside the samples, are those of all."
        )
        rows = np.sort(rng.choice(n, most, replace=False))
    leaf, distance = evaluation.leaf[rows], evaluation.leaf_distance[rows]
    n_valued = max(1, _VALUES // max(1, len(columns)))
    valued = _valued(leaf, distance, n_valued, rng)
    if len(valued) < len(rows):
        notes.append(
            f"The values of {len(valued):,} samples are in this page: the nearest to each neuron, "
            "and others drawn at random."
        )
    X = evaluation.X[rows[valued]]
    if hasattr(X, "toarray"):
        X = X.toarray()
    X = np.asarray(X)
    named: str | None = "id"
    if view.sample_ids is None or view.sample_ids.dtype.kind in "iu":
        named = "row"
    elif view.sample_ids_name:  # of columns, which stand beside the samples
        named = None
    data: dict[str, Any] = {
        "all": n,
        "n": len(rows),
        "ids": _ids(view, rows, notes),
        "named": named,
        "beside": _beside(view, rows, notes),
        "target": as_label(view.target_name or ("target" if codes is None else "class")),
        "rows": packed(rows),
        "leaf": packed(leaf),
        "distance": packed(distance),
        "valued": packed(valued),
        "values": packed(view.in_own_units(X)[:, columns]),
    }
    if novelty is not None:
        data["novelty"] = packed(novelty[rows])
    if codes is not None:
        data["classes"] = packed(codes[rows] + 1)
    elif evaluation.y is not None:
        y = np.asarray(evaluation.y)
        if y.dtype.kind in "fiu":
            data["targets"] = packed(y[rows].astype(np.float64))
    return data


def _valued(leaf: Rows, distance: NDArray[np.float64], most: int, rng: np.random.Generator) -> Rows:
    """Return the up to ``most`` samples that have their values in the page, ascending.

    They are the nearest to each neuron, and others at random.
    """
    if len(leaf) <= most:
        return np.arange(len(leaf))
    order = np.lexsort([distance, leaf])
    ordered = leaf[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)  # among those of its leaf
    is_near = rank < _NEAREST
    by_rank = np.argsort(rank[is_near], kind="stable")
    nearest = order[is_near][by_rank][:most]
    others = order[~is_near]
    n_more = min(len(others), most - len(nearest))
    more = rng.choice(others, n_more, replace=False)
    return np.sort(np.concatenate([nearest, more]))


def _beside(view: MapView, rows: Rows, notes: list[str]) -> list[dict[str, Any]]:
    """Return the columns beside the samples ``rows`` (m,) that are on the page.

    A column of texts is the distinct ones, the most frequent first, and the place of each sample's
    among them, from 1, or 0 for none.
    """
    columns: list[dict[str, Any]] = []
    left = _TEXTS
    for name, cells in view.annotations.items():
        texts = texts_of(np.asarray(cells)[rows])
        counts = Counter(texts)
        del counts[""]
        names = [text for text, _ in counts.most_common()]
        longest = left // max(1, len(names))
        if sum(map(len, names)) > left and longest < _LEAST_TEXT:
            notes.append(f"The column {as_label(name)} is too long for this page.")
            continue
        places = {text: place for place, text in enumerate(names, start=1)}
        codes = [places.get(text, 0) for text in texts]
        if sum(map(len, names)) > left:
            notes.append(
                f"Texts of {as_label(name)} end after {longest} characters, for the search too: "
                "fewer samples leave room for more."
            )
            names = [text[:longest] for text in names]
        left -= sum(map(len, names))
        columns.append({"name": as_label(name), "names": names, "codes": packed(np.array(codes))})
    for name, values in view.variables.items():
        numbers = np.asarray(values, dtype=np.float64)[rows]
        columns.append({"name": as_label(name), "values": packed(numbers)})
    return columns


def _ids(view: MapView, rows: Rows, notes: list[str]) -> list[str] | None:
    if view.sample_ids is None:
        return None
    chosen = np.asarray(view.sample_ids)[rows]
    if np.array_equal(chosen, rows):
        return None
    ids = [as_label(name) for name in chosen.tolist()]
    if sum(map(len, ids)) > _IDS:
        notes.append("The samples' names are too long for this page: rows are numbered instead.")
        return None
    return ids
