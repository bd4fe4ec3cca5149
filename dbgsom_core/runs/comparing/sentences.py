"""What a comparison says in words: which variant won, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbgsom_core.runs.comparing.paired import LEVEL, pairs_needed

if TYPE_CHECKING:
    from dbgsom_core.runs.comparing.compared import Ranking, Row, Table

_MOST_SEEDS = 1000
_SAME = 1e-9
_POWERS_OF_TEN = 1e15
_MORE = "several seeds (sweep: {repeats: {seeds: 5}}), or parts of the data (split: {folds: 5}),"


def verdict(table: Table) -> str:
    """Return which variant won, and how sure that is, or what would tell."""
    told = _verdict(table)
    if table.ranked and (classes := _chance(table, table.ranked[0])):
        who = "the first of them" if _tied(table) else "it"
        told += (
            f" Yet {who} seems to give all samples one class: balanced accuracy is 1/{classes}, "
            "and accuracy the share of that class."
        )
    elif table.ranked and table.baseline is not None:
        best, decision = table.ranked[0].mean, table.decision
        if not decision.better(best, table.baseline):
            told += (
                f" Yet that is no better than {_learning_nothing(table)}, {number(table.baseline)}."
            )
    return told


def baseline_told(table: Table) -> str:
    """Return what an answer that learns nothing would measure; empty where nobody knows."""
    if table.baseline is None:
        return ""
    return f"baseline: {number(table.baseline)} ({_learning_nothing(table)})"


def _learning_nothing(table: Table) -> str:
    numbers = table.decision.measure in ("r2", "rmse", "mae")
    return "always the mean" if numbers else "always the most frequent class"


def _chance(table: Table, row: Row) -> int:
    # Of how many classes each run's balanced accuracy is what a constant answer gets; else 0.
    decision = table.decision
    known = row.measures.get(f"{decision.split}/balanced_accuracy")
    if decision.measure != "accuracy" or known is None:
        return 0
    mean, deviation = known
    if not 0 < mean <= 0.5 or (deviation or 0.0) > _SAME:
        return 0
    return round(1 / mean) if abs(1 / mean - round(1 / mean)) < _SAME else 0


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
            f"{best.variant} wins: {measure} {mean_of(best)}, {_ahead(table, others[0])}; "
            f"p {probability(largest)}{against}."
        )
    worse, next_ = len(others) - len(unsure), unsure[0]
    if len(others) == 1:
        apart = "the test does not tell it from the other"
    else:
        apart = f"the test tells it from {worse or 'none'} of the other {len(others)} only"
        apart = apart if worse else apart.removesuffix(" only")
    return (
        f"Nobody can tell which is best: {best.variant} has the best {measure}, {mean_of(best)}, "
        f"but {apart}. {_next(table, best, next_)}"
    )


def _untested(table: Table) -> str:
    best, *others = table.ranked
    led = f"{best.variant} has the best {table.decision.measure}, {mean_of(best)}"
    if tied := _tied(table):
        led += f" ({same_mean(tied)})"
    if all(row.difference == 0 for row in others):
        mean = " with the same seeds" if table.is_adjusted else f", {mean_of(best)}"
        same = f"All variants have the same {table.decision.measure}{mean}."
        few = max(row.pairs for row in others) <= 1
        return f"{same} {_MORE[:1].upper()}{_MORE[1:]} would tell more." if few else same
    if all(row.pairs == 0 for row in others):
        return (
            f"{led}, but nobody can tell how sure that is: the variants have no seed or fold in "
            "common. Give all of them the same seeds."
        )
    if all(row.pairs <= 1 for row in others):
        return (
            f"{led}, but nobody can tell how sure that is, from one value each: {_MORE} would tell."
        )
    return (
        f"{led}. The seeds change nothing, so nobody can tell how sure that is on other data: "
        "divide it (split: {folds: 5})."
    )


def _next(table: Table, best: Row, row: Row) -> str:
    """Return how far the next variant is behind, and what would tell whether it is."""
    if row.difference is None:
        return f"It has no seed or fold in common with {row.variant}."
    if row.difference == 0:
        return f"{same_mean(_tied(table))}."
    told = f"It is {_ahead(table, row)}"
    if row.p is None:
        return f"{told}."
    told += f", p {probability(row.p)}"
    if table.tests > 1 and row.holm is not None:
        corrected = probability(row.holm).removeprefix("= ")
        told += f" ({corrected} once it is corrected for {table.tests} comparisons)"
    if best.folds and row.pairs < best.seeds * best.folds:
        return f"{told}; more seeds divide the data in the same way and would not tell."
    level = LEVEL / max(row.factor, 1)
    pairs = pairs_needed(row.difference, row.spread, table.ratio, level)
    if pairs is None:
        return (
            f"{told}; more seeds would not tell a difference this small, for their models share "
            "most of the data: more data would."
        )
    seeds = max(math.ceil(pairs / max(best.folds, 1)), best.seeds + 1)
    if seeds > _MOST_SEEDS:
        return f"{told}; more than {_MOST_SEEDS} seeds each would be needed to tell."
    return f"{told}; about {seeds} seeds each (now {best.seeds}) would tell such a difference."


def same_mean(variants: Sequence[str]) -> str:
    """Say that these variants have the same mean as the one before them."""
    first, *others = variants
    if not others:
        return f"{first} has the same mean"
    return f"{first} and {len(others)} other{'s' * (len(others) > 1)} have the same mean"


def method(table: Table) -> str:
    """Return what the numbers of a table are, and how they were tested, as a few sentences."""
    rows, told = table.ranked, []
    folds = any(row.folds for row in rows)
    if any(row.deviation is not None for row in rows):
        over = "seeds and folds" if folds else "seeds"
        told.append(f"±: standard deviation over {over}.")
    if table.is_adjusted:
        told.append(adjusted_for(table))
    if table.test:
        source = " (Nadeau & Bengio 2003)" if table.ratio else ""
        told.append(
            f"Difference: from the best variant, paired by {'folds' if folds else 'seeds'}. p: "
            f"two-sided {table.test}{source}, which takes differences as normal."
        )
        if table.tests > 1:
            told.append(
                f"Corrected p: of {table.tests} pairs of variants some differ by chance, so each p "
                f"counts for more (Holm 1979); below {LEVEL:g} two variants are told apart."
            )
        if not table.ratio:
            told.append("All models learned from the same samples: other data may say otherwise.")
    return " ".join(told)


def adjusted_for(table: Table) -> str:
    """Say what the order of variants is by that do not have the same seeds, or folds."""
    what = "seeds and folds" if any(row.folds for row in table.ranked) else "seeds"
    return (
        f"Not all variants have the same {what}: they are in the order of adjusted means, which "
        f"leave out what the {what} do that a variant has or lacks (least squares)."
    )


def rank_verdict(ranking: Ranking) -> str:
    """Return which variant has the best mean rank, and how sure that is."""
    means, test = ranking.means, ranking.test
    sets = len(ranking.tables)
    led = (
        f"{ranking.name}{ranking.variants[0]} has the best mean rank over {sets} data sets, "
        f"{number(float(means[0]))}"
    )
    if len(means) > 1 and means[0] == means[1]:
        equal = int((means == means[0]).sum())
        led = f"{ranking.name}{equal} variants share the best mean rank over {sets} data sets"
    if test is None:
        return f"{led}; {sets} data sets are too few for a test."
    if test.p >= LEVEL:
        return f"{led}, but nobody can tell: {test.name}, p {probability(test.p)}."
    if test.critical is None:
        return f"{led}, better than the other: {test.name}, p {probability(test.p)}."
    worse = int((means - means[0] > test.critical).sum())
    return (
        f"{led}; the variants differ ({test.name}, p {probability(test.p)}), and {worse} of the "
        f"other {len(means) - 1} rank behind it by more than {number(test.critical)} (Nemenyi's "
        "critical difference)."
    )


def _tied(table: Table) -> list[str]:
    return [one.variant for one in table.ranked[1:] if one.difference == 0]


def _ahead(table: Table, row: Row) -> str:
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


def _places(apart: float) -> int:
    """Return how many places the ends of an interval deserve."""
    return min(8, max(0, 2 - math.ceil(math.log10(apart)))) if apart > 0 else 0


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
