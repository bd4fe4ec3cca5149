"""The result of `compare`: a data frame, CSV, HTML and markdown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.config import fill_text
from dbgsom_core.errors import DataError, as_text
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.registry import Registry, get_registry
from dbgsom_core.runs.compare.criterion import RankingCriterion, with_arrow
from dbgsom_core.runs.compare.table import MeanRanks, Row, Table
from dbgsom_core.runs.compare.text import (
    baseline_text,
    differences_of,
    mean_of,
    number,
    value_of,
)
from dbgsom_core.runs.folder import StoredRun, write_text

if TYPE_CHECKING:
    import pandas as pd

log = private_logger("dbgsom")

_MOST_NAMED = 8  # runs in an address; more make it longer than a screen is wide
_MARKS = re.compile(r"([\\`*\[\]|~$<>&]|(?<!\w)_|_(?!\w))")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would compute
_SHOWN_BESIDE = ("accuracy", "r2", "quantization_error", "topographic_error")
_ENDINGS = (".csv", ".html", ".md")
_STYLE = (
    ".dbgsom{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".dbgsom th,.dbgsom td{padding:.2em .8em;text-align:right;border-bottom:1px solid #8884}"
    ".dbgsom :is(th,td):first-child{text-align:left}"
)

Cells = tuple[list[str], list[list[str | None]]]


@dataclass(frozen=True, repr=False)
class Comparison:
    """A ranking of runs; a notebook shows it as tables."""

    decision: RankingCriterion  # the measure that ranks
    tables: Sequence[
        Table
    ]  # of each data set, or way to divide it, which are never ranked together
    rankings: Sequence[MeanRanks]  # where the same variants ran on several data sets
    notes: Sequence[str]  # what else a reader should know: runs that are not finished, repeats, …
    damaged: Mapping[str, str]  # what is wrong with folders that cannot be read, by their names
    runs: Sequence[StoredRun]  # all that were compared

    @property
    def sentence(self) -> str:
        """Which variant won: a line each data set, and one over all of them."""
        several = len(self.tables) > 1
        lines = [
            f"{table.name}: {table.sentence}" if several else table.sentence
            for table in self.tables
        ]
        return "\n".join([*lines, *(ranking.sentence for ranking in self.rankings)])

    def __repr__(self) -> str:
        return f"<{len(self.runs)} runs compared by {self.decision.name}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each variant on each data set; see `Row` for the columns.

        ``best`` says which values of the measure that ranks are best: ``greater``, ``less`` or
        ``0``. Of the measures beside it ``attrs["best"]`` says so, by column; nothing where no
        plugin does.
        """
        return to_frame(self.tables)

    def save(self, path: str | Path) -> None:
        """Write the tables to a file: .csv, .html or .md by its ending.

        Raises `DataError` where it has another ending, or cannot be written.
        """
        path = Path(path)
        check_ending(path)
        write = {".csv": as_csv, ".html": as_page, ".md": as_markdown}[path.suffix.lower()]
        try:
            write_text(path, write(self))
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error

    def links(self, registry: Registry | None = None) -> list[str]:
        """Return the commands or addresses that show the runs beside each other, by tracker.

        One run of each variant comes first.
        """
        registry = registry or get_registry()
        by_id = {run.id: run for run in self.runs}
        rows = [row for table in self.tables for row in table.ranked]
        seeds = zip_longest(*(row.runs for row in rows))  # one of each variant, then the next
        runs = [by_id[id] for several in seeds for id in several if id is not None]
        trackers: dict[str, list[StoredRun]] = {}
        for run in runs:
            listed = run.config.get("tracking")
            for section in listed if isinstance(listed, list) else [listed]:
                if section:
                    key = json.dumps(section, sort_keys=True, default=str)
                    trackers.setdefault(key, []).append(run)
        found = []
        for key, several in trackers.items():
            try:
                tracker = registry.build("tracker", _filled(json.loads(key)))
                how = TrackerAbilities.of(tracker).how_to_compare
                link = None if how is None else how(_folders(several))
            except Exception as error:  # runs of long ago, or of another machine
                log.debug("no link: %s", error)
            else:
                found += [link] if link else []
        return list(dict.fromkeys(found))


def _folders(runs: Sequence[StoredRun]) -> list[Path]:
    # Of many that of the sweep that they all are of, which trackers know as one.
    sweeps = {run.parent for run in runs}
    if len(runs) > _MOST_NAMED and len(sweeps) == 1 and None not in sweeps:
        return [runs[0].files.folder.with_name(str(sweeps.pop()))]
    return [run.files.folder for run in runs]


def _filled(section: Any) -> Any:
    if isinstance(section, Mapping):
        return {key: _filled(value) for key, value in section.items()}
    return fill_text(section) if isinstance(section, str) else section


def columns_of(table: Table, others: Sequence[str] = ()) -> Cells:
    """Return the header and the cells of a table, as people read it.

    ``others`` are measures to be shown beside the one that ranks.
    """
    tested = any(row.p is not None for row in table.rows)
    paired = any(row.difference is not None for row in table.rows)
    counts = len({count_of(row) for row in table.ranked}) > 1
    criterion = table.decision
    differences = dict(zip(map(id, table.rows), differences_of(table.rows), strict=True))
    columns: list[tuple[str, Callable[[Row], str | None]]] = [("variant", lambda row: row.variant)]
    if counts:
        columns.append(("n", count_of))
    columns.append(
        (
            with_arrow(criterion.measure, criterion.end),
            lambda row: mean_of(row) if row.mean == row.mean else None,
        )
    )
    if table.is_adjusted:
        columns.append(
            ("adjusted", lambda row: value_of(row.adjusted, row.deviation).partition(" ")[0])
        )
    if paired:
        title = "difference (95 % CI)" if tested else "difference"
        columns.append((title, lambda row: differences[id(row)]))
    if tested:
        columns.append(("p", lambda row: _probability(row.p)))
    if tested and table.tests > 1:
        columns.append(("corrected p", lambda row: _probability(row.holm)))
    header = [name for name, _ in columns] + [
        with_arrow(name.removeprefix(f"{criterion.split}/"), table.ends.get(name, ""))
        for name in others
    ]
    rows = [
        [cell(row) for _, cell in columns]
        + [value_of(*row.measures[name]) if name in row.measures else None for name in others]
        for row in table.rows
    ]
    return header, rows


def _probability(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.2g}" if value >= 0.001 else "<0.001"


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
    criterion, facts = table.decision, table.data
    parts = [table.name]
    if {"samples", "features"} <= set(facts):
        parts.append(f"{facts['samples']} × {facts['features']}")
    part = f" on the {criterion.split} part" if criterion.split else ""
    better = "greater" if criterion.greater_is_better else "less"
    measure = f"|{criterion.measure}|" if criterion.from_zero else criterion.measure
    parts.append(f"by {measure}{part} ({better} is better)")
    counts = {count_of(row) for row in table.ranked}
    return ", ".join([*parts, *(counts if len(counts) == 1 else ())])


def beside(table: Table, most: int = 2) -> list[str]:
    """Return the few measures that most people look at beside the one that ranks."""
    part = table.decision.split or "train"
    wanted = (f"{part}/{name}" for name in _SHOWN_BESIDE)
    known = {name for row in table.rows for name in row.measures}
    return [name for name in wanted if name in known and name != table.decision.name][:most]


def to_frame(tables: Sequence[Table]) -> pd.DataFrame:
    """Return a row for each variant on each data set.

    What tells variants apart has columns of its own where all variants have it.
    """
    import pandas as pd

    rows = [(table, position, row) for table in tables for position, row in enumerate(table.rows)]
    shared = [
        key
        for key in _keys(row.fields for _, _, row in rows)
        if all(key in row.fields for _, _, row in rows)
    ]
    measures = _keys(row.measures for _, _, row in rows)
    records = []
    for table, position, row in rows:
        record: dict[str, Any] = {"data": table.name, "rank": position + 1, "variant": row.variant}
        record |= {key.removeprefix("model."): row.fields[key] for key in shared}
        record |= {
            "measure": table.decision.name,
            "best": table.decision.end,
            "seeds": row.seeds,
            "folds": row.folds,
            "baseline": table.baseline,
            "mean": row.mean,
            "std": row.deviation,
        }
        names = ("adjusted", "difference", "low", "high", "effect", "p", "holm", "pairs")
        record |= {name: getattr(row, name) for name in names}
        record["runs"] = " ".join(row.runs)
        records.append(record | {name: row.measures.get(name, (None,))[0] for name in measures})
    frame = pd.DataFrame.from_records(records)
    frame.attrs["best"] = {k: v for table in tables for k, v in table.ends.items()}
    return frame


def _keys(several: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for one in several for key in one))


def check_ending(path: Path) -> None:
    """Raise DataError where no form of a comparison has this ending."""
    if path.suffix.lower() not in _ENDINGS:
        raise DataError(f"'{path.name}' ends in none of .csv, .html and .md")


def as_csv(comparison: Comparison) -> str:
    """Return the data frame as CSV; texts that a spreadsheet would compute are quoted as text."""

    def cell(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = as_text(value)
        return f"'{text}" if text.startswith(_FORMULA) else text

    frame = to_frame(comparison.tables).astype(object).map(cell).rename(columns=as_text)
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def as_markdown(comparison: Comparison) -> str:
    """Return the tables and sentences as markdown."""

    def escaped(text: str) -> str:
        return _MARKS.sub(
            lambda found: html.escape(found[0]) if found[0] in "<>&" else f"\\{found[0]}",
            as_text(text).replace("\n", " "),
        )

    blocks = []
    for kind, content in _blocks(comparison):
        if kind == "table":
            header, rows = content
            lines = [[escaped(cell) for cell in header], ["---"] * len(header)]
            lines += [[escaped(cell or "") for cell in row] for row in rows]
            blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        elif kind == "notes":
            blocks.append("\n".join(f"* {escaped(note)}" for note in content))
        else:
            blocks.append(f"{'## ' if kind == 'h3' else ''}{escaped(content)}")
    return "\n\n".join(blocks) + "\n"


def as_html(comparison: Comparison) -> str:
    """Return the tables and sentences as a piece of HTML."""
    import pandas as pd

    def escaped(text: str) -> str:
        return html.escape(as_text(text))

    blocks = [f"<style>{_STYLE}</style>"]
    for kind, content in _blocks(comparison):
        if kind == "table":
            cells = [[as_text(cell or "") for cell in row] for row in content[1]]
            frame = pd.DataFrame(cells, columns=[as_text(name) for name in content[0]])
            with pd.option_context("display.max_colwidth", None):
                blocks.append(frame.to_html(index=False, border=0, classes="dbgsom"))
        elif kind == "notes":
            blocks.append(f"<ul>{''.join(f'<li>{escaped(note)}</li>' for note in content)}</ul>")
        else:
            blocks.append(f"<{kind}>{escaped(content)}</{kind}>")
    return "\n".join(blocks)


def as_page(comparison: Comparison) -> str:
    """Return the tables and sentences as a page of HTML."""
    names = html.escape(as_text(", ".join(dict.fromkeys(r.experiment for r in comparison.runs))))
    head = f'<meta charset="utf-8"><title>{names}</title>'
    return (
        f"<!doctype html>\n<html><head>{head}</head><body>\n{as_html(comparison)}\n</body></html>\n"
    )


def _blocks(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    """Yield what a page shows: an element of HTML with its text, a table, or notes."""
    for table in comparison.tables:
        yield "h3", title_of(table)
        yield "b", table.sentence
        yield "table", columns_of(table, beside(table))
        for text in filter(None, (baseline_text(table), table.method)):
            yield "p", text
    for ranking in comparison.rankings:
        yield "h3", "Ranks over data sets"
        yield "b", ranking.sentence
        yield "table", rank_columns(ranking)
    notes = [f"{name}: damaged: {why}" for name, why in comparison.damaged.items()]
    if notes := [*comparison.notes, *notes]:
        yield "notes", notes
