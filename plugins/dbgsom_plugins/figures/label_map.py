"""What neurons answer: labels as colours, names of regions, child maps."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.api import FigureComponent, LabelEvidence, as_label
from dbgsom_plugins.figures._colours import (
    EMPTY,
    INK,
    MAX_CATEGORIES,
    PAPER,
    by_prototype,
    categorical,
    rgb_of,
    scale_over,
    towards_white,
)
from dbgsom_plugins.figures._drawing import (
    DEAD,
    JOINED,
    PLAIN,
    can_write,
    cell_centres,
    fill_cells,
    fold_note,
    is_torus,
    key_size,
    map_of_cells,
    map_of_values,
    map_sheet,
    mark_parents,
    no_hits_patch,
    notes_on_map,
    pale_without_hits,
    parents_of,
    patches_of,
    shortened,
    text_width,
    write_in_cells,
)
from dbgsom_plugins.figures.component_planes import label_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView, SomMap
    from dbgsom_plugins.figures._colours import Colours
    from dbgsom_plugins.figures._drawing import Sheet


DESCRIBED = "Names: the variables in which a cluster of neurons differs most."
_ALIKE = (
    "Similar colours are similar prototypes: their first three principal components are lightness, "
    "blue to yellow, and green to red."
)
_SAMPLES = "Names are those of the samples, the nearest to the prototype first."
_PALEST = 0.22  # strength of the colour of a neuron whose classes are all equally frequent
_NAMED = 300  # samples whose names are written on the map
_LINES, _LETTERS = 4, 14  # of a cell
_SIZES = (6.5, 12.0)  # points, of the names of the smallest and the largest region
_LINE_HEIGHT = 1.5  # over the font size
_WIDEST, _FREE = 125.0, 2.0  # points of a name, and beside it
_AND = ",\n"
_WRAPPED = 20  # letters of a line of what a cluster stands out in
_SECOND = 0.6  # how far a cluster stands out in a second variable that is named, over the first
_BREAKS = (100, 20, 14, 10)  # letters of a line of a class
_BEYOND = 0.75  # of a cell, from the middle of one of its region to an end of a name
_SHORT = 3  # letters of a name that is as short as its number
_MOST_NAMED = 60  # classes that have their names in a legend
_LITTLE = 1e-9  # hits of a neuron without any, so that a class without hits has a colour
_LEAST = 0.004  # share of all samples from which on a region has a name


class LabelMap(FigureComponent):
    """The label of each neuron on the grid.

    Up to 20 classes have a colour each, paler where the label of a neuron is less probable. Index
    labels of a vector quantizer, and more classes, are coloured by prototype: similar colours are
    similar prototypes. Regression values have a colour scale. Names that do not fit on the map
    stand in the legend, by number.
    """

    def draw(self, view: MapView) -> Figure:
        if view.estimator == "regressor":
            values = np.asarray(view.neuron_labels, dtype=np.float64)
            return map_of_values(view, "Label map", values, "Value", dead=DEAD)
        if names_neurons(view) or len(np.unique(view.neuron_labels)) > MAX_CATEGORIES:
            return _prototypes(view)
        return _classes(view)


class PcaRgb(FigureComponent):
    """The prototypes' first three principal components as a colour of each neuron.

    Clusters are patches of one colour, borders are where it changes; the strongest difference is
    one of lightness, which every reader sees. Up to 20 classes or clusters have their names on it,
    and without any the map says which variables stand out where.
    """

    def draw(self, view: MapView) -> Figure:
        colours = pale_without_hits(view, by_prototype(view.evaluation.som_map.prototypes))
        notes = [_ALIKE]
        if names_neurons(view):
            notes += [DESCRIBED] if can_describe(view) else []
        elif view.estimator != "regressor" and len(np.unique(view.neuron_labels)) <= MAX_CATEGORIES:
            notes.append(f"Names are the {answers_of(view)} that neurons stand for.")
        sheet = map_of_cells(view, "Prototype colours", colours, notes=notes)
        if view.evaluation.hits.min() == 0:
            sheet.page.legend([no_hits_patch()])
        name_regions(view, sheet)
        return sheet.figure


def names_neurons(view: MapView) -> bool:
    """Say whether the labels are numbers of neurons, so that no two share one."""
    live = view.neuron_labels[view.evaluation.hits > 0]
    return view.estimator == "vq" and len(np.unique(live)) == len(live)


def answers_of(view: MapView) -> str:
    """Return what neurons answer where they share answers: ``classes``, else ``clusters``."""
    classes = view.estimator == "classifier" or view.neuron_probabilities is not None
    return "classes" if classes else "clusters"


def _classes(view: MapView) -> Figure:
    dead = view.evaluation.hits == 0
    classes, row = np.unique(view.neuron_labels, return_inverse=True)
    notes = ["Numbers are those of clusters."] if answers_of(view) == "clusters" else []
    # Labels of child maps count, too, so that a label has one colour in all figures.
    answers = classes if view.leaf_labels is None else np.union1d(classes, view.leaf_labels)
    answers = answers if len(answers) <= MAX_CATEGORIES else classes
    palette = categorical(len(answers))[np.searchsorted(answers, classes)]
    probabilities = view.neuron_probabilities
    strength = np.ones(len(row))
    if probabilities is not None and probabilities.shape[1] > 1:
        chance = 1 / probabilities.shape[1]
        majority = (probabilities.max(axis=1) - chance) / (1 - chance)
        strength = _PALEST + (1 - _PALEST) * np.clip(majority, 0, 1)
        notes.append("The paler a cell, the less probable its label.")
    colours = towards_white(palette[row], np.where(dead, DEAD, strength))
    return _named_map(
        view, colours, row, [name_of(view, label) for label in classes], notes, palette
    )


def _named_map(
    view: MapView,
    colours: Colours,
    row: NDArray[np.int64],
    names: Sequence[str],
    notes: Sequence[str],
    palette: Colours,
) -> Figure:
    """Return a map of classes, (K,) places in ``names``, with a legend.

    Names stand in the cells or on regions where all of them can be read there, else their numbers.
    """
    evaluation = view.evaluation
    dead = evaluation.hits == 0

    def texts_of(words: Sequence[str]) -> list[str]:
        return ["" if empty else words[place] for place, empty in zip(row, dead, strict=True)]

    def regions_of(words: Sequence[str]) -> list[Region]:
        return regions(evaluation.som_map, row, words, evaluation.hits)

    entries = patches_of(palette, with_profile(view, names))
    entries += [no_hits_patch()] if dead.any() else []
    key = key_size([name for _, name in entries])
    draft = map_sheet(view, "Label map", notes, key.rows, side=key.side)
    words: Sequence[str] = names
    if not can_write(draft, texts_of(names)):
        named = regions_of(names)
        placed = {region.name for region, *_ in placed_names(draft, named, cut=False)}
        large = {one.name for one in named if one.weight >= _LEAST * evaluation.hits.sum()}
        if large - placed and max(map(len, names)) > _SHORT:
            words = [str(number) for number in range(1, len(names) + 1)]
            named_by = [f"{number} · {name}" for number, name in zip(words, names, strict=True)]
            entries[: len(names)] = patches_of(palette, named_by)
            key = key_size([name for _, name in entries])
    sheet = map_of_cells(
        view, "Label map", colours, texts_of(words), notes, key.rows, side=key.side
    )
    sheet.page.legend(entries, key)
    if not can_write(sheet, texts_of(words)):
        write_names(sheet, regions_of(words), cut=False)
    return sheet.figure


def _prototypes(view: MapView) -> Figure:
    dead, note = view.evaluation.hits == 0, _ALIKE
    labels, row = np.unique(view.neuron_labels, return_inverse=True)
    if not names_neurons(view) and len(labels) <= _MOST_NAMED:
        every = by_prototype(view.evaluation.som_map.prototypes)
        weights = view.evaluation.hits + _LITTLE
        palette = np.array(
            [
                np.average(every[row == i], axis=0, weights=weights[row == i])
                for i in range(len(labels))
            ]
        )
        names = [name_of(view, label) for label in labels]
        return _named_map(view, pale_without_hits(view, every), row, names, [note], palette)
    if len(labels) > _MOST_NAMED and not names_neurons(view):
        note += f" {len(labels)} {answers_of(view)} are too many for a legend."
    colours = pale_without_hits(view, by_prototype(view.evaluation.som_map.prototypes))
    texts = ["" if dead[k] else name_of(view, label) for k, label in enumerate(view.neuron_labels)]
    samples = _samples_on(view)
    if can_write(map_sheet(view, "Label map"), samples):
        texts, note = samples, f"{note} {_SAMPLES}"
    sheet = map_of_cells(view, "Label map", colours, texts, [note], int(dead.any()))
    if dead.any():
        sheet.page.legend([no_hits_patch()])
    if not can_write(sheet, texts):
        name_regions(view, sheet)
    return sheet.figure


def _samples_on(view: MapView) -> list[str]:
    # The names of the samples of each neuron (K,), the nearest first, where all samples are few
    # and have names.
    ids = np.asarray(() if view.sample_ids is None else view.sample_ids)
    if not 0 < len(ids) <= _NAMED or ids.dtype.kind in "iu" or not names_neurons(view):
        return []
    evaluation = view.evaluation
    texts = []
    for neuron in range(len(evaluation.som_map)):
        rows = np.flatnonzero(evaluation.bmu == neuron)
        rows = rows[np.argsort(evaluation.distance[rows], kind="stable")]
        shown = rows[: _LINES if len(rows) <= _LINES else _LINES - 1]
        rest = [f"and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
        texts.append("\n".join([as_label(one, _LETTERS) for one in ids[shown].tolist()] + rest))
    return texts


def name_regions(view: MapView, sheet: Sheet) -> None:
    """Write the names of up to 20 classes or clusters on the regions of the map that they hold.

    Where neurons have but their numbers, regions are called by the variables they stand out in.
    """
    if view.estimator == "regressor":
        return
    if names_neurons(view):
        if can_describe(view):
            write_names(sheet, described(view))
        return
    labels, rows = np.unique(view.neuron_labels, return_inverse=True)
    if len(labels) <= MAX_CATEGORIES:
        names = [name_of(view, label) for label in labels]
        evaluation = view.evaluation
        write_names(sheet, regions(evaluation.som_map, rows.ravel(), names, evaluation.hits))


def name_of(view: MapView, label: Any) -> str:
    """Return what stands for a label in a figure."""
    return as_label(view.label_names.get(label, label))


def with_profile(view: MapView, names: Sequence[str]) -> list[str]:
    """Return the names of clusters with what sets them apart, where a profile says it."""
    said = {}
    if (profile := view.profile) is not None:
        said = dict(zip(map(str, profile.clusters.tolist()), profile.names, strict=True))
    return [f"{name}: {said[name]}" if name in said else name for name in names]


def class_name_of(view: MapView, label: Any) -> str:
    """Return what stands for a class of the samples in a figure."""
    return as_label(view.class_names[label]) if label in view.class_names else name_of(view, label)


class Region(NamedTuple):
    """A region: what it is called, where (x, y) and how wide in the plane, how much lies there.

    ``cells`` (S, 2) are the centres of its cells.
    """

    name: str
    place: tuple[float, float]
    width: float
    weight: float
    cells: NDArray[np.float64] | None = None


def regions(
    som_map: SomMap, labels: NDArray[np.int64], names: Sequence[str], hits: NDArray[np.int64]
) -> list[Region]:
    """Return the connected regions of neurons with hits and the same label.

    ``labels`` (K,) index ``names``. A region stands where its most central neuron is.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    a, b = som_map.edges().T
    alike = (labels[a] == labels[b]) & (hits[a] > 0) & (hits[b] > 0)
    entries = np.ones(np.count_nonzero(alike), bool), (a[alike], b[alike])
    graph = csr_array(entries, shape=(len(labels), len(labels)))
    _, parts = connected_components(graph, directed=False)
    places = cell_centres(som_map)
    found = []
    for part in np.unique(parts[hits > 0]):
        neurons = np.flatnonzero(parts == part)
        weight = float(hits[neurons].sum())
        middle = np.average(places[neurons], axis=0, weights=hits[neurons])
        nearest = neurons[np.square(places[neurons] - middle).sum(axis=1).argmin()]
        x, y = places[nearest].tolist()
        width = 1 + float(np.ptp(places[neurons, 0]))
        name = names[int(labels[nearest])]
        found.append(Region(name, (x, y), width, weight, places[neurons]))
    return found


def can_describe(view: MapView) -> bool:
    """Say whether the variables have names that tell something, and are no pixels."""
    d = view.evaluation.som_map.prototypes.shape[1]
    several = int(np.count_nonzero(view.evaluation.hits)) > 2
    return several and len(view.feature_names) == d and view.image_shape is None


def described(view: MapView) -> list[Region]:
    """Return clusters of neurons, called by the one or two variables that they stand out in.

    A variable stands out by the distance of the cluster's mean from the mean of all, in standard
    deviations of the prototypes, all weighted by hits.
    """
    from dbgsom_plugins.labellers.clusters import Clusters

    evaluation = view.evaluation
    som_map, hits = evaluation.som_map, evaluation.hits
    prototypes = som_map.prototypes
    evidence = LabelEvidence(som_map, evaluation.bmu, hits, errors=evaluation.errors)
    labels = Clusters().label(evidence)
    middle = np.average(prototypes, axis=0, weights=hits)
    spread = np.sqrt(np.average(np.square(prototypes - middle), axis=0, weights=hits))
    names, most = [], 1 if fold_note(som_map) else 2  # lines of a folded row have little room
    for cluster in range(int(labels.max()) + 1):
        weights = hits * (labels == cluster)
        apart = np.average(prototypes, axis=0, weights=weights) - middle
        apart = np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)
        first, *second = np.argsort(-np.abs(apart), kind="stable")[:most].tolist()
        second = [one for one in second if abs(apart[one]) > _SECOND * abs(apart[first])]
        told = [
            f"{'high' if apart[one] > 0 else 'low'} {label_of(str(view.feature_names[one]))}"
            for one in (first, *second)
        ]
        names.append(
            _AND.join(
                "\n".join(textwrap.wrap(one, _WRAPPED, break_long_words=False)) for one in told
            )
        )
    return regions(som_map, labels, names, hits)


def write_names(sheet: Sheet, named: Sequence[Region], *, cut: bool = True) -> list[str]:
    """Write names on a map, those with most samples first; return what was written."""
    from matplotlib.patheffects import withStroke

    written = []
    for _, text, (x, y), size in placed_names(sheet, named, cut=cut):
        written.append(text)
        sheet.axes.text(
            x,
            y,
            text,
            fontsize=size,
            linespacing=_LINE_HEIGHT / 1.2,
            color=INK,
            ha="center",
            va="center",
            zorder=6,
            path_effects=[withStroke(linewidth=2.4, foreground=PAPER, alpha=0.85)],
            **PLAIN,
        )
    return written


def placed_names(
    sheet: Sheet, named: Sequence[Region], *, cut: bool
) -> list[tuple[Region, str, tuple[float, float], float]]:
    """Return the regions that can have their names on a map, with text, middle and font size.

    A name that is wider than its region, or would overlap another one, is left out; before that it
    loses what comes after a comma, and the ends of lines, to be ``cut``, or it is broken into lines
    that have to lie within the region.
    """
    total = sum(region.weight for region in named)
    (left, right), (low, high) = sheet.axes.get_xlim(), sheet.axes.get_ylim()
    taken: list[tuple[float, float, float, float]] = []
    placed = []
    largest = max((region.weight for region in named), default=1.0)
    for region in sorted(named, key=lambda one: -one.weight):
        if region.weight < _LEAST * total:
            break
        size = _SIZES[0] + (_SIZES[1] - _SIZES[0]) * (region.weight / largest) ** 0.5
        for lines in _line_breaks(region.name, size, cut=cut):
            wide = (size * max(map(text_width, lines), default=0.0) + _FREE) / sheet.cell
            tall = _LINE_HEIGHT * size * len(lines) / sheet.cell
            if not region.name or wide > min(region.width, right - left) or tall > high - low:
                continue
            x = float(np.clip(region.place[0], left + wide / 2, right - wide / 2))
            y = float(np.clip(region.place[1], low + tall / 2, high - tall / 2))
            box = (x - wide / 2, x + wide / 2, y - tall / 2, y + tall / 2)
            if not cut and not _lies_within(box, len(lines), region):
                continue
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append((region, "\n".join(lines), (x, y), size))
                break
    return placed


def _line_breaks(name: str, size: float, *, cut: bool) -> Iterator[list[str]]:
    if cut:
        for text in dict.fromkeys((name, name.partition(_AND)[0])):
            yield [shortened(line, _WIDEST, size) for line in text.splitlines()]
        return
    broken = (textwrap.wrap(name, most, break_long_words=False) for most in _BREAKS)
    yield from [list(lines) for lines in dict.fromkeys(map(tuple, broken))]


def _lies_within(box: tuple[float, float, float, float], lines: int, region: Region) -> bool:
    if region.cells is None:
        return True
    left, right, low, high = box
    across = np.linspace(left, right, math.ceil(2 * (right - left)) + 1)
    up = low + (high - low) * (np.arange(lines) + 0.5) / lines  # the middle of each line
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 1, 2)
    apart = np.linalg.norm(points - region.cells, axis=-1).min(axis=1)
    return bool((apart <= _BEYOND).all())


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


_NONE = "No neuron has a child map: the page shows the map itself."
_HEADED = "Headings of child maps are the cells (x, y) of their neurons, from the first map down."
_MARKED = "Grey neurons have a child map themselves."


class ChildMaps(FigureComponent):
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
            scale = scale_over(np.asarray(labels, dtype=np.float64))
            colours[leaf >= 0] = np.asarray(scale.to_rgba(labels[leaf[leaf >= 0]]))[:, :3]
        hits = np.bincount(view.evaluation.leaf, minlength=len(tree))
        dead = (leaf >= 0) & (hits[leaf] == 0)
        colours = towards_white(colours, np.where(dead, DEAD, 1.0))
        if dead.any():
            key = [*key, no_hits_patch()]
        headed = _with_headings(positions) if len(tree.maps) > 1 else positions
        size = key_size([name for _, name in key])
        sheet = map_sheet(view, "Child maps", _notes(tree), size.rows, headed, size.side)
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
            sheet.page.legend(key, size)
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
