"""Answers beside targets: confusion matrix, ROC curves, predictions over targets; by groups."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dbgsom_core.api import FigureComponent, as_label
from dbgsom_plugins.figures._drawing import map_of_values, page
from dbgsom_plugins.figures._names import class_name_of, with_profile
from dbgsom_plugins.figures._style import (
    FAINT,
    INK,
    MUTED,
    PLAIN,
    categorical,
    scale_of,
    shortened,
    text_on,
    text_width,
)
from dbgsom_plugins.measures.targets import (
    R2,
    RootMeanSquaredError,
    area,
    judged_classes,
    with_classes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation, MapView

_PANEL = 4.4  # inches of a square panel
_SMALLEST, _LARGEST = 0.2, 1.1  # inches of a cell of the matrix
_MATRIX = 5.6  # inches of the matrix, more where cells would be smaller, of up to so many classes:
_FULL = 40
_LONGEST_NAME = 110.0  # points of a class' name beside the matrix: it leaves room for the cells
_TWO_LINES = 0.45  # inches of a cell from which on it holds a share below the count
_LEAST_FONT = 4.5  # points that can be read
_ZEROS = 6  # classes up to which zeros are written; in a larger matrix they hide the others
_MOST_NAMED = 60  # classes up to which each has its name at the matrix; more would overlap
_MOST_POINTS = 3000  # rows up to which each is a point; more lie on top of each other
_MOST_CURVES = 20  # classes up to which each has a colour of `categorical`
_CHANCE: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (3, 3))}
_FIRST_ROWS = 200  # as many cases as a person may look at
_BAR, _BARS = 0.3, 4.6  # inches from bar to bar, and of the longest bar


class ConfusionMatrix(FigureComponent):
    """How often the samples of a class, a row, got each answer: counts, and shares as a colour.

    Of test rows where a run has some, with folds of held-out rows, else of training rows; title
    and caption say which.
    """

    estimators = ("classifier",)

    def draw(self, view: MapView) -> Figure:
        evaluation, rows = _scored(self, view)
        y, answers = with_classes(evaluation, evaluation.predictions)
        classes = np.unique(np.concatenate([np.asarray(evaluation.classes), y, answers]))
        n_classes = len(classes)
        counts = np.zeros((n_classes, n_classes), dtype=np.int64)
        cells = np.searchsorted(classes, y), np.searchsorted(classes, answers)
        np.add.at(counts, cells, 1)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        side = max(_MATRIX, _SMALLEST * min(n_classes, _FULL))
        side = min(_LARGEST * n_classes, side)
        cell = side / n_classes
        size = float(np.clip(72 * 0.8 * cell, _LEAST_FONT, 8.5))
        names = []
        for label in classes.tolist():
            names.append(shortened(class_name_of(view, label), _LONGEST_NAME, size))
        widest = max(map(text_width, names)) * size / 72
        is_turned = widest > 0.9 * cell
        left, below = widest + 0.4, 0.4 + (widest if is_turned else 0.15)
        accuracy = (y == answers).mean()
        notes = [
            f"{rows(len(y))}, {accuracy:.1%} of them answered with their class. A row of the "
            "matrix holds the samples of a class: how many got which answer."
        ]
        shown = page(view, _title("Confusion matrix", view), left + side, side + below, notes)
        axes = shown.panel(left, 0.0, side, side)
        axes.set_axis_on()
        scale = scale_of(0.0, 1.0, "Blues")
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        if shown.axes is not None:  # given axes may be smaller than the page would be
            extent = axes.get_window_extent().width / shown.figure.dpi
            factor = min(1.0, extent / side)
            cell, size = cell * factor, size * factor
        _write_counts(axes, counts, shares, np.asarray(scale.to_rgba(shares)), cell)
        if n_classes > _MOST_NAMED:
            names = []
        look: dict[str, Any] = {"fontsize": size, "color": INK, **PLAIN}
        axes.set_xticks(range(len(names)), names, rotation=90 if is_turned else 0, **look)
        axes.set_yticks(range(len(names)), names, **look)
        axes.set_xlabel("answer", fontsize=8.5, color=MUTED)
        axes.set_ylabel(as_label(view.target_name or "class"), fontsize=8.5, color=MUTED, **PLAIN)
        axes.tick_params(length=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(np.arange(n_classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=FAINT, linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)
        shown.colour_bar(scale, "share")
        return shown.figure


class _ClassCurves(FigureComponent):
    # A curve of the rarer of two classes, or of each of more.

    estimators = ("classifier",)
    curve_name: ClassVar[str]

    def draw(self, view: MapView) -> Figure:
        evaluation, rows = _scored(self, view)
        y, probabilities = with_classes(evaluation, evaluation.probabilities)
        classes = np.asarray(evaluation.classes).tolist()
        names = [class_name_of(view, label) for label in classes]
        several, places = len(classes) > 2, judged_classes(y, classes)
        of, others = "the class", "the others"
        if not several:
            of, others = names[places[0]], names[1 - places[0]]
        values = {}
        for place in places:
            value = self.value(y == classes[place], probabilities[:, place])
            if np.isfinite(value):
                values[place] = value
        if not values:
            name = self.curve_name.lower().replace(" ", "_").replace("-", "_")
            raise ValueError(f"{name} compares classes, and all samples are of one class")
        mean = float(np.mean(list(values.values())))
        sentence = f"class {of} against {others}. {self.value_name(len(y))} {mean:.3f}."
        if several:
            worst = min(values, key=values.__getitem__)
            sentence = f"each class against the others. {self.value_name(len(y))} {mean:.3f} on "
            sentence += f"average, {values[worst]:.3f} at least (class {names[worst]})."
        colours, width = [MUTED] * len(values), 0.6
        if len(values) <= _MOST_CURVES:
            colours, width = [*categorical(len(values))], 1.6
        entries = []
        if several and len(values) <= _MOST_CURVES:
            texts = [f"{value:.3f} {names[place]}" for place, value in values.items()]
            entries = list(zip(colours, texts, strict=True))
        title = _title(f"{self.curve_name}s" if several else self.curve_name, view)
        notes = [f"{rows(len(y))}, {sentence}"]
        shown = page(view, title, _PANEL, _PANEL, notes, entries)
        axes = _square(shown.panel(0.5, 0.0, _PANEL - 0.5, _PANEL - 0.5))
        for place, colour in zip(values, colours, strict=True):
            across, up = self.curve(y == classes[place], probabilities[:, place])
            axes.plot(across, up, color=colour, linewidth=width)
        self.draw_chance(axes, y == classes[places[0]])
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        look: dict[str, Any] = {"fontsize": 8.5, "color": INK, **PLAIN}
        below, beside = self.axis_names(of, others)
        axes.set_xlabel(below, **look)
        axes.set_ylabel(beside, **look)
        return shown.figure

    @abstractmethod
    def value(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> float: ...

    @abstractmethod
    def value_name(self, n: int) -> str: ...

    @abstractmethod
    def curve(
        self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]
    ) -> tuple[Any, Any]: ...

    @abstractmethod
    def axis_names(self, of: str, others: str) -> tuple[str, str]: ...

    def draw_chance(self, axes: Axes, is_class: NDArray[np.bool_]) -> None:
        axes.plot([0, 1], [0, 1], **_CHANCE)


class RocCurve(_ClassCurves):
    """ROC curves (Hanley & McNeil 1982): hits over false alarms of a class against the others.

    Of two classes one curve, of the rarer one; of more a curve for each. Rows are those of the
    confusion matrix.
    """

    curve_name = "ROC curve"

    def value(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        return area(is_class, scores)

    def value_name(self, n: int) -> str:
        return "Area under the curve"

    def curve(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Any, Any]:
        from sklearn.metrics import roc_curve

        false, true, _ = roc_curve(is_class, scores)
        return false, true

    def axis_names(self, of: str, others: str) -> tuple[str, str]:
        return f"share of {others} taken for {of}", f"share of {of} that is found"


class PrecisionRecall(_ClassCurves):
    """Precision over recall of a class against the others (Davis & Goadrich 2006).

    Of two classes one curve, of the rarer one, and its share of all rows, which is chance; of more
    a curve for each. It tells more than a ROC curve where a class is rare. Rows are those of the
    confusion matrix.
    """

    curve_name = "Precision-recall curve"

    def value(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        from sklearn.metrics import average_precision_score

        return average_precision_score(is_class, scores) if is_class.any() else np.nan

    def value_name(self, n: int) -> str:
        return "Average precision"

    def curve(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Any, Any]:
        from sklearn.metrics import precision_recall_curve

        precision, recall, _ = precision_recall_curve(is_class, scores)
        return recall, precision

    def axis_names(self, of: str, others: str) -> tuple[str, str]:
        return f"share of {of} that is found", f"share of {of} among what is taken for it"

    def draw_chance(self, axes: Axes, is_class: NDArray[np.bool_]) -> None:
        if len(axes.lines) == 1:
            axes.axhline(is_class.mean(), **_CHANCE)


class Lift(_ClassCurves):
    """How much of a class the rows hold that are most probably of it: cumulative gains.

    Of two classes one curve, of the rarer one; of more a curve for each. The line down is at the
    first 200 rows, or a tenth where there are fewer than 2000. Rows are those of the confusion
    matrix.
    """

    curve_name = "Lift"

    def value(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        if not is_class.any():
            return np.nan
        return float(self.curve(is_class, scores)[1][_first_rows(len(scores))])

    def value_name(self, n: int) -> str:
        return f"The {_first_rows(n)} most probable rows hold a share of"

    def curve(self, is_class: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Any, Any]:
        order = np.argsort(-scores, kind="stable")
        found = np.concatenate([[0], np.cumsum(is_class[order])])
        return np.arange(len(found)) / len(scores), found / found[-1]

    def axis_names(self, of: str, others: str) -> tuple[str, str]:
        return "share of all rows, the most probable first", f"share of {of} that they hold"

    def draw_chance(self, axes: Axes, is_class: NDArray[np.bool_]) -> None:
        super().draw_chance(axes, is_class)
        axes.axvline(_first_rows(len(is_class)) / len(is_class), **_CHANCE)


def _first_rows(n: int) -> int:
    return min(_FIRST_ROWS, max(1, n // 10))


class PredictedActual(FigureComponent):
    """Predictions of a regressor over the targets, with the line on which both are the same.

    Many rows are shown by their density. Of test rows where a run has some, with folds of held-out
    rows, else of training rows; title and caption say which.
    """

    estimators = ("regressor",)

    def draw(self, view: MapView) -> Figure:
        from matplotlib.colors import PowerNorm

        evaluation, rows = _scored(self, view)
        y, answers = np.asarray(evaluation.y), np.asarray(evaluation.predictions)
        if y.ndim != 1 or answers.shape != y.shape:
            raise ValueError("predicted_actual shows one target, and these are several")
        r2, rmse = R2().compute(evaluation), RootMeanSquaredError().compute(evaluation)
        notes = [f"{rows(len(y))}: R² {r2:.3f}, RMSE {rmse:.4g}. On the line both are the same."]
        shown = page(view, _title("Predictions over targets", view), _PANEL, _PANEL, notes)
        axes = _square(shown.panel(0.6, 0.0, _PANEL - 0.6, _PANEL - 0.6))
        both = np.concatenate([y, answers])
        margin = 0.03 * (np.ptp(both) or 1.0)
        ends = both.min() - margin, both.max() + margin
        blue, orange = (tuple(colour) for colour in categorical(2))
        if len(y) <= _MOST_POINTS:
            axes.scatter(y, answers, s=12, color=blue, alpha=0.55, linewidths=0)
        else:
            window = (*ends, *ends)
            look: dict[str, Any] = {"gridsize": 55, "mincnt": 1, "linewidths": 0.1}
            density = axes.hexbin(
                y, answers, extent=window, norm=PowerNorm(0.5), cmap="viridis", **look
            )
            shown.colour_bar(density, "rows")
        axes.plot(ends, ends, color=orange, linewidth=1.2)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        called = as_label(view.target_name or "target")
        axes.set_xlabel(called, fontsize=8.5, color=INK, **PLAIN)
        axes.set_ylabel(f"{called}, predicted", fontsize=8.5, color=INK, **PLAIN)
        return shown.figure


class DoubtfulLabels(FigureComponent):
    """Where labels are doubtful: 1 minus the mean probability of its own class in each neuron.

    Of held-out rows where a run has folds, of test rows where it has some.
    """

    estimators = ("classifier",)

    def draw(self, view: MapView) -> Figure:
        evaluation, rows = _scored(self, view)
        y, shares = with_classes(evaluation, evaluation.probabilities)
        _, units = with_classes(evaluation, evaluation.bmu)
        places = np.searchsorted(np.asarray(evaluation.classes), y)
        doubts = 1 - shares[np.arange(len(y)), places]
        size = len(evaluation.som_map)
        counts = np.bincount(units, minlength=size)
        means = np.bincount(units, doubts, size) / np.maximum(counts, 1)
        notes = [f"{rows(len(y))}. Dark neurons: their classes are as expected."]
        title = _title("Doubtful labels", view)
        return map_of_values(view, title, means, "Mean doubt", low=0.0, notes=notes)


class GroupShares(FigureComponent):
    """The share of each label in each group of a column, a bar a group (``report: {by: COLUMN}``).

    Groups are in order of their names, with their numbers of rows; with ``sample`` a dot a sample.
    """

    estimators = ("vq", "classifier")

    def draw(self, view: MapView) -> Figure | dict[str, Figure]:
        if not view.groups:
            raise ValueError("group_shares draws what 'report: {by: COLUMN}' counts: add it")
        figures = []
        for groups in view.groups:
            has_samples = groups.tests is not None and len(groups.tests.shares)
            draw = self._draw_samples if has_samples else self._draw
            figures.append(draw(view, groups))
        if len(figures) == 1:
            return figures[0]
        return {f"{number}": figure for number, figure in enumerate(figures, start=1)}

    def _draw(self, view: MapView, groups: Any) -> Figure:
        from matplotlib.ticker import PercentFormatter

        by_size = np.argsort(-groups.counts.sum(axis=0), kind="stable")
        most = np.sort(by_size[:_MOST_CURVES])
        names = with_profile(view, [groups.labels[place] for place in most])
        shares, colours = groups.shares[:, most], [*categorical(len(most))]
        n_others = len(groups.labels) - len(most)
        if n_others:
            shares = np.column_stack([shares, 1 - shares.sum(axis=1)])
            names.append(f"{n_others} more")
            colours.append(FAINT)
        column = as_label(groups.column)
        notes = [f"Rows of all data by {column}. {groups.sentence}."]
        texts = []
        for group, rows in zip(groups.groups, groups.counts.sum(axis=1).tolist(), strict=True):
            name = shortened(group, _LONGEST_NAME, 8.5) or "(none)"
            texts.append(f"{name}  {rows:,}")
        left = max(map(text_width, texts)) * 8.5 / 72 + 0.15
        height = max(_BAR * len(texts), 0.9)
        view = replace(view, axes=None)  # which may be for several columns
        title, entries = f"Labels by {column}", list(zip(colours, names, strict=True))
        shown = page(view, title, left + _BARS, height + 0.3, notes, entries)
        axes = shown.panel(left, 0.0, _BARS, height)
        ends = np.zeros(len(texts))
        for values, colour in zip(shares.T, colours, strict=True):
            axes.barh(range(len(texts)), values, left=ends, color=colour, height=0.78)
            ends = ends + values
        axes.set_yticks(range(len(texts)), texts, fontsize=8.5, color=INK, **PLAIN)
        axes.set_ylim(len(texts) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.tick_params(labelsize=8.5, colors=MUTED, length=0)
        axes.spines[:].set_visible(False)
        return shown.figure

    def _draw_samples(self, view: MapView, groups: Any) -> Figure:
        from matplotlib.ticker import PercentFormatter

        tests = groups.tests
        most = np.argsort(-tests.shares.mean(axis=0), kind="stable")[:_MOST_CURVES]
        names = with_profile(view, [groups.labels[place] for place in most])
        colours, column = categorical(len(groups.groups)), as_label(groups.column)
        notes = [f"Dots are samples, lines the means of a group: {groups.sentence}."]
        texts = [shortened(name, _LONGEST_NAME, 8.5) for name in names]
        left = max(map(text_width, texts)) * 8.5 / 72 + 0.15
        height = max(_BAR * 1.6 * len(texts), 0.9)
        entries = list(zip(colours, [group or "(none)" for group in groups.groups], strict=True))
        title = f"Shares of labels by {column}"
        shown = page(replace(view, axes=None), title, left + _BARS, height + 0.3, notes, entries)
        axes = shown.panel(left, 0.0, _BARS, height)
        steps = np.linspace(-0.28, 0.28, len(groups.groups) + 2)[1:-1]
        for group, step in enumerate(steps.tolist()):
            shares = tests.shares[tests.group_of == group][:, most]
            rows = np.arange(len(most)) + step
            colour: Any = colours[group]
            for sample in shares:
                axes.plot(sample, rows, "o", color=colour, markersize=3.5, alpha=0.75)
            axes.plot(shares.mean(axis=0), rows, "|", color=colour, markersize=10)
        axes.set_yticks(range(len(texts)), texts, fontsize=8.5, color=INK, **PLAIN)
        axes.set_ylim(len(texts) - 0.5, -0.5)
        axes.set_xlim(0, None)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.tick_params(labelsize=8.5, colors=MUTED, length=0)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.spines[:].set_visible(False)
        return shown.figure


def _title(text: str, view: MapView) -> str:
    """Return the title of a figure, which names rows that are no test part: training, held-out."""
    part, _ = view.scored or ("", None)
    if part in ("", "test"):
        return text
    return f"{text} of {part} rows"


def _scored(figure: FigureComponent, view: MapView) -> tuple[Evaluation, Any]:
    """Return the map on the rows whose answers count, and what puts their number in words."""
    kinds = figure.estimators or ()
    if view.estimator not in kinds:
        raise ValueError(f"it shows the answers of a {kinds[0]}, and this is a {view.estimator}")
    part, evaluation = view.scored or ("", view.evaluation)

    def rows(n: int) -> str:
        text = f"{n:,} {part} rows".replace("  ", " ")
        if evaluation.drawn_from:
            text += f" drawn of {evaluation.drawn_from:,}"
        return text

    return evaluation, rows


def _write_counts(
    axes: Axes,
    counts: NDArray[np.int64],
    shares: NDArray[np.float64],
    colours: NDArray[np.float64],
    cell: float,
) -> None:
    has_shares = cell >= _TWO_LINES
    by_height = 72 * cell * (0.24 if has_shares else 0.42)
    by_width = 72 * 0.86 * cell / text_width(f"{counts.max():,}")
    size = min(9.5, by_height, by_width)
    if size < _LEAST_FONT:
        return
    look: dict[str, Any] = {"fontsize": size, "linespacing": 1.15, "ha": "center", "va": "center"}
    inks = np.array(text_on(colours.reshape(-1, 4))).reshape(counts.shape)
    cells = np.argwhere((counts > 0) | (len(counts) <= _ZEROS))
    for row, column in cells.tolist():
        text = f"{counts[row, column]:,}"
        if has_shares:
            text += f"\n{_percent(shares[row, column])}"
        axes.text(column, row, text, color=inks[row, column], **look)


def _percent(share: float) -> str:
    """Return a share in whole percent; neither 0 nor 100 where it is not."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


def _square(axes: Axes) -> Axes:
    axes.set_axis_on()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=MUTED, length=0)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes
