"""Each neuron's field on its cell of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import DataError, FigureComponent, MapView, as_label
from dbgsom_geo.places import Grid, grid_of, name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

By = Annotated[Literal["unit", "label"], Field(description="types are neurons, or their labels")]
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
_WIDTH, _PANEL = 12.0, (0.6, 3.2)  # inches of the map, and of a panel
_TEXT, _LINES = 0.9, 1.4  # inches of a panel from which on it has text, and contour lines


class Composites(FigureComponent):
    """The mean field of each neuron's days on its cell of the map, with its share of the days.

    ``by: label`` has a panel for each label, such as the clusters of neurons. Values are those of
    the data, weights by area and EOFs undone, but for metrics that prepare fields, as correlation.
    Where both signs occur, colours are symmetric around zero.
    """

    by: By = "unit"
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

        types, names = types_of(view, self.by)
        if len(names) > 400:
            raise DataError("composites draws up to 400 types: leave it out")
        fields, hits, grid, is_geographic = mean_fields(view, types, self.of, self.difference)
        places = view.evaluation.som_map.plane_positions
        if self.by == "label":
            columns = int(np.ceil(len(names) ** 0.5))
            places = np.array([(i % columns, -(i // columns)) for i in range(len(names))], float)
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
        title = as_label(view.title, int(9.5 * size[0]))
        figure.text(0.2 / size[0], 1 - 0.32 / size[1], title, size=12, **PLAIN)
        letter = float(np.clip(4.5 * width, 6, 9))  # points
        label_of, labels = types_of(view, "label")
        if self.by == "unit" and len(labels) < (hits > 0).sum():  # neurons share labels
            names = [f"{name} · {labels[label_of[int(name)]]}" for name in names]
        corners = [0.2, 0.5] + (places - places.min(axis=0)) * [width + 0.1, pitch]
        for one, (corner, field) in enumerate(zip(corners, fields, strict=True)):
            axes = figure.add_axes((*corner / size, width / size[0], tall / size[1]))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_linewidth(0.4)
            if hits[one]:
                shown = (grid.longitudes, grid.latitudes, field, levels)
                axes.contourf(*shown, **colours)
                if width >= _LINES:
                    axes.contour(*shown, colors="0.25", linewidths=0.35)
            if width >= _TEXT:
                share = f"{hits[one] / hits.sum():.1%}" if hits[one] else "no days"
                axes.set_title(
                    as_label(names[one], int(9 * width)), loc="left", size=letter, pad=2.5, **PLAIN
                )
                axes.set_title(share, loc="right", size=letter, pad=2.5, **PLAIN)
        bar = min(0.8, 4.0 / size[1])
        box = ((wide + 0.45) / size[0], 0.5 - bar / 2, 0.18 / size[0], bar)
        colour_bar = figure.colorbar(ScalarMappable(**colours), cax=figure.add_axes(box))
        has_units = view.restore is not None or not view.raw_names
        label = self.label if has_units else "no unit: as the metric prepares fields"
        colour_bar.set_label(as_label(label, 60), **PLAIN)
        caption = "Means of the days" if self.of == "days" else "Prototypes"
        caption += " less the mean of all days" if self.difference else ""
        if is_geographic:
            ends = [name_of(grid.latitudes[-i], grid.longitudes[i - 1]) for i in (1, 0)]
            caption += f"; from {' to '.join(ends)}"
        if width >= _TEXT:
            above = "label" if self.by == "label" else "neuron, its label if neurons share labels"
            caption += f". Above: {above}, share of the days"
        figure.text(0.2 / size[0], 0.16 / size[1], f"{caption}.", size=8, color="0.35")
        return figure


def types_of(view: MapView, by: str) -> tuple[NDArray[np.intp], list[str]]:
    """Return the type (K,) of each neuron, from 0, and what the T types are called."""
    known, types = np.unique(view.neuron_labels, return_inverse=True)
    if by == "unit":
        types = known = np.arange(len(types))
    names = {} if by == "unit" else view.label_names
    return types, [as_label(names.get(one, one), 24) for one in known.tolist()]


def mean_fields(
    view: MapView, types: NDArray[np.intp], of: str = "days", difference: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64], Grid, bool]:
    """Return the fields (T, R, C) of types in the data's units, their days (T,), and their grid.

    ``types`` (K,) are those of neurons; fields without days are nan. At last it says whether the
    grid is one of places. DataError where features name no places and are no images.
    """
    evaluation, names = view.evaluation, view.raw_names if view.restore else view.feature_names
    prototypes, type_of_day = evaluation.som_map.prototypes, types[evaluation.bmu]
    hits = np.bincount(type_of_day, minlength=types.max() + 1)
    values = np.zeros((len(hits), prototypes.shape[1]))
    for one in np.flatnonzero(hits):
        inside = type_of_day == one
        rows = evaluation.X[inside] if of == "days" else prototypes[evaluation.bmu[inside]]
        known = np.isfinite(rows).sum(axis=0)
        values[one] = np.nansum(rows, axis=0, dtype=np.float64) / np.where(known, known, np.nan)
    values = view.restore(values) if view.restore else view.in_own_units(values)
    if difference:
        values = values - np.average(values, axis=0, weights=hits)
    grid, shape = grid_of(names), view.image_shape
    is_geographic = grid is not None
    if grid is None and shape is not None:  # images of anything
        cells = np.arange(shape[0] * shape[1])
        grid = Grid(-np.arange(float(shape[0])), np.arange(float(shape[1])), cells)
    if grid is None or len(grid.cells) != values.shape[1] or min(map(len, grid[:2])) < 2:
        cure = "read fields with the data set 'netcdf', or leave it out"
        raise DataError(f"composites: features name no places such as 50.0N 10.0W: {cure}")
    fields = grid.fields(values)
    fields[hits == 0] = np.nan
    return fields, hits, grid, is_geographic
