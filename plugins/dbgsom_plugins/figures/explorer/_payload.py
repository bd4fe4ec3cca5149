"""What the explorer's page knows of a run, in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_plugins.figures._colours import (
    MAX_CATEGORIES,
    by_prototype,
    categorical,
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
_GREY = (150, 155, 163)


def payload(view: MapView, max_samples: int) -> dict[str, Any]:
    """Return all that the page shows as plain values; the same view gives the same.

    Of more than ``max_samples`` samples the page has some, drawn with the evaluation's seed.
    """
    notes: list[str] = []
    som_map = view.evaluation.som_map
    if som_map.grid.torus is not None:
        notes.append("The map is a torus: left is joined with right, and top with bottom.")
    notes += fold_note(som_map)
    rng = np.random.default_rng(view.evaluation.seed)
    classes, codes = _classes(view)
    columns = _columns(view, notes)
    size = 2 if len(columns) * _neurons(view) <= _PRECISE else 1
    rows = _rows(view, max_samples, rng, notes)
    shown = PageOptions(rows, codes, len(classes), columns, size)
    colours = by_prototype(np.nan_to_num(som_map.prototypes))
    told = tree_data(view, shown, colours, labels_of(view))
    return {
        "features": [as_label(names_of(view)[column]) for column in columns.tolist()],
        "telling": _telling(view, columns),
        "image": _image(view, columns),
        "classes": classes,
        "palette": palette(len(classes)),
        "colours": palette(MAX_CATEGORIES),
        "units": view.undo is not None,
        **told,
        "samples": told["samples"] | _samples(view, rows, codes, columns, rng, notes),
        "notes": notes,
    }


def _neurons(view: MapView) -> int:
    return sum(map(len, view.evaluation.tree.maps))


def _columns(view: MapView, notes: list[str]) -> NDArray[np.int64]:
    """Return the features on the page: those that vary most where they are too many."""
    prototypes = view.evaluation.som_map.prototypes
    features = prototypes.shape[1]
    most = max(1, _PROTOTYPES // _neurons(view))
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
    values: list[Any]  # each once and in order
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


def labels_of(view: MapView) -> Labels:
    """Return the labels of a view with a colour each."""
    kind = _kind(view)
    values = [] if kind == "value" else distinct(view)
    return Labels(kind, values, palette(len(values)))


def palette(count: int) -> list[list[int]]:
    """Return colours of so many categories, grey ones after as many as can be told apart."""
    colours = _rgb_bytes(categorical(min(count, MAX_CATEGORIES)))
    return [*colours, *[list(_GREY)] * (count - len(colours))]


def distinct(view: MapView) -> list[Any]:
    """Return the labels of the neurons of the map and its child maps, each once and in order."""
    known = [one for one in (view.neuron_labels, view.leaf_labels) if one is not None]
    return np.unique(np.concatenate(list(map(np.asarray, known)))).tolist() if known else []


def _kind(view: MapView) -> Literal["class", "cluster", "value", "neuron"]:
    if view.estimator == "regressor":
        return "value"
    if not 0 < len(distinct(view)) <= MAX_CATEGORIES:
        return "neuron"
    if len(distinct(view)) >= len(view.evaluation.tree):
        return "neuron"
    return "class" if answers_of(view) == "classes" else "cluster"


def _rgb_bytes(colours: Colours) -> list[list[int]]:
    return np.rint(255 * colours).astype(int).tolist()  # type: ignore[no-any-return]
