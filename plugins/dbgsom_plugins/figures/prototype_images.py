"""Prototypes of image data as images, each in its neuron's cell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import map_of_cells
from dbgsom_plugins.figures._colours import EMPTY
from dbgsom_plugins.figures._places import drawn_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap

_MARGIN = 0.07  # of an image's side that is left free around it


class PrototypeImages(Component):
    """The prototypes of image data as images: what each neuron stands for.

    Their values are those of the data where the prepare steps can be undone.

    Dark is large; all images share one scale. It needs a data set that knows the shape of its
    images, as digits does.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched.

        Raises
        ------
        ValueError
            The data are no images, or prototypes have another number of values than an image.
        """
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize, to_rgb

        som_map, dead = view.evaluation.som_map, view.evaluation.hits == 0
        canvas = mosaic(som_map, view.image_shape, view.in_own_units(som_map.prototypes))
        low, high = float(np.nanmin(canvas)), float(np.nanmax(canvas))
        norm = Normalize(low, high if high > low else low + 1)
        notes = ["Hatched neurons have no hits."] if dead.any() else []
        empty = np.tile(to_rgb(EMPTY), (len(som_map), 1))
        sheet = map_of_cells(view, "Prototypes", empty, notes=notes)
        reach = _room(som_map) / 2
        left, bottom = drawn_at(som_map).min(axis=0) - reach
        right, top = drawn_at(som_map).max(axis=0) + reach
        sheet.axes.imshow(
            np.ma.masked_invalid(canvas),
            cmap="gray_r",
            norm=norm,
            extent=(left, right, bottom, top),
            interpolation="nearest",
            zorder=2.5,
        )
        sheet.colour_bar(ScalarMappable(norm, cmap="gray_r"), "Value")
        return sheet.figure


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
            "prototype_images draws image data, and this data set has no image_shape: say it, "
            "image_shape: [height, width] of the data set, in Python image_shape=(height, width), "
            "or leave the figure out"
        )
    if math.prod(image_shape) != n_values:
        raise ValueError(
            f"prototype_images needs {math.prod(image_shape)} values for images of "
            f"{image_shape[0]} × {image_shape[1]}, and prototypes have {n_values}: leave the "
            "figure out, or the preparation that changes the number of columns"
        )
    height, width = image_shape
    free = max(1, round(_MARGIN * max(image_shape)))
    side = max(image_shape) + 2 * free  # room for an image is square
    places = drawn_at(som_map)
    x, y = np.rint(side / _room(som_map) * (places - places.min(axis=0))).astype(int).T
    canvas = np.full((y.max() + side, x.max() + side), np.nan)
    above, before = (side - height) // 2, (side - width) // 2
    for prototype, column, row in zip(prototypes, x, y.max() - y, strict=True):
        start, first = row + above, column + before
        canvas[start : start + height, first : first + width] = prototype.reshape(image_shape)
    return canvas


def _room(som_map: SomMap) -> float:
    # The side of the largest upright square within a cell.
    corners = np.array(som_map.grid.corners)
    sides = np.roll(corners, -1, axis=0) - corners
    area = np.abs(corners[:, 0] * sides[:, 1] - corners[:, 1] * sides[:, 0])
    return float(2 * (area / np.abs(sides).sum(axis=1)).min())
