"""Neurons and links as dots and lines: over the data, on the grid, by principal components."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._drawing import page
from dbgsom_plugins.figures._names import class_name_of, name_of
from dbgsom_plugins.figures._style import (
    FAINT,
    INK,
    MAX_CATEGORIES,
    MUTED,
    PAPER,
    PLAIN,
    by_prototype,
    categorical,
    principal_scores,
    rgb_of,
    scale_of,
)
from dbgsom_plugins.figures.variables import names_of

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView
    from dbgsom_plugins.figures._style import Colours


_SIZE = (6.2, 5.2)  # inches of the panel with its ticks
_SAMPLES = "#9aa3af"  # colour of samples without a class


class DataProjection(FigureComponent):
    """The prototypes and their links over the samples: on two features, or two components.

    Data of two features are shown as they are, others on their first two principal components.
    Samples have the colours of their classes, up to 20. Links that cross others, or lead far, show
    where the map is folded or torn.
    """

    most: int = Field(
        default=3000, ge=0, description="samples that are drawn; of more, a seeded sample"
    )

    def draw(self, view: MapView) -> Figure:
        from matplotlib.collections import LineCollection

        evaluation, som_map = view.evaluation, view.evaluation.som_map
        if som_map.prototypes.shape[1] < 2:
            raise ValueError("data_projection needs two features, and these data have one")
        plane, names = _plane(view)
        rng, n = np.random.default_rng(evaluation.seed), evaluation.data.n
        some = np.sort(rng.choice(n, min(n, self.most), replace=False))
        notes = []
        if len(some) < n:
            notes.append(f"{len(some)} of {n} samples, chosen at random.")
        live = evaluation.hits > 0
        if not live.all():
            notes.append("Hollow neurons have no hits.")
        rows, classes = _classes(view, some)
        palette = categorical(len(classes))
        entries = list(zip(palette, classes, strict=True))
        shown = page(view, "Map over the data", *_SIZE, notes, entries)
        axes = shown.panel(0.55, 0.0, _SIZE[0] - 0.55, _SIZE[1] - 0.55)
        axes.set_axis_on()
        colours = np.vstack([palette, rgb_of(_SAMPLES)])[rows]  # -1 is that of no class
        size = float(np.clip(3000 / max(1, len(some)), 4, 14))
        x, y = plane(_filled(view, some)).T
        axes.scatter(x, y, s=size, c=colours, alpha=0.55, linewidths=0, zorder=2)
        neurons = plane(som_map.prototypes)
        # Links and dots of many neurons are thinner, so that samples can be seen between them.
        width = float(np.clip(8 / np.sqrt(len(som_map)), 0.25, 1.2))
        look: dict[str, Any] = {"colors": INK, "linewidths": width, "alpha": 0.75, "zorder": 3}
        axes.add_collection(LineCollection(list(neurons[som_map.edges()]), **look))
        inside, rim = np.where(live, INK, PAPER), np.where(live, PAPER, INK)
        dots: dict[str, Any] = {"edgecolors": rim, "linewidths": 0.5, "zorder": 4}
        x, y = neurons.T
        axes.scatter(x, y, s=(1.6 + 4.5 * width) ** 2, c=inside, **dots)
        axes.set_xlabel(as_label(names[0]), fontsize=8.5, color=INK, **PLAIN)
        axes.set_ylabel(as_label(names[1]), fontsize=8.5, color=INK, **PLAIN)
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
        axes.tick_params(labelsize=8, colors=MUTED, length=0)
        axes.grid(color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        return shown.figure


def _filled(view: MapView, rows: NDArray[np.int64]) -> Any:
    # Samples (m, D), whose missing values are those of their prototype.
    evaluation = view.evaluation
    X = evaluation.data.subset(rows).X
    if hasattr(X, "toarray"):
        return X
    X = np.asarray(X, dtype=np.float64)
    return np.where(np.isnan(X), evaluation.som_map.prototypes[evaluation.bmu[rows]], X)


def _plane(view: MapView) -> tuple[Callable[[Any], NDArray[np.float64]], list[str]]:
    """Return what projects samples (m, D) on two axes, (m, 2), and the names of these."""
    data, d = view.evaluation.data, view.evaluation.som_map.prototypes.shape[1]
    if d == 2:
        return np.asarray, names_of(view)
    moments = data.moments()
    variance = float(np.square(moments.deviation).sum())
    axes, names = [], []
    for which, axis in zip(("1st", "2nd"), data.principal_axes(moments), strict=True):
        length = float(np.linalg.norm(axis))  # the standard deviation along it
        share = 0.0
        if variance > 0:
            share = 100 * length**2 / variance
        axes.append(axis / (length or 1.0))
        names.append(f"{which} component, {share:.0f} % of variance")
    directions = np.column_stack(axes)
    return lambda X: np.asarray(X @ directions - moments.mean @ directions), names


def _classes(view: MapView, some: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the class of some samples (m,), -1 for none, and the names of up to 20 classes."""
    evaluation = view.evaluation
    rows = np.full(len(some), -1)
    if evaluation.y is None or view.estimator == "regressor":
        return rows, []
    known = np.ones(len(some), bool)
    if evaluation.labelled is not None:
        known = evaluation.labelled[some]
    labels = np.array(np.asarray(evaluation.y)[some][known].tolist())
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) > MAX_CATEGORIES:
        return rows, []
    rows[known] = codes
    return rows, [class_name_of(view, label) for label in classes]


_DOTS_SIZE = (6.0, 5.2)  # inches of a page
_AREAS = (60.0, 4.0, 204.0)  # square points of a dot: by default, of the least and largest value
_FILLED = 0.7  # of the way from dot to dot that a usual dot takes at most


class Dots(FigureComponent):
    """Neurons as dots and links as lines, on the grid or in the plane of principal components.

    What the estimators' ``plot`` draws: a dot's colour and area stand for an attribute of its
    neuron, ``label``, ``epoch_created``, ``error``, ``average_distance``, ``density`` or
    ``hit_count``. On a torus half of a link across its sides is drawn at each of them.
    """

    color: str | None = Field(
        default=None, description="an attribute, a feature, or pca_rgb, the colours of that figure"
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
                f"unknown palette '{self.palette}'{guess or '; matplotlib.colormaps lists them'}"
            )
        som_map, on_grid = view.evaluation.som_map, self.layout == "grid"
        places = principal_scores(som_map.prototypes, 2)
        if on_grid:
            places = som_map.plane_positions
        look: dict[str, Any] = {"c": "tab:blue"}
        entries, scale = [], None
        if self.color == "pca_rgb":
            look["c"] = by_prototype(som_map.prototypes)
        elif self.color is not None:
            values = _attribute(view, self.color)
            if self._is_categorical(values):
                labels, rows = np.unique(values, return_inverse=True)
                colours = self._categories(len(labels))
                look["c"] = colours[rows.ravel()]
                names = [name_of(view, label) for label in labels]
                entries = list(zip(colours, names, strict=True))
            else:
                if values.dtype.kind not in "iufb":  # texts, by their order
                    _, values = np.unique(values, return_inverse=True)
                known = values[np.isfinite(values)]
                scale = _scale(known, self.palette or "viridis")
                if len(known) < len(values):
                    entries = [(FAINT, "no value")]
                look = {"c": values, "cmap": scale.cmap, "norm": scale.norm}
        shown = page(view, self._title(view), *_DOTS_SIZE, entries=entries)
        axes = shown.panel(0.0, 0.0, 0.8 * _DOTS_SIZE[0], _DOTS_SIZE[1])
        lines = places[som_map.edges()]
        if on_grid and som_map.grid.torus is not None:
            neurons, ways = np.nonzero(som_map.links >= 0)
            halves = som_map.grid.plane(np.array(som_map.grid.offsets)) / 2
            starts = places[neurons]
            lines = np.stack([starts, starts + halves[ways]], axis=1)
        axes.add_collection(LineCollection(list(lines), colors="0.75", zorder=1))
        x, y = places.T
        axes.scatter(x, y, s=self._sizes(view), zorder=2, plotnonfinite=True, **look)
        if scale is not None:
            shown.colour_bar(scale, as_label(self.color))
        if on_grid:  # limits that close in on a row of neurons would cut its dots
            low, high = places.min(axis=0), places.max(axis=0)
            around = np.where(high - low < 1, 0.5, 0.0)
            axes.update_datalim([low - around, high + around])
            axes.autoscale_view()
        axes.set_aspect("equal" if on_grid else "auto")
        axes.set_axis_off()
        return shown.figure

    def _title(self, view: MapView) -> str:
        if view.axes is None or self.pointsize is None:
            return "Neurons and links"
        return f"area of a dot: {self.pointsize}"

    def _sizes(self, view: MapView) -> NDArray[np.float64]:
        usual, least, largest = _AREAS
        som_map = view.evaluation.som_map
        # On a long map dots would touch each other.
        length = 1 + np.ptp(som_map.plane_positions, axis=0).max()
        points = 72 * 0.8 * _DOTS_SIZE[0] / length
        factor = min(1.0, (_FILLED * points) ** 2 / usual)
        if self.pointsize is None:
            return np.full(len(som_map), factor * usual)
        values = _attribute(view, self.pointsize)
        if values.dtype.kind not in "iufb":
            raise ValueError(f"pointsize needs numbers, but '{self.pointsize}' holds text")
        values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        values = values - min(0.0, values.min())
        shares = values / (values.max() or 1.0)
        return np.asarray(factor * (least + (largest - least) * shares))

    def _is_categorical(self, values: NDArray[Any]) -> bool:
        if self.color != "label" or values.dtype.kind == "f":
            return False
        return len(np.unique(values)) <= MAX_CATEGORIES

    def _categories(self, count: int) -> Colours:
        from matplotlib import colormaps

        if self.palette is None:
            return categorical(count)
        palette = colormaps[self.palette]
        places: NDArray[Any] = np.linspace(0, 1, count)
        if palette.N <= MAX_CATEGORIES:  # listed colours
            places = np.arange(count) % palette.N
        return np.asarray(palette(places))[:, :3]


def _scale(values: NDArray[Any], palette: str) -> ScalarMappable:
    from matplotlib import colormaps

    low, high = 0.0, 1.0
    if len(values):
        low, high = float(values.min()), float(values.max())
    scale = scale_of(low, high, palette)
    scale.set_cmap(colormaps[palette].with_extremes(bad=FAINT))
    return scale


def _attribute(view: MapView, name: str) -> NDArray[Any]:
    # One value per neuron, shape (K,), for the name of an attribute or a feature.
    evaluation = view.evaluation
    som_map = evaluation.som_map
    features = names_of(view)
    distances = som_map.mean_over_links(evaluation.prototype_distances)
    values = {
        "label": view.neuron_labels,
        "epoch_created": som_map.birth_epochs,
        "error": evaluation.errors,
        "hit_count": evaluation.hits,
        "average_distance": distances,
        "density": evaluation.hits / np.maximum(distances, 1e-300),
    }
    if name in values:
        return np.asarray(values[name])
    if name in features:
        return np.asarray(som_map.prototypes[:, features.index(name)])
    hint = did_you_mean(name, [*values, *features])
    if not hint:
        hint = f"; known: {', '.join(values)}, and features such as '{features[0]}'"
    raise ValueError(f"unknown attribute '{name}'{hint}")
