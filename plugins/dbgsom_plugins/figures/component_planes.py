"""Variables of the samples, what the map makes of them, and the map once for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._colours import INK, MUTED, robust_ends, scale_of
from dbgsom_plugins.figures._drawing import (
    PLAIN,
    Sheet,
    cell_centres,
    fill_cells,
    fold_note,
    mark_parents,
    page,
    parents_of,
    shortened,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView


_NAMED = 30  # letters of a name
_LONGEST = 6  # digits before or after the mark


class Variables(NamedTuple):
    """Some variables: ``names`` and ``values`` (K, V) of the neurons, nan for none; ``of`` all."""

    names: list[str]
    values: NDArray[np.float64]
    of: int


def names_of(view: MapView) -> list[str]:
    """Return what the features are called, in their order."""
    d = view.evaluation.som_map.prototypes.shape[1]
    if len(view.feature_names) == d:
        return [str(name) for name in view.feature_names]
    return [f"feature {column}" for column in range(d)]


def chosen(
    view: MapView, wanted: Sequence[str] | None, most: int, *, own_units: bool = True
) -> Variables:
    """Return the variables ``wanted`` by name, or the ``most`` telling ones in their order.

    Values are those of the data where that is known, or without ``own_units`` what the map sees.

    What a feature tells is the share of its variance that lies between neurons. Variables beside
    the features, `MapView.variables`, are means over the samples of a neuron.

    Raises
    ------
    ValueError
        No variable is called so.
    """
    prototypes, names = view.evaluation.som_map.prototypes, names_of(view)
    if own_units:
        prototypes = view.in_own_units(prototypes)
    if wanted is None:
        columns = np.sort(_telling(view)[:most])
        return Variables([names[one] for one in columns], prototypes[:, columns], len(names))
    found = []
    for name in wanted:
        if name in names:
            found.append(prototypes[:, names.index(name)])
        elif name in view.variables:
            found.append(_means(view, np.asarray(view.variables[name], dtype=np.float64)))
        else:
            known = [*names, *view.variables]
            some = ", ".join(as_label(one) for one in known[:12]) + ", …" * (len(known) > 12)
            raise ValueError(f"unknown variable '{name}'{did_you_mean(name, known)}; known: {some}")
    return Variables(list(wanted), np.column_stack(found), len(wanted))


def rounded(value: float, other: float) -> float:
    """Return a number with three digits of how far another one is away."""
    span = abs(value - other) or abs(value)
    return round(float(value), 2 - math.floor(math.log10(span))) + 0.0 if span > 0 else 0.0


def alike(values: Sequence[float], digits: int) -> list[str]:
    """Return numbers as words with as many decimals each: ``digits`` of how far they are apart.

    Whole numbers have none. What would be a zero, or too long, has ``digits`` of its own.
    """
    span = max(values) - min(values)
    places = digits - 1 - math.floor(math.log10(span)) if span > 0 else _LONGEST + 1
    if all(float(value).is_integer() and abs(value) < 10**_LONGEST for value in values):
        places = 0
    if not -_LONGEST < places <= _LONGEST:
        return [f"{value:.{digits}g}" for value in values]
    words = [f"{value:.{max(places, 0)}f}" for value in values]
    return [
        f"{value:.{digits}g}" if value and not float(word) else word
        for value, word in zip(values, words, strict=True)
    ]


def label_of(name: str) -> str:
    """Return a variable's name as figures show it."""
    return as_label(name, _NAMED)


def fitting_name(name: str, room: float, size: float) -> str:
    """Return a variable's name that takes at most ``room`` points in a font of this size.

    Of a category, ``Region=North``, both sides are cut: values of one column are told apart.
    """
    column, equals, value = name.partition("=")
    told = label_of(name)
    if not equals or (len(name) <= _NAMED and size * text_width(told) <= room):
        return shortened(told, room, size)
    column, value = label_of(column), label_of(value)
    value = shortened(value, max(room / 2, room - size * text_width(f"{column}=")), size)
    return f"{shortened(column, room - size * text_width(f'={value}'), size)}={value}"


def _telling(view: MapView) -> NDArray[np.intp]:
    # The features, most telling first.
    evaluation = view.evaluation
    hits, prototypes = evaluation.hits, evaluation.som_map.prototypes
    middle = np.average(prototypes, axis=0, weights=hits)
    between = np.average(np.square(prototypes - middle), axis=0, weights=hits)
    whole = np.square(evaluation.data.moments().deviation)
    shares = np.divide(between, whole, out=np.zeros_like(between), where=whole > 0)
    return np.argsort(-shares, kind="stable")


def _means(view: MapView, values: NDArray[np.float64]) -> NDArray[np.float64]:
    bmu, n_neurons = view.evaluation.bmu, len(view.evaluation.som_map)
    there = np.isfinite(values)
    counts = np.bincount(bmu[there], minlength=n_neurons)
    sums = np.bincount(bmu[there], values[there], n_neurons)
    means = np.full(n_neurons, np.nan)
    return np.asarray(np.divide(sums, counts, out=means, where=counts > 0))


_WIDTH = 8.4  # inches of all panels
_HEAD, _GAP = 0.42, 0.18  # inches above a panel for its name, and between panels
_TALLEST = 2.2  # inches of a panel
_LOWEST = 1.4  # page: so that its scale can be read


class ComponentPlanes(FigureComponent):
    """The map once for each variable, coloured by the prototypes' values (Vesanto 1999).

    Planes that look alike stand beside each other: they are ordered by the correlation of their
    values. Each has a scale of its own, from its least to its greatest value in the data's own
    units, or all have one of what the map sees, after the prepare steps.
    """

    variables: tuple[str, ...] | None = Field(
        default=None, description="names, in this order; null: the most telling ones"
    )
    most: int = Field(default=20, ge=1, le=100, description="planes that are drawn at most")
    scale: Literal["own", "shared"] = Field(
        default="own", description="a scale for each plane, or one for all of them"
    )

    def draw(self, view: MapView) -> Figure:
        som_map = view.evaluation.som_map
        shown = chosen(view, self.variables, self.most, own_units=self.scale == "own")
        order = range(len(shown.names)) if self.variables else by_likeness(shown.values)
        whole = np.array([_range(shown.values[:, column]) for column in order])
        # Categories, "Region=North", have natural ends.
        ranges = np.array(
            [
                _range(shown.values[:, column], robust="=" not in shown.names[column])
                for column in order
            ]
        )
        beyond = (ranges != whole).any()
        if self.scale == "shared":
            ranges[:] = ranges[:, 0].min(), ranges[:, 1].max()
        notes = []
        if not self.variables and len(shown.names) < shown.of:
            notes.append(
                f"{len(shown.names)} of {shown.of} variables: those of which the map tells most, "
                "by the share of their variance that lies between neurons."
            )
        if not self.variables and len(shown.names) > 2:
            notes.append("Variables whose planes are alike stand beside each other.")
        if beyond:
            where = ", and stand in brackets" if self.scale == "own" else ""
            notes.append(f"Extreme values have the colour of the end that they lie beyond{where}.")
        notes += fold_note(som_map)
        places = cell_centres(som_map)
        corners = np.array(som_map.grid.corners)
        low = places.min(axis=0) + corners.min(axis=0)
        size = places.max(axis=0) + corners.max(axis=0) - low
        columns, width = _columns(len(shown.names), float(size[0] / size[1]))
        cell = min(width / size[0], _TALLEST / size[1])
        rows = math.ceil(len(shown.names) / columns)
        height = max(_LOWEST, rows * (cell * size[1] + _HEAD))
        sheet = page(view, "FigureComponent planes", columns * (width + _GAP), height, notes)
        for number, column in enumerate(order):
            row, along = divmod(number, columns)
            box = (along * (width + _GAP), row * (cell * size[1] + _HEAD) + _HEAD, *(cell * size))
            axes = sheet.panel(box, low, size)
            values, bounds = shown.values[:, column], ranges[number]
            plane = Sheet(axes, 72 * float(cell) * sheet.scale, corners, sheet)
            _fill(plane, places, values, bounds, view.evaluation.hits == 0)
            mark_parents(plane, parents_of(som_map))
            told = _ends_of(bounds, whole[number]) if self.scale == "own" else ""
            _head(plane, shown.names[column], told, width, sheet.scale)
        if self.scale == "own":
            sheet.colour_bar(scale_of(0.0, 1.0), "Value", ends=("least", "greatest"))
        else:
            sheet.colour_bar(scale_of(*ranges[0].tolist()), "Value")
        return sheet.figure


def by_likeness(values: NDArray[np.float64]) -> list[int]:
    """Return the columns of values (K, V) in an order in which those that correlate are near."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if values.shape[1] < 3:
        return list(range(values.shape[1]))
    centred = values - np.nanmean(values, axis=0)
    centred = np.where(np.isfinite(centred), centred, 0.0)
    lengths = np.sqrt(np.square(centred).sum(axis=0))
    unit = centred / np.where(lengths > 0, lengths, 1.0)
    apart = np.clip(1 - unit.T @ unit, 0, 2)
    np.fill_diagonal(apart, 0)
    condensed = squareform(apart, checks=False)
    tree = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return [int(one) for one in leaves_list(tree)]


def _columns(panels: int, proportion: float) -> tuple[int, float]:
    # How many stand beside each other, and their width in inches.
    beside = math.ceil(math.sqrt(panels / max(proportion, 0.2)) * 1.25)
    columns = int(np.clip(beside, min(panels, 2), min(panels, 8)))
    return columns, min(2.6, (_WIDTH - (columns - 1) * _GAP) / columns)


def _range(values: NDArray[np.float64], *, robust: bool = False) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 0.0
    return robust_ends(known) if robust else (float(known.min()), float(known.max()))


def _ends_of(bounds: NDArray[np.float64], whole: NDArray[np.float64]) -> str:
    low, high = rounded(bounds[0], bounds[1]), rounded(bounds[1], bounds[0])
    told = f"{low:g} … {high:g}"
    if whole[0] < bounds[0]:
        told = f"({rounded(*whole):g}) {told}"
    return f"{told} ({rounded(*whole[::-1]):g})" if whole[1] > bounds[1] else told


def _fill(
    plane: Sheet,
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    bounds: NDArray[np.float64],
    dead: NDArray[np.bool_],
) -> None:
    known = np.isfinite(values)
    scale = scale_of(*bounds.tolist())
    colours = np.asarray(scale.to_rgba(np.where(known, values, bounds[0])))[:, :3]
    colours[~known] = 1.0
    fill_cells(plane, places, colours, ~known)


def _head(plane: Sheet, name: str, ends: str, width: float, scale: float) -> None:
    left, top = plane.axes.get_xlim()[0], plane.axes.get_ylim()[1]
    offset: dict[str, Any] = {"textcoords": "offset points", "va": "bottom"}
    offset["annotation_clip"] = False
    name = fitting_name(name, 72 * width, 8.5)
    above = scale * (12 if ends else 3)
    plane.axes.annotate(
        name, (left, top), (0, above), fontsize=8.5 * scale, color=INK, **offset, **PLAIN
    )
    if ends:
        plane.axes.annotate(
            ends, (left, top), (0, 3 * scale), fontsize=7 * scale, color=MUTED, **offset, **PLAIN
        )
