"""What the explorer's page knows of a run, in plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import (
    MAX_CATEGORIES,
    by_prototype,
    categorical,
    darker,
    towards_white,
)
from dbgsom_plugins.figures._drawing import fold_note
from dbgsom_plugins.figures.component_planes import names_of
from dbgsom_plugins.figures.explorer._maps import (
    PageOptions,
    packed_exactly,
    packed_integers,
    packed_table,
    short,
    tree_data,
)
from dbgsom_plugins.figures.label_map import answers_of, class_name_of, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView
    from dbgsom_plugins.figures._colours import Colours

_VALUES = 1_000_000  # of samples that are in the page
_PRECISE_VALUES = 500_000  # of them up to which each has two bytes
_PRECISE = 300_000  # values of prototypes up to which each has two bytes
_PROTOTYPES = 800_000  # values of prototypes in the page
_NEAREST = 3  # samples of each leaf whose values come first
_CLASSES = 60  # more are no categories to look at
_IDS = 1_500_000  # characters of the samples' names
# Characters of past epochs: a page of 400 neurons with images stays within half a megabyte, and one
# of 2,000 within five.
_FILM_CHARS, _FILM_NEURONS, _FILM_CHARS_PER_NEURON_MORE = 110_000, 400, 400
_COMPARED = 100  # samples by which the values of two maps are compared
_GREY = (150, 155, 163)
_TONE = 10  # categories for which there is a second, darker set of colours
_PALE = 0.45  # strength of the colours of clusters where they or the classes are more than that
_MATCHED = (
    "Clusters of the two maps that share most samples have the same colour; their numbers have "
    "nothing to do with each other."
)


def payload(view: MapView, max_samples: int) -> dict[str, Any]:
    """Return all that the page shows as plain values; the same view gives the same.

    Of more than ``max_samples`` samples the page has some, drawn with the evaluation's seed.

    Raises
    ------
    ValueError
        The other map of the view has other samples or features.
    """
    notes: list[str] = []
    views = [view] if view.other is None else [view, view.other]
    for what, counts in (
        ("samples", [one.evaluation.data.n for one in views]),
        ("features", [one.evaluation.som_map.prototypes.shape[1] for one in views]),
    ):
        if len(set(counts)) > 1:
            raise ValueError(
                f"maps side by side must show the same {what}, and these have {counts[0]:,} and "
                f"{counts[1]:,}"
            )
    views = _of_one_target(views, notes)
    view = views[0]
    tori = [one.evaluation.som_map.grid.torus is not None for one in views]
    if any(tori):
        which = "The map is" if all(tori) else f"The {'second' if tori[1] else 'first'} map is"
        notes.append(f"{which} a torus: left is joined with right, and top with bottom.")
    notes += dict.fromkeys(note for one in views for note in fold_note(one.evaluation.som_map))
    rng = np.random.default_rng(view.evaluation.seed)
    classes, codes = _classes(view)
    columns = _columns(views, notes)
    size = 2 if len(columns) * _neurons(views) <= _PRECISE else 1
    neurons_more = max(0, _neurons(views) - _FILM_NEURONS)
    film_chars = _FILM_CHARS + _FILM_CHARS_PER_NEURON_MORE * neurons_more
    rows = _rows(view, max_samples, rng, notes)
    labels = labels_of(views, notes)
    shown = PageOptions(rows, codes, len(classes), columns, size, film_chars // len(views))
    same_space, same_units = _same(views)
    told = [
        tree_data(one, shown, colours, answers)
        for one, colours, answers in zip(
            views, _colours(views, joint=same_space), labels, strict=True
        )
    ]
    found = {
        "features": [as_label(names_of(view)[column]) for column in columns.tolist()],
        "telling": _telling(view, columns),
        "image": _image(view, columns),
        "classes": classes,
        "palette": palette(len(classes)),
        "colours": palette(MAX_CATEGORIES),
        "units": any(one.undo is not None for one in views),
        **told[0],
        "samples": told[0]["samples"] | _samples(view, rows, codes, columns, rng, notes),
        "notes": notes,
    }
    if len(told) > 1:
        found["other"] = {**told[1], "same_space": same_space, "same_units": same_units}
    return found


def _same(views: list[MapView]) -> tuple[bool, bool]:
    """Return whether two maps have the same values of samples, as prepared and in own units."""
    rows = np.arange(min(_COMPARED, views[0].evaluation.data.n))
    seen = [_dense(one.evaluation, rows) for one in views]
    told = [one.in_own_units(X) for one, X in zip(views, seen, strict=True)]
    return tuple(  # type: ignore[return-value]
        np.allclose(both[0], both[-1], rtol=1e-4, atol=1e-6, equal_nan=True)
        for both in (seen, told)
    )


def _colours(views: list[MapView], *, joint: bool) -> list[NDArray[np.float64]]:
    # Colours of the prototypes of the root maps; joint ones are alike where prototypes are.
    prototypes = [np.nan_to_num(one.evaluation.som_map.prototypes) for one in views]
    if not joint:
        return list(map(by_prototype, prototypes))
    ends = np.cumsum(list(map(len, prototypes)))[:-1]
    return np.split(by_prototype(np.concatenate(prototypes)), ends)


def _of_one_target(views: list[MapView], notes: list[str]) -> list[MapView]:
    # Of several targets the first one is shown.
    found = []
    for view in views:
        labels = np.asarray(view.neuron_labels)
        if labels.ndim > 1:
            note = f"Answers and values are those of the first of {labels.shape[1]} targets."
            notes.extend({note} - set(notes))
            leaves = None if view.leaf_labels is None else np.asarray(view.leaf_labels)[:, 0]
            view = replace(view, neuron_labels=labels[:, 0], leaf_labels=leaves)
        found.append(view)
    return found


def _neurons(views: list[MapView]) -> int:
    return sum(len(som_map) for view in views for som_map in view.evaluation.tree.maps)


def _columns(views: list[MapView], notes: list[str]) -> NDArray[np.int64]:
    """Return the features on the page: those that vary most where they are too many."""
    prototypes = views[0].evaluation.som_map.prototypes
    features = prototypes.shape[1]
    most = max(1, _PROTOTYPES // _neurons(views))
    if features <= most:
        return np.arange(features)
    spread = np.nan_to_num(np.nanstd(prototypes, axis=0))
    notes.append(f"Of {features} features the page has the {most} in which prototypes differ most.")
    return np.sort(np.argsort(-spread, kind="stable")[:most])


def _telling(view: MapView, columns: NDArray[np.int64]) -> list[int]:
    """Return the columns by how much prototypes differ in them, most first.

    Values are those of the map, after the prepare steps. Unless they are pixels of an image, the
    spread of a column is divided by its largest absolute value.
    """
    prototypes = view.evaluation.som_map.prototypes[:, columns]
    spread = np.nan_to_num(np.nanstd(prototypes, axis=0))
    if _image(view, columns) is None:
        size = np.nan_to_num(np.nanmax(np.abs(prototypes), axis=0))
        spread = np.divide(spread, size, out=np.zeros_like(spread), where=size > 0)
    return np.argsort(-spread, kind="stable").tolist()  # type: ignore[no-any-return]


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


def _rows(
    view: MapView, most: int, rng: np.random.Generator, notes: list[str]
) -> NDArray[np.int64]:
    """Return which samples are in the page, ascending."""
    n = view.evaluation.data.n
    if n <= most:
        return np.arange(n)
    notes.append(
        f"Of {n:,} samples these are {most:,}, drawn at random with seed {view.evaluation.seed}; "
        "hits and colours of neurons are those of all samples."
    )
    return np.sort(rng.choice(n, most, replace=False))


def _samples(
    view: MapView,
    rows: NDArray[np.int64],
    codes: NDArray[np.int64] | None,
    columns: NDArray[np.int64],
    rng: np.random.Generator,
    notes: list[str],
) -> dict[str, Any]:
    evaluation = view.evaluation
    leaf, distance = evaluation.leaf[rows], evaluation.leaf_distance[rows]
    valued = _valued(leaf, distance, len(columns), rng)
    if len(valued) < len(rows):
        notes.append(
            f"The values of {len(valued):,} samples are in this page: the nearest to each neuron, "
            "and others drawn at random."
        )
    values = view.in_own_units(_dense(evaluation, rows[valued]))[:, columns]
    size = 2 if values.size <= _PRECISE_VALUES else 1
    is_row = view.sample_ids is None or view.sample_ids.dtype.kind in "iu"
    told: dict[str, Any] = {
        "all": evaluation.data.n,
        "n": len(rows),
        "ids": _ids(view, rows, notes),
        "named": as_label(view.sample_ids_name or ("row" if is_row else "id")),
        "target": as_label(view.target_name or ("target" if codes is None else "class")),
        "rows": packed_integers(rows),
        "valued": packed_integers(valued),
        "values": packed_exactly(values, size),
    }
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


# ------------------------------------------------------------------------------------------- labels


@dataclass(frozen=True)
class Labels:
    """The labels of the neurons of a map and its child maps."""

    kind: Literal["class", "cluster", "value", "neuron"]  # neuron: one each, or too many to colour
    values: list[Any]  # each once and in order; those of classes are those of both maps of a pair
    palette: list[list[int]]  # their colours, [r, g, b]

    def data(self, view: MapView) -> dict[str, Any]:
        """Return plain values: their names and colours, as far as these tell them apart."""
        if self.kind == "value":
            return {"kind": "values"}
        found = {"names": [name_of(view, one) for one in self.values], "palette": self.palette}
        if self.kind == "neuron":
            return {"kind": "many", **found}
        profile = view.profile if self.kind == "cluster" else None
        if profile is not None:
            pairs = zip(profile.clusters.tolist(), profile.names, strict=True)
            found["said"] = {name_of(view, one): as_label(name, 60) for one, name in pairs}
        return {"kind": "few", "what": self.kind, **found}

    def of(self, view: MapView, number: int) -> list[Any]:
        """Return the label of each neuron of a map of the tree: a value, or its place here."""
        tree = view.evaluation.tree
        if number == 0:
            labels = np.asarray(view.neuron_labels)
            known = np.ones(len(labels), dtype=np.bool_)
        elif view.leaf_labels is None:
            return [None] * len(tree.maps[number])
        else:
            leaves = tree.leaf_of[number]
            labels, known = np.asarray(view.leaf_labels)[leaves], leaves >= 0
        if self.kind == "value":
            return short(np.where(known, labels.astype(np.float64), np.nan))
        found = np.searchsorted(np.array(self.values), labels)
        return [place if sure else None for place, sure in zip(found.tolist(), known, strict=True)]


def labels_of(views: Sequence[MapView], notes: list[str]) -> list[Labels]:
    """Return the labels of each view; sentences on what they share go to ``notes``.

    Classes of two maps are the same, and have one palette. Those of a map beside clusters keep
    theirs, and clusters get another one. Of two maps of clusters, whose numbers have nothing to do
    with each other, those that share most samples have the same colour.
    """
    kinds = [_kind(view) for view in views]
    of_classes = [view for view, kind in zip(views, kinds, strict=True) if kind == "class"]
    # Numbers and texts are no classes of one kind.
    dtypes = {np.asarray(view.neuron_labels).dtype.kind for view in of_classes}
    joint = distinct(of_classes) if len(dtypes) == 1 else None
    if joint is not None and len(joint) > MAX_CATEGORIES:  # of both maps together
        kinds = ["neuron" if kind == "class" else kind for kind in kinds]
    found = []
    for view, kind in zip(views, kinds, strict=True):
        own = [] if kind == "value" else distinct([view])
        values = joint if kind == "class" and joint is not None else own
        colours = palette(len(values))
        if kind == "cluster" and "class" in kinds:
            # Colours that no class has: of another tone.
            if max(len(values), len(joint or ())) <= _TONE:
                colours = _rgb_bytes(darker(len(values)))
            else:
                pale = np.full(len(values), _PALE)
                colours = _rgb_bytes(towards_white(categorical(len(values)), pale))
        found.append(Labels(kind, values, colours))
    if kinds == ["cluster", "cluster"]:
        notes.append(_MATCHED)
        return _matched(views, found)
    return found


def palette(count: int) -> list[list[int]]:
    """Return colours of so many categories, grey ones after as many as can be told apart."""
    colours = _rgb_bytes(categorical(min(count, MAX_CATEGORIES)))
    return [*colours, *[list(_GREY)] * (count - len(colours))]


def distinct(views: Sequence[MapView]) -> list[Any]:
    """Return the labels of the neurons of all maps, each once and in order."""
    found = [
        np.asarray(labels)
        for view in views
        for labels in (view.neuron_labels, view.leaf_labels)
        if labels is not None
    ]
    return np.unique(np.concatenate(found)).tolist() if found else []


def _kind(view: MapView) -> Literal["class", "cluster", "value", "neuron"]:
    if view.estimator == "regressor":
        return "value"
    if not 0 < len(distinct([view])) <= MAX_CATEGORIES:
        return "neuron"
    if len(distinct([view])) >= len(view.evaluation.tree):
        return "neuron"
    return "class" if answers_of(view) == "classes" else "cluster"


def _matched(views: Sequence[MapView], labels: Sequence[Labels]) -> list[Labels]:
    from scipy.optimize import linear_sum_assignment

    of_samples = []
    for view, one in zip(views, labels, strict=True):
        of_leaves = view.neuron_labels if view.leaf_labels is None else view.leaf_labels
        answers = np.asarray(of_leaves)[view.evaluation.leaf]
        of_samples.append(np.searchsorted(np.array(one.values), answers))
    first, second = of_samples
    a, b = (len(one.values) for one in labels)
    shared = np.bincount(first * b + second, minlength=a * b).reshape(a, b)
    places = np.full(b, -1)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        if shared[i, j] > 0:
            places[j] = i
    free = places < 0
    places[free] = a + np.arange(np.count_nonzero(free))
    colours = palette(max(a, int(places.max()) + 1))
    of_second = [colours[place] for place in places]
    return [replace(labels[0], palette=colours[:a]), replace(labels[1], palette=of_second)]


def _rgb_bytes(colours: Colours) -> list[list[int]]:
    return np.rint(255 * colours).astype(int).tolist()  # type: ignore[no-any-return]
