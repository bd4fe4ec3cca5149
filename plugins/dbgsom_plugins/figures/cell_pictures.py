"""A small picture in each cell: a pie of classes, a star of variables, a prototype as an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent
from dbgsom_plugins.figures._colours import EMPTY, MAX_CATEGORIES, categorical, rgb_of, scale_of
from dbgsom_plugins.figures._drawing import cell_centres, map_of_cells
from dbgsom_plugins.figures._names import class_name_of
from dbgsom_plugins.figures._texts import label_of, numbers
from dbgsom_plugins.figures.component_planes import chosen

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap
    from dbgsom_plugins.figures._drawing import Entries, Sheet

_RADII = (0.16, 0.44)  # of the pie of one sample at least, and of the largest pie
_STEPS = 40  # sides of a whole circle
_RAYS = (0.06, 0.46)  # of a star at its variable's least and greatest value
_MOST_RAYS = 12  # that the eye tells apart
_FREE = 0.07  # of an image's side that is left free around it


class ClassPies(FigureComponent):
    """The classes among the samples of each neuron as a pie; the area of a pie is its hits.

    It needs targets that are classes, up to 20; unlike `LabelMap` it shows what was won and not
    what is answered.
    """

    def draw(self, view: MapView) -> Figure:
        classes, counts = _class_counts(view)
        palette = categorical(len(classes))
        som_map, totals = view.evaluation.som_map, counts.sum(axis=1)
        radii = np.clip(_RADII[1] * np.sqrt(totals / max(1, totals.max())), _RADII[0], None)
        notes = ["The area of a pie is the number of samples with a class that the neuron won."]
        names = [class_name_of(view, label) for label in classes]
        sheet = _empty_map(
            view, "Classes of neurons", notes, list(zip(palette, names, strict=True))
        )
        ends = np.cumsum(counts, axis=1) / np.maximum(1, totals)[:, None]
        shares = np.diff(ends, axis=1, prepend=0.0)
        slices, colours = [], []
        centres = cell_centres(som_map)
        for k, i in np.argwhere(counts).tolist():
            wedge = _wedge(ends[k, i] - shares[k, i], ends[k, i], 2 + int(_STEPS * shares[k, i]))
            slices.append(centres[k] + radii[k] * wedge)
            colours.append(palette[i])
        line = float(np.clip(0.012 * sheet.cell, 0.0, 0.6))
        sheet.fill(slices, facecolors=colours, edgecolors="white", linewidths=line, zorder=2.5)
        return sheet.page.figure


def _empty_map(
    view: MapView, title: str, notes: Sequence[str] = (), entries: Entries = ()
) -> Sheet:
    empty = np.tile(rgb_of(EMPTY), (len(view.evaluation.som_map), 1))
    return map_of_cells(view, title, empty, (), notes, entries)


def _class_counts(view: MapView) -> tuple[NDArray[Any], NDArray[np.int64]]:
    # The classes (C,), and how many samples of each every neuron won, (K, C).
    evaluation = view.evaluation
    if evaluation.y is None or view.estimator == "regressor":
        raise ValueError(
            "class_pies shows classes, and these data have none: give them as target or y, or "
            "leave the figure out"
        )
    y, bmu = np.asarray(evaluation.y), evaluation.bmu
    if evaluation.labelled is not None:
        y, bmu = y[evaluation.labelled], bmu[evaluation.labelled]
        y = np.array(y.tolist()) if y.dtype == object else y
    classes, codes = np.unique(y, return_inverse=True)
    if not 0 < len(classes) <= MAX_CATEGORIES:
        raise ValueError(
            f"class_pies shows up to {MAX_CATEGORIES} classes, and these targets have "
            f"{len(classes)} values; leave the figure out"
        )
    keys = bmu * len(classes) + codes.ravel()
    counts = np.bincount(keys, minlength=len(evaluation.som_map) * len(classes))
    return classes, counts.reshape(-1, len(classes))


def _wedge(start: float, stop: float, corners: int) -> NDArray[np.float64]:
    # Its corners (P, 2), clockwise from the top in turns; a whole circle has no middle.
    angles = 2 * np.pi * np.linspace(start, stop, corners)
    rim = np.column_stack([np.sin(angles), np.cos(angles)])
    return rim if stop - start >= 1 else np.vstack([np.zeros((1, 2)), rim])


class VariableStars(FigureComponent):
    """A star in each cell, with a wedge for each of some variables: long where its value is great.

    A variable's wedge goes from its least to its greatest value on the map. Variables that the map
    was not trained on, where they are given, count with their mean over the neuron's samples.
    """

    variables: tuple[str, ...] | None = Field(
        default=None, description="up to 12 names, in this order; null: the six most telling ones"
    )

    def draw(self, view: MapView) -> Figure:
        if self.variables is not None and not 0 < len(self.variables) <= _MOST_RAYS:
            raise ValueError(
                f"variable_stars shows 1 to {_MOST_RAYS} variables, not {len(self.variables)}"
            )
        shown = chosen(view, self.variables, 6)
        som_map, count = view.evaluation.som_map, len(shown.names)
        low, high = np.nanmin(shown.values, axis=0), np.nanmax(shown.values, axis=0)
        spans = np.where(high > low, high - low, 1.0)
        palette = categorical(count)
        notes = ["The area of a wedge goes from the variable's least to its greatest value."]
        if self.variables is None and count < shown.of:
            notes.append(f"{count} of {shown.of} variables, the most telling ones.")
        entries = []
        for i, name in enumerate(shown.names):
            least, most = numbers([float(low[i]), float(high[i])], 3)
            entries.append((palette[i], f"{label_of(name)}: {least} … {most}"))
        sheet = _empty_map(view, "Variables of neurons", notes, entries)
        corners = max(3, 24 // count)
        rays = _RAYS[0] + (_RAYS[1] - _RAYS[0]) * np.sqrt((shown.values - low) / spans)
        rays[view.evaluation.hits == 0] = np.nan
        slices, colours = [], []
        centres = cell_centres(som_map)
        for k, i in np.argwhere(np.isfinite(rays)).tolist():
            slices.append(centres[k] + rays[k, i] * _wedge(i / count, (i + 1) / count, corners))
            colours.append(palette[i])
        sheet.fill(slices, facecolors=colours, linewidths=0, zorder=2.5)
        return sheet.page.figure


class PrototypeImages(FigureComponent):
    """The prototypes of image data as images: what each neuron stands for.

    Their values are those of the data where the prepare steps can be undone.

    Dark is large; all images share one scale. It needs a data set that knows the shape of its
    images, as digits does.
    """

    def draw(self, view: MapView) -> Figure:
        som_map = view.evaluation.som_map
        canvas = mosaic(som_map, view.image_shape, view.in_own_units(som_map.prototypes))
        scale = scale_of(float(np.nanmin(canvas)), float(np.nanmax(canvas)), "gray_r")
        sheet = _empty_map(view, "Prototypes")
        reach = _square(som_map) / 2
        left, bottom = cell_centres(som_map).min(axis=0) - reach
        right, top = cell_centres(som_map).max(axis=0) + reach
        image = sheet.axes.imshow(
            np.ma.masked_invalid(canvas),
            extent=(left, right, bottom, top),
            interpolation="nearest",
            zorder=2.5,
        )
        image.set(cmap=scale.cmap, norm=scale.norm)
        sheet.page.colour_bar(scale, "Value")
        return sheet.page.figure


def mosaic(
    som_map: SomMap, image_shape: tuple[int, int] | None, prototypes: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return one large image with the prototypes (K, D) at their cells, nan around and between.

    Raises
    ------
    ValueError
        There is no image shape, or it does not fit the prototypes.
    """
    n_values = prototypes.shape[1]
    if image_shape is None:
        raise ValueError(
            "prototype_images needs the shape of images: image_shape: [height, width] of the data "
            "set, in Python image_shape=(height, width)"
        )
    if math.prod(image_shape) != n_values:
        raise ValueError(
            f"prototype_images needs {math.prod(image_shape)} values for images of "
            f"{image_shape[0]} × {image_shape[1]}, and prototypes have {n_values}"
        )
    height, width = image_shape
    side = max(image_shape) + 2 * max(1, round(_FREE * max(image_shape)))  # an image has a square
    places = cell_centres(som_map)
    x, y = np.rint(side / _square(som_map) * (places - places.min(axis=0))).astype(int).T
    canvas = np.full((y.max() + side, x.max() + side), np.nan)
    above, before = (side - height) // 2, (side - width) // 2
    for prototype, column, row in zip(prototypes, x, y.max() - y, strict=True):
        start, first = row + above, column + before
        canvas[start : start + height, first : first + width] = prototype.reshape(image_shape)
    return canvas


def _square(som_map: SomMap) -> float:
    # The side of the largest upright square within a cell.
    corners = np.array(som_map.grid.corners)
    sides = np.roll(corners, -1, axis=0) - corners
    area = np.abs(corners[:, 0] * sides[:, 1] - corners[:, 1] * sides[:, 0])
    return float(2 * (area / np.abs(sides).sum(axis=1)).min())
