"""How the variants of a sweep stand: what its runs measured, by variant and data set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbgsom_core.config import Child, DecideSettings, Experiment
from dbgsom_core.config.names import shortened
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.component import flat
from dbgsom_core.interfaces.privacy import masked
from dbgsom_core.interfaces.trackers import Ranking, Run, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.deciding import Decision, decide, is_in_units
from dbgsom_core.runs.comparing.differing import as_words, differences, distinct
from dbgsom_core.runs.comparing.sentences import value_of

_BESIDE = ("accuracy", "r2", "quantization_error", "topographic_error")


@dataclass
class _Runs:
    """The finished runs of one variant on one data set."""

    name: str
    varies: Mapping[str, Any]
    data: tuple[str, str]
    units: Mapping[str, Any]
    runs: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def mean(self, name: str) -> float:
        return statistics.fmean(one.get(name, math.nan) for one in self.runs.values())

    def value(self, name: str) -> str:
        """Return the mean as text, with the spread where there are several runs."""
        values = [one.get(name, math.nan) for one in self.runs.values()]
        if len(values) == 1:
            return f"{values[0]:.4g}"
        return f"{value_of(self.mean(name), statistics.stdev(values))}, {len(values)} runs"

    def told(self, columns: Mapping[str, str]) -> Variant:
        rows = list(self.runs.values())
        names = dict.fromkeys(name for row in rows for name in row)
        values = {name: [row[name] for row in rows if name in row] for name in names}
        return Variant(
            self.name,
            {short: self.varies[key] for key, short in columns.items() if key in self.varies},
            {name: statistics.fmean(found) for name, found in values.items()},
            {name: statistics.stdev(found) for name, found in values.items() if len(found) > 1},
            tuple(self.runs),
        )


class Standings:
    """What the finished runs of a sweep measured, and which variant is best.

    Runs on different data sets are not held against each other.
    """

    def __init__(self, settings: DecideSettings, registry: Registry) -> None:
        self._settings, self._registry = settings, registry
        self._variants: dict[tuple[str, tuple[str, str]], _Runs] = {}
        self._estimators: set[str] = set()
        self._decision: Decision | None = None
        self._datasets: dict[tuple[str, str], None] = {}

    def add(self, child: Child, run: Run, measures: Mapping[str, float]) -> None:
        """Note a finished run."""
        data = str(run.data.get("name")), str(run.data.get("digest"))
        self._datasets[data] = None
        variant = self._variants.setdefault(
            (child.variant, data),
            _Runs(
                masked(child.variant),
                _flat(masked(child.varies_beside_seed)),
                data,
                _units(child.experiment),
            ),
        )
        variant.runs[run.id] = measures
        self._estimators.add(child.experiment.model.estimator)
        if self._decision is None or self._decision.name not in measures:
            try:
                self._decision = self.decision()
            except DataError:  # the measure may have failed here, and not in the next run
                self._decision = None

    def decision(self) -> Decision | None:
        """Return what decides, None where the runs have none of the default measures.

        Raises
        ------
        DataError
            No run has the measure that shall decide.
        """
        names = dict.fromkeys(
            name
            for variant in self._variants.values()
            for measures in variant.runs.values()
            for name in measures
        )
        return decide(self._settings, self._estimators, names, self._registry)

    def best_so_far(self, run: Run) -> str:
        """Say which variant is best until now, on the data set of a run."""
        decision = self._decision
        if decision is None:
            return ""
        groups = self._groups(decision)
        name, rated = next(
            (name, rated)
            for name, rated in groups.items()
            if any(run.id in one.runs for one in rated)
        )
        best = min(rated, key=lambda one: decision.rank(one.mean(decision.name)))
        where = f" on {name}" if len(groups) > 1 else ""
        return f"best so far{where}: {best.name} ({decision.name} {best.value(decision.name)})"

    def rankings(self) -> list[Ranking]:
        """Return the variants on each data set, best first; nothing where nothing decides.

        Raises
        ------
        DataError
            No run has the measure that shall decide.
        """
        decision = self.decision()
        if decision is None:
            return []
        found = []
        for name, variants in self._groups(decision).items():
            variants.sort(key=lambda one: decision.rank(one.mean(decision.name)))
            columns = _differing(variants)
            rated = [one.told(columns) for one in variants]
            wanted = (decision.name, *(f"{decision.split}/{one}".strip("/") for one in _BESIDE))
            known = {name for one in rated for name in one.measures}
            measures = [name for name in dict.fromkeys(wanted) if name in known]
            found.append(Ranking(name, measures, decision.direction, rated))
        return found

    def _groups(self, decision: Decision) -> dict[str, list[_Runs]]:
        """Return the variants that can be ranked together, by data set.

        By a measure in the units of distances, other metrics and preparations stand apart.
        """
        apart = is_in_units(decision, self._registry)
        groups: dict[tuple[tuple[str, str], str], list[_Runs]] = {}
        for data in self._datasets:
            of_data = [one for one in self._variants.values() if one.data == data]
            words = map(as_words, differences([one.units if apart else {} for one in of_data]))
            for one, told in zip(of_data, words, strict=True):
                groups.setdefault((data, told), []).append(one)
        names = distinct([", ".join(filter(None, (data[0], told))) for data, told in groups])
        return dict(zip(names, groups.values(), strict=True))

    def value(self, measures: list[Mapping[str, float]]) -> float:
        """Return what decides of some runs, their mean; NaN where one of them lacks it."""
        decision = self._decision
        if decision is None or not measures:
            return math.nan
        return statistics.fmean(map(decision.value, measures))

    @property
    def greater_is_better(self) -> bool:
        """Whether more of what decides is better; meant once a run has it."""
        return self._decision is None or self._decision.greater_is_better


def best_measures(rankings: list[Ranking]) -> dict[str, float]:
    """Return what decides, and a few measures beside it, of each winner, as ``best/…``."""
    return {
        f"best/{ranking.data}/{name}" if len(rankings) > 1 else f"best/{name}": value
        for ranking in rankings
        for name in ranking.measures
        if (value := ranking.best.measures.get(name)) is not None
    }


def _units(experiment: Experiment) -> dict[str, Any]:
    metric = experiment.resolved["model"].get("metric", {"name": "euclidean"})
    return {"metric": metric, "prepare": experiment.resolved["prepare"]}


def _differing(variants: list[_Runs]) -> dict[str, str]:
    """Return the keys in which variants differ, each with a short name."""
    keys = list(dict.fromkeys(key for one in variants for key in one.varies))
    if len(variants) > 1:
        keys = [
            key for key in keys if len({repr(one.varies.get(key, ...)) for one in variants}) > 1
        ]
    return shortened(keys)


def _flat(varies: Mapping[str, Any]) -> dict[str, Any]:
    # A component is its name, and the fields that are given with it.
    return {key.removesuffix(".name"): value for key, value in flat(varies).items()}
