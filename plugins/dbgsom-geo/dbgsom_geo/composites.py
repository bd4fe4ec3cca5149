"""Each neuron's field on its cell of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import FigureComponent, MapView, as_label
from dbgsom_geo.places import Grid, grid_of, name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
_MOST = 400  # neurons
_WIDTH, _PANEL = 12.0, (0.6, 3.2)  # inches of the map, and of a panel
_TEXT, _LINES = 0.9, 1.4  # inches of a panel from which on it has text, and contour lines


class Composites(FigureComponent):
    """The mean field of each neuron's days on its cell of the map, with its share of the days.

    Values are those of the data, weights by area and EOFs undone. Where both signs occur, colours
    are symmetric around zero.
    """

    of: Literal["days", "prototypes"] = Field(
        default="days",
        description="means of the days that a neuron won, or prototypes, which are smoother",
    )
    difference: bool = Field(default=False, description="take off the mean of all days")
    label: str = Field(default="", description="of the colour bar: what is shown, and its unit")

    def draw(self, view: MapView) -> Figure:
        from matplotlib.colors import BoundaryNorm
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        evaluation = view.evaluation
        hits, places = evaluation.hits, evaluation.som_map.plane_positions
        if len(hits) > _MOST:
            raise ValueError(
                f"composites draws up to {_MOST} neurons, not {len(hits)}: leave it out"
            )
        fields, grid = self._fields(view)
        limit = float(np.nanmax(np.abs(fields)))
        both = np.nanmin(fields) < 0 < np.nanmax(fields)
        ends = (-limit, limit) if both else (float(np.nanmin(fields)), float(np.nanmax(fields)))
        levels = MaxNLocator(14, symmetric=both).tick_values(*ends)
        colours: Any = {"cmap": "RdBu_r" if both else "viridis"}
        colours["norm"] = BoundaryNorm(levels, 256)

        rows = len(np.unique(np.round(places[:, 1], 3)))
        spread, height = np.ptp(places, axis=0)
        width = float(np.clip(_WIDTH / (spread + 1), *_PANEL))
        tall, text = width * _aspect(grid), 0.2 if width >= _TEXT else 0.04
        pitch = (tall + text + 0.08) / (height / (rows - 1) if rows > 1 else 1)  # inches a cell
        wide = max((spread + 1) * (width + 0.1), 4.2)
        size = np.array([wide + 1.5, height * pitch + tall + text + 1.2])
        figure = Figure(figsize=tuple(size))
        title = as_label(view.title, int(11 * size[0]))
        figure.text(0.2 / size[0], 1 - 0.32 / size[1], title, size=12, **PLAIN)
        left, bottom = places.min(axis=0)
        names, letters = view.label_names, max(3, int(9 * width))
        labels = [as_label(names.get(one, one), letters) for one in view.neuron_labels.tolist()]
        own = len(set(labels)) >= (hits > 0).sum()  # each neuron is a type of its own
        for neuron, (place, field) in enumerate(zip(places, fields, strict=True)):
            x = 0.2 + (place[0] - left) * (width + 0.1)
            y = 0.5 + (place[1] - bottom) * pitch
            box = (x / size[0], y / size[1], width / size[0], tall / size[1])
            axes = figure.add_axes(box, xticks=[], yticks=[])
            axes.spines[:].set_linewidth(0.4)
            if hits[neuron]:
                axes.contourf(grid.longitudes, grid.latitudes, field, levels, **colours)
                if width >= _LINES:
                    lines: Any = {"colors": "0.25", "linewidths": 0.35}
                    axes.contour(grid.longitudes, grid.latitudes, field, levels, **lines)
            if width >= _TEXT:
                named = f"{neuron}" + ("" if own else f" · {labels[neuron]}")
                share = f"{hits[neuron] / hits.sum():.1%}" if hits[neuron] else "no days"
                font: Any = {"size": float(np.clip(4.5 * width, 6, 9)), "pad": 2.5, **PLAIN}
                axes.set_title(named, loc="left", **font)
                axes.set_title(share, loc="right", **font)
        from matplotlib.cm import ScalarMappable

        tallest = min(0.8, 4.0 / size[1])
        bar_box = ((wide + 0.45) / size[0], 0.5 - tallest / 2, 0.18 / size[0], tallest)
        bar = figure.colorbar(ScalarMappable(**colours), cax=figure.add_axes(bar_box))
        bar.set_label(as_label(self.label, 60), **PLAIN)
        caption = self._caption(view, grid)
        if width >= _TEXT:
            caption += " Above: neuron, its label if neurons share labels, share of the days."
        figure.text(0.2 / size[0], 0.16 / size[1], caption, size=8, color="0.35")
        return figure

    def _fields(self, view: MapView) -> tuple[NDArray[np.float64], Grid]:
        # Fields (K, R, C) in the data's own units, nan where a neuron won no day.
        evaluation = view.evaluation
        values, hits = np.array(evaluation.som_map.prototypes, dtype=np.float64), evaluation.hits
        if self.of == "days":
            values += evaluation.offsets / np.maximum(hits, 1)[:, None]
        names = view.raw_names if view.restore else view.feature_names
        values = view.restore(values) if view.restore else view.in_own_units(values)
        if self.difference:
            values = values - np.average(values, axis=0, weights=hits)
        grid = grid_of([*map(str, names)])
        if grid is None and view.image_shape is not None:
            rows, columns = view.image_shape
            axes = (-np.arange(rows, dtype=float), np.arange(columns, dtype=float))
            grid = Grid(*axes, np.arange(rows * columns))
        if grid is None or len(grid.cells) != values.shape[1] or min(map(len, grid[:2])) < 2:
            raise ValueError(
                "composites draws fields over latitude and longitude, and these features name no "
                "places such as 50.0N 10.0W: read them with the data set 'netcdf', or leave it out"
            )
        fields = grid.fields(values)
        fields[hits == 0] = np.nan
        return fields, grid

    def _caption(self, view: MapView, grid: Grid) -> str:
        what = "Means of the days" if self.of == "days" else "Prototypes"
        what += " less the mean of all days" if self.difference else ""
        south, west = grid.latitudes[-1], grid.longitudes[0]
        if grid_of([*map(str, view.raw_names or view.feature_names)]) is not None:
            ends = name_of(grid.latitudes[0], grid.longitudes[-1])
            what += f"; from {name_of(south, west)} to {ends}"
        return f"{what}."


def _aspect(grid: Grid) -> float:
    # Height over width of a panel: a degree of longitude is shorter than one of latitude.
    tall, wide = np.ptp(grid.latitudes), np.ptp(grid.longitudes)
    return float(np.clip(tall / wide / np.cos(np.radians(grid.latitudes.mean())), 0.3, 2.0))
