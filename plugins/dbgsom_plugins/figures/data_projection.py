"""The map's mesh laid over the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from dbgsom_core.api import Component, as_label
from dbgsom_plugins.figures._colours import FAINT, INK, MAX_CATEGORIES, MUTED, PAPER, categorical
from dbgsom_plugins.figures._drawing import PLAIN, page, patches_of
from dbgsom_plugins.figures._variables import names_of
from dbgsom_plugins.figures.label_map import class_name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_SIZE = (6.2, 5.2)
_SAMPLES = "#9aa3af"  # of samples without a class


class DataProjection(Component):
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
        notes = [] if len(some) == n else [f"{len(some)} of {n} samples, drawn by the seed."]
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
        """Return where samples (m, D) lie, (m, 2); what is missing is as in their unit."""
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
