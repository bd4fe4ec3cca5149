"""A star for each neuron: a ray for each of some variables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import map_of_cells
from dbgsom_plugins.figures._colours import EMPTY, categorical
from dbgsom_plugins.figures._places import drawn_at
from dbgsom_plugins.figures._sheet import KEY_PATCH, SIDE, extent
from dbgsom_plugins.figures._variables import chosen, fitting_name, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_REACH = 0.46  # of a ray at its variable's greatest value
_LEAST = 0.06  # and at its least
_MOST = 12  # rays that the eye tells apart
_STARS = 400  # stars that the eye tells apart
_SIDE = 2.4  # inches for the legend
_FONT = 8.5  # points, of its names


class VariableStars(Component):
    """A star in each cell, with a wedge for each of some variables: long where its value is great.

    A variable's wedge goes from its least to its greatest value on the map. Variables that the map
    was not trained on, where they are given, count with their mean over the neuron's samples.
    """

    variables: tuple[str, ...] | None = Field(
        default=None, description="up to 12 names, in this order; null: the six most telling ones"
    )

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched.

        Raises
        ------
        ValueError
            There are too many names, or no variable has one of them.
        """
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Patch

        if self.variables is not None and not 0 < len(self.variables) <= _MOST:
            raise ValueError(
                f"variable_stars shows 1 to {_MOST} variables, not {len(self.variables)}"
            )
        shown = chosen(view, self.variables, 6)
        som_map = view.evaluation.som_map
        low, high = np.nanmin(shown.values, axis=0), np.nanmax(shown.values, axis=0)
        spans = np.where(high > low, high - low, 1.0)
        palette = categorical(len(shown.names))
        notes = ["The area of a wedge goes from the variable's least to its greatest value."]
        if self.variables is None and len(shown.names) < shown.of:
            notes.append(f"{len(shown.names)} of {shown.of} variables, the most telling ones.")
        side = max(1, round(np.sqrt(len(som_map) / _STARS)))
        if side > 1:
            notes.append(f"A star stands for up to {side} × {side} neurons.")
        side_room = SIDE if view.axes is not None else _SIDE
        entries = [
            (Patch(facecolor=colour, lw=0), _key(name, least, most, 72 * side_room - KEY_PATCH))
            for colour, name, least, most in zip(palette, shown.names, low, high, strict=True)
        ]
        empty = np.tile(to_rgb(EMPTY), (len(som_map), 1))
        sheet = map_of_cells(view, "Variables of neurons", empty, (), notes, len(entries), _SIDE)
        wedges = [_wedge(which, len(shown.names)) for which in range(len(shown.names))]
        slices, colours = [], []
        for place, values in _stars(view, shown.values, side):
            rays = side * (
                _LEAST + (_REACH - _LEAST) * np.sqrt(np.maximum(values - low, 0) / spans)
            )
            for which in np.flatnonzero(np.isfinite(rays)).tolist():
                slices.append(place + rays[which] * wedges[which])
                colours.append(palette[which])
        sheet.axes.add_collection(
            PolyCollection(slices, facecolors=colours, linewidths=0, zorder=2.5), autolim=False
        )
        sheet.legend(entries)
        return sheet.figure


def _stars(
    view: MapView, values: NDArray[np.float64], side: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    # Yield places (2,) and values (V,): of neurons with hits, or of squares of them.
    som_map, hits = view.evaluation.som_map, view.evaluation.hits
    places = drawn_at(som_map)
    _, squares = np.unique(som_map.positions // side, axis=0, return_inverse=True)
    for square in range(int(squares.max()) + 1):
        neurons = np.flatnonzero(squares.ravel() == square)
        if not hits[neurons].any():
            continue
        shares = np.where(np.isfinite(values[neurons]), hits[neurons, None], 0)
        total = shares.sum(axis=0)
        sums = (shares * np.nan_to_num(values[neurons])).sum(axis=0)
        mean = np.divide(sums, total, out=np.full(len(sums), np.nan), where=total > 0)
        yield places[neurons].mean(axis=0), mean


def _key(name: str, least: float, most: float, room: float) -> str:
    told = f": {rounded(least, most):g} … {rounded(most, least):g}"
    return fitting_name(name, room - _FONT * extent(told), _FONT) + told


def _wedge(which: int, count: int) -> NDArray[np.float64]:
    # The corners (P, 2) of a wedge of radius 1, clockwise from the top.
    angles = 2 * np.pi * (which + np.linspace(0, 1, max(3, 24 // count))) / count
    return np.vstack([np.zeros((1, 2)), np.column_stack([np.sin(angles), np.cos(angles)])])
