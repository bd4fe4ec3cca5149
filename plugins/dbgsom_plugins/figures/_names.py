"""What labels, classes and regions of a map are called in figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.api import LabelEvidence, as_label
from dbgsom_core.errors import as_text
from dbgsom_plugins.figures._drawing import cell_centres, fold_note
from dbgsom_plugins.figures._style import (
    INK,
    MAX_CATEGORIES,
    PAPER,
    PLAIN,
    label_of,
    shortened,
    text_width,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap
    from dbgsom_plugins.figures._drawing import Sheet

_SIZES = (6.5, 12.0)  # points, of the names of the smallest and the largest region
_LINE_HEIGHT = 1.5  # over the font size
_WIDEST, _FREE = 160.0, 2.0  # points of a name, a third of a map's width, and beside it
_AND = ",\n"
_SECOND = 0.6  # how far a cluster stands out in a second variable that is named, over the first
_LEAST = 0.004  # share of all samples from which on a region has a name: else outliers take room


def names_neurons(view: MapView) -> bool:
    """Return whether the labels are numbers of neurons, so that no two share one."""
    live = view.neuron_labels[view.evaluation.hits > 0]
    return view.estimator == "vq" and len(np.unique(live)) == len(live)


def answers_of(view: MapView) -> str:
    """Return what neurons answer where they share answers: ``classes``, else ``clusters``."""
    if view.estimator == "classifier" or view.neuron_probabilities is not None:
        return "classes"
    return "clusters"


def name_of(view: MapView, label: Any) -> str:
    """Return what stands for a label in a figure."""
    return as_label(view.label_names.get(label, label))


def class_name_of(view: MapView, label: Any) -> str:
    """Return what stands for a class of the samples in a figure."""
    if label in view.class_names:
        return as_label(view.class_names[label])
    return name_of(view, label)


def texts_of(cells: NDArray[Any]) -> list[str]:
    """Return the cells (n,) of a column beside the samples as texts, empty where they are none."""
    if cells.dtype.kind == "M":
        cells = cells.astype(str)
    texts = []
    for cell in cells.tolist():
        is_missing = cell is None or cell != cell
        texts.append("" if is_missing else " ".join(as_text(str(cell)).split()))
    return texts


def with_profile(view: MapView, names: Sequence[str]) -> list[str]:
    """Return the names of clusters with what sets them apart, where a profile says it."""
    if view.profile is None:
        return list(names)
    clusters = map(str, view.profile.clusters.tolist())
    descriptions = dict(zip(clusters, view.profile.names, strict=True))
    return [f"{name}: {descriptions[name]}" if name in descriptions else name for name in names]


class Region(NamedTuple):
    """A region: what it is called, where (x, y) and how wide in the plane, how much lies there."""

    name: str
    place: tuple[float, float]
    width: float
    weight: float


def regions(
    som_map: SomMap, labels: NDArray[np.int64], names: Sequence[str], hits: NDArray[np.int64]
) -> list[Region]:
    """Return the connected regions of neurons with hits and the same label.

    ``labels`` (K,) index ``names``. A region stands where its most central neuron is.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    a, b = som_map.edges().T
    is_joined = (labels[a] == labels[b]) & (hits[a] > 0) & (hits[b] > 0)
    links = a[is_joined], b[is_joined]
    graph = csr_array((np.ones(len(links[0]), bool), links), shape=(len(labels), len(labels)))
    _, parts = connected_components(graph, directed=False)
    centres = cell_centres(som_map)
    of_map = []
    for part in np.unique(parts[hits > 0]):
        neurons = np.flatnonzero(parts == part)
        mean = np.average(centres[neurons], axis=0, weights=hits[neurons])
        squares = np.square(centres[neurons] - mean).sum(axis=1)
        central = neurons[squares.argmin()]
        x, y = centres[central].tolist()
        width = 1 + float(np.ptp(centres[neurons, 0]))
        name = names[int(labels[central])]
        of_map.append(Region(name, (x, y), width, float(hits[neurons].sum())))
    return of_map


def labelled_regions(view: MapView) -> list[Region]:
    """Return the regions of up to 20 classes or clusters, or of variables that stand out.

    The latter are those of a map whose neurons have but their numbers.
    """
    evaluation = view.evaluation
    if names_neurons(view):
        return described(view) if can_describe(view) else []
    labels, rows = np.unique(view.neuron_labels, return_inverse=True)
    if view.estimator == "regressor" or len(labels) > MAX_CATEGORIES:
        return []
    names = [name_of(view, label) for label in labels]
    return regions(evaluation.som_map, rows.ravel(), names, evaluation.hits)


def can_describe(view: MapView) -> bool:
    """Return whether the variables have names that tell something, and are no pixels."""
    d = view.evaluation.som_map.prototypes.shape[1]
    several = int(np.count_nonzero(view.evaluation.hits)) > 2
    return several and len(view.feature_names) == d and view.image_shape is None


def described(view: MapView) -> list[Region]:
    """Return clusters of neurons, called by the one or two variables that they stand out in.

    A variable stands out by the distance of the cluster's mean from the mean of all, in standard
    deviations of the prototypes, all weighted by hits.
    """
    from dbgsom_plugins.labellers.clusters import Clusters

    evaluation = view.evaluation
    som_map, hits = evaluation.som_map, evaluation.hits
    prototypes = som_map.prototypes
    evidence = LabelEvidence(som_map, evaluation.bmu, hits, errors=evaluation.errors)
    labels = Clusters().label(evidence)
    mean = np.average(prototypes, axis=0, weights=hits)
    variance = np.average(np.square(prototypes - mean), axis=0, weights=hits)
    most = 1 if fold_note(som_map) else 2  # lines of a folded row have little room
    names = []
    for cluster in range(int(labels.max()) + 1):
        of_cluster = np.average(prototypes, axis=0, weights=hits * (labels == cluster))
        scores = np.zeros_like(mean)
        np.divide(of_cluster - mean, np.sqrt(variance), out=scores, where=variance > 0)
        sizes = np.abs(scores)
        phrases: list[str] = []
        for column in np.argsort(-sizes, kind="stable")[:most].tolist():
            if phrases and sizes[column] <= _SECOND * sizes.max():
                break
            side = "high" if scores[column] > 0 else "low"
            variable = label_of(str(view.feature_names[column]))
            phrases.append(f"{side} {variable}")
        names.append(_AND.join(phrases))
    return regions(som_map, labels, names, hits)


def write_names(
    sheet: Sheet,
    named: Sequence[Region],
    sizes: tuple[float, float] = _SIZES,
    least: float = _LEAST,
) -> list[str]:
    """Write names on a map, as `place_names` places them; return what was written."""
    from matplotlib.patheffects import withStroke

    look: dict[str, Any] = {"color": INK, "ha": "center", "va": "center", "zorder": 6, **PLAIN}
    look["linespacing"] = _LINE_HEIGHT / 1.2
    look["path_effects"] = [withStroke(linewidth=2.4, foreground=PAPER, alpha=0.85)]
    placed = place_names(sheet, named, sizes, least)
    for text, (x, y), size in placed:
        sheet.axes.text(x, y, text, fontsize=size, **look)
    return [text for text, _, _ in placed]


def place_names(
    sheet: Sheet,
    named: Sequence[Region],
    sizes: tuple[float, float] = _SIZES,
    least: float = _LEAST,
) -> list[tuple[str, tuple[float, float], float]]:
    """Return the names that have room on a map, each with its middle and font size.

    A name that is wider than its region, or would overlap another one, loses what comes after a
    comma, or is left out; so is that of a region with a share of samples below ``least``. ``sizes``
    are the points of the smallest and the largest. Ours: largest first, no name
    is moved away from its region, so that none stands beside a wrong one.
    """
    (left, right), (low, high) = sheet.axes.get_xlim(), sheet.axes.get_ylim()
    named = [region for region in named if region.name]
    total = sum(region.weight for region in named)
    largest = max((region.weight for region in named), default=1.0)
    smallest_font, largest_font = sizes
    boxes: list[_Box] = []
    placed = []
    for region in sorted(named, key=lambda region: -region.weight):
        if region.weight < least * total:
            break
        size = smallest_font + (largest_font - smallest_font) * (region.weight / largest) ** 0.5
        first_part = region.name.partition(_AND)[0]
        for text in dict.fromkeys((region.name, first_part)):
            lines = [shortened(line, _WIDEST, size) for line in text.split("\n")]
            points = size * max(map(text_width, lines)) + _FREE
            wide, tall = points / sheet.cell, _LINE_HEIGHT * size * len(lines) / sheet.cell
            if wide > min(region.width, right - left) or tall > high - low:
                continue
            x, y = region.place
            x = float(np.clip(x, left + wide / 2, right - wide / 2))
            y = float(np.clip(y, low + tall / 2, high - tall / 2))
            box = _Box(x - wide / 2, x + wide / 2, y - tall / 2, y + tall / 2)
            if not any(map(box.overlaps, boxes)):
                boxes.append(box)
                placed.append(("\n".join(lines), (x, y), size))
                break
    return placed


class _Box(NamedTuple):
    left: float
    right: float
    low: float
    high: float

    def overlaps(self, other: _Box) -> bool:
        is_beside = self.right <= other.left or other.right <= self.left
        return not is_beside and self.low < other.high and other.low < self.high
