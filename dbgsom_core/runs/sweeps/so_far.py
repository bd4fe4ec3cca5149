"""Which variant of a sweep that goes on is best, and how sure that is by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dbgsom_core.runs.comparing.deciding import Decision
from dbgsom_core.runs.comparing.paired import LEVEL, holm, mean_and_deviation, paired_t
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
    """Say which variant is best over the seeds that all of them have, and how sure that is.

    A mean of some seeds is not held against one of others: which seeds a variant had may say more
    than the variant does. One that shares no seed with those that have more is left out.

    Parameters
    ----------
    standings : sequence of Standing
        At least one.
    decision : Decision
    ratio : float or None
        What the variance of differences is corrected by (see `paired_t`); None: nothing is tested.
    seeded : bool
        Whether variants have several seeds, so that their number is told.
    """
    shared, rated = _alike(standings)
    values = np.array([[one.values[seed] for seed in shared] for one in rated])
    ranks = [decision.rank(float(np.mean(row))) for row in values]
    order = sorted(range(len(rated)), key=lambda i: (ranks[i], rated[i].name))
    first, others = order[0], order[1:]
    mean, deviation = mean_and_deviation([float(value) for value in values[first]])
    told = value_of(mean, deviation) if deviation is not None else in_digits(mean, 4)
    if seeded:
        told += f", {len(shared)} seed{'s' * (len(shared) > 1)}"
        told += " that all have" if any(len(one.values) > len(shared) for one in standings) else ""
    told = f"{rated[first].name} ({decision.name} {told})"
    if tied := [rated[i].name for i in others if ranks[i] == ranks[first]]:
        return f"{told}; {same_mean(tied)}"
    if ratio is None or not others or len(others) >= _MOST_TESTED:
        return told
    return told + _doubt(rated[others[0]].name, values[order], ratio)


def _alike(standings: Sequence[Standing]) -> tuple[list[int], list[Standing]]:
    """Return the seeds that variants share, and these variants, from those with most seeds on."""
    ordered = sorted(standings, key=lambda one: -len(one.values))
    shared, rated = list(ordered[0].values), [ordered[0]]
    for one in ordered[1:]:
        if both := [seed for seed in shared if seed in one.values]:
            shared = both
            rated.append(one)
    return shared, rated


def _doubt(next_name: str, values: np.ndarray, ratio: float) -> str:
    """Say whether the first of some variants, rows that are best first, is told from the next.

    As `compare` does: the p of all pairs of variants are corrected for their number.
    """
    tests = [paired_t(row, values[at + 1 :], ratio) for at, row in enumerate(values[:-1])]
    p, mean = float(holm(np.concatenate([one.p for one in tests]))[0][0]), float(tests[0].mean[0])
    if not np.isfinite(p):  # one seed, or the same difference with each
        return ""
    told = f"{number(abs(mean))} better than {next_name}, p {probability(p)}"
    told += " (corrected)" if len(values) > 2 else ""
    return f", {told}" if p < LEVEL else f", {told}: nobody can tell yet"
