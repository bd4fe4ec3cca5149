"""What measures say of a fitted map: which are asked by default, and a table of what they found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.measures import Evaluation, MeasureAbilities
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, Registry
from dbgsom_core.training.compatibility import measure_suits, measured_by_default

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("value", "best", "range", "what", "reference", "note")


def default_measures(registry: Registry, estimator: str, has_targets: bool) -> dict[str, Any]:
    """Return the built-in measures that suit a kind of estimator, by name.

    Third parties' are measured when they are named.
    """
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
    """Return measures that are given as names, mappings with ``name``, or instances, by name.

    Raises
    ------
    PluginError
        One cannot be had.
    ValueError
        One appears twice, does not suit the estimator, or has other fields.
    """
    single = isinstance(measures, (str, Mapping)) or not isinstance(measures, Sequence)
    chosen: dict[str, Any] = {}
    for spec in [measures] if single else measures:
        measure = registry.build("measure", spec)
        name = registry.name_of("measure", measure)
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
    """What a measure is, for tables.

    Attributes
    ----------
    best : str
        ``"greater"``, ``"less"`` or ``"0"``: which values are better.
    bounds : (low, high)
    what : str
        The first line of its docstring.
    reference : str
        Authors and year.
    """

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

        rows = {name: self._row(name) for name in self.facts}
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(_COLUMNS))
        return table.rename_axis(index="measure")

    def _row(self, name: str) -> tuple[float, str, str, str, str, str]:
        facts, value = self.facts[name], self._values.get(name, math.nan)
        told = facts.best, facts.range, facts.what, facts.reference
        return (value, *told, self.notes.get(name, ""))

    def __repr__(self) -> str:
        width = max(map(len, self.facts), default=0)
        lines = []
        for name in self.facts:
            value = f"{self[name]:.4g}" if name in self else "–"
            note = f"  ({as_text(self.notes[name])})" if name in self.notes else ""
            lines.append(f"{name:<{width}}  {value}{note}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{column}</th>" for column in ("measure", *_COLUMNS))
        rows = []
        for name in self.facts:
            value, *told = self._row(name)
            cells = [name, "" if math.isnan(value) else f"{value:.4g}", *told]
            rows.append("".join(f"<td>{escape(as_text(cell))}</td>" for cell in cells))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
