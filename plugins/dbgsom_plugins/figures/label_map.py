"""What neurons answer: labels as colours, similar prototypes as similar colours, child maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._drawing import (
    JOINED,
    Sheet,
    cell_centres,
    extent,
    is_torus,
    map_of_cells,
    map_of_values,
    map_sheet,
    pale_without_hits,
)
from dbgsom_plugins.figures._names import (
    Region,
    answers_of,
    can_describe,
    class_name_of,
    labelled_regions,
    name_of,
    names_neurons,
    place_names,
    regions,
    texts_of,
    with_profile,
    write_names,
)
from dbgsom_plugins.figures._style import (
    EMPTY,
    INK,
    MAX_CATEGORIES,
    PLAIN,
    by_prototype,
    categorical,
    numbers,
    rgb_of,
    scale_over,
    towards_white,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView
    from dbgsom_plugins.figures._drawing import Entries
    from dbgsom_plugins.figures._style import Colours


_DESCRIBED = "Names: the variables in which a cluster of neurons differs most."
_ALIKE = (
    "Similar colours are similar prototypes: their first three principal components are lightness, "
    "blue to yellow, and green to red."
)
_SAMPLES = "Names are those of the samples, the nearest to the prototype first."
_PALEST = 0.22  # strength of the colour of a neuron whose classes are all equally frequent
_NAMED = 300  # samples whose names are written on the map: of more a cell shows a few only
_LINES, _CHARACTERS = 4, 14  # of a cell, whose font would be too small for more
_SHORT = 3  # characters of a name that is as short as its number
_MOST_NAMED = 60  # classes that have their names in a legend, three columns of it
_LONG = 6  # words of a text, by the median, from which on it is too long to be a name
_BEHIND = 0.4  # strength of colours behind names
_SMALL = (5.5, 5.5)  # points of names that are larger than their cells
_TOO_SMALL = (
    "Cells are too small for a name each: it stands in the middle of its cell where there is room, "
    "of neurons with most hits first."
)
_LITTLE = 1e-9  # hits of a neuron without any, so that a class without hits has a colour


class LabelMap(FigureComponent):
    """The label of each neuron on the grid.

    Up to 20 classes have a colour each, paler where the label of a neuron is less probable. Index
    labels of a vector quantizer, and more classes, are coloured by prototype: similar colours are
    similar prototypes. Regression values, and shares of the rarer of two uneven classes, have a
    colour scale. Names that do not fit on the map
    stand in the legend, by number.
    """

    def draw(self, view: MapView) -> Figure:
        return _draw_labels(view, "Label map", [])


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
            if can_describe(view):
                notes.append(_DESCRIBED)
        elif view.estimator != "regressor" and len(np.unique(view.neuron_labels)) <= MAX_CATEGORIES:
            notes.append(f"Names are the {answers_of(view)} that neurons stand for.")
        sheet = map_of_cells(view, "Prototype colours", colours, notes=notes)
        write_names(sheet, labelled_regions(view))
        return sheet.page.figure


@dataclass(frozen=True)
class _Labels:
    """Labels of cells: ``names`` and their colours (C, 3), and of each cell its name and colour."""

    names: list[str]
    palette: Colours
    rows: NDArray[np.int64]
    colours: Colours

    def have_legend(self, view: MapView) -> bool:
        """Return whether they are few enough for a legend, and no numbers of neurons."""
        return len(self.names) <= _MOST_NAMED and not names_neurons(view)

    def texts(
        self, view: MapView, sheet: Sheet, live: NDArray[np.bool_], *, numbered: bool
    ) -> tuple[list[str], list[str], Entries]:
        """Return the word for each label, the text of each cell, and the legend.

        Where ``numbered``, numbers stand for names that are too long for cells. Cells without hits
        have no text.
        """
        words = self.names
        texts = np.array(words, dtype=object)[self.rows]
        texts[~live] = ""
        names = with_profile(view, self.names)
        is_long = max(map(len, words)) > _SHORT
        if numbered and is_long and not sheet.can_write(texts.tolist()):
            words = [str(number) for number in range(1, len(words) + 1)]
            texts[live] = np.array(words, dtype=object)[self.rows[live]]
            names = [f"{word} · {name}" for word, name in zip(words, names, strict=True)]
        entries: Entries = []
        if self.have_legend(view):
            entries = list(zip(self.palette, names, strict=True))
        return words, texts.tolist(), entries


def _labels_of(
    view: MapView, labels: NDArray[Any], similar: Colours, hits: NDArray[np.int64]
) -> _Labels:
    """Return the labels (S,) of cells; more than 20 have ``similar`` colours (S, 3)."""
    values, rows = np.unique(labels, return_inverse=True)
    rows = rows.ravel()
    names = [name_of(view, value) for value in values]
    # Labels of child maps count, too, so that a label has one colour in all figures.
    answers = np.unique(view.neuron_labels)
    if view.leaf_labels is not None:
        answers = np.union1d(answers, view.leaf_labels)
    if not names_neurons(view) and len(answers) <= MAX_CATEGORIES:
        palette = categorical(len(answers))[np.searchsorted(answers, values)]
        return _Labels(names, palette, rows, palette[rows])
    weights = hits + _LITTLE
    sums = np.zeros((len(values), 3))
    np.add.at(sums, rows, similar * weights[:, None])
    means = sums / np.bincount(rows, weights)[:, None]
    return _Labels(names, means, rows, similar)


def _draw_labels(view: MapView, title: str, notes: list[str]) -> Figure:
    if view.estimator == "regressor":
        values = np.asarray(view.neuron_labels, dtype=np.float64)
        return map_of_values(view, title, values, "Value", answers=True, notes=notes)
    if view.rare_class is not None:
        assert view.neuron_probabilities is not None
        shares = view.neuron_probabilities[:, view.rare_class]
        name = "the rarer class"
        if view.evaluation.classes is not None:
            name = class_name_of(
                view, np.asarray(view.evaluation.classes).tolist()[view.rare_class]
            )
        label = f"Share of {name}"
        return map_of_values(
            view, title, shares, label, low=0.0, high=float(shares.max()), answers=True, notes=notes
        )
    evaluation, som_map = view.evaluation, view.evaluation.som_map
    live = evaluation.hits > 0
    similar = by_prototype(som_map.prototypes)
    labels = _labels_of(view, view.neuron_labels, similar, evaluation.hits)
    colours, probabilities = labels.colours, view.neuron_probabilities
    if colours is similar:
        notes = [*notes, _ALIKE]
    elif probabilities is not None and probabilities.shape[1] > 1:
        notes = [*notes, "The paler a cell, the less probable its label."]
        chance = 1 / probabilities.shape[1]
        certainty = (probabilities.max(axis=1) - chance) / (1 - chance)
        strength = _PALEST + (1 - _PALEST) * np.clip(certainty, 0, 1)
        colours = towards_white(colours, strength)
    draft = map_sheet(view, title)
    named = regions(som_map, labels.rows, labels.names, evaluation.hits)
    is_crowded = labels.have_legend(view) and len(place_names(draft, named)) < len(named)
    words, texts, entries = labels.texts(view, draft, live, numbered=is_crowded)
    if labels.have_legend(view):
        named = regions(som_map, labels.rows, words, evaluation.hits)
    else:
        named, samples = labelled_regions(view), _samples_on(view)
        if not names_neurons(view):
            notes.append(f"{len(words)} {answers_of(view)} are too many for a legend.")
        elif draft.can_write(samples):
            texts, notes = samples, [*notes, _SAMPLES]
    sheet = map_of_cells(view, title, pale_without_hits(view, colours), texts, notes, entries)
    if not sheet.can_write(texts):
        write_names(sheet, named)
    return sheet.page.figure


def _samples_on(view: MapView) -> list[str]:
    # The names of the samples of each neuron (K,), the nearest first, where all samples are few
    # and have names.
    ids = np.asarray(() if view.sample_ids is None else view.sample_ids)
    if not 0 < len(ids) <= _NAMED or ids.dtype.kind in "iu":
        return []
    return _texts_of_cells(view, [as_label(name, _CHARACTERS) for name in ids.tolist()], _LINES - 1)


def _texts_of_cells(view: MapView, names: Sequence[str], most: int) -> list[str]:
    """Return what stands in the cell of each neuron (K,), and how many more samples it has.

    It is the ``names`` (n,) of up to ``most`` samples, the nearest to its prototype first; those of
    one name stand there once.
    """
    evaluation = view.evaluation
    order = np.lexsort([evaluation.distance, evaluation.bmu])
    ends = np.searchsorted(evaluation.bmu[order], np.arange(len(evaluation.som_map) + 1))
    hits = evaluation.hits if evaluation.all_hits is None else evaluation.all_hits
    texts = []
    for first, end, count in zip(ends[:-1], ends[1:], hits.tolist(), strict=True):
        nearest = order[first:end][:most]
        lines = list(dict.fromkeys(names[row] for row in nearest.tolist() if names[row]))
        if lines and count > len(nearest):
            lines.append(f"+{count - len(nearest)}")
        texts.append("\n".join(lines))
    return texts


class Names(FigureComponent):
    """The names of the samples nearest to each prototype, and how many more its neuron has.

    Of a column of longer texts these are words: those that set the samples of a neuron apart
    (c-TF-IDF, Grootendorst 2022). Names that are too long for a cell lose their middle. Where cells
    are too small for any, names of the neurons with most hits stand where there is room.
    """

    by: str | None = Field(
        default=None,
        description="the column beside the samples, or the target, whose values stand there; null: "
        "the ids of the samples, or else their rows, from 0",
    )
    samples: int = Field(
        default=3,
        ge=1,
        le=5,
        description="samples, or words, of a cell; fewer where cells are small",
    )

    def draw(self, view: MapView) -> Figure:
        names = _names_by(view, self.by)
        what = f"Values of {as_label(self.by)}" if self.by else "Names"
        notes = [f"{what} of samples, the nearest to the prototype first; +2: two more."]
        of_words: list[list[str]] | None = None
        if self.by and np.median([len(name.split()) for name in names if name] or [0]) >= _LONG:
            from dbgsom_core.tables import top_words  # imports pyarrow

            n_neurons = len(view.evaluation.som_map)
            of_words = top_words(names, view.evaluation.bmu, n_neurons, self.samples)
            notes = [f"Words of {as_label(self.by)} that set the samples of a neuron apart."]
        title = "Names of samples" if self.by is None else as_label(self.by)
        draft = map_sheet(view, title)
        texts: list[str] = []
        for most in range(self.samples, 0, -1):
            if of_words is None:
                texts = _texts_of_cells(view, names, most)
            else:
                texts = ["\n".join(words[:most]) for words in of_words]
            shown = draft.shorten(texts)
            if shown:
                break
        colours = by_prototype(view.evaluation.som_map.prototypes)
        colours = towards_white(colours, np.full(len(colours), _BEHIND))
        colours = pale_without_hits(view, colours)
        notes.append(_ALIKE if shown else _TOO_SMALL)
        sheet = map_of_cells(view, title, colours, shown, notes)
        if not shown:
            write_names(sheet, _one_name_each(view, texts), _SMALL, 0.0)
        return sheet.page.figure


def _names_by(view: MapView, by: str | None) -> list[str]:
    """Return what samples (n,) are called, or their values in a column; empty: nothing.

    Raises
    ------
    ValueError
        There is no such column beside them.
    """
    evaluation = view.evaluation
    known: dict[str, Any] = {**view.annotations, **view.variables}
    if evaluation.y is not None:
        known.setdefault(view.target_name or "target", evaluation.y)
    if by is None:
        ids = np.arange(evaluation.data.n) if view.sample_ids is None else view.sample_ids
        return texts_of(np.asarray(ids))
    if by not in known:
        listed = ", ".join(map(as_label, known)) or "none"
        raise ValueError(
            f"there is no column '{by}' beside the samples{did_you_mean(by, known)} (there are: "
            f"{listed}): list it under id, texts or extra of the data set"
        )
    values = np.asarray(known[by])
    if by not in view.annotations and by not in view.variables and view.estimator != "regressor":
        return [class_name_of(view, label) for label in values.tolist()]
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else f"{value:.4g}" for value in values.tolist()]
    return texts_of(values)


def _one_name_each(view: MapView, texts: Sequence[str]) -> list[Region]:
    """Return the first names in the cells of neurons, those with most hits first."""
    hits = view.evaluation.hits
    centres = cell_centres(view.evaluation.som_map)
    named = []
    for neuron in np.argsort(-hits, kind="stable").tolist():
        name = texts[neuron].partition("\n")[0]
        x, y = centres[neuron].tolist()
        named.append(Region(as_label(name, _CHARACTERS), (x, y), np.inf, float(hits[neuron])))
    return named


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
        if len(tree.maps) == 1:
            return _draw_labels(view, "Child maps", [_NONE])
        leaf = np.concatenate(tree.leaf_of[1:])
        is_leaf = leaf >= 0
        leaves = leaf[is_leaf]
        hits = np.bincount(view.evaluation.leaf, minlength=len(tree))[leaves]
        values = np.asarray(view.leaf_labels)[leaves]
        centres, headings = _arranged_maps(tree)
        places = np.vstack(centres)
        # The headings of the highest maps need a row of cells.
        around = np.vstack([places, (0, places[:, 1].max() + 1)])
        notes = [_HEADED]
        if not is_leaf.all():
            notes.append(_MARKED)
        if is_torus(tree.maps[0]):
            notes.append(JOINED)
        entries: Entries = []
        scale = None
        if view.estimator == "regressor":
            scale = scale_over(values)
            colours = np.asarray(scale.to_rgba(values))[:, :3]
            texts = numbers(values.tolist(), 2)
        else:
            similar = by_prototype(tree.weights)[leaves]
            labels = _labels_of(view, values, similar, hits)
            colours = labels.colours
            draft = map_sheet(view, "Child maps", centres=around)
            # Up to 20 have colours that can be told apart.
            many = labels.have_legend(view) and len(labels.names) > MAX_CATEGORIES
            _, texts, entries = labels.texts(view, draft, hits > 0, numbered=many)
        sheet = map_sheet(view, "Child maps", notes, entries, around)
        every = np.tile(rgb_of(EMPTY), (len(leaf), 1))
        every[is_leaf] = colours
        dead = np.zeros(len(leaf), dtype=np.bool_)
        dead[is_leaf] = hits == 0
        sheet.fill_cells(places, every, dead)
        sheet.mark_parents(places[~is_leaf])
        sheet.write(places[is_leaf], texts, colours)
        for cells, heading in zip(centres, headings, strict=True):
            _write_heading(sheet, cells, heading)
        if scale is not None:
            sheet.page.colour_bar(scale, "Value")
        return sheet.page.figure


def _arranged_maps(tree: Any) -> tuple[list[NDArray[np.float64]], list[str]]:
    """Return where the cells of each child map are drawn, and its heading."""
    cells: list[list[str]] = [[] for _ in tree.maps]  # of the neurons on the way down to a map
    for number, children in enumerate(tree.child_of):
        for neuron in np.flatnonzero(children >= 0).tolist():
            x, y = tree.maps[number].positions[neuron].tolist()
            cells[children[neuron]] = [*cells[number], f"({x}, {y})"]
    headings = [" › ".join(way) for way in cells[1:]]
    shapes = []
    for som_map in tree.maps[1:]:
        _, (columns, rows) = extent(som_map, cell_centres(som_map))
        shapes.append((rows, columns))
    gap = 1 if tree.depth < 3 else 3  # columns: a heading names every map on the way down
    centres = []
    for som_map, corner in zip(tree.maps[1:], arranged(shapes, gap), strict=True):
        places = cell_centres(som_map)
        centres.append(places - places.min(axis=0) + corner)
    return centres, headings


def arranged(shapes: list[tuple[float, float]], gap: int) -> list[NDArray[np.float64]]:
    """Return lower left corners (x, y) for rectangles of (rows, columns) cells.

    They stand in lines from the top, in order, about as wide as high together, with ``gap`` free
    columns between them and a row for headings.
    """
    area = sum((rows + 1) * (columns + gap) for rows, columns in shapes)
    widest = max(columns for _, columns in shapes)
    widest = max(widest, round(1.2 * area**0.5))
    corners, x, top, tallest = [], 0.0, 0.0, 0.0
    for rows, columns in shapes:
        if x and x + columns > widest:
            x, top, tallest = 0.0, top - tallest - 1, 0.0
        corners.append(np.array([x, top - rows + 1]))
        x, tallest = x + columns + gap, max(tallest, rows)
    return corners


def _write_heading(sheet: Sheet, cells: NDArray[np.float64], heading: str) -> None:
    left, top = cells[:, 0].min(), cells[:, 1].max()
    sheet.axes.text(
        left + sheet.corners[:, 0].min(),
        top + sheet.corners[:, 1].max() + 0.15,
        heading,
        fontsize=float(np.clip(0.42 * sheet.cell, 3.5, 8.0)),
        color=INK,
        va="bottom",
        ha="left",
        clip_on=False,
        **PLAIN,
    )
