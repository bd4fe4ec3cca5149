"""Variables of the samples, what the map makes of them, and the map once for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._colours import INK, MUTED, robust_ends, scale_of
from dbgsom_plugins.figures._drawing import (
    Sheet,
    cell_centres,
    extent,
    fold_note,
    frame,
    page,
)
from dbgsom_plugins.figures._texts import PLAIN, numbers, shortened

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView


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
_WIDEST = 2.6
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
        view = replace(view, axes=None)  # several panels have a page of their own
        som_map = view.evaluation.som_map
        shown = chosen(view, self.variables, self.most, own_units=self.scale == "own")
        planes = [
            _plane(name, values) for name, values in zip(shown.names, shown.values.T, strict=True)
        ]
        notes = []
        if not self.variables:
            planes = [planes[column] for column in by_likeness(shown.values)]
            if len(planes) < shown.of:
                notes.append(
                    f"{len(planes)} of {shown.of} variables: those of which the map tells most, "
                    "by the share of their variance that lies between neurons."
                )
            if len(planes) > 2:
                notes.append("Variables whose planes are alike stand beside each other.")
        if any(plane.is_extreme for plane in planes):
            where = ", and stand in brackets" if self.scale == "own" else ""
            notes.append(f"Extreme values have the colour of the end that they lie beyond{where}.")
        low, size = extent(som_map, cell_centres(som_map))
        columns, width = _columns(len(planes), float(size[0] / size[1]))
        cell = float(min(_TALLEST / size[1], width / size[0]))
        step = cell * size[1] + _HEAD
        height = max(math.ceil(len(planes) / columns) * step, _LOWEST)
        whole = columns * (width + _GAP) - _GAP
        page_of = page(view, "Component planes", whole, height, [*notes, *fold_note(som_map)])
        scale = scale_of(min(p.low for p in planes), max(p.high for p in planes))
        for number, plane in enumerate(planes):
            row, column = divmod(number, columns)
            box = column * (width + _GAP), row * step + _HEAD, *(cell * size)
            sheet = Sheet(page_of, page_of.panel(*box), 72 * cell, som_map)
            frame(sheet.axes, low, size)
            if self.scale == "own":
                scale = scale_of(plane.low, plane.high)
            _draw_plane(sheet, plane, scale, 72 * width, with_ends=self.scale == "own")
        if self.scale == "own":
            page_of.colour_bar(scale, "Value", ends=("least", "greatest"))
        else:
            page_of.colour_bar(scale, "Value")
        return page_of.figure


class _Plane(NamedTuple):
    """A variable: its values (K,), and the least and greatest of those that are not extreme."""

    name: str
    values: NDArray[np.float64]
    low: float
    high: float
    ends: str
    is_extreme: bool


def _plane(name: str, values: NDArray[np.float64]) -> _Plane:
    known = values[np.isfinite(values)]
    if not len(known):
        return _Plane(name, values, 0.0, 0.0, "no values", False)
    least, greatest = low, high = float(known.min()), float(known.max())
    if "=" not in name:  # categories, "Region=North", have natural ends
        low, high = robust_ends(known)
    words = numbers([least, low, high, greatest], 3)
    ends = f"{words[1]} … {words[2]}"
    if least < low:
        ends = f"({words[0]}) {ends}"
    if greatest > high:
        ends = f"{ends} ({words[3]})"
    return _Plane(name, values, low, high, ends, (least, greatest) != (low, high))


def _draw_plane(
    sheet: Sheet, plane: _Plane, scale: ScalarMappable, width: float, *, with_ends: bool
) -> None:
    som_map, unknown = sheet.som_map, ~np.isfinite(plane.values)
    centres = cell_centres(som_map)
    colours = np.asarray(scale.to_rgba(np.where(unknown, plane.low, plane.values)))[:, :3]
    colours[unknown] = 1.0
    sheet.fill_cells(centres, colours, unknown)
    sheet.mark_parents(centres[sorted(som_map.children)])
    look: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", **PLAIN}
    name = shortened(plane.name, width, 8.5)
    sheet.axes.annotate(name, (0, 1), (0, 12), fontsize=8.5, color=INK, **look)
    if with_ends:
        sheet.axes.annotate(plane.ends, (0, 1), (0, 3), fontsize=7, color=MUTED, **look)


def by_likeness(values: NDArray[np.float64]) -> list[int]:
    """Return the columns of values (K, V) in an order in which those that correlate are near."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if values.shape[1] < 3:
        return list(range(values.shape[1]))
    centred = np.nan_to_num(values - np.nanmean(values, axis=0), posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(lengths > 0, lengths, 1.0)
    apart = np.clip(1 - unit.T @ unit, 0, 2)
    np.fill_diagonal(apart, 0)
    condensed = squareform(apart, checks=False)
    tree = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return leaves_list(tree).tolist()  # type: ignore[no-any-return]


def _columns(panels: int, proportion: float) -> tuple[int, float]:
    # How many stand beside each other, and their width in inches.
    beside = math.ceil(math.sqrt(panels / max(proportion, 0.2)) * 1.25)
    columns = int(np.clip(beside, min(panels, 2), min(panels, 8)))
    return columns, min(_WIDEST, (_WIDTH - (columns - 1) * _GAP) / columns)
