"""Predictions of a fitted map for samples, and measures of fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from dbgsom_core.engine.results import Flags, Floats, Integers
from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import DataError, as_text, did_you_mean
from dbgsom_core.estimators.display import unwrap
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import (
    Evaluation,
    LazyEvaluation,
    NotedValue,
)
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.som_map.tree import Descent
from dbgsom_core.training.parts import is_default_measure, is_suitable_measure

if TYPE_CHECKING:
    import pandas as pd


class Answers:
    """Label, unit, distance and novelty of n samples, each computed when it is read.

    They are of the map at construction, whatever is trained later. The array of the samples is not
    copied: do not write to it before all are read.

    A sample belongs to the nearest neuron with training samples, and in hierarchical maps to such
    a neuron of its child map.
    """

    def __init__(self, estimator: Any, data: Samples) -> None:
        """Hold prepared samples and a copy of a fitted estimator."""
        self._estimator, self._data = copy(estimator), data

    @cached_property
    def descent(self) -> Descent:
        """Paths and leaves of the samples, among leaves with training samples."""
        found: Descent = self._estimator._predictor.descend(self._data)
        return found

    @property
    def unit(self) -> Integers:
        """Rows of ``weights_`` that the samples belong to, int64 (n,)."""
        return self.descent.path[:, 0]

    @property
    def leaf(self) -> Integers:
        """Rows of ``leaf_weights_``, int64 (n,); those of ``unit`` without child maps."""
        return self.descent.leaf

    @property
    def distance(self) -> Floats:
        """Distances to the leaf's prototype in the metric's units, float64 (n,)."""
        return self.descent.distance

    @property
    def cell(self) -> Integers:
        """Where the units are on the grid, (x, y) = (column, row), int64 (n, 2)."""
        cells: Integers = self._estimator.som_map_.positions[self.unit]
        return cells

    @cached_property
    def _answered(self) -> Floats | None:
        # Predictions of a labeller that predicts by sample; None: labels of neurons.
        answering = self._estimator._answering
        return None if answering is None else answering(self._data)

    @cached_property
    def label(self) -> NDArray[Any]:
        """As `predict` gives it, (n,), or (n, T) of several numbers."""
        if self._answered is None:
            return np.asarray(self._estimator.leaf_labels_[self.leaf])
        if not hasattr(self._estimator, "classes_"):
            return self._answered
        return np.asarray(self._estimator.classes_[self._answered.argmax(axis=1)])

    @property
    def probabilities(self) -> Floats | None:
        """As `predict_proba` gives them, float64 (n, C) in the order of ``classes_``, or None."""
        if not hasattr(self._estimator, "classes_"):
            return None
        if self._answered is not None:
            return self._answered
        shares = self._estimator._leaf_probabilities
        return None if shares is None else np.asarray(shares[self.leaf])

    @cached_property
    def novelty(self) -> Floats:
        """As `score_samples` gives it, float64 (n,)."""
        return np.asarray(self._estimator._scores(self._data))

    @property
    def pvalue(self) -> Floats:
        """As `novelty_pvalue` gives it, float64 (n,)."""
        return np.asarray(self._estimator._novelty.pvalues(self.novelty))

    @property
    def outlier(self) -> Flags:
        """Where the novelty is below ``offset_``, bool (n,)."""
        return np.asarray(self.novelty < self._estimator._novelty.offset)


def usual_distance(estimator: Any, leaf: int) -> float:
    """Return the mean distance of a leaf's training samples to it; 0 without samples."""
    memory = estimator._memory
    there = memory.units == leaf
    if not there.any():
        return 0.0
    return float(np.average(memory.scatter[there], weights=memory.weights[there]))


# ------------------------------------------------------------------------ as named columns

COLUMNS = (
    "label", "unit", "x", "y", "path", "distance", "novelty", "pvalue", "outlier", "probabilities",
)  # fmt: skip
Table = dict[str, Any]  # a column (n,) by its name


def select_columns(model: Any, columns: Sequence[str]) -> list[str]:
    """Return the valid names among ``columns``, or all columns that a model has."""
    estimator = model.estimator
    has_probabilities = hasattr(estimator, "classes_") and estimator._leaf_probabilities is not None
    if not columns:
        left = {"probabilities": has_probabilities, "path": bool(estimator.som_map_.children)}
        return [name for name in COLUMNS if left.get(name, True)]
    for name in columns:
        if name not in COLUMNS:
            known = ", ".join(COLUMNS)
            raise DataError(f"'{name}' is none of {known}{did_you_mean(name, COLUMNS)}")
    if "probabilities" in columns and not has_probabilities:
        raise DataError("the model has no probabilities: its labeller does not compute any")
    return list(dict.fromkeys(columns))


def column_names(model: Any, names: Sequence[str]) -> list[str]:
    """Return the column names of a table, one for each class, target or labeller's column."""
    several = {}
    if "probabilities" in names:
        classes = model.estimator.classes_.tolist()
        several["probabilities"] = [f"probability_{one}" for one in classes]
    if model.estimator.leaf_labels_.ndim == 2:  # several targets, or several numbers of one
        columns = guarded(model.estimator._parts.labeller).columns
        numbers = columns or range(model.estimator.leaf_labels_.shape[1])
        several["label"] = [f"label_{number}" for number in numbers]
    return [one for name in names for one in several.get(name, [name])]


def columns_of_answers(model: Any, answers: Answers, names: Sequence[str]) -> Table:
    """Return the named columns of a model's answers, an array (n,) each."""
    table: Table = {}
    for name in names:
        if name in ("x", "y"):
            table[name] = answers.cell[:, ("x", "y").index(name)]
        elif name == "path":
            paths = np.array([format_path(path) for path in model.estimator._tree.paths.tolist()])
            table[name] = paths[answers.leaf]
        elif name == "probabilities" or (name == "label" and answers.label.ndim == 2):
            columns = answers.label if name == "label" else np.asarray(answers.probabilities)
            table |= zip(column_names(model, [name]), columns.T, strict=True)
        else:
            table[name] = getattr(answers, name)
    return table


def format_path(path: Sequence[int]) -> str:
    """Return the neurons on the path to a leaf as text, ``6/2``."""
    return "/".join(str(neuron) for neuron in path if neuron >= 0)


_COLUMNS = ("value", "best", "range", "what", "reference")


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
    inner, samples = model, X
    if isinstance(model, Pipeline):
        inner = model.steps[-1][1]
        samples = model[:-1].transform(X) if len(model.steps) > 1 else X
    estimator, with_steps = unwrap(inner)
    if with_steps is not None:
        samples = with_steps.prepare(samples)
    found = estimator.evaluate(samples, y=y, seed=seed)
    given = {field.name: getattr(found, field.name) for field in fields(found)}

    def predictions(_: Samples) -> NDArray[Any]:
        return np.asarray(estimator._point(estimator.predict(samples)))

    registry, kind = get_registry(), estimator._kind
    if isinstance(measures, str) and measures == "default":
        chosen = default_measures(registry, kind, y is not None)
    else:
        chosen = _named_measures(registry, kind, measures)
    evaluation = LazyEvaluation(**given, predictions_of=predictions)
    return estimator, evaluation, measure_all(chosen, evaluation)


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
    single = isinstance(measures, (str, Mapping)) or not isinstance(measures, Sequence)
    chosen: dict[str, Any] = {}
    for spec in [measures] if single else measures:
        measure = registry.build("measure", spec)
        name = spec["name"] if isinstance(spec, Mapping) else spec
        name = name if isinstance(name, str) else registry.name_of("measure", measure)
        if name in chosen:
            raise ValueError(f"measure {name} appears twice")
        if not is_suitable_measure(measure, estimator):
            raise ValueError(f"measure {name} is not for a {estimator}")
        chosen[name] = measure
    return chosen


def value_of(measure: Any, evaluation: Evaluation) -> NotedValue:
    found = guarded(measure).compute(evaluation)
    return found if isinstance(found, NotedValue) else NotedValue(found)


class MeasureFacts(NamedTuple):
    """Description of a measure, for tables."""

    best: str  # ``"greater"``, ``"less"`` or ``"0"``: which values are better
    bounds: tuple[float, float]
    what: str  # the first line of its docstring
    reference: str  # authors and year

    @classmethod
    def of(cls, measure: Any) -> MeasureFacts:
        able = measure
        best = "0" if able.zero_is_best else "greater" if measure.greater_is_better else "less"
        what = " ".join((type(measure).__doc__ or "").partition("\n\n")[0].split())
        return cls(best, able.bounds, what, able.reference)

    @property
    def range(self) -> str:
        return " … ".join(
            ("−∞" if end < 0 else "∞") if math.isinf(end) else f"{end:g}" for end in self.bounds
        )


class MeasureTable(dict[str, float]):
    """Values of measures: a mapping of names to numbers, which notebooks show as a table.

    Attributes
    ----------
    notes : dict of str to str
        Remarks on values: a subsample, or why a measure has none.
    facts : dict of str to MeasureFacts
    """

    def __init__(
        self, values: Mapping[str, float], notes: Mapping[str, str], facts: Mapping[str, Any]
    ) -> None:
        super().__init__(values)
        self.notes, self.facts = dict(notes), dict(facts)

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with value, best end, range and definition of each measure."""
        import pandas as pd

        rows = {
            name: [self.get(name, math.nan), of.best, of.range, of.what, of.reference]
            for name, of in self.facts.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
        table["note"] = [self.notes.get(name, "") for name in self.facts]
        return table.rename_axis(index="measure")

    def __repr__(self) -> str:
        width = max(map(len, self.facts), default=0)
        shown = {name: f"{value:.4g}" for name, value in self.items()}
        notes = {name: f"  ({as_text(note)})" for name, note in self.notes.items()}
        return "\n".join(
            f"{name:<{width}}  {shown.get(name, '–')}{notes.get(name, '')}" for name in self.facts
        )

    def _repr_html_(self) -> str:
        table = self.to_frame().reset_index()
        for column in table.columns.drop("value"):
            table[column] = table[column].map(as_text)
        html: str = table.to_html(index=False, na_rep="", float_format="{:.4g}".format, border=0)
        return html


def measure_all(measures: Mapping[str, Any], evaluation: Evaluation) -> MeasureTable:
    """Compute measures; one that fails has no value, and a note with the reason."""
    values, notes = {}, {}
    for name, measure in measures.items():
        try:
            found = value_of(measure, evaluation)
            values[name], note = float(found), found.note
        except Exception as error:
            note = f"could not be measured: {error}"
        if note:
            notes[name] = note
    return MeasureTable(
        values, notes, {name: MeasureFacts.of(one) for name, one in measures.items()}
    )
