"""Tables and maps on the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from dbgsom_core.errors import as_text
from dbgsom_core.interfaces.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare.criterion import best_end, with_arrow
from dbgsom_core.runs.compare.text import in_digits, same_mean, value_of

if TYPE_CHECKING:
    from dbgsom_core.estimators.shades import Shades

_UNLIMITED = 100_000  # characters
_LONGEST = 200  # characters of a value
_SENTENCE = re.compile(r"[^\W\d_]{3}.* | .*[^\W\d_]{3}")  # no number with its interval
_CELL = 3  # characters of a neuron
_RAMP = "·░▒▓█"  # of a dead neuron, and from few hits to many
_LONGEST_NAME = 30  # characters of a name in the legend of a map

# ---------------------------------------------------------------------------------------- tables


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a plain table; the first column and those of sentences stand on the left, else right.

    On a pipe every row is one line; on a terminal long cells are folded.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNLIMITED)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        wraps = number == 0 or any(
            isinstance(row[number], str) and _SENTENCE.search(row[number]) for row in rows
        )
        table.add_column(Text(cell(name)), justify="left" if wraps else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console.print(table)


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


# ------------------------------------------------------------------------------------------ maps


def draw_map(estimator: Any, by: str | None, console: Console) -> list[Text]:
    """Return the lines that show a fitted map as coloured blocks, its legend below it.

    ``by`` is what is shown: ``"label"``, ``"hits"``, or what suits the estimator (None). Every cell
    holds characters or shades, so that nothing is lost without colours.
    """
    import numpy as np

    from dbgsom_core.estimators.shades import shades_of

    shades, positions = shades_of(estimator, by), estimator.som_map_.plane_positions
    signs = _legend_signs(shades)
    columns = np.floor((positions[:, 0] - positions[:, 0].min()) * _CELL + 0.5).astype(int).tolist()
    texts = _cell_texts(shades, signs, estimator, coloured=console.color_system is not None)
    lines = []
    for height in np.unique(positions[:, 1])[::-1]:
        line, end = Text(), 0
        neurons = np.flatnonzero(positions[:, 1] == height).tolist()
        for neuron in sorted(neurons, key=columns.__getitem__):
            line.append(" " * (columns[neuron] - end))
            line.append(texts[neuron], _style(shades.colours[neuron]))
            end = columns[neuron] + _CELL
        lines.append(line)
    legend = Text(f"{shades.what}: ")
    for (text, colour), sign in zip(shades.legend, signs, strict=True):
        legend.append(f" {sign} ", _style(colour))
        legend.append(f" {_short_name(text)}  ")
    return [*lines, Text(), legend]


def _cell_texts(shades: Shades, signs: Sequence[str], estimator: Any, coloured: bool) -> list[str]:
    """Return the characters of each neuron; dead ones have the lightest shade."""
    import numpy as np

    alive = np.asarray(estimator.hit_counts_) > 0
    if len(shades.legend) > 2 or shades.what == "label":
        names = [text for text, _ in shades.legend]
        complete = set(shades.texts) <= set(names)  # else the legend shows the first and the last
        by_name = dict(zip(names, signs, strict=True)) if complete else {}
        return [
            (by_name.get(text, text[:_CELL]) if lives else _RAMP[0]).center(_CELL)
            for text, lives in zip(shades.texts, alive, strict=True)
        ]
    if coloured and max(map(len, shades.texts)) <= _CELL:
        return [text.center(_CELL) for text in shades.texts]
    values = np.array([float(text) for text in shades.texts])
    low, high = values[alive].min(), values[alive].max()
    steps = np.clip(1 + np.floor(4 * (values - low) / ((high - low) or 1.0)), 1, 4).astype(int)
    return [_RAMP[step] * _CELL for step in np.where(alive, steps, 0)]


def _legend_signs(shades: Shades) -> list[str]:
    """Return one or two characters for each entry of the legend, all different."""
    if shades.what != "label":
        return [_RAMP[1], _RAMP[-1]]
    names = [_short_name(text) for text, _ in shades.legend]
    for length in (1, 2):
        signs = [name[:length] for name in names]
        if len(set(signs)) == len(signs):
            return signs
    return [chr(ord("a") + rank) for rank in range(len(names))]


def _style(colour: Any) -> Style:
    red, green, blue = (int(channel) for channel in colour)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return Style(color="black" if bright else "white", bgcolor=f"rgb({red},{green},{blue})")


def _short_name(text: str) -> str:
    text = as_text(text).replace("\n", " ")
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"
