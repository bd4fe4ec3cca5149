"""Neurons and links as dots and lines: over the data, on the grid, by principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._colours import (
    FAINT,
    INK,
    MAX_CATEGORIES,
    MUTED,
    PAPER,
    by_prototype,
    categorical,
    principal_scores,
    scale_of,
)
from dbgsom_plugins.figures._drawing import PLAIN, legend_of, page, patches_of
from dbgsom_plugins.figures.component_planes import names_of
from dbgsom_plugins.figures.label_map import class_name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView


_SIZE = (6.2, 5.2)
_SAMPLES = "#9aa3af"  # of samples without a class


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
        plane = _plane(view)
        rng, n = np.random.default_rng(evaluation.seed), evaluation.data.n
        some = np.sort(rng.choice(n, min(n, self.most), replace=False))
        points = plane.of(evaluation.data.subset(some).X, evaluation.bmu[some], som_map.prototypes)
        where = plane.of(som_map.prototypes)
        notes = [] if len(some) == n else [f"{len(some)} of {n} samples, chosen at random."]
        if evaluation.hits.min() == 0:
            notes.append("Hollow neurons have no hits.")
        shown = page(view, "Map over the data", *_SIZE, notes)
        axes = shown.panel((0.55, 0.0, _SIZE[0] - 0.55, _SIZE[1] - 0.55))
        key = _scatter(axes, view, some, points)
        links = som_map.edges()
        crowd = float(np.clip(8 / np.sqrt(len(som_map)), 0.25, 1.2))
        axes.add_collection(
            LineCollection(list(where[links]), colors=INK, linewidths=crowd, alpha=0.75, zorder=3)
        )
        live = evaluation.hits > 0
        sizes = (1.6 + 4.5 * crowd) ** 2
        for chosen, inside, rim in ((live, INK, PAPER), (~live, PAPER, INK)):
            x, y = where[chosen].T
            axes.scatter(x, y, s=sizes, color=inside, edgecolors=rim, linewidths=0.5, zorder=4)
        axes.set_xlabel(as_label(plane.names[0]), fontsize=8.5, color=INK, **PLAIN)
        axes.set_ylabel(as_label(plane.names[1]), fontsize=8.5, color=INK, **PLAIN)
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
        axes.tick_params(labelsize=8, colors=MUTED, length=0)
        axes.grid(color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        if key:
            shown.legend(patches_of(*zip(*key, strict=True)))
        return shown.figure


class _Plane(NamedTuple):
    """Two axes (D, 2) through a middle (D,), and what they are called."""

    middle: NDArray[np.float64]
    axes: NDArray[np.float64]
    names: tuple[str, str]

    def of(
        self,
        X: Any,
        units: NDArray[np.int64] | None = None,
        prototypes: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return where samples (m, D) lie, (m, 2); missing values are those of their prototype."""
        if hasattr(X, "toarray"):
            return np.asarray(X @ self.axes - self.middle @ self.axes)
        X = np.asarray(X, dtype=np.float64)
        if units is not None and prototypes is not None and np.isnan(X).any():
            X = np.where(np.isnan(X), prototypes[units], X)
        return np.asarray((X - self.middle) @ self.axes)


def _plane(view: MapView) -> _Plane:
    data, d = view.evaluation.data, view.evaluation.som_map.prototypes.shape[1]
    if d == 2:
        first, second = names_of(view)
        return _Plane(np.zeros(2), np.eye(2), (first, second))
    moments = data.moments()
    axes = data.principal_axes(moments)
    lengths = [float(np.linalg.norm(axis)) for axis in axes]
    whole = float(np.square(moments.deviation).sum())
    unit = [
        axis / length if length > 0 else axis for axis, length in zip(axes, lengths, strict=True)
    ]
    shares = [100 * length**2 / whole if whole > 0 else 0.0 for length in lengths]
    names = [
        f"{which} component, {share:.0f} % of variance"
        for which, share in zip(("1st", "2nd"), shares, strict=True)
    ]
    return _Plane(moments.mean, np.column_stack(unit), (names[0], names[1]))


def _scatter(
    axes: Axes, view: MapView, some: NDArray[np.int64], points: NDArray[np.float64]
) -> list[tuple[Any, str]]:
    # Draw the samples, and return the entries of the key.
    evaluation = view.evaluation
    look: dict[str, Any] = {
        "s": float(np.clip(3000 / max(1, len(some)), 4, 14)),
        "linewidths": 0,
        "zorder": 2,
    }
    classes = np.array([])
    if evaluation.y is not None and view.estimator != "regressor":
        y = np.asarray(evaluation.y)[some]
        known = np.ones(len(y), bool) if evaluation.labelled is None else evaluation.labelled[some]
        there = np.array(y[known].tolist())
        classes = np.unique(there) if len(there) else classes
    if not 0 < len(classes) <= MAX_CATEGORIES:
        axes.scatter(*points.T, color=_SAMPLES, alpha=0.6, **look)
        return []
    axes.scatter(*points[~known].T, color=_SAMPLES, alpha=0.5, **look)
    shown, of_known = points[known], there
    entries = []
    for colour, label in zip(categorical(len(classes)), classes, strict=True):
        chosen = of_known == label
        axes.scatter(*shown[chosen].T, color=tuple(colour), alpha=0.55, **look)
        entries.append((colour, class_name_of(view, label)))
    return entries


_ATTRIBUTES = ("label", "epoch_created", "error", "average_distance", "density", "hit_count")
_DOTS_SIZE = (6.0, 5.2)  # inches of a page
_AREAS = (60.0, 4.0, 204.0)  # square points of a dot: by default, of the least and largest value


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
        plain = self.color in (None, "pca_rgb")
        values = None if plain else _attribute(view, str(self.color))
        sizes = self._sizes(view)
        som_map, on_grid = view.evaluation.som_map, self.layout == "grid"
        places = som_map.plane_positions if on_grid else principal_scores(som_map.prototypes, 2)
        axes = view.axes
        if axes is None:
            axes = page(view, "Neurons and links", *_DOTS_SIZE).panel(
                (0.0, 0.0, 0.8 * _DOTS_SIZE[0], _DOTS_SIZE[1])
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
        names = [as_label(view.label_names.get(label, label)) for label in labels]
        entries = patches_of(colours, names)
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
