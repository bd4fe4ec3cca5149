"""The child maps of hierarchical growth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import Component
from dbgsom_plugins.figures._colours import (
    EMPTY,
    INK,
    MAX_CATEGORIES,
    by_prototype,
    categorical,
    rgb_of,
    scale_of,
    towards_white,
)
from dbgsom_plugins.figures._drawing import (
    DEAD,
    JOINED,
    cell_centres,
    fill_cells,
    is_torus,
    map_sheet,
    mark_parents,
    no_hits_patch,
    notes_on_map,
    parents_of,
    patches_of,
    write_in_cells,
)
from dbgsom_plugins.figures.label_map import name_of, names_neurons

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView
    from dbgsom_plugins.figures._drawing import Sheet

_NONE = "No neuron has a child map: the page shows the map itself."
_HEADED = "Above each child map stands the cell (x, y) of its neuron, from the first map down."
_MARKED = "Grey neurons have a child map themselves."


class ChildMaps(Component):
    """The child maps side by side, each under the grid cell of its neuron.

    Colours are those of the labels, up to 20 classes, else of the prototypes; regression values
    have a colour scale. Neurons without hits are hatched.
    """

    def draw(self, view: MapView) -> Figure:
        tree = view.evaluation.tree
        shown = range(1, len(tree.maps)) if len(tree.maps) > 1 else range(1)
        gap = 1 if tree.depth < 3 else 3  # columns: a heading names every map on the way down
        cells = [cell_centres(tree.maps[number]) for number in shown]
        cell = np.ptp(tree.maps[0].grid.corners, axis=0)
        corners = arranged([tuple((np.ptp(c, axis=0) + cell)[::-1]) for c in cells], gap)
        leaf = np.concatenate([tree.leaf_of[number] for number in shown])
        cells = [c - c.min(axis=0) + corner for c, corner in zip(cells, corners, strict=True)]
        positions = np.concatenate(cells)
        labels = view.neuron_labels if view.leaf_labels is None else view.leaf_labels
        colours, key = _colours(view, leaf, labels)
        scale = None
        if view.estimator == "regressor":
            scale = scale_of(float(labels.min()), float(labels.max()))
            colours[leaf >= 0] = np.asarray(scale.to_rgba(labels[leaf[leaf >= 0]]))[:, :3]
        hits = np.bincount(view.evaluation.leaf, minlength=len(tree))
        dead = (leaf >= 0) & (hits[leaf] == 0)
        colours = towards_white(colours, np.where(dead, DEAD, 1.0))
        if dead.any():
            key = [*key, no_hits_patch()]
        headed = _with_headings(positions) if len(tree.maps) > 1 else positions
        sheet = map_sheet(view, "Child maps", _notes(tree), len(key), headed)
        fill_cells(sheet, positions, colours, dead, joined=is_torus(tree.maps[0]))
        for number, corner in zip(shown, corners, strict=True):
            som_map = tree.maps[number]
            places = cell_centres(som_map)
            mark_parents(sheet, parents_of(som_map) - places.min(axis=0) + corner)
            top = corner[1] + np.ptp(places[:, 1])
            _write_heading(sheet, _cells_above(tree, number), corner[0], top)
        names = [name_of(view, one) if scale is None else f"{one:.3g}" for one in labels]
        texts = ["" if k < 0 or d else names[k] for k, d in zip(leaf, dead, strict=True)]
        write_in_cells(sheet, positions, texts, colours)
        if scale is not None:
            sheet.page.colour_bar(scale, "Value")
        if key:
            sheet.page.legend(key)
        return sheet.figure


def arranged(shapes: list[tuple[float, float]], gap: int) -> list[NDArray[np.float64]]:
    """Return lower left corners (x, y) for rectangles of (rows, columns) cells.

    They stand in lines from the top, in order, about as wide as high together, with ``gap`` free
    columns between them and a row for headings.
    """
    area = sum((rows + 1) * (columns + gap) for rows, columns in shapes)
    widest = max(max(columns for _, columns in shapes), round(1.2 * area**0.5))
    corners, x, top, tallest = [], 0.0, 0.0, 0.0
    for rows, columns in shapes:
        if x and x + columns > widest:
            x, top, tallest = 0.0, top - tallest - 1, 0.0
        corners.append(np.array([x, top - rows + 1]))
        x, tallest = x + columns + gap, max(tallest, rows)
    return corners


def _colours(
    view: MapView, leaf: NDArray[np.int64], labels: NDArray[Any]
) -> tuple[NDArray[np.float64], list[Key]]:
    tree = view.evaluation.tree
    colours = np.tile(rgb_of(EMPTY), (len(leaf), 1))
    is_leaf = leaf >= 0
    classes = np.unique(labels)
    if view.estimator == "regressor":
        return colours, []
    if names_neurons(view) or len(classes) > MAX_CATEGORIES:
        colours[is_leaf] = by_prototype(tree.weights)[leaf[is_leaf]]
        return colours, []
    palette = categorical(len(classes))
    colours[is_leaf] = palette[np.searchsorted(classes, labels[leaf[is_leaf]])]
    return colours, patches_of(palette, [name_of(view, label) for label in classes])


def _notes(tree: Any) -> list[str]:
    if len(tree.maps) == 1:
        return [_NONE, *notes_on_map(tree.maps[0])]
    joined = [JOINED] if is_torus(tree.maps[0]) else []
    return [_HEADED, _MARKED, *joined] if tree.depth > 2 else [_HEADED, *joined]


def _with_headings(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    # Room for the headings of the highest maps.
    return np.vstack([positions, (0, positions[:, 1].max() + 1)])


def _cells_above(tree: Any, number: int) -> list[tuple[int, int]]:
    # The cells of the neurons on the way down to a map.
    cells: list[tuple[int, int]] = []
    while number > 0:
        above, neuron = next(
            (upper, int(np.flatnonzero(children == number)[0]))
            for upper, children in enumerate(tree.child_of)
            if (children == number).any()
        )
        x, y = tree.maps[above].positions[neuron].tolist()
        cells.insert(0, (x, y))
        number = above
    return cells


def _write_heading(sheet: Sheet, cells: list[tuple[int, int]], left: float, top: float) -> None:
    sheet.axes.text(
        left + sheet.corners[:, 0].min(),
        top + sheet.corners[:, 1].max() + 0.15,
        " › ".join(f"({x}, {y})" for x, y in cells),
        fontsize=float(np.clip(0.42 * sheet.cell, 3.5, 8.0)),
        color=INK,
        va="bottom",
        ha="left",
        clip_on=False,
    )


Key = tuple["Patch", str]
