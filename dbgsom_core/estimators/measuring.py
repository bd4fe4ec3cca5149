"""Measure fitted maps: which measures are meant, and a table of what they found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.local import Samples
from dbgsom_core.errors import as_text
from dbgsom_core.estimators.answers import as_samples
from dbgsom_core.estimators.growing_map import GrowingMap
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, LazyEvaluation, MeasureAbilities
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry, get_registry
from dbgsom_core.training.parts import measure_suits, measured_by_default

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("value", "best", "range", "what", "reference", "note")


def evaluated(model: Any, X: Any, y: Any, seed: int = 0) -> tuple[GrowingMap, Evaluation]:
    """Return the estimator of a model, and what it makes of samples; see `measures.evaluate`."""
    estimator, samples = _within(model, X)
    check_is_fitted(estimator)
    targets = None if y is None else np.asarray(y)
    found = estimator.evaluate(samples, y=targets, seed=seed)
    if targets is not None and len(targets) != found.data.n:
        raise ValueError(f"y has {len(targets)} values for {found.data.n} samples")
    given = {field.name: getattr(found, field.name) for field in fields(found)}

    def predictions(_: Samples) -> NDArray[Any]:
        return np.asarray(estimator._point(estimator.predict(samples)))

    return estimator, LazyEvaluation(**given, predictions_of=predictions)


def chosen_measures(estimator: GrowingMap, measures: Any, has_targets: bool) -> dict[str, Any]:
    """Return the measures that are meant, by name; see `measures.evaluate`."""
    registry, kind = get_registry(), estimator._kind
    if isinstance(measures, str) and measures == "default":
        return default_measures(registry, kind, has_targets)
    return named_measures(registry, kind, measures)


def default_measures(registry: Registry, estimator: str, has_targets: bool) -> dict[str, Any]:
    """Return the built-in measures that suit a kind of estimator, by name."""
    chosen = {}
    for offered in registry.offered("measure"):
        if offered.distribution != OWN_DISTRIBUTION:
            continue
        measure = offered.load()()
        lacks_target = MeasureAbilities.of(measure).needs_target and not has_targets
        if measured_by_default(measure, estimator) and not lacks_target:
            chosen[offered.name] = measure
    return chosen


def named_measures(registry: Registry, estimator: str, measures: Any) -> dict[str, Any]:
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
    """Return what a measure finds, and its note."""
    found = guarded("measure", measure, "compute")(evaluation)
    return float(found), str(getattr(found, "note", ""))


@dataclass(frozen=True)
class MeasureFacts:
    """What a measure is, for tables."""

    best: str
    bounds: tuple[float, float]
    what: str
    reference: str

    @classmethod
    def of(cls, measure: Any) -> MeasureFacts:
        """Return what a measure says of itself."""
        able = MeasureAbilities.of(measure)
        best = "0" if able.zero_is_best else "greater" if measure.greater_is_better else "less"
        what = " ".join((type(measure).__doc__ or "").partition("\n\n")[0].split())
        return cls(best, able.bounds, what, able.reference)

    @property
    def range(self) -> str:
        """The bounds as text: ``0 … 1``."""
        return " … ".join(
            ("−∞" if end < 0 else "∞") if math.isinf(end) else f"{end:g}" for end in self.bounds
        )


class MeasureTable(Mapping[str, float]):
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
        self._values, self.notes = dict(values), dict(notes)
        self.facts: dict[str, MeasureFacts] = dict(facts)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row a measure: value, which end is best, range, what it is."""
        import pandas as pd

        rows = {
            name: (self._values.get(name, math.nan), of.best, of.range, of.what, of.reference, note)
            for name, of in self.facts.items()
            for note in [self.notes.get(name, "")]
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
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


def _within(model: Any, X: Any) -> tuple[GrowingMap, Any]:
    # The estimator and what it takes.
    model = getattr(model, "model", model)  # a finished run
    if isinstance(model, FittedModel):
        rows = as_samples(model, X)
        bare = model.columns is None and not model.steps  # the estimator knows its features
        return model.estimator, rows if bare else model.prepare(rows)
    if isinstance(model, Pipeline):
        inner = model.steps[-1][1]
        if isinstance(inner, GrowingMap):
            return inner, model[:-1].transform(X) if len(model.steps) > 1 else X
    if isinstance(model, GrowingMap):
        return model, X
    raise ValueError(
        "evaluate takes a fitted SomVQ, SomClassifier or SomRegressor, a pipeline that ends in one "
        f"of them, or the model of a run, not a {type(model).__name__}"
    )
