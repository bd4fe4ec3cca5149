"""Each neuron's field on its cell of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, FigureComponent, MapView, as_label
from dbgsom_geo.places import Grid, grid_of, name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
_WIDTH, _PANEL = 12.0, (0.6, 3.2)  # inches of the map, and of a panel
_TEXT, _LINES = 0.9, 1.4  # inches of a panel from which on it has text, and contour lines


class Composites(FigureComponent):
    """The mean field of each neuron's days on its cell of the map, with its share of the days.

    Values are those of the data, weights by area and EOFs undone, but for metrics that prepare
    fields, as correlation. Where both signs occur, colours are symmetric around zero.
    """

    of: Literal["days", "prototypes"] = Field(
        default="days", description="means of the days of a neuron, or prototypes (smoother)"
    )
    difference: bool = Field(default=False, description="take off the mean of all days")
    label: str = Field(default="", description="of the colour bar: what is shown, and its unit")

    def draw(self, view: MapView) -> Figure:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import BoundaryNorm
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        hits, places = view.evaluation.hits, view.evaluation.som_map.plane_positions
        if len(hits) > 400:
            raise DataError("composites draws up to 400 neurons: leave it out")
        fields, grid, is_geographic = self._fields(view)
        low, high = float(np.nanmin(fields)), float(np.nanmax(fields))
        both = low < 0 < high
        low, high = (-max(-low, high), max(-low, high)) if both else (low, high)
        levels = MaxNLocator(14, symmetric=both).tick_values(low, high)
        colours: Any = {"cmap": "RdBu_r" if both else "viridis", "norm": BoundaryNorm(levels, 256)}

        # Sizes in inches, of panels and from cell to cell.
        spread, height = np.ptp(places, axis=0)
        width = float(np.clip(_WIDTH / (spread + 1), *_PANEL))
        degree = np.ptp(grid.longitudes) * np.cos(np.radians(grid.latitudes.mean()))
        tall = width * float(np.clip(np.ptp(grid.latitudes) / degree, 0.3, 2.0))
        text = 0.2 if width >= _TEXT else 0.04
        rows = len(np.unique(np.round(places[:, 1], 3)))
        pitch = (tall + text + 0.08) * ((rows - 1) / height if rows > 1 else 1)
        wide = max((spread + 1) * (width + 0.1), 4.2)
        size = np.array([wide + 1.5, height * pitch + tall + text + 1.2])
        figure = Figure(figsize=tuple(size))
        title = as_label(view.title, int(11 * size[0]))
        figure.text(0.2 / size[0], 1 - 0.32 / size[1], title, size=12, **PLAIN)
        letter = float(np.clip(4.5 * width, 6, 9))  # points
        names, letters = view.label_names, max(3, int(9 * width))
        labels = [as_label(names.get(one, one), letters) for one in view.neuron_labels.tolist()]
        own = len(set(labels)) >= (hits > 0).sum()  # each neuron is a type of its own
        corners = [0.2, 0.5] + (places - places.min(axis=0)) * [width + 0.1, pitch]
        for neuron, (corner, field) in enumerate(zip(corners, fields, strict=True)):
            axes = figure.add_axes((*corner / size, width / size[0], tall / size[1]))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_linewidth(0.4)
            if hits[neuron]:
                axes.contourf(grid.longitudes, grid.latitudes, field, levels, **colours)
                if width >= _LINES:
                    lines: Any = {"colors": "0.25", "linewidths": 0.35}
                    axes.contour(grid.longitudes, grid.latitudes, field, levels, **lines)
            if width >= _TEXT:
                share = f"{hits[neuron] / hits.sum():.1%}" if hits[neuron] else "no days"
                named = f"{neuron}" if own else f"{neuron} · {labels[neuron]}"
                axes.set_title(named, loc="left", size=letter, pad=2.5, **PLAIN)
                axes.set_title(share, loc="right", size=letter, pad=2.5, **PLAIN)
        bar = min(0.8, 4.0 / size[1])
        box = ((wide + 0.45) / size[0], 0.5 - bar / 2, 0.18 / size[0], bar)
        colour_bar = figure.colorbar(ScalarMappable(**colours), cax=figure.add_axes(box))
        in_units = view.restore is not None or not view.raw_names
        label = self.label if in_units else "no unit: as the metric prepares fields"
        colour_bar.set_label(as_label(label, 60), **PLAIN)
        caption = "Means of the days" if self.of == "days" else "Prototypes"
        caption += " less the mean of all days" if self.difference else ""
        if is_geographic:
            ends = [name_of(grid.latitudes[-i], grid.longitudes[i - 1]) for i in (1, 0)]
            caption += f"; from {' to '.join(ends)}"
        if width >= _TEXT:
            caption += ". Above: neuron, its label if neurons share labels, share of the days"
        figure.text(0.2 / size[0], 0.16 / size[1], f"{caption}.", size=8, color="0.35")
        return figure

    def _fields(self, view: MapView) -> tuple[NDArray[np.float64], Grid, bool]:
        # Fields (K, R, C) in the data's units, nan for neurons without days; are they of places?
        evaluation, names = view.evaluation, view.raw_names if view.restore else view.feature_names
        values, hits = np.array(evaluation.som_map.prototypes, dtype=np.float64), evaluation.hits
        for neuron in np.flatnonzero(hits) if self.of == "days" else ():
            rows = evaluation.X[evaluation.bmu == neuron]
            known = np.isfinite(rows).sum(axis=0)
            values[neuron] = np.nansum(rows, axis=0) / np.where(known, known, np.nan)
        values = view.restore(values) if view.restore else view.in_own_units(values)
        if self.difference:
            values = values - np.average(values, axis=0, weights=hits)
        grid, shape = grid_of(names), view.image_shape
        is_geographic = grid is not None
        if grid is None and shape is not None:  # images of anything
            axes = (-np.arange(float(shape[0])), np.arange(float(shape[1])))
            grid = Grid(*axes, np.arange(shape[0] * shape[1]))
        if grid is None or len(grid.cells) != values.shape[1] or min(map(len, grid[:2])) < 2:
            cure = "read fields with the data set 'netcdf', or leave it out"
            raise DataError(f"composites: features name no places such as 50.0N 10.0W: {cure}")
        fields = grid.fields(values)
        fields[hits == 0] = np.nan
        return fields, grid, is_geographic
