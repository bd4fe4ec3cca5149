"""Tables on the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import best_end, with_arrow
from dbgsom_core.runs.compare.text import in_digits, same_mean, value_of

_UNLIMITED = 100_000  # characters
_LONGEST = 200  # characters of one value
_WORD = re.compile(r"[^\W\d_]{3}")  # what a number with its interval has not
_NARROWEST = 20  # characters into which a name or a sentence may be wrapped


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a plain table; the first column and those of sentences stand on the left, else right.

    On a pipe every row is one line. On a terminal too narrow for the table each row becomes a
    paragraph of ``column value`` pairs.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNLIMITED)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        left = number == 0 or _is_of_sentences(rows, number)
        side: Literal["left", "right"] = "left" if left else "right"
        table.add_column(Text(cell(name)), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if console.is_terminal and _least_width(columns, rows) > console.width:
        for first, *others in rows:
            console.print(Text(cell(first), style="bold"))
            pairs = zip(columns[1:], others, strict=True)
            told = (f"{cell(name)} {cell(value)}" for name, value in pairs if value is not None)
            console.print(Padding(Text(" · ".join(told)), (0, 0, 0, 2)))
    else:
        console.print(table)


def fits(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Say whether a table has room on the terminal with no cell broken; on a pipe all have."""
    console = Console()
    widths = (
        max(len(cell(name)), *(len(cell(row[number])) for row in rows))
        for number, name in enumerate(columns)
    )
    return not console.is_terminal or sum(width + 2 for width in widths) - 2 <= console.width


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Return the width below which a number or a column's name would be broken."""
    least = 0
    for number, name in enumerate(columns):
        widest = max(len(cell(value)) for value in (name, *(row[number] for row in rows)))
        wraps = number == 0 or _is_of_sentences(rows, number)
        least += min(widest, _NARROWEST) if wraps else widest
    return least + 2 * (len(columns) - 1)


def _is_of_sentences(rows: Sequence[Sequence[Any]], number: int) -> bool:
    cells = (row[number] for row in rows)
    return any(isinstance(one, str) and " " in one and _WORD.search(one) for one in cells)


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return ""
    text = in_digits(value, 4) if isinstance(value, float) else as_text(value).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def measures_table(measures: Mapping[str, float], view: Any, registry: Registry) -> None:
    """Print final measures: a row each, a column for the training and one for the test part.

    Beside the name stands which values are best: greater, less, or 0.
    """
    parts = [part for part in ("train", "test", "test_std") if _of(measures, part)]
    shown = {"test_std": "± over folds"}
    stability = {name: one for name, one in measures.items() if name.startswith("stability")}
    names = list(dict.fromkeys(n.partition("/")[2] for n in measures if n not in stability))
    rows: list[list[Any]] = []
    if view is not None:
        neurons = len(view.evaluation.som_map)
        rows.append(["neurons", "", neurons] + [None] * (len(parts) - 1))
        if view.evaluation.som_map.children:
            leaves = len(view.evaluation.tree)
            rows.append(["leaves", "", leaves] + [None] * (len(parts) - 1))
    rows += [
        [name, best_end(name, registry), *(measures.get(f"{part}/{name}") for part in parts)]
        for name in names
    ]
    print_table(["measure", "best", *(shown.get(part, part) for part in parts)], rows)
    of_refits = [name.partition("/")[2] for name in stability if name.startswith("stability/")]
    if of_refits:
        columns = ("stability", "stability_low", "stability_high")
        told = [[one, *(stability.get(f"{part}/{one}") for part in columns)] for one in of_refits]
        print_table(["over refits", "mean", "low", "high"], told)


def children_table(children: Sequence[tuple[str, Mapping[str, float]]], registry: Registry) -> None:
    """Print the children of a sweep: what matters most, on the test part where there is one."""
    part = "test" if any(_of(measures, "test") for _, measures in children) else "train"
    wanted = ("accuracy", "quantization_error", "topographic_error")
    names = [n for n in wanted if any(f"{part}/{n}" in measures for _, measures in children)]
    rows = [[name, *(measures.get(f"{part}/{n}") for n in names)] for name, measures in children]
    columns = [with_arrow(name, best_end(name, registry)) for name in names]
    print_table([f"run ({part} part)", *columns], rows)


def rankings_tables(rankings: Sequence[Ranking], registry: Registry) -> None:
    """Print the variants of a sweep, best first, a table for each data set."""
    console = Console(highlight=False, soft_wrap=True)
    for ranking in rankings:
        names, keys = ranking.measures, ranking.keys
        where = f" on {ranking.data}" if len(rankings) > 1 else ""
        several = any(len(one.runs) > 1 for one in ranking.variants)
        rows = [
            [
                number,
                *(measured(one, name) for name in names),
                *([len(one.runs)] if several else []),
                *("null" if (value := one.varies.get(key, "")) is None else value for key in keys),
            ]
            for number, one in enumerate(ranking.variants, start=1)
        ]
        columns = [with_arrow(name, best_end(name, registry)) for name in names]
        print_table(["", *columns, *(["runs"] if several else []), *keys], rows)
        best = f"best{where}: {ranking.best.name} ({names[0]} {measured(ranking.best, names[0])})"
        tied = [one.name for one in ranking.ties]
        console.print(Text(as_text(f"{best}; {same_mean(tied)}" if tied else best)))
        if ranking.verdict:
            console.print(Text(as_text(ranking.verdict)))


def measured(variant: Variant, name: str) -> str | None:
    """Return a measure of a variant: its mean ± its standard deviation over several runs."""
    value = variant.measures.get(name)
    if value is None:
        return None
    spread = variant.spread.get(name)
    return cell(value) if spread is None else value_of(value, spread)


def _of(measures: Mapping[str, float], part: str) -> bool:
    return any(name.startswith(f"{part}/") for name in measures)
