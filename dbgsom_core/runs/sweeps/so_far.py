"""Which variant of a sweep that goes on is best, and how sure that is by now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.runs.comparing.deciding import Decision
from dbgsom_core.runs.comparing.paired import (
    LEVEL,
    adjusted_means,
    holm,
    mean_and_deviation,
    paired_t,
)
from dbgsom_core.runs.comparing.sentences import (
    in_digits,
    number,
    probability,
    same_mean,
    value_of,
)

_MOST_TESTED = 100  # variants; each is tested against each whenever a run ends


@dataclass(frozen=True)
class Standing:
    """What one variant measured until now: the value that decides, by seed."""

    name: str
    values: Mapping[int, float]


def best_so_far(
    standings: Sequence[Standing], decision: Decision, ratio: float | None, seeded: bool
) -> str:
    """Say which variant is best, by the means that rank it at the end, and how sure that is.

    Which seeds a variant had by now may say more than the variant does: where they are not the
    same the means are adjusted for it (see `adjusted_means`), and a leader that shares no seed with
    the next is told from nobody.

    Parameters
    ----------
    standings : sequence of Standing
        At least one; each has a value.
    decision : Decision
    ratio : float or None
        What the variance of differences is corrected by (see `paired_t`); None: nothing is tested.
    seeded : bool
        Whether variants have several seeds, so that their number is told.
    """
    table = table_of(standings)
    means = [float(mean) for mean in adjusted_means(table)]
    ranks = [decision.rank(mean) for mean in means]
    order = sorted(range(len(standings)), key=lambda i: (ranks[i], standings[i].name))
    first, others = order[0], order[1:]
    values = [*standings[first].values.values()]
    mean, deviation = mean_and_deviation(values)
    told = value_of(mean, deviation) if deviation is not None else in_digits(mean, 4)
    if seeded:
        told += f", {len(values)} seed{'s' * (len(values) > 1)}"
    if not math.isclose(means[first], mean, rel_tol=1e-12):
        told += f", {in_digits(means[first], 4)} adjusted to all seeds"
    told = f"{standings[first].name} ({decision.name} {told})"
    if tied := [standings[i].name for i in others if ranks[i] == ranks[first]]:
        return f"{told}; {same_mean(tied)}"
    if ratio is None or not others or len(others) >= _MOST_TESTED:
        return told
    sign = 1 if decision.greater_is_better else -1
    return told + _doubt(standings[others[0]].name, sign * table[order], ratio)


def table_of(standings: Sequence[Standing]) -> NDArray[np.float64]:
    """Return what variants (rows) measured with each seed (columns), NaN where one has none."""
    seeds = dict.fromkeys(seed for one in standings for seed in one.values)
    rows = [[one.values.get(seed, math.nan) for seed in seeds] for one in standings]
    return np.reshape(np.asarray(rows, dtype=np.float64), (len(standings), len(seeds)))


def _doubt(next_name: str, values: NDArray[np.float64], ratio: float) -> str:
    """Say whether the first of some variants, rows that are best first, is told from the next.

    The greater the better. As `compare` does: the p of all pairs of variants are corrected for
    their number.
    """
    tests = [paired_t(row, values[at + 1 :], ratio) for at, row in enumerate(values[:-1])]
    p, ahead = float(holm(np.concatenate([one.p for one in tests]))[0][0]), -float(tests[0].mean[0])
    if math.isnan(ahead):
        return f", {next_name} has none of its seeds: nobody can tell yet"
    if not np.isfinite(p):  # one seed, or the same difference with each
        return ""
    if ahead <= 0:  # what both have says otherwise than what each has in common with others
        return f", with the same seeds no better than {next_name}: nobody can tell yet"
    told = f"{number(ahead)} better than {next_name}, p {probability(p)}"
    told += " (corrected)" if len(values) > 2 else ""
    return f", {told}" if p < LEVEL else f", {told}: nobody can tell yet"
