"""The map as dots and lines: neurons and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import Component, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._colours import (
    FAINT,
    MAX_CATEGORIES,
    MUTED,
    by_prototype,
    categorical,
    principal_scores,
    scale_of,
)
from dbgsom_plugins.figures._drawing import PLAIN, legend_of, page, patches_of
from dbgsom_plugins.figures._variables import names_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_ATTRIBUTES = ("label", "epoch_created", "error", "average_distance", "density", "hit_count")
_SIZE = (6.0, 5.2)  # inches of a page
_AREAS = (60.0, 4.0, 204.0)  # square points of a dot: without a size, of the least, the largest


class Dots(Component):
    """Neurons as dots and links as lines, on the grid or in the plane of principal components.

    What the estimators' ``plot`` draws: a dot's colour and area stand for an attribute of its
    neuron, ``label``, ``epoch_created``, ``error``, ``average_distance``, ``density`` or
    ``hit_count``. On a torus the links across its sides stand out at both.
    """

    color: str | None = Field(
        default=None, description="an attribute, pca_rgb as the figure of this name, or a feature"
    )
    pointsize: str | None = Field(default=None, description="a numeric attribute: area of a dot")
    layout: Literal["grid", "pca"] = Field(
        default="grid", description="where dots lie: on the grid, or by principal components"
    )
    palette: str | None = Field(default=None, description="any colormap of matplotlib")

    def draw(self, view: MapView) -> Figure:
        from matplotlib import colormaps
        from matplotlib.collections import LineCollection

        if self.palette is not None and self.palette not in colormaps:
            guess = did_you_mean(self.palette, list(colormaps))
            raise ValueError(
                f"unknown palette '{self.palette}'{guess or '; colormaps of matplotlib are known'}"
            )
        plain = self.color in (None, "pca_rgb")
        values = None if plain else _attribute(view, str(self.color))
        sizes = self._sizes(view)
        som_map, on_grid = view.evaluation.som_map, self.layout == "grid"
        places = som_map.plane_positions if on_grid else principal_scores(som_map.prototypes, 2)
        axes = view.axes
        if axes is None:
            axes = page(view, "Neurons and links", *_SIZE).panel(
                (0.0, 0.0, 0.8 * _SIZE[0], _SIZE[1])
            )
        lines = places[som_map.edges()]
        if on_grid and som_map.grid.torus is not None:
            rows, ways = np.nonzero(som_map.links >= 0)
            halves = som_map.grid.plane(np.array(som_map.grid.offsets))[ways] / 2
            lines = np.stack([places[rows], places[rows] + halves], axis=1)
        axes.add_collection(LineCollection(list(lines), colors="0.75", zorder=1))
        if values is None:
            colours = "tab:blue" if self.color is None else by_prototype(som_map.prototypes)
            axes.scatter(places[:, 0], places[:, 1], s=sizes, c=colours, zorder=2)
        elif self._is_categorical(values):
            self._draw_categories(axes, view, places, sizes, values)
        else:
            self._draw_numbers(axes, places, sizes, values)
        if on_grid:  # limits that close in on a row of neurons would cut its dots
            low, high = places.min(axis=0), places.max(axis=0)
            around = np.where(high - low < 1, 0.5, 0.0)
            axes.update_datalim([low - around, high + around])
            axes.autoscale_view()
        axes.set_aspect("equal" if on_grid else "auto")
        axes.set_axis_off()
        if view.axes is not None:
            size = f"area of a dot: {self.pointsize}" if self.pointsize else "Neurons and links"
            axes.set_title(size, fontsize="small", color=MUTED)
        return axes.figure  # type: ignore[return-value]

    def _sizes(self, view: MapView) -> NDArray[np.float64]:
        usual, least, largest = _AREAS
        if self.pointsize is None:
            return np.full(len(view.evaluation.som_map), usual)
        values = _attribute(view, self.pointsize)
        if values.dtype.kind not in "iufb":
            raise ValueError(f"pointsize needs numbers, but '{self.pointsize}' holds text")
        values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        values = values - min(0.0, values.min())
        return np.asarray(least + (largest - least) * values / (values.max() or 1.0))

    def _is_categorical(self, values: NDArray[Any]) -> bool:
        few = self.color == "label" and values.dtype.kind != "f"
        return few and len(np.unique(values)) <= MAX_CATEGORIES

    def _draw_categories(
        self,
        axes: Axes,
        view: MapView,
        places: NDArray[np.float64],
        sizes: NDArray[np.float64],
        values: NDArray[Any],
    ) -> None:
        from matplotlib import colormaps

        labels, rows = np.unique(values, return_inverse=True)
        colours = categorical(len(labels))
        if self.palette is not None:
            chosen = colormaps[self.palette]
            listed, last = chosen.N <= MAX_CATEGORIES, max(1, len(labels) - 1)
            colours = np.array(
                [chosen(i % chosen.N if listed else i / last)[:3] for i in range(len(labels))]
            )
        x, y = places.T
        axes.scatter(x, y, s=sizes, c=colours[rows.ravel()], zorder=2)
        entries = patches_of(colours, [view.label_names.get(label, label) for label in labels])
        legend_of(axes, entries, 1.03, 1.0, np.inf)

    def _draw_numbers(
        self,
        axes: Axes,
        places: NDArray[np.float64],
        sizes: NDArray[np.float64],
        values: NDArray[Any],
    ) -> None:
        from matplotlib.patches import Patch

        if values.dtype.kind not in "iufb":  # texts, by their order
            values = np.unique(values, return_inverse=True)[1].ravel()
        (x, y), known = places.T, np.isfinite(values)
        if not known.all():
            unknown = axes.scatter(x[~known], y[~known], s=sizes[~known], color="white", zorder=2)
            unknown.set(edgecolors=FAINT)
            hollow = Patch(facecolor="white", edgecolor=FAINT)
            legend_of(axes, [(hollow, "no value")], 0.0, 0.0, np.inf)
        low, high = 0.0, 1.0
        if known.any():
            low, high = float(values[known].min()), float(values[known].max())
        scale = scale_of(low, high, self.palette or "viridis")
        shown = axes.scatter(x[known], y[known], s=sizes[known], c=values[known], zorder=2)
        shown.set(cmap=scale.cmap, norm=scale.norm)
        bar = axes.figure.colorbar(scale, ax=axes, shrink=0.8)
        bar.set_label(as_label(self.color), **PLAIN)


def _attribute(view: MapView, name: str) -> NDArray[Any]:
    # One value per neuron, shape (K,), for the name of an attribute or a feature.
    evaluation = view.evaluation
    som_map = evaluation.som_map
    features = names_of(view)
    if name == "label":
        labels = np.asarray(view.neuron_labels)
        return labels if labels.ndim == 1 else labels[:, 0]  # of several targets the first
    if name == "epoch_created":
        return som_map.birth_epochs
    if name == "error":
        return np.asarray(evaluation.errors)
    if name == "hit_count":
        return np.asarray(evaluation.hits)
    if name in ("average_distance", "density"):
        apart = som_map.mean_over_links(evaluation.prototype_distances)
        return apart if name == "average_distance" else evaluation.hits / np.maximum(apart, 1e-300)
    if name in features:
        return np.asarray(som_map.prototypes[:, features.index(name)])
    hint = did_you_mean(name, [*_ATTRIBUTES, *features])
    hint = hint or f"; known: {', '.join(_ATTRIBUTES)}, and features such as '{features[0]}'"
    raise ValueError(f"unknown attribute '{name}'{hint}")
