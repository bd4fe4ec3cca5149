"""Measure fitted maps: which measures are meant, and a table of what they found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from dbgsom_core.engine.samples import Samples
from dbgsom_core.errors import as_text
from dbgsom_core.estimators.answers import as_samples
from dbgsom_core.estimators.display import unwrap
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, LazyEvaluation, MeasureAbilities
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import measure_suits, measured_by_default

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("value", "best", "range", "what", "reference")


def evaluate(
    model: Any, X: Any, y: Any = None, measures: Any = "default", *, seed: int = 0
) -> MeasureTable:
    """Measure a fitted map on samples.

    Parameters
    ----------
    model : SomVQ, SomClassifier, SomRegressor, Pipeline or FittedModel
        A fitted estimator, a scikit-learn pipeline that ends in one, or the model of a run.
    X : array-like (n, D)
        Samples as the model takes them.
    y : array-like (n,), optional
        Targets; measures that need them are left out without.
    measures : "default", or a name, mapping with ``name`` or instance, or a list of these
        As under ``measures:`` in YAML. ``"default"``: all built-in ones that suit the estimator.
    seed : int
        For measures that draw a sample.

    Returns
    -------
    MeasureTable
        A mapping of names to numbers, by the names that were asked for; ``to_frame()`` says of each
        which values are better, its range, definition and source. What cannot be measured is left
        out of the mapping, and ``notes`` say why.

    Raises
    ------
    ValueError
        The model is none of these or not fitted, X or y cannot be used, or a measure does not suit.
    UnknownNameError, PluginError
        Nobody offers a measure of this name, or its plugin is broken.

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
    """Return the estimator in a model, the map beside samples, and what measures found."""
    inner, samples = model, X
    if isinstance(model, Pipeline):
        inner = model.steps[-1][1]
        samples = model[:-1].transform(X) if len(model.steps) > 1 else X
    estimator, with_steps = unwrap(inner)
    if with_steps is not None:
        samples = with_steps.prepare(as_samples(with_steps, samples))
    targets = None if y is None else np.asarray(y)
    found = estimator.evaluate(samples, y=targets, seed=seed)
    if targets is not None and len(targets) != found.data.n:
        raise ValueError(f"y has {len(targets)} values for {found.data.n} samples")
    given = {field.name: getattr(found, field.name) for field in fields(found)}

    def predictions(_: Samples) -> NDArray[Any]:
        return np.asarray(estimator._point(estimator.predict(samples)))

    registry, kind = get_registry(), estimator._kind
    if isinstance(measures, str) and measures == "default":
        chosen = default_measures(registry, kind, y is not None)
    else:
        chosen = _named_measures(registry, kind, measures)
    evaluation = LazyEvaluation(**given, predictions_of=predictions)
    return estimator, evaluation, table_of(chosen, evaluation)


def default_measures(registry: Registry, estimator: str, has_targets: bool) -> dict[str, Any]:
    """Return the built-in measures that suit a kind of estimator, by name."""
    chosen = {}
    for offered in registry.offered("measure"):
        if offered.distribution != OWN_DISTRIBUTION:  # those are measured when they are named
            continue
        measure = offered.load()()
        lacks_target = MeasureAbilities.of(measure).needs_target and not has_targets
        if measured_by_default(measure, estimator) and not lacks_target:
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
        if not measure_suits(measure, estimator):
            raise ValueError(f"measure {name} says nothing of a {estimator}")
        chosen[name] = measure
    return chosen


def value_of(measure: Any, evaluation: Evaluation) -> tuple[float, str]:
    found = guarded("measure", measure, "compute")(evaluation)
    return float(found), str(getattr(found, "note", ""))


class MeasureFacts(NamedTuple):
    """What a measure is, for tables."""

    best: str  # ``"greater"``, ``"less"`` or ``"0"``: which values are better
    bounds: tuple[float, float]
    what: str  # the first line of its docstring
    reference: str  # authors and year

    @classmethod
    def of(cls, measure: Any) -> MeasureFacts:
        able = MeasureAbilities.of(measure)
        best = "0" if able.zero_is_best else "greater" if measure.greater_is_better else "less"
        what = " ".join((type(measure).__doc__ or "").partition("\n\n")[0].split())
        return cls(best, able.bounds, what, able.reference)

    @property
    def range(self) -> str:
        return " … ".join(
            ("−∞" if end < 0 else "∞") if math.isinf(end) else f"{end:g}" for end in self.bounds
        )


class MeasureTable(dict[str, float]):
    """What measures found: a mapping of names to numbers, which notebooks show as a table.

    Attributes
    ----------
    notes : dict of str to str
        Sentences about some of the values: a sample that was drawn, what could not be measured.
    facts : dict of str to MeasureFacts
    """

    def __init__(
        self, values: Mapping[str, float], notes: Mapping[str, str], facts: Mapping[str, Any]
    ) -> None:
        super().__init__(values)
        self.notes, self.facts = dict(notes), dict(facts)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row a measure: value, which end is best, range, what it is."""
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
        lines = []
        for name in self.facts:
            value = f"{self[name]:.4g}" if name in self else "–"
            note = f"  ({as_text(self.notes[name])})" if name in self.notes else ""
            lines.append(f"{name:<{width}}  {value}{note}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.to_frame().reset_index()
        for column in table.columns.drop("value"):
            table[column] = table[column].map(as_text)
        html: str = table.to_html(index=False, na_rep="", float_format="{:.4g}".format, border=0)
        return html


def table_of(measures: Mapping[str, Any], evaluation: Evaluation) -> MeasureTable:
    """Ask measures; one that cannot be computed has no value, and a note that says why."""
    values, notes = {}, {}
    for name, measure in measures.items():
        try:
            values[name], note = value_of(measure, evaluation)
        except Exception as error:
            note = f"could not be measured: {error}"
        if note:
            notes[name] = note
    return MeasureTable(
        values, notes, {name: MeasureFacts.of(one) for name, one in measures.items()}
    )
