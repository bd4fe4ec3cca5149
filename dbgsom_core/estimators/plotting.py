"""The estimators' quick look: neurons as dots, links as lines."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import did_you_mean
from dbgsom_core.estimators.figure_arguments import axes_given, name_given
from dbgsom_core.interfaces.figures import as_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap

    from dbgsom_core.som_map.som_map import SomMap

ATTRIBUTES = {
    "label": attrgetter("neuron_labels_"),
    "epoch_created": attrgetter("som_map_.birth_epochs"),
    "error": attrgetter("errors_"),
    "average_distance": attrgetter("average_distances_"),
    "density": attrgetter("densities_"),
    "hit_count": attrgetter("hit_counts_"),
}
_MOST_CATEGORIES = 20
# Apart for colour-blind readers, too; the same in darker tones for the second ten.
_CATEGORIES = (
    "#3f90da", "#ddaa33", "#cc3311", "#332288", "#92dadd",
    "#aa3377", "#eedd88", "#832db6", "#33bbee", "#cc6677",
)  # fmt: skip
_NOTHING = "#c4c9d0"  # of a neuron without a value


def plot(
    estimator: Any,
    *,
    color: str | None = None,
    pointsize: str | None = None,
    layout: Literal["grid", "pca"] = "grid",
    palette: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a fitted map as dots and lines.

    Parameters
    ----------
    estimator : SomVQ or SomClassifier
    color : str, optional
        ``label``, ``epoch_created``, ``error``, ``average_distance``, ``density``, ``hit_count``,
        or ``pca_rgb``: the first three principal components of the prototypes as red, green and
        blue. A feature by its name (``feature_names_in_``, or ``feature 0``, …) shows the
        prototypes' values. At most 20 labels get a legend, numbers a colour bar; what is not
        finite is drawn as "no value".
    pointsize : str, optional
        One of the numeric attributes; the area of a dot is proportional to it.
    layout : {"grid", "pca"}
        Dots lie on the map's grid, or where their prototypes are in the plane of the first two
        principal components of all prototypes. On the grid of a torus the links across its sides
        are drawn as ends that stand out at both.
    palette : str, optional
        The name of any matplotlib colormap.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        One of them is no name, or ``ax`` no Axes.
    ValueError
        An attribute, layout or palette is unknown; the message names the nearest.
    """
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    for called, name in {"color": color, "pointsize": pointsize}.items():
        if name is not None:
            name_given(name, called, "the name of an attribute or of a feature")
    if color is not None and color != "pca_rgb":
        attribute(estimator, color)
    name_given(layout, "layout", "'grid' or 'pca'")
    if palette is not None:
        name_given(palette, "palette", "the name of a matplotlib colormap")
        if palette not in colormaps:
            guess = did_you_mean(palette, list(colormaps))
            raise ValueError(
                f"unknown palette '{palette}'{guess or '; colormaps of matplotlib are known'}"
            )
    where = _places(estimator, layout)
    sizes = _sizes(estimator, pointsize)
    axes_given(ax)
    if ax is None:
        import matplotlib.pyplot as plt  # so that a notebook shows the figure

        _, ax = plt.subplots(figsize=(7, 6), layout="constrained")
    lines = _lines(estimator.som_map_, where, layout)
    ax.add_collection(LineCollection(lines, colors="0.75", zorder=1))
    _draw_dots(ax, estimator, where, color, sizes, palette)
    if layout == "grid":
        _leave_room(ax, where)
    ax.set_aspect("equal" if layout == "grid" else "auto")
    ax.set_axis_off()
    if pointsize:
        ax.set_title(f"area of a dot: {pointsize}", fontsize="small", color="0.4")
    return ax


def _leave_room(ax: Axes, where: NDArray[np.float64]) -> None:
    # Limits that close in on a row of neurons would cut its dots above and below.
    low, high = where.min(axis=0), where.max(axis=0)
    around = np.where(high - low < 1, 0.5, 0.0)
    ax.update_datalim([low - around, high + around])
    ax.autoscale_view()


def attribute(estimator: Any, name: str) -> NDArray[Any]:
    """Return one value per neuron, shape (K,), for the name of an attribute or a feature."""
    if name in ATTRIBUTES:
        return np.asarray(ATTRIBUTES[name](estimator))
    prototypes = estimator.som_map_.prototypes
    features = [f"feature {column}" for column in range(prototypes.shape[1])]
    named = [str(one) for one in getattr(estimator, "feature_names_in_", ())]
    if len(named) == len(features):
        features = named
    if name in features:
        return np.asarray(prototypes[:, features.index(name)])
    hint = did_you_mean(name, [*ATTRIBUTES, *features])
    hint = hint or f"; known: {', '.join(ATTRIBUTES)}, and features such as '{features[0]}'"
    raise ValueError(f"unknown attribute '{name}'{hint}")


def _places(estimator: Any, layout: str) -> NDArray[np.float64]:
    if layout == "grid":
        return np.asarray(estimator.som_map_.plane_positions)
    if layout == "pca":
        return _components(estimator, 2)
    raise ValueError(f"layout must be 'grid' or 'pca', not {layout!r}")


def _lines(som_map: SomMap, where: NDArray[np.float64], layout: str) -> list[NDArray[np.float64]]:
    grid = som_map.grid
    if grid.torus is None or layout != "grid":
        return [where[pair] for pair in som_map.edges()]
    rows, ways = np.nonzero(som_map.links >= 0)
    halves = grid.plane(np.array(grid.offsets))[ways] / 2
    return list(np.stack([where[rows], where[rows] + halves], axis=1))


def _components(estimator: Any, number: int) -> NDArray[np.float64]:
    prototypes = estimator.som_map_.prototypes
    centred = prototypes - prototypes.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    found = centred @ axes[:number].T
    return np.asarray(np.pad(found, ((0, 0), (0, number - found.shape[1]))))


def _sizes(estimator: Any, pointsize: str | None) -> NDArray[np.float64] | float:
    if pointsize is None:
        return 60.0
    values = attribute(estimator, pointsize)
    if values.dtype.kind not in "iufb":
        raise ValueError(f"pointsize needs numbers, but '{pointsize}' holds text")
    values = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    values = values - min(0.0, values.min())
    return np.asarray(4.0 + 200.0 * values / (values.max() or 1.0))


def _draw_dots(
    ax: Axes,
    estimator: Any,
    where: NDArray[np.float64],
    color: str | None,
    sizes: Any,
    palette: str | None,
) -> None:
    from matplotlib import colormaps

    x, y = where.T
    sizes = np.broadcast_to(sizes, len(x))
    if color is None:
        ax.scatter(x, y, s=sizes, color="tab:blue", zorder=2)
        return
    if color == "pca_rgb":
        rgb = _components(estimator, 3)
        low, span = rgb.min(axis=0), np.ptp(rgb, axis=0)
        ax.scatter(x, y, s=sizes, c=(rgb - low) / np.where(span > 0, span, 1.0), zorder=2)
        return
    values = attribute(estimator, color)
    categories = np.unique(values)
    if color == "label" and values.dtype.kind != "f" and len(categories) <= _MOST_CATEGORIES:
        tab = _categorical() if palette is None else colormaps[palette]
        listed = tab.N <= _MOST_CATEGORIES
        dots = []
        for rank, category in enumerate(categories):
            shade = tab(rank % tab.N) if listed else tab(rank / max(1, len(categories) - 1))
            chosen = values == category
            dots.append(ax.scatter(x[chosen], y[chosen], s=sizes[chosen], color=shade, zorder=2))
        key = ax.legend(
            dots,
            [str(rank) for rank in range(len(dots))],
            title=color,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
        )
        # Set afterwards: names may start with an underscore or hold dollar signs.
        for text, category in zip(key.get_texts(), categories, strict=True):
            text.set(parse_math=False, usetex=False, text=as_label(category))
        return
    numbers = values if values.dtype.kind in "iufb" else np.searchsorted(categories, values)
    known = np.isfinite(numbers)
    if not known.all():
        hollow = ax.scatter(x[~known], y[~known], s=sizes[~known], color="white", zorder=2)
        hollow.set(edgecolors=_NOTHING, label="no value")
        ax.legend(loc="upper left", bbox_to_anchor=(0.0, 0.0), frameon=False)
    values_shown = ax.scatter(
        x[known], y[known], s=sizes[known], c=numbers[known], cmap=palette or "viridis", zorder=2
    )
    bar = ax.figure.colorbar(values_shown, ax=ax, shrink=0.8)
    bar.set_label(as_label(color), parse_math=False, usetex=False)


def _categorical() -> ListedColormap:
    from matplotlib.colors import ListedColormap, to_rgb

    ten = np.array([to_rgb(one) for one in _CATEGORIES])
    return ListedColormap(np.vstack([ten, 0.55 * ten]))
