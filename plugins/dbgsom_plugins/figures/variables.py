"""What neurons hold, as pictures: a map for each variable, stars, pies of classes, images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._drawing import (
    Sheet,
    cell_centres,
    extent,
    fold_note,
    frame,
    map_of_cells,
    page,
)
from dbgsom_plugins.figures._names import class_name_of
from dbgsom_plugins.figures._style import (
    EMPTY,
    INK,
    MAX_CATEGORIES,
    MUTED,
    PLAIN,
    categorical,
    label_of,
    numbers,
    rgb_of,
    robust_ends,
    scale_of,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap
    from dbgsom_plugins.figures._drawing import Entries


_LISTED = 12  # names in a message: about two lines


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
        return Variables([names[column] for column in columns], prototypes[:, columns], len(names))
    values = []
    for name in wanted:
        if name in names:
            values.append(prototypes[:, names.index(name)])
        elif name in view.variables:
            of_samples = np.asarray(view.variables[name], dtype=np.float64)
            values.append(_means(view, of_samples))
        else:
            known = [*names, *view.variables]
            listed = ", ".join(map(as_label, known[:_LISTED]))
            if len(known) > _LISTED:
                listed += ", …"
            hint = did_you_mean(name, known)
            raise ValueError(f"unknown variable '{name}'{hint}; known: {listed}")
    return Variables(list(wanted), np.column_stack(values), len(wanted))


def _telling(view: MapView) -> NDArray[np.intp]:
    # The features, most telling first.
    evaluation = view.evaluation
    hits, prototypes = evaluation.hits, evaluation.som_map.prototypes
    mean = np.average(prototypes, axis=0, weights=hits)
    between = np.average(np.square(prototypes - mean), axis=0, weights=hits)
    whole = np.square(evaluation.data.moments().deviation)
    shares = np.zeros_like(between)
    np.divide(between, whole, out=shares, where=whole > 0)
    return np.argsort(-shares, kind="stable")


def _means(view: MapView, values: NDArray[np.float64]) -> NDArray[np.float64]:
    bmu, n_neurons = view.evaluation.bmu, len(view.evaluation.som_map)
    is_known = np.isfinite(values)
    counts = np.bincount(bmu[is_known], minlength=n_neurons)
    sums = np.bincount(bmu[is_known], values[is_known], n_neurons)
    means = np.full(n_neurons, np.nan)
    return np.asarray(np.divide(sums, counts, out=means, where=counts > 0))


_WIDTH = 8.4  # inches of all panels: a page of a report
_HEAD, _GAP = 0.42, 0.18  # inches above a panel for two lines of text, and between panels
_WIDEST, _TALLEST = 2.6, 2.2  # inches of a panel: three stand beside each other
_LOWEST = 1.4  # inches of a page, so that its scale can be read


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
        planes = list(map(_plane, shown.names, shown.values.T))
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
        notes += fold_note(som_map)
        page_of = page(view, "Component planes", whole, height, notes)
        scale = scale_of(min(plane.low for plane in planes), max(plane.high for plane in planes))
        for number, plane in enumerate(planes):
            row, column = divmod(number, columns)
            left, top = column * (width + _GAP), row * step + _HEAD
            axes = page_of.panel(left, top, *(cell * size))
            sheet = Sheet(page_of, axes, 72 * cell, som_map)
            frame(axes, low, size)
            if self.scale == "own":
                scale = scale_of(plane.low, plane.high)
            _draw_plane(sheet, plane, scale, 72 * width, with_ends=self.scale == "own")
        ends = ("least", "greatest") if self.scale == "own" else None
        page_of.colour_bar(scale, "Value", ends)
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
    least_text, low_text, high_text, greatest_text = numbers([least, low, high, greatest], 3)
    ends = f"{low_text} … {high_text}"
    if least < low:
        ends = f"({least_text}) {ends}"
    if greatest > high:
        ends = f"{ends} ({greatest_text})"
    return _Plane(name, values, low, high, ends, (least, greatest) != (low, high))


def _draw_plane(
    sheet: Sheet, plane: _Plane, scale: ScalarMappable, width: float, *, with_ends: bool
) -> None:
    som_map, unknown = sheet.som_map, ~np.isfinite(plane.values)
    centres = cell_centres(som_map)
    values = np.where(unknown, plane.low, plane.values)
    colours = np.asarray(scale.to_rgba(values))[:, :3]
    colours[unknown] = 1.0
    sheet.fill_cells(centres, colours, unknown)
    sheet.mark_parents(centres[sorted(som_map.children)])
    look: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", **PLAIN}
    name = shortened(plane.name, width, 8.5)
    sheet.axes.annotate(name, (0, 1), (0, 12), fontsize=8.5, color=INK, **look)
    if with_ends:
        sheet.axes.annotate(plane.ends, (0, 1), (0, 3), fontsize=7, color=MUTED, **look)


def by_likeness(values: NDArray[np.float64]) -> list[int]:
    """Return the columns of values (K, V) in an order in which those that correlate are near.

    The order of the leaves of a tree, average linkage of 1 - r, in which neighbours are nearest
    (Bar-Joseph, Gifford & Jaakkola 2001).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if values.shape[1] < 3:
        return list(range(values.shape[1]))
    centred = np.nan_to_num(values - np.nanmean(values, axis=0), posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(lengths > 0, lengths, 1.0)
    distances = np.clip(1 - unit.T @ unit, 0, 2)
    np.fill_diagonal(distances, 0)
    condensed = squareform(distances, checks=False)
    tree = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return leaves_list(tree).tolist()  # type: ignore[no-any-return]


def _columns(panels: int, proportion: float) -> tuple[int, float]:
    # How many stand beside each other, and their width in inches: the page is about as wide as high
    # for panels of this proportion, a little wider for the names above them.
    columns = math.ceil(math.sqrt(panels / max(proportion, 0.2)) * 1.25)
    columns = int(np.clip(columns, min(panels, 2), min(panels, 8)))
    width = (_WIDTH - (columns - 1) * _GAP) / columns
    return columns, min(_WIDEST, width)


# ------------------------------------------------------------------------ pictures in cells

# Lengths over the distance of two cells, of which a cell is 1 wide: at 0.5 pictures would touch.
_RADII = (0.16, 0.44)  # of a pie: least, so that its slices can be seen, and largest
_RAYS = (0.06, 0.46)  # of a star at its variable's least and greatest value
_STEPS = 40  # sides of a whole circle, which looks round
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
        totals, (least, largest) = counts.sum(axis=1), _RADII
        radii = largest * np.sqrt(totals / max(1, totals.max()))
        radii = np.clip(radii, least, None)
        notes = ["The area of a pie is the number of samples with a class that the neuron won."]
        names = [class_name_of(view, label) for label in classes]
        entries = list(zip(palette, names, strict=True))
        sheet = _empty_map(view, "Classes of neurons", notes, entries)
        stops = np.cumsum(counts, axis=1) / np.maximum(1, totals)[:, None]
        shares = np.diff(stops, axis=1, prepend=0.0)
        starts = stops - shares
        slices, colours = [], []
        centres = cell_centres(view.evaluation.som_map)
        for k, i in np.argwhere(counts).tolist():
            n_corners = 2 + int(_STEPS * shares[k, i])
            wedge = _wedge(starts[k, i], stops[k, i], n_corners)
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
        if y.dtype == object:
            y = np.array(y.tolist())
    classes, codes = np.unique(y, return_inverse=True)
    if not 0 < len(classes) <= MAX_CATEGORIES:
        raise ValueError(
            f"class_pies shows up to {MAX_CATEGORIES} classes, and these targets have "
            f"{len(classes)} values; leave the figure out"
        )
    counts = np.zeros((len(evaluation.som_map), len(classes)), dtype=np.int64)
    np.add.at(counts, (bmu, codes.ravel()), 1)
    return classes, counts


def _wedge(start: float, stop: float, n_corners: int) -> NDArray[np.float64]:
    # Its corners (P, 2), clockwise from the top in turns; a whole circle has no middle.
    angles = 2 * np.pi * np.linspace(start, stop, n_corners)
    rim = np.column_stack([np.sin(angles), np.cos(angles)])
    if stop - start >= 1:
        return rim
    return np.vstack([np.zeros((1, 2)), rim])


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
        count = len(shown.names)
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
        n_corners = max(3, 24 // count)
        shortest, longest = _RAYS
        heights = np.sqrt((shown.values - low) / spans)  # areas grow with the values
        rays = shortest + (longest - shortest) * heights
        rays[view.evaluation.hits == 0] = np.nan
        slices, colours = [], []
        centres = cell_centres(view.evaluation.som_map)
        for k, i in np.argwhere(np.isfinite(rays)).tolist():
            wedge = _wedge(i / count, (i + 1) / count, n_corners)
            slices.append(centres[k] + rays[k, i] * wedge)
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
        centres, reach = cell_centres(som_map), _square(som_map) / 2
        left, bottom = centres.min(axis=0) - reach
        right, top = centres.max(axis=0) + reach
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
    longer = max(image_shape)
    side = longer + 2 * max(1, round(_FREE * longer))  # pixels of the square that an image has
    centres = cell_centres(som_map)
    pixels = side / _square(som_map) * (centres - centres.min(axis=0))
    x, y = np.rint(pixels).astype(int).T
    canvas = np.full((y.max() + side, x.max() + side), np.nan)
    tops = y.max() - y + (side - height) // 2
    lefts = x + (side - width) // 2
    for prototype, top, left in zip(prototypes, tops, lefts, strict=True):
        canvas[top : top + height, left : left + width] = prototype.reshape(image_shape)
    return canvas


def _square(som_map: SomMap) -> float:
    # The side of the largest upright square within a cell: no corner of it is beyond a side.
    corners = np.array(som_map.grid.corners)
    sides = np.roll(corners, -1, axis=0) - corners
    area = np.abs(corners[:, 0] * sides[:, 1] - corners[:, 1] * sides[:, 0])
    return float(2 * (area / np.abs(sides).sum(axis=1)).min())
