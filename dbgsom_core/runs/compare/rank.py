"""The ranking of variants, of `compare` and of sweeps, with tests of their differences.

To add a statistical test: write it in `stats.py`, call it in `rank` (one data set) or
`rank_over_data_sets`; what it finds is a field of `Row`, which `text.py` and `export.py` show.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.config import shortened
from dbgsom_core.interfaces.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, best_end
from dbgsom_core.runs.compare.group import Entry, Group, baseline_of, frame_of, overlap
from dbgsom_core.runs.compare.stats import (
    Differences,
    adjusted_means,
    holm,
    mean_and_deviation,
    paired_t,
    rank_test,
    ranks,
)
from dbgsom_core.runs.compare.table import MeanRanks, Row, Table
from dbgsom_core.runs.compare.text import method, rank_verdict, verdict

if TYPE_CHECKING:
    import pandas as pd

_MOST_TESTED = 100  # variants, each against each whenever a run of a sweep ends
_PAIRS_AT_ONCE = 20_000
_SHOWN_BESIDE = ("accuracy", "r2", "quantization_error", "topographic_error")


def rank(
    group: Group,
    criterion: RankingCriterion,
    registry: Registry,
    *,
    interim: bool = False,
) -> Table:
    """Return the variants of a group, best first, each tested against each.

    In the ``interim``, while a sweep goes on, rows hold no other measures, and many variants are
    not tested.
    """
    by_variant: dict[str, list[Entry]] = {}
    for entry in group.entries:
        by_variant.setdefault(entry.variant, []).append(entry)
    rows = list(by_variant)
    entries = [entry for several in by_variant.values() for entry in several]
    frame = frame_of(entries, criterion.name if interim else None)
    values, columns, divisions = _values(rows, frame, criterion)
    adjusted = adjusted_means(values)
    order = sorted(
        range(len(rows)),
        key=lambda i: (criterion.sort_key(float(adjusted[i])), group.names[rows[i]][1]),
    )
    ratio = overlap(group.entries, criterion)
    untested = interim and len(rows) > _MOST_TESTED
    tested = None if untested else _test_all_pairs(values[order], ratio, divisions)
    test = ""
    if tested is not None and tested.tests:
        test = "corrected resampled t-test" if ratio else "paired t-test"
    found = []
    for position, i in enumerate(order):
        variant = rows[i]
        own = np.flatnonzero(~np.isnan(values[i]))
        seeds = {columns[j][0] for j in own}
        in_folds = any(not columns[j][1].startswith("seed ") for j in own)
        mean, deviation = mean_and_deviation(values[i, own].tolist())
        fields, name = group.names[variant]
        row = Row(
            variant=name,
            fields=fields,
            seeds=len(seeds),
            folds=round(len(own) / len(seeds)) if in_folds else 0,
            mean=mean,
            deviation=deviation,
            adjusted=float(adjusted[i]),
            measures={} if interim else _all_measures(frame[frame["variant"] == variant]),
            runs=tuple(entry.run.id for entry in by_variant[variant]),
        )
        found.append(tested.added_to(row, position - 1) if tested and position else row)
    table = Table(
        group.name,
        group.facts,
        group.data,
        criterion,
        found,
        test,
        0 if tested is None else tested.tests,
        ratio,
        baseline_of(group.entries, criterion),
        {name: best_end(name, registry) for row in found for name in row.measures},
        is_tested=not untested,
    )
    return replace(table, sentence=verdict(table), method=method(table))


def _values(
    rows: Sequence[str], frame: pd.DataFrame, criterion: RankingCriterion
) -> tuple[NDArray[np.float64], list[tuple[Any, str]], list[int]]:
    """Return variants × (seed, division) of what ranks, the columns, and their divisions."""
    if criterion.name not in frame:
        return np.full((len(rows), 0), np.nan), [], []
    some = frame[frame[criterion.name].notna()]
    columns: dict[tuple[Any, str], int] = {}
    keys = zip(some["seed"].tolist(), some["division"].tolist(), strict=True)
    places = [columns.setdefault(key, len(columns)) for key in keys]
    values = np.full((len(rows), len(columns)), np.nan)
    row_of = {variant: i for i, variant in enumerate(rows)}
    ranked = some[criterion.name].to_numpy(dtype=np.float64)
    values[[row_of[one] for one in some["variant"].tolist()], places] = (
        np.abs(ranked) if criterion.from_zero else ranked
    )
    divisions = {division: i for i, (_, division) in enumerate(columns)}
    return values, list(columns), [divisions[division] for _, division in columns]


def _all_measures(own: pd.DataFrame) -> dict[str, tuple[float, float | None]]:
    """Return mean and deviation of each measure of a variant, by its rows of `frame_of`."""
    found = {}
    names = [name for name in own.columns[4:] if own[name].notna().any()]
    in_folds = not own["division"].astype(str).str.startswith("seed ").all()
    for name in names:
        if not (in_folds and str(name).startswith("test_std/")):
            found[str(name)] = mean_and_deviation(own[name].dropna().tolist())
    return found


@dataclass(frozen=True)
class _Tested:
    """The best variant against all others, p corrected for all pairs of variants."""

    best: Differences
    effect: NDArray[np.float64]
    corrected: NDArray[np.float64]
    factors: NDArray[np.int64]
    tests: int

    def added_to(self, row: Row, at: int) -> Row:
        """Return a row with its differences from the best."""

        def value_of(values: NDArray[np.float64]) -> float | None:
            return None if np.isnan(values[at]) else float(values[at])

        best = self.best
        return replace(
            row,
            difference=value_of(best.mean),
            low=value_of(best.low),
            high=value_of(best.high),
            effect=value_of(self.effect),
            p=value_of(best.p),
            holm=value_of(self.corrected),
            factor=int(self.factors[at]),
            spread=float(best.deviation[at]),
            pairs=int(best.pairs[at]),
        )


def _test_all_pairs(
    values: NDArray[np.float64], ratio: float, divisions: Sequence[int]
) -> _Tested | None:
    """Test each variant (row) against each: the best was chosen for what it measured."""
    if len(values) < 2 or not values.shape[1]:
        return None
    best = paired_t(values[0], values[1:], ratio, divisions)
    pairs = np.transpose(np.triu_indices(len(values), 1))  # those of the best come first
    blocks = np.array_split(pairs, -(-len(pairs) // _PAIRS_AT_ONCE))
    p = [paired_t(values[i], values[j], ratio, divisions).p for i, j in map(np.transpose, blocks)]
    corrected, factors = holm(np.concatenate(p))
    return _Tested(best, best.effect, corrected, factors, int(np.isfinite(corrected).sum()))


def ranking_of(table: Table, group: Group, verdict: str) -> Ranking:
    """Return a table as trackers, figures and run folders know it: means over runs."""
    criterion = table.decision
    runs = {entry.run.id: entry.run.measures for entry in group.entries}
    short = shortened([key for row in table.rows for key in row.fields])
    variants = []
    for row in table.rows:
        own = [runs[id] for id in row.runs]
        names = dict.fromkeys(name for measures in own for name in measures)
        found = {name: [one[name] for one in own if name in one] for name in names}
        means = {name: statistics.fmean(values) for name, values in found.items()}
        spread = {
            name: statistics.stdev(values) for name, values in found.items() if len(values) > 1
        }
        varies = {short[key]: value for key, value in row.fields.items()}
        variants.append(Variant(row.variant, varies, means, spread, row.runs))
    wanted = (criterion.name, *(f"{criterion.split}/{one}".strip("/") for one in _SHOWN_BESIDE))
    known = {name for variant in variants for name in variant.measures}
    measures = [name for name in dict.fromkeys(wanted) if name in known]
    return Ranking(table.name, measures, criterion.direction, variants, verdict)


# ----------------------------------------------------------------------------- over data sets


def rank_over_data_sets(tables: Sequence[Table]) -> list[MeanRanks]:
    """Rank the variants that ran on several data sets, divided in the same way."""
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
        ranked = ranks(values, several[0].decision.greater_is_better).T
        order = np.argsort(ranked.mean(axis=1), kind="stable")
        names = [table.name for table in several]
        prefix = f"{', '.join(names)}: " if len(divided_alike) > 1 else ""
        variants = [common[i] for i in order]
        mean_ranks = MeanRanks(prefix, names, variants, ranked[order], rank_test(values))
        found.append(replace(mean_ranks, sentence=rank_verdict(mean_ranks)))
    return found
