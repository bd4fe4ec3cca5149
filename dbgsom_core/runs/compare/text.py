"""A ranking in words: numbers, cells of its table, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbgsom_core.runs.compare.criterion import SHOWN_BESIDE, with_arrow
from dbgsom_core.runs.compare.stats import LEVEL, pairs_needed

if TYPE_CHECKING:
    from dbgsom_core.runs.compare.rank import MeanRanks, Row, Table

_MOST_SEEDS = 1000
_POWERS_OF_TEN = 1e15
_MORE = "several seeds (sweep: {repeats: {seeds: 5}}) or folds (split: {folds: 5})"

Cells = tuple[list[str], list[list[str | None]]]  # a header, and rows

# ---------------------------------------------------------------------------------------- numbers


def in_digits(value: float, digits: int) -> str:
    """Return a number with so many digits that count, but large ones whole, as people write them.

    Powers of ten stand from 1e15 on, where a float64 has no more digits, and below 0.0001.
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < _POWERS_OF_TEN else text


def number(value: float) -> str:
    """Return a number with three or four digits that count."""
    if not math.isfinite(value) or value == 0:
        return str(value) if value else "0"
    return in_digits(value, 4 if abs(value) >= 1 else 3)


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


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def _interval(row: Row, sign: int, between: str) -> str:
    """Return a difference with its confidence interval, to as many places as that deserves."""
    assert row.difference is not None
    if row.low is None or row.high is None:
        return number(sign * row.difference)
    width = row.high - row.low
    places = min(8, max(0, 2 - math.ceil(math.log10(width)))) if width > 0 else 0
    low, high = sorted((sign * row.low, sign * row.high))
    numbers = (f"{x + 0.0:.{places}f}" for x in (sign * row.difference, low, high))
    return between.format(*(x.removeprefix("-") if float(x) == 0 else x for x in numbers))


# -------------------------------------------------------------------------------------- sentences


def verdict(table: Table) -> str:
    """Return which variant won, and how sure that is, or what would tell."""
    if not table.ranked:
        name = f"train/{table.criterion.measure}"
        trained = any(name in row.measures for row in table.rows)
        untested = trained and table.criterion.split == "test"
        cure = "; --split train compares by the training part" if untested else ""
        return f"No run has a value of {table.criterion.name}{cure}."
    text, base, key = _verdict(table), table.baseline, table.criterion.sort_key
    if base is not None and not key(table.ranked[0].mean) < key(base):
        text += f" Yet that is no better than {_baseline_name(table)}, {number(base)}."
    return text


def baseline_text(table: Table) -> str:
    """Return what an answer that learns nothing would measure; empty where it is not known."""
    if table.baseline is None:
        return ""
    return f"baseline: {number(table.baseline)} ({_baseline_name(table)})"


def _baseline_name(table: Table) -> str:
    numbers = table.criterion.measure in ("r2", "rmse", "mae")
    return "always the mean" if numbers else "always the most frequent class"


def _verdict(table: Table) -> str:
    (best, *others), measure = table.ranked, table.criterion.measure
    value = value_of(best.mean, best.deviation)
    if not others:
        return f"There is one variant: {measure} {value}."
    if all(row.holm is None for row in others):
        return _untested(table)
    unsure = [row for row in others if row.holm is None or row.holm >= LEVEL]
    if unsure:
        which = "the other" if len(others) == 1 else f"{len(unsure)} of the other {len(others)}"
        return (
            f"No clear winner yet: {best.variant} has the best {measure}, {value}, but the test "
            f"does not tell it from {which}. {_what_would_tell(table, best, unsure[0])}"
        )
    largest = max(row.holm for row in others if row.holm is not None)
    against = "" if len(others) == 1 else f" or less against each of the other {len(others)}"
    against += f", corrected for {table.tests} comparisons" if table.tests > 1 else ""
    lead = _lead(table, others[0])
    return f"{best.variant} wins: {measure} {value}, {lead}; p {_probability(largest)}{against}."


def _untested(table: Table) -> str:
    best, *others = table.ranked
    measure, most = table.criterion.measure, max(row.pairs for row in others)
    if all(row.difference == 0 for row in others):
        text = f"All variants have the same {measure} with the same seeds."
        return text if most > 1 else f"{text} More would tell: {_MORE}."
    if most == 0:
        cure = "the variants have no seed or fold in common; give all of them the same seeds"
    elif most == 1:
        cure = f"there is one value each; {_MORE} would"
    else:
        cure = "the seeds change nothing; divide the data (split: {folds: 5})"
    tied = f" ({same_mean(table.tied)})" if table.tied else ""
    value = value_of(best.mean, best.deviation)
    return (
        f"{best.variant} has the best {measure}, {value}{tied}, but a test cannot tell how sure "
        f"that is: {cure}."
    )


def _what_would_tell(table: Table, best: Row, row: Row) -> str:
    """Return how far the next variant is behind, and how many seeds would tell whether it is."""
    if row.difference is None:
        return f"It has no seed or fold in common with {row.variant}."
    if row.difference == 0:
        return f"{row.variant} has the same mean."
    text = f"It is {_lead(table, row)}"
    if row.p is None:
        return f"{text}."
    text += f", p {_probability(row.p)}"
    if table.tests > 1 and row.holm is not None:
        text += f" (corrected for {table.tests} comparisons: {_probability(row.holm)})"
    if best.folds and row.pairs < best.seeds * best.folds:
        return f"{text}; more seeds divide the data in the same way and would not tell."
    pairs = pairs_needed(row.difference, row.spread, table.ratio, LEVEL / max(table.tests, 1))
    if pairs is None:
        return (
            f"{text}; more seeds would not tell a difference this small, for their models share "
            "most of the data: more data would."
        )
    seeds = max(math.ceil(pairs / max(best.folds, 1)), best.seeds + 1)
    many = f"more than {_MOST_SEEDS}" if seeds > _MOST_SEEDS else f"about {seeds}"
    return f"{text}; {many} seeds each (now {best.seeds}) would tell such a difference."


def _lead(table: Table, row: Row) -> str:
    sign = -1 if table.criterion.greater_is_better else 1
    value, *interval = _interval(row, sign, "{} | (95 % CI {} to {})").split(" | ")
    return " ".join([f"{value} better than {row.variant}", *interval])


def leader_text(table: Table) -> str:
    """Return which variant of a sweep that goes on is best."""
    best = table.ranked[0]
    values = value_of(best.mean, best.deviation)
    if any(row.seeds > 1 for row in table.ranked):
        values += f", {best.seeds} seed{'s' * (best.seeds > 1)}"
    if not math.isclose(best.adjusted, best.mean, rel_tol=1e-12):
        values += f", {number(best.adjusted)} adjusted to all seeds"
    text = f"{best.variant} ({table.criterion.name} {values})"
    return f"{text}; {same_mean(table.tied)}" if table.tied else text


def same_mean(variants: Sequence[str]) -> str:
    """Return that these variants have the same mean as the best."""
    first, *others = variants
    if not others:
        return f"{first} has the same mean"
    return f"{first} and {len(others)} other{'s' * (len(others) > 1)} have the same mean"


def method(table: Table) -> str:
    """Return what the numbers of a table are, and how they were tested, as a few sentences."""
    folds, text = any(row.folds for row in table.ranked), []
    if any(row.deviation is not None for row in table.ranked):
        text.append(f"±: standard deviation over {'seeds and folds' if folds else 'seeds'}.")
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
    where = f"over {len(ranking.tables)} data sets"
    equal = int((means == means[0]).sum())
    lead = f"{ranking.name}{ranking.variants[0]} has the best mean rank {where}, "
    lead += number(float(means[0]))
    if equal > 1:
        lead = f"{ranking.name}{equal} variants share the best mean rank {where}"
    if test is None:
        return f"{lead}; {len(ranking.tables)} data sets are too few for a test."
    p = f"{test.name}, p {_probability(test.p)}"
    if test.p >= LEVEL:
        return f"{lead}, without a clear difference: {p}."
    if test.critical is None:
        return f"{lead}, better than the other: {p}."
    worse = int((means - means[0] > test.critical).sum())
    return (
        f"{lead}; the variants differ ({p}), and {worse} of the other {len(means) - 1} rank "
        f"behind it by more than {number(test.critical)} (Nemenyi's critical difference)."
    )


# ------------------------------------------------------------------------------------------ cells


def columns_of(table: Table, others: Sequence[str] = ()) -> Cells:
    """Return the header and the cells of a table, as people read it.

    ``others`` are measures to be shown beside the one that ranks.
    """
    tested, criterion = any(row.p is not None for row in table.rows), table.criterion
    columns: dict[str, list[str | None]] = {"variant": [row.variant for row in table.rows]}
    if len({count_of(row) for row in table.ranked}) > 1:
        columns["n"] = [count_of(row) for row in table.rows]
    columns[with_arrow(criterion.measure, criterion.end)] = [
        value_of(row.mean, row.deviation) if row.mean == row.mean else None for row in table.rows
    ]
    if table.is_adjusted:
        columns["adjusted"] = [
            value_of(row.adjusted, row.deviation).partition(" ")[0] for row in table.rows
        ]
    if any(row.difference is not None for row in table.rows):
        columns["difference (95 % CI)" if tested else "difference"] = [
            None if row.difference is None else _interval(row, 1, "{} ({} to {})")
            for row in table.rows
        ]
    if tested:
        columns["p"] = [_cell(row.p) for row in table.rows]
    if tested and table.tests > 1:
        columns["corrected p"] = [_cell(row.holm) for row in table.rows]
    for name in others:
        title = with_arrow(name.removeprefix(f"{criterion.split}/"), table.ends.get(name, ""))
        columns[title] = [
            value_of(*row.measures[name]) if name in row.measures else None for row in table.rows
        ]
    return list(columns), [list(cells) for cells in zip(*columns.values(), strict=True)]


def _cell(p: float | None) -> str | None:
    return None if p is None else f"{p:.2g}" if p >= 0.001 else "<0.001"


def count_of(row: Row) -> str:
    """Return what the values of a row are of: ``3 seeds × 5 folds``."""
    seeds = f"{row.seeds} seed{'s' * (row.seeds != 1)}"
    if not row.folds:
        return seeds
    folds = f"{row.folds} fold{'s' * (row.folds != 1)}"
    return folds if row.seeds == 1 else f"{seeds} × {folds}"


def rank_columns(ranking: MeanRanks) -> Cells:
    """Return the header and the cells of mean ranks over data sets."""
    rows: list[list[str | None]] = [
        [variant, number(float(mean)), *(number(float(rank)) for rank in of)]
        for variant, mean, of in zip(ranking.variants, ranking.means, ranking.ranks, strict=True)
    ]
    return ["variant", "mean rank", *ranking.tables], rows


def title_of(table: Table) -> str:
    """Return what a table is of: data, measure, direction, and how many seeds and folds."""
    criterion, facts = table.criterion, table.data
    parts = [table.name]
    if {"samples", "features"} <= set(facts):
        parts.append(f"{facts['samples']} × {facts['features']}")
    part = f" on the {criterion.split} part" if criterion.split else ""
    better = "greater" if criterion.greater_is_better else "less"
    measure = f"|{criterion.measure}|" if criterion.from_zero else criterion.measure
    parts.append(f"by {measure}{part} ({better} is better)")
    counts = {count_of(row) for row in table.ranked}
    return ", ".join([*parts, *(counts if len(counts) == 1 else ())])


def beside(table: Table) -> list[str]:
    """Return the few measures that most people look at beside the one that ranks."""
    part = table.criterion.split or "train"
    wanted = (f"{part}/{name}" for name in SHOWN_BESIDE)
    known = {name for row in table.rows for name in row.measures}
    return [name for name in wanted if name in known and name != table.criterion.name][:2]
