"""Names on a map, one for each region: larger where more lies there, and never overlapping."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dbgsom_core.api import LabelEvidence
from dbgsom_plugins.figures._colours import INK, PAPER
from dbgsom_plugins.figures._places import drawn_at, fold_told
from dbgsom_plugins.figures._sheet import PLAIN, extent, fitting
from dbgsom_plugins.figures._variables import label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap
    from dbgsom_plugins.figures._sheet import Sheet

_SIZES = (6.5, 12.0)  # points, of the smallest and the largest region
_LINE = 1.5  # height of a line over its font size
_WIDEST = 125.0  # points
_FREE = 2.0  # points beside a name
_AND = ",\n"
_LETTERS = 20  # of a line of what a cluster stands out in
_SECOND = 0.6  # how far a cluster stands out in a second variable that is named, over the first
_LEAST = 0.004  # share of all samples from which on a region has a name


class Region(NamedTuple):
    """A region: what it is called, where (x, y) and how wide in the plane, how much lies there."""

    name: str
    place: tuple[float, float]
    width: float
    weight: float


def regions(
    som_map: SomMap, labels: NDArray[np.int64], names: Sequence[str], hits: NDArray[np.int64]
) -> list[Region]:
    """Return the sets of linked neurons with hits whose label (K,), a row of ``names``, is one.

    The place is that of the region's neuron that lies nearest to its middle.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    one, other = som_map.edges().T
    alike = (labels[one] == labels[other]) & (hits[one] > 0) & (hits[other] > 0)
    links = np.ones(np.count_nonzero(alike), bool), (one[alike], other[alike])
    graph = csr_array(links, shape=(len(labels), len(labels)))
    _, parts = connected_components(graph, directed=False)
    places = drawn_at(som_map)
    found = []
    for part in np.unique(parts[hits > 0]):
        neurons = np.flatnonzero(parts == part)
        weight = float(hits[neurons].sum())
        middle = np.average(places[neurons], axis=0, weights=hits[neurons])
        nearest = neurons[np.square(places[neurons] - middle).sum(axis=1).argmin()]
        x, y = places[nearest].tolist()
        width = 1 + float(np.ptp(places[neurons, 0]))
        found.append(Region(names[int(labels[nearest])], (x, y), width, weight))
    return found


DESCRIBED = "Names are what clusters of neurons stand out in."


def can_describe(view: MapView) -> bool:
    """Say whether the variables have names that tell something, and are no pixels."""
    d = view.evaluation.som_map.prototypes.shape[1]
    several = int(np.count_nonzero(view.evaluation.hits)) > 2
    return several and len(view.feature_names) == d and view.image_shape is None


def described(view: MapView) -> list[Region]:
    """Return clusters of neurons, called by the one or two variables that they stand out in.

    That is by how many standard deviations of the prototypes, weighted by hits, a cluster's mean
    is away.
    """
    from dbgsom_plugins.labellers.clusters import Clusters

    evaluation = view.evaluation
    som_map, hits = evaluation.som_map, evaluation.hits
    prototypes = som_map.prototypes
    evidence = LabelEvidence(som_map, evaluation.bmu, hits, errors=evaluation.errors)
    labels = Clusters().label(evidence)
    middle = np.average(prototypes, axis=0, weights=hits)
    spread = np.sqrt(np.average(np.square(prototypes - middle), axis=0, weights=hits))
    names, most = [], 1 if fold_told(som_map) else 2  # lines of a folded row have little room
    for cluster in range(int(labels.max()) + 1):
        weights = hits * (labels == cluster)
        apart = np.average(prototypes, axis=0, weights=weights) - middle
        apart = np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)
        first, *second = np.argsort(-np.abs(apart), kind="stable")[:most].tolist()
        second = [one for one in second if abs(apart[one]) > _SECOND * abs(apart[first])]
        told = [
            f"{'high' if apart[one] > 0 else 'low'} {label_of(str(view.feature_names[one]))}"
            for one in (first, *second)
        ]
        names.append(
            _AND.join(
                "\n".join(textwrap.wrap(one, _LETTERS, break_long_words=False)) for one in told
            )
        )
    return regions(som_map, labels, names, hits)


def write_names(sheet: Sheet, named: Sequence[Region]) -> list[str]:
    """Write names on a map, those with most samples first; return those that found room.

    A name that is wider than its region, or would overlap another one, is left out; before that it
    loses what comes after a comma.
    """
    from matplotlib.patheffects import withStroke

    total = sum(region.weight for region in named)
    (left, right), (low, high) = sheet.axes.get_xlim(), sheet.axes.get_ylim()
    taken: list[tuple[float, float, float, float]] = []
    written = []
    largest = max((region.weight for region in named), default=1.0)
    for region in sorted(named, key=lambda one: -one.weight):
        if region.weight < _LEAST * total:
            break
        size = _SIZES[0] + (_SIZES[1] - _SIZES[0]) * (region.weight / largest) ** 0.5
        for name in dict.fromkeys((region.name, region.name.partition(_AND)[0])):
            lines = [fitting(line, _WIDEST, size) for line in name.splitlines()]
            wide = (size * max(map(extent, lines), default=0.0) + _FREE) / sheet.cell
            tall = _LINE * size * len(lines) / sheet.cell
            if not name or wide > min(region.width, right - left) or tall > high - low:
                continue
            x = float(np.clip(region.place[0], left + wide / 2, right - wide / 2))
            y = float(np.clip(region.place[1], low + tall / 2, high - tall / 2))
            box = (x - wide / 2, x + wide / 2, y - tall / 2, y + tall / 2)
            if not any(_overlap(box, other) for other in taken):
                break
        else:
            continue
        text = "\n".join(lines)
        taken.append(box)
        written.append(text)
        sheet.axes.text(
            x,
            y,
            text,
            fontsize=size,
            linespacing=_LINE / 1.2,
            color=INK,
            ha="center",
            va="center",
            zorder=6,
            path_effects=[withStroke(linewidth=2.4, foreground=PAPER, alpha=0.85)],
            **PLAIN,
        )
    return written


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
