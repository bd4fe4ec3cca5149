"""Measures of a fitted map on samples, profiles of its clusters, and its answers as columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from dbgsom_core.errors import DataError, as_text, did_you_mean
from dbgsom_core.estimators.display import unwrap
from dbgsom_core.estimators.explanations import data_frame
from dbgsom_core.estimators.fitted_map import Answers
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.measures import Evaluation, NotedValue
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import is_default_measure, is_suitable_measure

COLUMNS = (
    "label", "unit", "x", "y", "path", "distance", "novelty", "pvalue", "outlier", "probabilities",
)  # fmt: skip
_COLUMNS = ("value", "best", "range", "what", "reference", "note")  # of measures
_SURE = 0.05  # p-value up to which a sentence names a group
_LEAST_P = 1e-300  # below it numbers of float64 lose their digits, and end in 0


def evaluate(
    model: Any, X: Any, y: Any = None, measures: Any = "default", *, seed: int = 0
) -> MeasureTable:
    """Measure a fitted map on samples.

    ``purity`` is of the samples given alone, and flatters: the most frequent class of each neuron
    is found among the samples that it judges. In a run ``test/purity`` takes it from the training.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, Pipeline or FittedModel
        A fitted estimator, a scikit-learn pipeline that ends in one, or the model of a run.
    X : array-like (n, D)
        Samples as the model takes them.
    y : array-like (n,), optional
        Targets; without them measures that need targets are skipped.
    measures : "default", or a name, mapping with ``name`` or instance, or a list of these
        As under ``measures:`` in YAML. ``"default"``: all built-in ones that suit the estimator.
    seed : int
        For measures that draw a sample.

    Returns
    -------
    MeasureTable
        A mapping of names to numbers; ``to_frame()`` adds which values are better, range,
        definition and source. A measure that cannot be computed has no value, and a reason in
        ``notes``.

    Raises
    ------
    ValueError
        The model is none of these or not fitted, X or y cannot be used, or a measure is unsuitable.
    UnknownNameError, PluginError
        There is no measure of this name, or its plugin is broken.

    Examples
    --------
    >>> from dbgsom_core import SomVQ
    >>> from dbgsom_core.measures import evaluate
    >>> found = evaluate(SomVQ().fit(X), X, measures=["trustworthiness", "topographic_error"])
    >>> found["trustworthiness"]  # doctest: +SKIP
    """
    return measured(model, X, y, measures, seed)[2]


def measured(
    model: Any, X: Any, y: Any, measures: Any, seed: int = 0
) -> tuple[Any, Evaluation, MeasureTable]:
    """Return the estimator in a model, the evaluation on samples, and the measures' values."""
    if isinstance(model, Pipeline):
        if len(model.steps) > 1:
            X = model[:-1].transform(X)
        model = model.steps[-1][1]
    estimator, with_steps = unwrap(model)
    if with_steps is not None:
        X = with_steps.prepare(X)
    registry, kind = get_registry(), estimator._kind
    if isinstance(measures, str) and measures == "default":
        chosen = default_measures(registry, kind, y is not None)
    else:
        chosen = _named_measures(registry, kind, measures)
    evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X), seed=seed)
    return estimator, evaluation, MeasureTable(chosen, evaluation)


def default_measures(registry: Registry, estimator: str, has_targets: bool) -> dict[str, Any]:
    """Return the built-in measures that suit a kind of estimator, by name."""
    chosen = {}
    for offered in registry.offered("measure"):
        if offered.distribution != OWN_DISTRIBUTION:  # measured only when named
            continue
        measure: Any = offered.load()()
        lacks_target = measure.needs_target and not has_targets
        if is_default_measure(measure, estimator) and not lacks_target:
            chosen[offered.name] = measure
    return chosen


def _named_measures(registry: Registry, estimator: str, measures: Any) -> dict[str, Any]:
    """Return measures given as names, mappings with ``name``, or instances, by that name."""
    if isinstance(measures, (str, Mapping)) or not isinstance(measures, Sequence):
        measures = [measures]
    chosen: dict[str, Any] = {}
    for spec in measures:
        measure = registry.build("measure", spec)
        name = spec["name"] if isinstance(spec, Mapping) else spec
        if not isinstance(name, str):  # an instance
            name = registry.name_of("measure", measure)
        if name in chosen:
            raise ValueError(f"measure {name} appears twice")
        if not is_suitable_measure(measure, estimator):
            raise ValueError(f"measure {name} is not for a {estimator}")
        chosen[name] = measure
    return chosen


def value_of(measure: Any, evaluation: Evaluation) -> NotedValue:
    value = guarded(measure).compute(evaluation)
    return value if isinstance(value, NotedValue) else NotedValue(value)


def describe_measure(measure: Any) -> dict[str, str]:
    """Return which values of a measure are best, its range, first sentence and reference."""
    best = "greater" if measure.greater_is_better else "less"
    if measure.zero_is_best:
        best = "0"
    low, high = measure.bounds
    sentence = (type(measure).__doc__ or "").partition("\n\n")[0]
    return {
        "best": best,
        "range": f"{low:g} … {high:g}".replace("-inf", "−∞").replace("inf", "∞"),
        "what": as_text(" ".join(sentence.split())),
        "reference": measure.reference,
    }


class MeasureTable(dict[str, float]):
    """Values of measures: a mapping of names to numbers, which is shown as a table.

    Attributes
    ----------
    measures : dict of str to MeasureComponent
    notes : dict of str to str
        Remarks on values: a subsample, or why a measure has none.
    """

    def __init__(self, measures: Mapping[str, Any], evaluation: Evaluation) -> None:
        """Compute measures; one that fails has no value, and a note with the reason."""
        super().__init__()
        self.measures, self.notes = dict(measures), dict[str, str]()
        for name, measure in measures.items():
            try:
                value = value_of(measure, evaluation)
                self[name], note = float(value), value.note
            except Exception as error:
                note = f"could not be measured: {error}"
            if note:
                self.notes[name] = note

    def to_frame(self) -> Any:
        """Return a data frame with value, best end, range and definition of each measure."""
        rows = {}
        for name, measure in self.measures.items():
            value, note = self.get(name, math.nan), as_text(self.notes.get(name, ""))
            rows[name] = [value, *describe_measure(measure).values(), note]
        return data_frame("measure", _COLUMNS, rows)

    def __repr__(self) -> str:
        text: str = self.to_frame()[["value", "note"]].to_string(
            float_format="{:.4g}".format, na_rep="–"
        )
        return text


# ----------------------------------------------------- profiles of clusters, and counts of groups


@dataclass(frozen=True)
class ClusterProfile:
    """What sets the clusters of a map apart, in the data's own columns and units.

    Attributes
    ----------
    clusters : int array (C,)
        Their labels.
    names : sequence of str
        What each is called, by its largest effects.
    rows : int array (C,)
        How many training samples each has.
    features : sequence of str
        The F columns: D features, and numbers beside them that the map was not trained on.
    means, means_of_others : float array (C, F)
        Of the samples of a cluster, and of all others.
    effects : float array (C, F)
        Differences of these means, in standard deviations of all samples.
    typical : sequence of int array
        Rows of the data set that are nearest to the mean of each cluster, the nearest first.
    words : sequence of sequence of str, or None
        Those of its texts that set each apart, most telling first; None: the data has no texts.
    """

    clusters: NDArray[Any]
    names: Sequence[str]
    rows: NDArray[np.int64]
    features: Sequence[str]
    means: NDArray[np.float64]
    means_of_others: NDArray[np.float64]
    effects: NDArray[np.float64]
    typical: Sequence[NDArray[Any]]
    words: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True)
class GroupCounts:
    """How the labels of a map are spread over the groups of a column.

    Attributes
    ----------
    column : str
    groups, labels : sequence of str
    counts : int array (G, L)
        How many rows of the data set have this group and get this label.
    tests : SampleTests, optional
        What samples, of which rows are parts, say of differences.
    """

    column: str
    groups: Sequence[str]
    labels: Sequence[str]
    counts: NDArray[np.int64]
    tests: SampleTests | None = None

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share (G, L) that each label has of the rows of a group."""
        shares: NDArray[np.float64] = self.counts / self.counts.sum(axis=1, keepdims=True)
        return shares

    @property
    def sentence(self) -> str:
        """How much labels depend on groups, and which group differs most from the others.

        Cramér's V (1946) is 0 where they are independent, at most 1; the p-value is of the
        chi-squared test (Pearson 1900).
        """
        if self.tests is not None:
            return self._sentence_on_samples(self.tests)
        from scipy.stats import chi2_contingency  # is slow to import
        from scipy.stats.contingency import association

        v = association(self.counts) if min(self.counts.shape) > 1 else 0.0
        test = chi2_contingency(self.counts, correction=False)
        p = f"p {test.pvalue:.2g}" if test.pvalue >= _LEAST_P else f"p < {_LEAST_P:g}"
        text = f"Cramér's V {v:.2f} ({p} if rows are independent"
        text += f"; 0: labels do not depend on {self.column}, 1: it says which)"
        if test.pvalue > _SURE:
            return text
        residuals = abs(self.counts - test.expected_freq) / test.expected_freq**0.5
        group, label = divmod(int(residuals.argmax()), len(self.labels))
        name, share = self.groups[group] or "(none)", 100 * self.shares[group, label]
        overall = 100 * self.counts[:, label].sum() / self.counts.sum()
        text += f"; most of all, {name} has {share:.3g} % of label {self.labels[label]}"
        return f"{text}, all rows {overall:.3g} %"

    def _sentence_on_samples(self, tests: SampleTests) -> str:
        sizes = zip(self.groups, tests.sizes.tolist(), strict=True)
        told = ", ".join(f"{size} of {group or '(none)'}" for group, size in sizes)
        if np.isnan(tests.pvalues).all():
            return f"too few samples to compare ({told}): {LEAST_SAMPLES} a side are needed"
        found = np.argwhere(tests.pvalues <= _SURE)
        if not len(found):
            return f"no label differs between samples ({told}), at a false discovery rate of 5 %"
        count = len({label for _, label in found.tolist()})
        place = np.unravel_index(np.nanargmin(tests.pvalues), tests.pvalues.shape)
        group, label = map(int, place)
        difference, low, high = (100 * values[place] for values in tests.intervals)
        text = f"{count} of {len(self.labels)} labels differ between samples ({told}); clearest, "
        text += f"label {self.labels[label]} in {self.groups[group]}: {difference:+.2g} points of "
        p = max(float(tests.pvalues[place]), _LEAST_P)
        return f"{text}percent (95 % interval {low:+.2g} to {high:+.2g}), adjusted p {p:.2g}"


LEAST_SAMPLES = 3  # of a group, and of all others


@dataclass(frozen=True)
class SampleTests:
    """Differences of groups in the shares of labels, each sample counting once.

    Attributes
    ----------
    sizes : int array (G,)
        Samples of each group.
    intervals : float arrays (G, L)
        Differences of a group's mean share from that of the other groups, and both ends of their
        95 % intervals.
    pvalues : float array (G, L)
        Adjusted for all of them (Benjamini & Hochberg 1995); nan where samples are too few.
    shares : float array (S, L)
        Of the samples, with their ``group_of`` (S,); empty where they are not known.
    """

    sizes: NDArray[np.int64]
    intervals: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    pvalues: NDArray[np.float64]
    shares: NDArray[np.float64]
    group_of: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        shares: NDArray[np.float64],
        group_of: NDArray[np.int64],
        block_of: NDArray[np.int64] | None = None,
    ) -> SampleTests:
        """Compare each group with all others, within blocks (S,) where there are any.

        A linear model of the shares' arcsine square root (Bartlett 1947) gives p, one of the shares
        themselves the interval.
        """
        from scipy.special import stdtr, stdtrit
        from scipy.stats import false_discovery_control

        count, labels = int(group_of.max()) + 1, shares.shape[1]
        sizes = np.bincount(group_of, minlength=count)
        blocks = np.zeros(len(group_of), np.int64) if block_of is None else block_of
        base = (blocks[:, None] == np.unique(blocks)).astype(np.float64)
        freedom = len(shares) - base.shape[1] - 1
        pvalues = np.full((count, labels), np.nan)
        differences, lows, highs = (np.full((count, labels), np.nan) for _ in range(3))

        def beyond_blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
            fitted: NDArray[np.float64] = base @ np.linalg.lstsq(base, values, rcond=None)[0]
            return values - fitted

        def slopes(
            group: NDArray[np.float64], values: NDArray[np.float64]
        ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            within, size = beyond_blocks(values), group @ group
            slope = group @ within / size
            squares = np.square(within - np.outer(group, slope)).sum(axis=0)
            return slope, np.sqrt(squares / (freedom * size))

        for group in range(count):
            own = (group_of == group).astype(np.float64)
            beyond = beyond_blocks(own)
            is_small = min(own.sum(), (1 - own).sum()) < LEAST_SAMPLES
            if is_small or freedom < 1 or beyond @ beyond < 1e-9:
                continue
            slope, error = slopes(beyond, np.arcsin(np.sqrt(shares)))
            pvalues[group] = 2 * stdtr(freedom, -abs(slope) / np.maximum(error, 1e-12))
            slope, error = slopes(beyond, shares)
            reach = stdtrit(freedom, 0.975) * error
            differences[group], lows[group], highs[group] = slope, slope - reach, slope + reach
        known = ~np.isnan(pvalues)
        if known.any():
            pvalues[known] = false_discovery_control(pvalues[known])
        return cls(sizes, (differences, lows, highs), pvalues, shares, group_of)


# ------------------------------------------------------------------ answers as columns of a table


def select_columns(model: Any, columns: Sequence[str]) -> list[str]:
    """Return the valid names among ``columns``, or all columns that a model has."""
    estimator = model.estimator
    known = list(COLUMNS)
    if not hasattr(estimator, "classes_") or estimator._leaf_probabilities is None:
        known.remove("probabilities")
    for name in columns:
        if name not in known:
            hint = did_you_mean(name, known)
            raise DataError(f"'{name}' is none of {', '.join(known)}{hint}")
    if columns:
        return list(dict.fromkeys(columns))
    if not estimator.som_map_.children:
        known.remove("path")
    return known


def column_names(model: Any, names: Sequence[str]) -> list[str]:
    """Return the column names of a table, one for each class, target or labeller's column."""
    estimator = model.estimator
    called = []
    for name in names:
        if name == "probabilities":
            called += [f"probability_{label}" for label in estimator.classes_.tolist()]
        elif name == "label" and estimator.leaf_labels_.ndim == 2:
            called += [f"label_{part}" for part in guarded(estimator._parts.labeller).columns]
        else:
            called.append(name)
    return called


def columns_of_answers(model: Any, answers: Answers, names: Sequence[str]) -> dict[str, Any]:
    """Return the named columns of a model's answers, an array (n,) each."""
    table: dict[str, Any] = {}
    for name in names:
        if name in "xy":
            values = answers.cell[:, "xy".index(name)]
        elif name == "path":
            paths = [format_path(path) for path in model.estimator._tree.paths.tolist()]
            values = np.array(paths)[answers.leaf]
        else:
            values = np.asarray(getattr(answers, name))
        columns = [values] if values.ndim == 1 else values.T
        table |= zip(column_names(model, [name]), columns, strict=True)
    return table


def format_path(path: Sequence[int]) -> str:
    """Return the neurons on the path to a leaf as text, ``6/2``."""
    return "/".join(str(neuron) for neuron in path if neuron >= 0)
