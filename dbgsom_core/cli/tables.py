"""Tables on the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import best_end, with_arrow
from dbgsom_core.runs.compare.text import in_digits, same_mean, value_of

_UNLIMITED = 100_000  # characters
_LONGEST = 200  # characters of a value
_SENTENCE = re.compile(r"[^\W\d_]{3}.* | .*[^\W\d_]{3}")  # no number with its interval


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, left: bool = False
) -> None:
    """Print a plain table; the first column and those of sentences stand on the left, else right.

    On a pipe every row is one line; on a terminal long cells are folded, or where all stand on the
    ``left`` cut off.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNLIMITED)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        wraps = number == 0 or any(
            isinstance(row[number], str) and _SENTENCE.search(row[number]) for row in rows
        )
        table.add_column(
            Text(cell(name)),
            justify="left" if wraps or left else "right",
            overflow="ellipsis" if left else "fold",
            no_wrap=left,
        )
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return ""
    text = in_digits(value, 4) if isinstance(value, float) else as_text(value).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def print_measures(measures: Mapping[str, float], view: Any, registry: Registry) -> None:
    """Print final measures: a row each, a column for the training and one for the test part.

    Beside the name stands which values are best: greater, less, or 0.
    """
    parts = [part for part in ("train", "test", "test_std") if _has_part(measures, part)]
    refitted = {name: value for name, value in measures.items() if name.startswith("stability")}
    names = dict.fromkeys(name.partition("/")[2] for name in measures if name not in refitted)
    rows: list[list[Any]] = []
    if view is not None:
        blanks = [None] * (len(parts) - 1)
        rows.append(["neurons", "", len(view.evaluation.som_map), *blanks])
        if view.evaluation.som_map.children:
            rows.append(["leaves", "", len(view.evaluation.tree), *blanks])
    rows += [
        [name, best_end(name, registry), *(measures.get(f"{part}/{name}") for part in parts)]
        for name in names
    ]
    headers = ["± over folds" if part == "test_std" else part for part in parts]
    print_table(["measure", "best", *headers], rows)
    stable = [name.partition("/")[2] for name in refitted if name.startswith("stability/")]
    if stable:
        keys = ("stability", "stability_low", "stability_high")
        rows = [[name, *(refitted.get(f"{key}/{name}") for key in keys)] for name in stable]
        print_table(["over refits", "mean", "low", "high"], rows)


def print_children(children: Sequence[tuple[str, Mapping[str, float]]], registry: Registry) -> None:
    """Print the runs of a sweep and their main measures, of the test part where there is one."""
    part = "test" if any(_has_part(measures, "test") for _, measures in children) else "train"
    main = ("accuracy", "quantization_error", "topographic_error")
    names = [n for n in main if any(f"{part}/{n}" in measures for _, measures in children)]
    rows = [[name, *(measures.get(f"{part}/{n}") for n in names)] for name, measures in children]
    columns = [with_arrow(name, best_end(name, registry)) for name in names]
    print_table([f"run ({part} part)", *columns], rows)


def print_rankings(rankings: Sequence[Ranking], registry: Registry) -> None:
    """Print the variants of a sweep, best first, a table for each data set."""
    console = Console(highlight=False, soft_wrap=True)
    for ranking in rankings:
        names, keys = ranking.measures, ranking.keys
        several = any(len(variant.runs) > 1 for variant in ranking.variants)
        rows = []
        for rank, variant in enumerate(ranking.variants, start=1):
            values = (variant.varies.get(key, "") for key in keys)
            rows.append(
                [
                    rank,
                    *(format_measure(variant, name) for name in names),
                    *([len(variant.runs)] if several else []),
                    *("null" if value is None else value for value in values),
                ]
            )
        columns = [with_arrow(name, best_end(name, registry)) for name in names]
        print_table(["", *columns, *(["runs"] if several else []), *keys], rows)
        where = f" on {ranking.data}" if len(rankings) > 1 else ""
        value = format_measure(ranking.best, names[0])
        best = f"best{where}: {ranking.best.name} ({names[0]} {value})"
        tied = [variant.name for variant in ranking.ties]
        console.print(Text(as_text(f"{best}; {same_mean(tied)}" if tied else best)))
        if ranking.verdict:
            console.print(Text(as_text(ranking.verdict)))


def format_measure(variant: Variant, name: str) -> str | None:
    """Return a measure of a variant: its mean ± its standard deviation over several runs."""
    value = variant.measures.get(name)
    if value is None:
        return None
    spread = variant.spread.get(name)
    return cell(value) if spread is None else value_of(value, spread)


def _has_part(measures: Mapping[str, float], part: str) -> bool:
    return any(name.startswith(f"{part}/") for name in measures)
