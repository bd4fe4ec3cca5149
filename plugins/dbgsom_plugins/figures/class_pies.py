"""Which classes each neuron won."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._cells import dead_patch, map_of_cells
from dbgsom_plugins.figures._colours import EMPTY, MAX_CATEGORIES, PAPER, categorical
from dbgsom_plugins.figures._places import drawn_at
from dbgsom_plugins.figures.label_map import class_name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_RADII = (0.16, 0.44)  # of the pie of one sample at least, and of the largest pie
_STEPS = 40  # sides of a whole circle


class ClassPies(Component):
    """The classes among the samples of each neuron as a pie; the area of a pie is its hits.

    It needs targets that are classes, up to 20; unlike `LabelMap` it shows what was won and not
    what is answered.
    """

    def draw(self, view: MapView) -> Figure:
        """Return the figure; neurons without hits are hatched.

        Raises
        ------
        ValueError
            There are no classes, or too many.
        """
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Patch

        classes, counts = _won(view)
        palette = categorical(len(classes))
        som_map, totals = view.evaluation.som_map, counts.sum(axis=1)
        radii = np.clip(_RADII[1] * np.sqrt(totals / max(1, totals.max())), _RADII[0], None)
        entries = [
            (Patch(facecolor=colour, lw=0), class_name_of(view, label))
            for colour, label in zip(palette, classes, strict=True)
        ]
        dead = view.evaluation.hits == 0
        if dead.any():
            entries.append(dead_patch())
        empty = np.tile(to_rgb(EMPTY), (len(som_map), 1))
        notes = ["The area of a pie is the number of samples with a class that the neuron won."]
        sheet = map_of_cells(view, "Classes of neurons", empty, (), notes, len(entries))
        slices, colours = [], []
        for place, radius, count in zip(drawn_at(som_map), radii, counts, strict=True):
            for wedge, which in _pie(count):
                slices.append(place + radius * wedge)
                colours.append(palette[which])
        sheet.axes.add_collection(
            PolyCollection(
                slices,
                facecolors=colours,
                edgecolors=PAPER,
                linewidths=float(np.clip(0.012 * sheet.cell, 0.0, 0.6)),
                zorder=2.5,
            ),
            autolim=False,
        )
        sheet.legend(entries)
        return sheet.figure


def _won(view: MapView) -> tuple[NDArray[Any], NDArray[np.int64]]:
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


def _pie(counts: NDArray[np.int64]) -> list[tuple[NDArray[np.float64], int]]:
    # Wedges (P, 2) of a circle of radius 1, clockwise from the top, and their classes.
    total = int(counts.sum())
    found, start = [], 0.0
    for which in np.flatnonzero(counts).tolist():
        stop = start + counts[which] / total
        angles = 2 * np.pi * np.linspace(start, stop, 2 + int(_STEPS * (stop - start)))
        rim = np.column_stack([np.sin(angles), np.cos(angles)])
        whole = counts[which] == total
        found.append((rim if whole else np.vstack([np.zeros((1, 2)), rim]), which))
        start = stop
    return found
