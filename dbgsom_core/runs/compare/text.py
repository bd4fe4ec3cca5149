"""Sentences of a ranking: which variant is best, how sure that is, and what would tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbgsom_core.runs.compare.stats import LEVEL, pairs_needed

if TYPE_CHECKING:
    from dbgsom_core.runs.compare.table import MeanRanks, Row, Table

_MOST_SEEDS = 1000
_POWERS_OF_TEN = 1e15
_MORE = "several seeds (sweep: {repeats: {seeds: 5}}), or parts of the data (split: {folds: 5}),"


def verdict(table: Table) -> str:
    """Return which variant won, and how sure that is, or what would tell."""
    text = _verdict(table)
    if not table.ranked:
        return text
    best, criterion = table.ranked[0], table.decision
    base = table.baseline
    if base is not None and not criterion.sort_key(best.mean) < criterion.sort_key(base):
        return f"{text} Yet that is no better than {_baseline_name(table)}, {number(base)}."
    return text


def baseline_text(table: Table) -> str:
    """Return what an answer that learns nothing would measure; empty where it is not known."""
    if table.baseline is None:
        return ""
    return f"baseline: {number(table.baseline)} ({_baseline_name(table)})"


def _baseline_name(table: Table) -> str:
    numbers = table.decision.measure in ("r2", "rmse", "mae")
    return "always the mean" if numbers else "always the most frequent class"


def _verdict(table: Table) -> str:
    rows, measure = table.ranked, table.decision.measure
    if not rows:
        trained = any(f"train/{measure}" in row.measures for row in table.rows)
        untested = trained and table.decision.split == "test"
        cure = "; --split train compares by the training part" if untested else ""
        return f"No run has a value of {table.decision.name}{cure}."
    best, others = rows[0], rows[1:]
    if not others:
        return f"There is one variant: {measure} {mean_of(best)}."
    if all(row.holm is None for row in others):
        return _untested(table)
    unsure = [row for row in others if row.holm is None or row.holm >= LEVEL]
    if not unsure:
        largest = max(row.holm for row in others if row.holm is not None)
        against = "" if len(others) == 1 else f" or less against each of the other {len(others)}"
        against += f", corrected for {table.tests} comparisons" if table.tests > 1 else ""
        return (
            f"{best.variant} wins: {measure} {mean_of(best)}, {_lead(table, others[0])}; "
            f"p {probability(largest)}{against}."
        )
    which = "the other" if len(others) == 1 else f"{len(unsure)} of the other {len(others)}"
    return (
        f"No clear winner yet: {best.variant} has the best {measure}, {mean_of(best)}, but the "
        f"test does not tell it from {which}. {_what_would_tell(table, best, unsure[0])}"
    )


def _untested(table: Table) -> str:
    best, *others = table.ranked
    lead = f"{best.variant} has the best {table.decision.measure}, {mean_of(best)}"
    if equals := _equals(table):
        lead += f" ({same_mean(equals)})"
    if all(row.difference == 0 for row in others):
        mean = " with the same seeds" if table.is_adjusted else f", {mean_of(best)}"
        same = f"All variants have the same {table.decision.measure}{mean}."
        few = max(row.pairs for row in others) <= 1
        return f"{same} {_MORE[:1].upper()}{_MORE[1:]} would tell more." if few else same
    if all(row.pairs == 0 for row in others):
        return (
            f"{lead}, but a test cannot tell how sure that is: the variants have no seed or fold "
            "in common. Give all of them the same seeds."
        )
    if all(row.pairs <= 1 for row in others):
        return (
            f"{lead}, but a test cannot tell how sure that is, from one value each: {_MORE} would."
        )
    return (
        f"{lead}. The seeds change nothing, so a test cannot tell how sure that is on other data: "
        "divide it (split: {folds: 5})."
    )


def _what_would_tell(table: Table, best: Row, row: Row) -> str:
    """Return how far the next variant is behind, and how many seeds would tell whether it is."""
    if row.difference is None:
        return f"It has no seed or fold in common with {row.variant}."
    if row.difference == 0:
        return f"{same_mean(_equals(table))}."
    text = f"It is {_lead(table, row)}"
    if row.p is None:
        return f"{text}."
    text += f", p {probability(row.p)}"
    if table.tests > 1 and row.holm is not None:
        corrected = probability(row.holm).removeprefix("= ")
        text += f" ({corrected} once it is corrected for {table.tests} comparisons)"
    if best.folds and row.pairs < best.seeds * best.folds:
        return f"{text}; more seeds divide the data in the same way and would not tell."
    level = LEVEL / max(row.factor, 1)
    pairs = pairs_needed(row.difference, row.spread, table.ratio, level)
    if pairs is None:
        return (
            f"{text}; more seeds would not tell a difference this small, for their models share "
            "most of the data: more data would."
        )
    seeds = max(math.ceil(pairs / max(best.folds, 1)), best.seeds + 1)
    if seeds > _MOST_SEEDS:
        return f"{text}; more than {_MOST_SEEDS} seeds each would be needed to tell."
    return f"{text}; about {seeds} seeds each (now {best.seeds}) would tell such a difference."


def best_so_far(table: Table) -> str:
    """Return which variant of a sweep that goes on is best, and what tells it from the next."""
    best, *others = table.ranked
    values = mean_of(best) if best.deviation is not None else in_digits(best.mean, 4)
    if any(row.seeds > 1 for row in table.ranked):
        values += f", {best.seeds} seed{'s' * (best.seeds > 1)}"
    if not math.isclose(best.adjusted, best.mean, rel_tol=1e-12):
        values += f", {in_digits(best.adjusted, 4)} adjusted to all seeds"
    text = f"{best.variant} ({table.decision.name} {values})"
    if table.tied:
        return f"{text}; {same_mean(table.tied)}"
    if not others or not table.is_tested:
        return text
    row = others[0]
    if row.difference is None:
        return f"{text}, {row.variant} has none of its seeds: no clear difference yet"
    if row.holm is None:  # one seed, or the same difference with each
        return text
    lead = -row.difference if table.decision.greater_is_better else row.difference
    if lead <= 0:  # what both have says otherwise than what each has in common with others
        return f"{text}, with the same seeds no better than {row.variant}: no clear difference yet"
    text += f", {number(lead)} better than {row.variant}, p {probability(row.holm)}"
    text += " (corrected)" if table.tests > 1 else ""
    return text if row.holm < LEVEL else f"{text}: no clear difference yet"


def same_mean(variants: Sequence[str]) -> str:
    """Return that these variants have the same mean as the best."""
    first, *others = variants
    if not others:
        return f"{first} has the same mean"
    return f"{first} and {len(others)} other{'s' * (len(others) > 1)} have the same mean"


def method(table: Table) -> str:
    """Return what the numbers of a table are, and how they were tested, as a few sentences."""
    rows, text = table.ranked, []
    folds = any(row.folds for row in rows)
    if any(row.deviation is not None for row in rows):
        over = "seeds and folds" if folds else "seeds"
        text.append(f"±: standard deviation over {over}.")
    if table.is_adjusted:
        text.append(adjusted_for(table))
    if table.test:
        source = " (Nadeau & Bengio 2003)" if table.ratio else ""
        text.append(
            f"Difference: from the best variant, paired by {'folds' if folds else 'seeds'}. p: "
            f"two-sided {table.test}{source}, which takes differences as normal."
        )
        if table.tests > 1:
            text.append(
                f"Corrected p: of {table.tests} pairs of variants some differ by chance, so each p "
                f"counts for more (Holm 1979); below {LEVEL:g} two variants differ clearly."
            )
        if not table.ratio:
            text.append("All models learned from the same samples: other data may say otherwise.")
    return " ".join(text)


def adjusted_for(table: Table) -> str:
    """Return what orders variants that do not have the same seeds, or folds."""
    what = "seeds and folds" if any(row.folds for row in table.ranked) else "seeds"
    return (
        f"Not all variants have the same {what}: they are in the order of adjusted means, which "
        f"leave out what the {what} do that a variant has or lacks (least squares)."
    )


def rank_verdict(ranking: MeanRanks) -> str:
    """Return which variant has the best mean rank, and how sure that is."""
    means, test = ranking.means, ranking.test
    sets = len(ranking.tables)
    lead = (
        f"{ranking.name}{ranking.variants[0]} has the best mean rank over {sets} data sets, "
        f"{number(float(means[0]))}"
    )
    if len(means) > 1 and means[0] == means[1]:
        equal = int((means == means[0]).sum())
        lead = f"{ranking.name}{equal} variants share the best mean rank over {sets} data sets"
    if test is None:
        return f"{lead}; {sets} data sets are too few for a test."
    if test.p >= LEVEL:
        return f"{lead}, without a clear difference: {test.name}, p {probability(test.p)}."
    if test.critical is None:
        return f"{lead}, better than the other: {test.name}, p {probability(test.p)}."
    worse = int((means - means[0] > test.critical).sum())
    return (
        f"{lead}; the variants differ ({test.name}, p {probability(test.p)}), and {worse} of the "
        f"other {len(means) - 1} rank behind it by more than {number(test.critical)} (Nemenyi's "
        "critical difference)."
    )


def _equals(table: Table) -> list[str]:
    return [one.variant for one in table.ranked[1:] if one.difference == 0]


def _lead(table: Table, row: Row) -> str:
    sign = -1 if table.decision.greater_is_better else 1
    assert row.difference is not None
    if row.low is None or row.high is None:
        return f"{number(sign * row.difference)} better than {row.variant}"
    low, high = sorted((sign * row.low, sign * row.high))
    places = max(_places(high - low), _places(abs(row.difference)))
    ahead, least, most = (_rounded(one, places) for one in (sign * row.difference, low, high))
    return f"{ahead} better than {row.variant} (95 % CI {least} to {most})"


def differences_of(rows: Sequence[Row]) -> list[str | None]:
    """Return the differences of rows with their confidence intervals as texts alike."""
    places = [
        _places(row.high - row.low) for row in rows if row.high is not None and row.low is not None
    ]
    return [_difference(row, max(places, default=None)) for row in rows]


def _difference(row: Row, places: int | None) -> str | None:
    if row.difference is None:
        return None
    if row.low is None or row.high is None or places is None:
        return number(row.difference)
    mean, low, high = (_rounded(one, places) for one in (row.difference, row.low, row.high))
    return f"{mean} ({low} to {high})"


def _places(width: float) -> int:
    """Return how many places the ends of an interval deserve."""
    return min(8, max(0, 2 - math.ceil(math.log10(width)))) if width > 0 else 0


def _rounded(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def mean_of(row: Any) -> str:
    """Return a mean with its deviation as text."""
    return value_of(row.mean, row.deviation)


def value_of(mean: float, deviation: float | None) -> str:
    """Return a mean with its deviation as text, the mean to the place of the deviation."""
    if deviation is None or not math.isfinite(deviation):
        return number(mean)
    if deviation == 0 or not math.isfinite(mean):
        return f"{number(mean)} ± {number(deviation)}"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    if digits > 8 or abs(mean) >= 1e6:
        return f"{number(mean)} ± {deviation:.2g}"
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def number(value: float) -> str:
    """Return a number with three or four digits that count."""
    if not math.isfinite(value) or value == 0:
        return str(value) if value else "0"
    return in_digits(value, 4 if abs(value) >= 1 else 3)


def in_digits(value: float, digits: int) -> str:
    """Return a number with so many digits that count, but large ones whole, as people write them.

    Powers of ten stand from 1e15 on, where a float64 has no more digits, and below 0.0001.
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < _POWERS_OF_TEN else text


def probability(value: float) -> str:
    """Return what stands behind the letter p."""
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"
