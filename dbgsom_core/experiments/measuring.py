"""Measures of fitted models on samples, and their table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from dbgsom_core.errors import as_text
from dbgsom_core.estimators.display import unwrap
from dbgsom_core.estimators.explanations import data_frame
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.measures import Evaluation, NotedValue
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import is_default_measure, is_suitable_measure

_COLUMNS = ("value", "best", "range", "what", "reference", "note")  # of measures


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
