"""What each neuron answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import Component, as_label
from dbgsom_plugins.figures._cells import can_write, dead_patch, map_of_cells
from dbgsom_plugins.figures._colours import (
    MAX_CATEGORIES,
    by_prototype,
    categorical,
    scale_of,
    towards_white,
)
from dbgsom_plugins.figures._names import can_describe, described, regions, write_names
from dbgsom_plugins.figures._sheet import map_sheet
from dbgsom_plugins.figures._values import texts_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.api import MapView
    from dbgsom_plugins.figures._sheet import Sheet

_PALEST = 0.22  # strength of the colour of a neuron whose classes are all equally frequent
_DEAD = 0.18  # strength of the colour under the hatch of a neuron without hits


class LabelMap(Component):
    """The label of each neuron on the grid.

    Up to 20 classes have a colour each, paler where the label of a neuron is less probable. Index
    labels of a vector quantizer, and more classes, are coloured by prototype: similar colours are
    similar prototypes. Regression values have a colour scale.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched."""
        if view.estimator == "regressor":
            return _values(view)
        distinct = len(np.unique(view.neuron_labels))
        if names_neurons(view) or distinct > MAX_CATEGORIES:
            return _prototypes(view)
        return _classes(view)


def names_neurons(view: MapView) -> bool:
    """Say whether the labels are numbers of neurons, so that no two share one."""
    live = view.neuron_labels[view.evaluation.hits > 0]
    return view.estimator == "vq" and (
        len(np.unique(view.neuron_labels)) == len(view.neuron_labels)
        or len(np.unique(live)) == len(live)
    )


def answers_of(view: MapView) -> str:
    """Return what neurons answer where they share answers: ``classes``, else ``clusters``."""
    classes = view.estimator == "classifier" or view.neuron_probabilities is not None
    return "classes" if classes else "clusters"


def _classes(view: MapView) -> Figure:
    from matplotlib.patches import Patch

    dead = view.evaluation.hits == 0
    classes, row = np.unique(view.neuron_labels, return_inverse=True)
    notes = ["Numbers are those of clusters."] if answers_of(view) == "clusters" else []
    # A label that only child maps have takes its colour all the same, so that pages agree.
    answers = classes if view.leaf_labels is None else np.union1d(classes, view.leaf_labels)
    answers = answers if len(answers) <= MAX_CATEGORIES else classes
    palette = categorical(len(answers))[np.searchsorted(answers, classes)]
    probabilities = view.neuron_probabilities
    strength = np.ones(len(row))
    if probabilities is not None and probabilities.shape[1] > 1:
        chance = 1 / probabilities.shape[1]
        majority = (probabilities.max(axis=1) - chance) / (1 - chance)
        strength = _PALEST + (1 - _PALEST) * np.clip(majority, 0, 1)
        notes.append("The paler a cell, the less probable its label.")
    colours = towards_white(palette[row], np.where(dead, _DEAD, strength))
    names = [name_of(view, label) for label in classes]
    entries = [
        (Patch(facecolor=colour, lw=0), name) for colour, name in zip(palette, names, strict=True)
    ]
    if dead.any():
        entries.append(dead_patch())
    texts = ["" if dead[k] else names[row[k]] for k in range(len(row))]
    sheet = map_of_cells(view, "Label map", colours, texts, notes, len(entries))
    sheet.legend(entries)
    if not can_write(sheet, texts):
        name_regions(view, sheet)
    return sheet.figure


_NAMED = 300  # samples whose names are written on the map
_LINES, _LETTERS = 4, 14  # of a cell
_SAMPLES = "Names are those of the samples, the nearest to the prototype first."


def _prototypes(view: MapView) -> Figure:
    dead = view.evaluation.hits == 0
    colours = by_prototype(view.evaluation.som_map.prototypes)
    colours[dead] = towards_white(colours[dead], np.full(np.count_nonzero(dead), _DEAD))
    note = (
        "Similar colours are similar prototypes: their first three principal components are "
        "lightness, blue to yellow, and green to red."
    )
    texts = ["" if dead[k] else name_of(view, label) for k, label in enumerate(view.neuron_labels)]
    samples = _samples_on(view)
    if can_write(map_sheet(view, "Label map"), samples):
        texts, note = samples, f"{note} {_SAMPLES}"
    sheet = map_of_cells(view, "Label map", colours, texts, [note], int(dead.any()))
    if dead.any():
        sheet.legend([dead_patch()])
    if not can_write(sheet, texts):
        name_regions(view, sheet)
    return sheet.figure


def _samples_on(view: MapView) -> list[str]:
    # The names of the samples of each neuron (K,), the nearest first, where all samples are few
    # and have names.
    ids = np.asarray(() if view.sample_ids is None else view.sample_ids)
    if not 0 < len(ids) <= _NAMED or ids.dtype.kind in "iu" or not names_neurons(view):
        return []
    evaluation = view.evaluation
    texts = []
    for neuron in range(len(evaluation.som_map)):
        rows = np.flatnonzero(evaluation.bmu == neuron)
        rows = rows[np.argsort(evaluation.distance[rows], kind="stable")]
        shown = rows[: _LINES if len(rows) <= _LINES else _LINES - 1]
        rest = [f"and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
        texts.append("\n".join([as_label(one, _LETTERS) for one in ids[shown].tolist()] + rest))
    return texts


def _values(view: MapView) -> Figure:
    dead = view.evaluation.hits == 0
    values = np.asarray(view.neuron_labels, dtype=np.float64)
    scale = scale_of(float(values.min()), float(values.max()))
    colours = np.asarray(scale.to_rgba(values))[:, :3]
    colours[dead] = towards_white(colours[dead], np.full(np.count_nonzero(dead), _DEAD))
    notes = ["Hatched neurons have no hits."] if dead.any() else []
    sheet = map_of_cells(view, "Label map", colours, texts_of(values, dead), notes)
    sheet.colour_bar(scale, "Value")
    return sheet.figure


def name_regions(view: MapView, sheet: Sheet) -> None:
    """Write the names of up to 20 classes or clusters on the regions of the map that they hold.

    Where neurons have but their numbers, regions are called by the variables they stand out in.
    """
    if view.estimator == "regressor":
        return
    if names_neurons(view):
        if can_describe(view):
            write_names(sheet, described(view))
        return
    labels, rows = np.unique(view.neuron_labels, return_inverse=True)
    if len(labels) <= MAX_CATEGORIES:
        names = [name_of(view, label) for label in labels]
        evaluation = view.evaluation
        write_names(sheet, regions(evaluation.som_map, rows.ravel(), names, evaluation.hits))


def name_of(view: MapView, label: Any) -> str:
    """Return what stands for a label in a figure."""
    return as_label(view.label_names.get(label, label))


def class_name_of(view: MapView, label: Any) -> str:
    """Return what stands for a class of the samples in a figure."""
    return as_label(view.class_names[label]) if label in view.class_names else name_of(view, label)
