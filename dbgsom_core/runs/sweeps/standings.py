"""How the variants of a sweep stand: what its runs measured, by variant and data set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbgsom_core.config import Child, Experiment, Sweep, shortened
from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.privacy import masked
from dbgsom_core.interfaces.trackers import Ranking, Run, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.comparing.deciding import Decision, decide, is_in_units
from dbgsom_core.runs.comparing.differing import as_words, differences, distinct, told_apart
from dbgsom_core.runs.comparing.paired import adjusted_means
from dbgsom_core.runs.comparing.variants import (
    data_name,
    division_ratio,
    settings_of,
    without_units,
)
from dbgsom_core.runs.sweeps.so_far import Standing, best_so_far, table_of

_BESIDE = ("accuracy", "r2", "quantization_error", "topographic_error")


@dataclass
class _Runs:
    """The finished runs of one variant on one data set; ``child`` is the first of them."""

    child: Child
    data: tuple[str, str]
    units: Mapping[str, Any]
    samples: int | None
    runs: dict[str, Mapping[str, float]] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)

    def standing(self, name: str, decision: Decision) -> Standing:
        """Return what decides, by seed."""
        values = {self.seeds[id]: decision.value(one) for id, one in self.runs.items()}
        return Standing(name, {seed: one for seed, one in values.items() if not math.isnan(one)})

    def told(self, name: str, varies: Mapping[str, Any]) -> Variant:
        rows = list(self.runs.values())
        names = dict.fromkeys(name for row in rows for name in row)
        values = {name: [row[name] for row in rows if name in row] for name in names}
        return Variant(
            name,
            varies,
            {name: statistics.fmean(found) for name, found in values.items()},
            {name: statistics.stdev(found) for name, found in values.items() if len(found) > 1},
            tuple(self.runs),
        )


class Standings:
    """What the finished runs of a sweep measured, and which variant is best.

    Runs on different data sets are not held against each other.
    """

    def __init__(self, sweep: Sweep, registry: Registry) -> None:
        self._sweep, self._registry = sweep, registry
        self._told: dict[tuple[bool, int], dict[str, tuple[dict[str, Any], str]]] = {}
        self._variants: dict[tuple[str, tuple[str, str]], _Runs] = {}
        self._estimators: set[str] = set()
        self._decision: Decision | None = None
        self._datasets: dict[tuple[str, str], None] = {}

    def add(self, child: Child, run: Run, measures: Mapping[str, float]) -> None:
        """Note a finished run."""
        name = data_name(masked(child.experiment.resolved), run.data)
        data = name, str(run.data.get("digest"))
        self._datasets[data] = None
        variant = self._variants.setdefault(
            (child.variant, data),
            _Runs(child, data, _units(child.experiment), run.data.get("samples")),
        )
        variant.runs[run.id] = measures
        variant.seeds[run.id] = child.experiment.seed
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
        return decide(self._sweep.decide, self._estimators, names, self._registry)

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
        told = self._apart(decision)
        stand = [one.standing(told[one.child.variant][1], decision) for one in rated]
        stand = [one for one in stand if one.values]
        if not stand:
            return ""
        where = f" on {name}" if len(groups) > 1 else ""
        seeded = any(len(one.values) > 1 for one in stand)
        words = best_so_far(stand, decision, self._ratio(rated, decision), seeded)
        return f"best so far{where}: {words}"

    def _ratio(self, rated: Sequence[_Runs], decision: Decision) -> float | None:
        """Return what `compare` corrects tests by; None where it tests folds, not known here."""
        several = [(one, measures) for one in rated for measures in one.runs.values()]
        if any(name.startswith("test_std/") for _, measures in several for name in measures):
            return None
        ratios = [
            division_ratio(one.child.experiment.resolved, {"samples": one.samples})
            for one, _ in several
        ]
        known = [one for one in ratios if one is not None]
        return statistics.fmean(known) if known else 0.0

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
        told = self._apart(decision)
        for name, variants in self._groups(decision).items():
            means = _adjusted(variants, decision)
            order = sorted(
                range(len(variants)),
                key=lambda i: (decision.rank(means[i]), told[variants[i].child.variant][1]),
            )
            variants = [variants[i] for i in order]
            columns = shortened([key for one in variants for key in told[one.child.variant][0]])
            rated = []
            for one in variants:
                fields, words = told[one.child.variant]
                rated.append(one.told(words, {columns[key]: fields[key] for key in fields}))
            wanted = (decision.name, *(f"{decision.split}/{one}".strip("/") for one in _BESIDE))
            known = {name for one in rated for name in one.measures}
            measures = [name for name in dict.fromkeys(wanted) if name in known]
            found.append(Ranking(name, measures, decision.direction, rated))
        return found

    def _apart(self, decision: Decision) -> dict[str, tuple[dict[str, Any], str]]:
        """Return what tells each variant apart, and its name, as `compare` does.

        Of a search these are the variants so far, each named by the number of its trial, too.
        """
        units, search = is_in_units(decision, self._registry), self._sweep.optimization is not None
        if search:
            children: list[Child] = [one.child for one in self._variants.values()]
        else:
            children = list(self._sweep.children)
        first: dict[str, Child] = {}
        for child in children:
            first.setdefault(child.variant, child)
        key = units, len(first)
        if key not in self._told:
            configs = [(name, masked(one.experiment.resolved)) for name, one in first.items()]
            trees = settings_of(configs, self._registry, beside=("split",))
            trees = [without_units(tree) for tree in trees] if units else trees
            varied = (name for child in first.values() for name in child.varies_beside_seed)
            told = told_apart(trees, list(dict.fromkeys(n.removesuffix(".name") for n in varied)))
            self._told[key] = {
                name: (fields, _called(masked(name), words, search))
                for name, (fields, words) in zip(first, told, strict=True)
            }
        return self._told[key]

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


def _adjusted(variants: Sequence[_Runs], decision: Decision) -> list[float]:
    # Where runs failed variants may have other seeds than those beside them; as `compare` does.
    table = table_of([one.standing("", decision) for one in variants])
    return [float(mean) for mean in adjusted_means(table)]


def _units(experiment: Experiment) -> dict[str, Any]:
    metric = experiment.resolved["model"].get("metric", {"name": "euclidean"})
    return {"metric": metric, "prepare": experiment.resolved["prepare"]}


def _called(variant: str, words: str, search: bool) -> str:
    number = variant.partition(": ")[0]
    return f"{number}: {words}" if search and words else words or variant
