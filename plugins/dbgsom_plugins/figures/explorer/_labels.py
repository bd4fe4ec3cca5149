"""What neurons answer: names of classes and of clusters, and colours that tell them apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_plugins.figures._colours import (
    MAX_CATEGORIES,
    categorical,
    darker,
    towards_white,
)
from dbgsom_plugins.figures.explorer._packing import short
from dbgsom_plugins.figures.label_map import answers_of, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dbgsom_core.api import MapView
    from dbgsom_plugins.figures._colours import Colours

_GREY = (150, 155, 163)
_TONE = 10  # colours of one tone
_PALE = 0.45  # strength of the colours of clusters beside more classes than have one tone
_MATCHED = (
    "Clusters of the two maps that share most samples have the same colour; their numbers have "
    "nothing to do with each other."
)


@dataclass(frozen=True)
class Labels:
    """The labels of the neurons of a map and its child maps.

    Attributes
    ----------
    kind : {"class", "cluster", "value", "neuron"}
        ``neuron``: so many that colours do not tell them apart.
    values : list
        Each once and in order; those of classes are those of both maps of a pair.
    palette : list of [r, g, b]
        Their colours.
    """

    kind: str
    values: list[Any]
    palette: list[list[int]]

    def data(self, view: MapView) -> dict[str, Any]:
        """Return plain values: their names and colours, as far as these tell them apart."""
        if self.kind == "value":
            return {"kind": "values"}
        names = [name_of(view, one) for one in self.values]
        few = self.kind != "neuron"
        what = {"what": self.kind} if few else {}
        return {
            "kind": "few" if few else "many", **what, "names": names, "palette": self.palette,
        }  # fmt: skip

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
    """Return the labels of each view; what they share is told to ``notes``.

    Classes of two maps are the same, and have one palette. Those of a map beside clusters keep
    theirs, and clusters get another one. Of two maps of clusters, whose numbers have nothing to do
    with each other, those that share most samples have the same colour.
    """
    kinds = [_kind(view) for view in views]
    of_classes = [view for view, kind in zip(views, kinds, strict=True) if kind == "class"]
    joint = distinct(of_classes) if _comparable(of_classes) else None
    if joint is not None and len(joint) > MAX_CATEGORIES:  # of both maps together
        kinds = ["neuron" if kind == "class" else kind for kind in kinds]
    found = []
    for view, kind in zip(views, kinds, strict=True):
        own = [] if kind == "value" else distinct([view])
        values = joint if kind == "class" and joint is not None else own
        colours = palette(len(values))
        if kind == "cluster" and "class" in kinds:
            colours = _rgb_bytes(_beside_classes(len(values), len(joint or ())))
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


def _kind(view: MapView) -> str:
    if view.estimator == "regressor":
        return "value"
    if not 0 < len(distinct([view])) <= MAX_CATEGORIES:
        return "neuron"
    if len(distinct([view])) >= len(view.evaluation.tree):
        return "neuron"
    return "class" if answers_of(view) == "classes" else "cluster"


def _comparable(views: Sequence[MapView]) -> bool:
    # Numbers and texts are no classes of one kind.
    return len({np.asarray(view.neuron_labels).dtype.kind for view in views}) == 1


def _beside_classes(clusters: int, classes: int) -> Colours:
    # Colours that no class has: of another tone.
    if max(clusters, classes) <= _TONE:
        return darker(clusters)
    return towards_white(categorical(clusters), np.full(clusters, _PALE))


def _matched(views: Sequence[MapView], labels: Sequence[Labels]) -> list[Labels]:
    from scipy.optimize import linear_sum_assignment

    first, second = (
        np.searchsorted(np.array(one.values), _of_leaves(view)[view.evaluation.leaf])
        for view, one in zip(views, labels, strict=True)
    )
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


def _of_leaves(view: MapView) -> NDArray[Any]:
    return np.asarray(view.neuron_labels if view.leaf_labels is None else view.leaf_labels)


def _rgb_bytes(colours: Colours) -> list[list[int]]:
    return np.rint(255 * colours).astype(int).tolist()  # type: ignore[no-any-return]
