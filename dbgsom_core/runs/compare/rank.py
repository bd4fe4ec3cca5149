"""The ranking of variants, of `compare` and of sweeps, with tests of their differences.

To add a statistical test: write it in `stats.py`, call it in `rank` (one data set) or
`rank_over_data_sets`; what it finds is a field of `Row`, which `text.py` shows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dbgsom_core.config import shortened
from dbgsom_core.interfaces.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import SHOWN_BESIDE, RankingCriterion, best_end
from dbgsom_core.runs.compare.stats import (
    Floats,
    RankTest,
    adjusted_means,
    holm,
    mean_and_deviation,
    paired_t,
    rank_test,
)
from dbgsom_core.runs.compare.variants import Entry, Group


@dataclass(frozen=True)
class Row:
    """One variant on one data set; what it lacks, as the best has no difference, is None."""

    variant: str  # what tells it from the others
    fields: Mapping[str, Any]  # the same by dotted key
    seeds: int
    folds: int  # of each seed; 0: the data is not divided into folds
    mean: float  # of the measure that ranks, over seeds and folds
    deviation: float | None  # None for one value
    adjusted: float  # with all seeds and folds of the table, see `adjusted_means`: orders the rows
    difference: float | None = None  # from the best: mean of paired differences
    low: float | None = None  # ends of its 95 % confidence interval
    high: float | None = None
    p: float | None = None  # two-sided
    holm: float | None = None  # p after Holm's correction for all pairs of variants
    spread: float = math.nan  # standard deviation of the paired differences
    pairs: int = 0  # how many differences there are
    measures: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    runs: Sequence[str] = ()  # ids


@dataclass(frozen=True)
class Table:
    """The variants on one data set, best first; those without a value come last."""

    name: str  # the data set, and what else tells it from other tables
    facts: Mapping[str, Any]  # ``dataset``, ``split``, and what else the runs have in common
    data: Mapping[str, Any]  # name, samples, features
    criterion: RankingCriterion
    rows: Sequence[Row]
    tests: int  # pairs of variants that were tested
    ratio: float  # what the variance was corrected by
    baseline: float | None = None  # what an answer that learns nothing would measure
    ends: Mapping[str, str] = field(default_factory=dict)  # of each measure: greater, less, 0, ""

    @property
    def test(self) -> str:
        """The name of the test; empty where nothing could be tested."""
        if not self.tests:
            return ""
        return "corrected resampled t-test" if self.ratio else "paired t-test"

    @property
    def ranked(self) -> list[Row]:
        """The rows that have a value."""
        return [row for row in self.rows if row.mean == row.mean]

    @property
    def is_adjusted(self) -> bool:
        """Whether variants lack seeds or folds of others, so that the order is of other means."""
        return any(not math.isclose(row.adjusted, row.mean, rel_tol=1e-12) for row in self.ranked)

    @property
    def tied(self) -> list[str]:
        """The variants that are as good as the first, rounding aside."""
        key = self.criterion.sort_key
        first, *others = self.ranked
        return [row.variant for row in others if key(row.adjusted) == key(first.adjusted)]


@dataclass(frozen=True)
class MeanRanks:
    """Variants over several data sets, the least mean rank first."""

    name: str  # what the tables have in common, where there are several of these
    tables: Sequence[str]
    variants: Sequence[str]
    ranks: Floats  # (variants, tables)
    test: RankTest | None  # None: there are too few data sets

    @property
    def means(self) -> Floats:
        """The mean rank of each variant."""
        found: Floats = self.ranks.mean(axis=1)
        return found


def rank(
    group: Group, criterion: RankingCriterion, registry: Registry, *, interim: bool = False
) -> Table:
    """Return the variants of a group, best first, each tested against each.

    In the ``interim``, while a sweep goes on, nothing is tested, and rows hold no other measures.
    """
    by_variant: dict[str, list[Entry]] = {}
    for entry in group.entries:
        by_variant.setdefault(entry.variant, []).append(entry)
    observed = [
        {
            (entry.seed, division): criterion.value(measures)
            for entry in entries
            for division, measures in entry.observations()
            if criterion.value(measures) == criterion.value(measures)
        }
        for entries in by_variant.values()
    ]
    columns = list(dict.fromkeys(key for own in observed for key in own))
    values = np.array([[own.get(key, math.nan) for key in columns] for own in observed])
    adjusted = adjusted_means(values)
    rows = []
    for (variant, entries), own, mean in zip(by_variant.items(), observed, adjusted, strict=True):
        fields, name = group.names[variant]
        seeds = len({seed for seed, _ in own})
        in_folds = any(not division.startswith("seed ") for _, division in own)
        row = Row(
            name,
            fields,
            seeds,
            round(len(own) / seeds) if in_folds else 0,
            *mean_and_deviation(list(own.values())),
            float(mean),
            measures={} if interim else _all_measures(entries),
            runs=tuple(entry.run.id for entry in entries),
        )
        rows.append(row)
    order = sorted(
        range(len(rows)), key=lambda i: (criterion.sort_key(rows[i].adjusted), rows[i].variant)
    )
    ratio, tests = _overlap(group.entries, criterion), 0
    rows = [rows[i] for i in order]
    if not interim and len(rows) > 1 and columns:
        divisions = list(dict.fromkeys(division for _, division in columns))
        places = [divisions.index(division) for _, division in columns]
        rows, tests = _tested(rows, values[order], ratio, places)
    ends = {name: best_end(name, registry) for row in rows for name in row.measures}
    data, baseline = group.entries[0].run.data, _baseline(group.entries, criterion)
    return Table(group.name, group.facts, data, criterion, rows, tests, ratio, baseline, ends)


def _all_measures(entries: Sequence[Entry]) -> dict[str, tuple[float, float | None]]:
    """Return mean and deviation of each measure of a variant, over its seeds and folds."""
    found: dict[str, list[float]] = {}
    in_folds = any(entry.run.folds for entry in entries)
    for entry in entries:
        for _, measures in entry.observations():
            for name, value in measures.items():
                if value == value and not (in_folds and name.startswith("test_std/")):
                    found.setdefault(name, []).append(value)
    return {name: mean_and_deviation(values) for name, values in found.items()}


def _tested(
    rows: Sequence[Row], values: Floats, ratio: float, divisions: Sequence[int]
) -> tuple[list[Row], int]:
    """Return rows, best first, with their tests against the best, and how many pairs were tested.

    All pairs are tested: the best was chosen for what it measured.
    """
    best = paired_t(values[0], values[1:], ratio, divisions)
    rest = [
        paired_t(values[i], values[i + 1 :], ratio, divisions).p for i in range(1, len(rows) - 1)
    ]
    corrected = holm(np.concatenate([best.p, *rest]))
    found = [rows[0]]
    for at, row in enumerate(rows[1:]):
        numbers = [best.mean[at], best.low[at], best.high[at], best.p[at], corrected[at]]
        mean, low, high, p, holm_p = (None if x != x else float(x) for x in numbers)
        found.append(
            replace(
                row,
                difference=mean,
                low=low,
                high=high,
                p=p,
                holm=holm_p,
                spread=float(best.deviation[at]),
                pairs=int(best.pairs[at]),
            )
        )
    return found, int(np.isfinite(corrected).sum())


def _overlap(entries: Sequence[Entry], criterion: RankingCriterion) -> float:
    """Return samples to test on over samples to train on, where models share training samples.

    0 where all models of a run's seed are trained on the same samples.
    """
    ratios = []
    for entry in entries:
        run, split = entry.run, entry.facts["split"]
        size, samples = split.get("test_size"), run.data.get("samples")
        if criterion.split == "test" and run.folds:
            ratios += [fold.test_samples / fold.train_samples for fold in run.folds]
        elif (
            set(split) <= {"test_size", "stratify"}
            and isinstance(size, (int, float))
            and isinstance(samples, int)
        ):
            test = math.ceil(size * samples) if isinstance(size, float) else size
            ratios.append(test / max(samples - test, 1))
    return statistics.fmean(ratios) if ratios else 0.0


def _baseline(entries: Sequence[Entry], criterion: RankingCriterion) -> float | None:
    """Return what an answer that learns nothing would measure, the mean over seeds; None: unknown.

    r2 is 0 by its definition for one that always answers the mean.
    """
    if criterion.measure == "r2":
        return 0.0
    found: dict[Any, Any] = {}
    for entry in entries:
        known = entry.run.data.get("baseline")
        if isinstance(known, Mapping):
            found.setdefault(entry.seed, known.get(criterion.name))
    values = [value for value in found.values() if isinstance(value, (int, float))]
    complete = len(values) == len({entry.seed for entry in entries})
    return statistics.fmean(values) if values and complete else None


def ranking_of(table: Table, group: Group, verdict: str) -> Ranking:
    """Return a table as trackers, figures and run folders know it: means over runs."""
    criterion = table.criterion
    runs = {entry.run.id: entry.run.measures for entry in group.entries}
    short = shortened([key for row in table.rows for key in row.fields])
    variants = []
    for row in table.rows:
        found: dict[str, list[float]] = {}
        for id in row.runs:
            for name, value in runs[id].items():
                found.setdefault(name, []).append(value)
        means = {name: statistics.fmean(values) for name, values in found.items()}
        spread = {
            name: statistics.stdev(values) for name, values in found.items() if len(values) > 1
        }
        varies = {short[key]: value for key, value in row.fields.items()}
        variants.append(Variant(row.variant, varies, means, spread, row.runs))
    wanted = (criterion.name, *(f"{criterion.split}/{one}".strip("/") for one in SHOWN_BESIDE))
    known = {name for variant in variants for name in variant.measures}
    measures = [name for name in dict.fromkeys(wanted) if name in known]
    return Ranking(table.name, measures, criterion.direction, variants, verdict)


def rank_over_data_sets(tables: Sequence[Table]) -> list[MeanRanks]:
    """Rank the variants that ran on several data sets, divided in the same way."""
    from scipy.stats import rankdata

    divided_alike: dict[str, list[Table]] = {}
    for table in tables:
        rest = {key: value for key, value in table.facts.items() if key != "dataset"}
        divided_alike.setdefault(repr(rest), []).append(table)
    found = []
    for several in divided_alike.values():
        means = [{row.variant: row.adjusted for row in table.ranked} for table in several]
        common = [name for name in means[0] if all(name in one for one in means)]
        if len(several) < 2 or len(common) < 2:
            continue
        values = np.array([[one[name] for name in common] for one in means])
        sign = -1 if several[0].criterion.greater_is_better else 1
        ranked = rankdata(sign * values, axis=1).T
        order = np.argsort(ranked.mean(axis=1), kind="stable")
        names = [table.name for table in several]
        prefix = f"{', '.join(names)}: " if len(divided_alike) > 1 else ""
        variants = [common[i] for i in order]
        found.append(MeanRanks(prefix, names, variants, ranked[order], rank_test(values)))
    return found
