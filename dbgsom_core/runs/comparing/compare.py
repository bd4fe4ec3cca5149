"""Comparing variants over their seeds and folds, with a test of what the differences are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dbgsom_core.config import DecideSettings
from dbgsom_core.errors import DataError
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.comparing.compared import Ranking, Row, Table
from dbgsom_core.runs.comparing.comparison import Comparison
from dbgsom_core.runs.comparing.deciding import Decision, best_end, decide, is_in_units
from dbgsom_core.runs.comparing.paired import (
    adjusted_means,
    holm,
    mean_and_deviation,
    paired_t,
    rank_test,
    ranks,
)
from dbgsom_core.runs.comparing.selecting import Selected, select
from dbgsom_core.runs.comparing.sentences import method, rank_verdict, verdict
from dbgsom_core.runs.comparing.variants import (
    Group,
    Variant,
    baseline_of,
    lacks_folds,
    measures_of,
    overlap,
    sort_out,
    values_of,
)
from dbgsom_core.runs.folder import StoredRun


def compare(
    *targets: str | Path,
    by: str | None = None,
    direction: str | None = None,
    split: str | None = None,
    runs: str | Path = "runs",
    registry: Registry | None = None,
) -> Comparison:
    """Compare the finished runs of experiments, of sweeps, or runs by name.

    Runs that differ in nothing but their seed are one variant. Runs whose process died without a
    word are closed as killed on the way.

    Parameters
    ----------
    *targets : str or Path
        Experiments, ids of sweeps or runs, or run folders; none: the only experiment there is.
    by : str, optional
        The measure that ranks, ``accuracy`` or ``test/accuracy``. Without it the ``decide`` section
        of the sweep says which, else the estimator: accuracy for a classifier, r2 for a regressor,
        combined_error for vq.
    direction : {"maximize", "minimize"}, optional
        Which end of it is best; as the measure says without it.
    split : {"test", "train"}, optional
        On which part; the test part where there is one without it.
    runs : path
        The folder that holds all experiments.
    registry : Registry, optional
        Knows the measures; the installed plugins without it.

    Raises
    ------
    DataError
        A target or the measure is unknown, or no run has finished.
    PluginError
        The measure's plugin is broken.
    """
    registry = registry or get_registry()
    chosen = select([str(target) for target in targets], Path(runs))
    decision = _decision(chosen, by, direction, split, registry)
    tables, repeats = tables_of(chosen.runs, decision, registry)
    return Comparison(
        decision=decision,
        tables=tables,
        rankings=_rankings(tables),
        notes=_notes(chosen, repeats, tables, is_in_units(decision, registry)),
        damaged=chosen.damaged,
        runs=chosen.runs,
    )


def tables_of(
    runs: Sequence[StoredRun], decision: Decision, registry: Registry
) -> tuple[list[Table], Sequence[StoredRun]]:
    """Return a table of the variants on each data set, and the runs that repeat a newer one."""
    found = sort_out(runs, is_in_units(decision, registry), registry)
    tables = [_table(group, decision, registry) for group in found.groups]
    return sorted(tables, key=lambda table: table.name), found.repeats


def _decision(
    chosen: Selected, by: str | None, direction: str | None, split: str | None, registry: Registry
) -> Decision:
    said = chosen.decide
    settings = DecideSettings(
        measure=by if by is not None else said.measure,
        direction=direction if direction is not None or by is not None else said.direction,  # type: ignore[arg-type]
        split=split if split is not None or by is not None else said.split,  # type: ignore[arg-type]
    )
    kinds = {str((run.config.get("model") or {}).get("estimator", "vq")) for run in chosen.runs}
    names = list(dict.fromkeys(name for run in chosen.runs for name in run.measures))
    found = decide(settings, kinds, names, registry)
    if found is None:
        listed = ", ".join(sorted(names)) or "none"
        raise DataError(f"nothing says what is best; name a measure by --by, of: {listed}")
    return found


# ----------------------------------------------------------------------------------- one data set


def _table(group: Group, decision: Decision, registry: Registry) -> Table:
    values = [values_of(variant, decision) for variant in group.variants]
    summaries = [mean_and_deviation([one.value for one in several]) for several in values]
    keys = list(dict.fromkeys((v.seed, v.division) for several in values for v in several))
    place = {key: at for at, key in enumerate(keys)}
    table = np.full((len(values), len(keys)), np.nan)
    for row, several in enumerate(values):
        for one in several:
            table[row, place[one.seed, one.division]] = one.value
    adjusted = [float(mean) for mean in adjusted_means(table)]
    order = sorted(
        range(len(values)), key=lambda i: (decision.rank(adjusted[i]), group.variants[i].name)
    )
    table = table[order]
    divisions = [[division for _, division in keys].index(division) for _, division in keys]
    ratio = overlap(group.variants, decision)
    tested = _all_pairs(table, ratio, divisions)
    rows = [
        _row(group.variants[i], (*summaries[i], adjusted[i]), values[i], tested, at)
        for at, i in enumerate(order)
    ]
    name = ""
    if tested is not None and tested.tests:
        name = "corrected resampled t-test" if ratio else "paired t-test"
    found = Table(
        group.name,
        group.facts,
        group.data,
        decision,
        rows,
        name,
        0 if tested is None else tested.tests,
        ratio,
        baseline=baseline_of(group.variants, decision),
    )
    ends = {name: best_end(name, registry) for row in rows for name in row.measures}
    return replace(found, sentence=verdict(found), method=method(found), ends=ends)


@dataclass(frozen=True)
class _Tested:
    """The best variant against all others, p corrected for all pairs of variants."""

    pairs: Any
    mean: Any
    deviation: Any
    low: Any
    high: Any
    effect: Any
    p: Any
    holm: Any
    factor: Any
    tests: int


def _all_pairs(table: Any, ratio: float, divisions: Sequence[int]) -> _Tested | None:
    """Test each variant (row) against each: the best was chosen for what it measured."""
    if len(table) < 2 or not table.shape[1]:
        return None
    tests = [paired_t(row, table[at + 1 :], ratio, divisions) for at, row in enumerate(table[:-1])]
    corrected, factors = holm(np.concatenate([one.p for one in tests]))
    best, m = tests[0], len(table) - 1
    return _Tested(
        best.pairs,
        best.mean,
        best.deviation,
        best.low,
        best.high,
        best.effect,
        best.p,
        corrected[:m],
        factors[:m],
        int(np.isfinite(corrected).sum()),
    )


def _row(
    variant: Variant,
    summary: tuple[float, float | None, float],
    values: Sequence[Any],
    tested: _Tested | None,
    at: int,
) -> Row:
    def of(array: Any) -> float | None:
        value = float(array[at - 1])
        return None if np.isnan(value) else value

    compared = tested if at else None
    seeds = {one.seed for one in values}
    has_folds = bool(values) and not values[0].division.startswith("seed ")
    return Row(
        variant=variant.name,
        fields=variant.fields,
        seeds=len(seeds),
        folds=round(len(values) / len(seeds)) if has_folds else 0,
        mean=summary[0],
        deviation=summary[1],
        adjusted=summary[2],
        difference=of(compared.mean) if compared else None,
        low=of(compared.low) if compared else None,
        high=of(compared.high) if compared else None,
        effect=of(compared.effect) if compared else None,
        p=of(compared.p) if compared else None,
        holm=of(compared.holm) if compared else None,
        factor=int(compared.factor[at - 1]) if compared else 0,
        spread=float(compared.deviation[at - 1]) if compared else np.nan,
        pairs=int(compared.pairs[at - 1]) if compared else 0,
        measures={
            name: mean_and_deviation(values) for name, values in measures_of(variant).items()
        },
        runs=tuple(run.id for run in variant.runs),
    )


# -------------------------------------------------------------------------------------- all of them


def _rankings(tables: Sequence[Table]) -> list[Ranking]:
    """Rank the variants that ran on several data sets, divided in the same way."""
    alike: dict[str, list[Table]] = {}
    for table in tables:
        rest = {key: value for key, value in table.facts.items() if key != "dataset"}
        alike.setdefault(repr(rest), []).append(table)
    found = []
    for several in alike.values():
        means = [{row.variant: row.adjusted for row in table.ranked} for table in several]
        common = [name for name in means[0] if all(name in one for one in means)]
        if len(several) < 2 or len(common) < 2:
            continue
        values = np.array([[one[name] for name in common] for one in means])
        greater = several[0].decision.greater_is_better
        ranked = ranks(values, greater).T
        order = np.argsort(ranked.mean(axis=1), kind="stable")
        names = [table.name for table in several]
        told = f"{', '.join(names)}: " if len(alike) > 1 else ""
        variants = [common[i] for i in order]
        ranking = Ranking(told, names, variants, ranked[order], rank_test(values))
        found.append(replace(ranking, sentence=rank_verdict(ranking)))
    return found


def _notes(
    chosen: Selected, repeats: Sequence[StoredRun], tables: Sequence[Table], in_units: bool
) -> list[str]:
    notes = []
    if chosen.unfinished:
        states = ", ".join(f"{count} {state}" for state, count in chosen.unfinished.items())
        notes.append(f"not finished, and left out: {states}")
    if repeats:
        notes.append(
            f"{len(repeats)} older run(s) repeat another with the same configuration and seed, and "
            "are left out"
        )
    unknown = [run for run in chosen.runs if lacks_folds(run)]
    if unknown:
        notes.append(
            f"{len(unknown)} run(s) of an earlier version hold no values of their folds, so that "
            "nothing can be tested by them; run them anew"
        )
    lacking = [row.variant for table in tables for row in table.rows if row.mean != row.mean]
    if lacking:
        notes.append(f"{len(lacking)} variant(s) have no {tables[0].decision.name}")
    versions = {
        str((run.environment.get("versions") or {}).get("dbgsom-core")) for run in chosen.runs
    }
    if len(versions) > 1:
        notes.append(f"the runs are of different versions of dbgsom-core: {', '.join(versions)}")
    if in_units and any(len({repr(t.facts.get(key)) for t in tables}) > 1 for key in _UNITS):
        notes.append(
            f"{tables[0].decision.measure} is in the units of the metric, so runs of other metrics "
            "or 'prepare' steps are not ranked together; topographic_error has no units"
        )
    return notes


_UNITS = ("metric", "prepare")
