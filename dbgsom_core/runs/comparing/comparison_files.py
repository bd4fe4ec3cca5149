"""A comparison as a data frame, CSV, HTML or markdown."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbgsom_core.errors import DataError, as_text
from dbgsom_core.runs.comparing.deciding import with_arrow
from dbgsom_core.runs.comparing.sentences import (
    baseline_told,
    differences_of,
    mean_of,
    number,
    value_of,
)
from dbgsom_core.runs.folder import write_text

if TYPE_CHECKING:
    import pandas as pd

    from dbgsom_core.runs.comparing.compared import Compared, Ranking, Row, Table

_MARKS = re.compile(r"([\\`*\[\]|~$<>&]|(?<!\w)_|_(?!\w))")
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would compute


def columns_of(
    table: Table, others: Sequence[str] = ()
) -> tuple[list[str], list[list[str | None]]]:
    """Return the header and the cells of a table, as people read it.

    ``others`` are measures to be shown beside the one that decides.
    """
    tested = any(row.p is not None for row in table.rows)
    paired = any(row.difference is not None for row in table.rows)
    counts = len({count_of(row) for row in table.ranked}) > 1
    header = ["variant", *["n"] * counts]
    header.append(with_arrow(table.decision.measure, table.decision.end))
    header += ["adjusted"] * table.is_adjusted
    header += [f"difference{' (95 % CI)' * tested}"] * paired + ["p"] * tested
    header += ["corrected p"] * (tested and table.tests > 1)
    header += [
        with_arrow(name.removeprefix(f"{table.decision.split}/"), table.ends.get(name, ""))
        for name in others
    ]
    rows: list[list[str | None]] = []
    for row, difference in zip(table.rows, differences_of(table.rows), strict=True):
        cells: list[str | None] = [row.variant]
        if counts:
            cells.append(count_of(row))
        cells.append(mean_of(row) if row.mean == row.mean else None)
        if table.is_adjusted:
            cells.append(value_of(row.adjusted, row.deviation).partition(" ")[0])
        if paired:
            cells.append(difference)
        if tested:
            cells.append(_probability(row.p))
        if tested and table.tests > 1:
            cells.append(_probability(row.holm))
        cells += [
            value_of(*row.measures[name]) if name in row.measures else None for name in others
        ]
        rows.append(cells)
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


def ranking_columns(ranking: Ranking) -> tuple[list[str], list[list[str | None]]]:
    """Return the header and the cells of mean ranks over data sets."""
    rows: list[list[str | None]] = [
        [variant, number(float(mean)), *(number(float(one)) for one in of)]
        for variant, mean, of in zip(ranking.variants, ranking.means, ranking.ranks, strict=True)
    ]
    return ["variant", "mean rank", *ranking.tables], rows


def about(table: Table) -> str:
    """Return what a table is of: data, measure, direction, and how many seeds and folds."""
    decision, facts = table.decision, table.data
    told = [table.name]
    if {"samples", "features"} <= set(facts):
        told.append(f"{facts['samples']} × {facts['features']}")
    part = f" on the {decision.split} part" if decision.split else ""
    better = "greater" if decision.greater_is_better else "less"
    measure = f"|{decision.measure}|" if decision.from_zero else decision.measure
    told.append(f"by {measure}{part} ({better} is better)")
    counts = {count_of(row) for row in table.ranked}
    return ", ".join([*told, *(counts if len(counts) == 1 else ())])


def records(comparison: Compared) -> list[dict[str, Any]]:
    """Return a flat record for each variant on each data set.

    What tells variants apart has columns of its own where all variants have it.
    """
    rows = [
        (table, rank, row) for table in comparison.tables for rank, row in enumerate(table.rows)
    ]
    shared = [
        key
        for key in _keys(row.fields for _, _, row in rows)
        if all(key in row.fields for _, _, row in rows)
    ]
    measures = _keys(row.measures for _, _, row in rows)
    found = []
    for table, rank, row in rows:
        record: dict[str, Any] = {"data": table.name, "rank": rank + 1, "variant": row.variant}
        record |= {key.removeprefix("model."): row.fields[key] for key in shared}
        record |= {
            "measure": table.decision.name,
            "best": table.decision.end,
            "seeds": row.seeds,
            "folds": row.folds,
            "baseline": table.baseline,
            "mean": row.mean,
            "std": row.deviation,
            "adjusted": row.adjusted,
            "difference": row.difference,
            "low": row.low,
            "high": row.high,
            "effect": row.effect,
            "p": row.p,
            "holm": row.holm,
            "pairs": row.pairs,
            "runs": " ".join(row.runs),
        }
        for name in measures:
            mean, _ = row.measures.get(name, (None, None))
            record[name] = mean
        found.append(record)
    return found


def _keys(several: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for one in several for key in one))


def as_frame(comparison: Compared) -> pd.DataFrame:
    """Return the records as a data frame."""
    import pandas as pd

    frame = pd.DataFrame.from_records(records(comparison))
    frame.attrs["best"] = {k: v for table in comparison.tables for k, v in table.ends.items()}
    return frame


def save(comparison: Compared, path: Path) -> None:
    """Write a comparison by the ending of the file: .csv, .html or .md.

    Raises
    ------
    DataError
        It has another ending, or cannot be written.
    """
    check_ending(path)
    text = {".csv": as_csv, ".html": as_page, ".md": as_markdown}[path.suffix.lower()](comparison)
    try:
        write_text(path, text)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


def check_ending(path: Path) -> None:
    """Raise DataError where no form of a comparison has this ending."""
    if path.suffix.lower() not in (".csv", ".html", ".md"):
        raise DataError(f"'{path.name}' ends in none of .csv, .html and .md")


def as_csv(comparison: Compared) -> str:
    """Return the records as CSV; texts that a spreadsheet would compute are quoted as text."""
    stream = io.StringIO()
    found = records(comparison)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([as_text(key) for key in found[0]] if found else [])
    for record in found:
        writer.writerow([_csv_cell(value) for value in record.values()])
    return stream.getvalue()


def _csv_cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return repr(value)
    text = as_text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_markdown(comparison: Compared) -> str:
    """Return the tables and sentences as markdown."""
    blocks = []
    for table in comparison.tables:
        blocks += [
            f"## {_mark(about(table))}",
            _mark(table.sentence),
            _markdown_table(*columns_of(table, beside(table))),
            _mark(baseline_told(table)),
            _mark(table.method),
        ]
    for ranking in comparison.rankings:
        blocks += [
            "## Ranks over data sets",
            _mark(ranking.sentence),
            _markdown_table(*ranking_columns(ranking)),
        ]
    notes = _notes(comparison)
    if notes:
        blocks.append("\n".join(f"* {_mark(note)}" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    lines = [[_mark(cell) for cell in header], ["---"] * len(header)]
    lines += [[_mark(cell or "") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mark(text: str) -> str:
    return _MARKS.sub(
        lambda found: html.escape(found[0]) if found[0] in "<>&" else f"\\{found[0]}",
        as_text(text).replace("\n", " "),
    )


def beside(table: Table, most: int = 2) -> list[str]:
    """Return the few measures that most people look at beside the one that decides."""
    part = table.decision.split or "train"
    wanted = (
        f"{part}/{name}" for name in ("accuracy", "r2", "quantization_error", "topographic_error")
    )
    have = _keys(row.measures for row in table.rows)
    return [name for name in wanted if name in have and name != table.decision.name][:most]


def _notes(comparison: Compared) -> list[str]:
    damaged = (f"{name}: damaged: {why}" for name, why in comparison.damaged.items())
    return [*comparison.notes, *damaged]


_STYLE = (
    "table.dbgsom{border-collapse:collapse;font:14px system-ui,sans-serif}"
    ".dbgsom th,.dbgsom td{padding:.2em .8em;text-align:right;border-bottom:1px solid #8884}"
    ".dbgsom :is(th,td):first-child{text-align:left}"
)


def as_html(comparison: Compared) -> str:
    """Return the tables and sentences as a piece of HTML."""
    blocks = [f"<style>{_STYLE}</style>"]
    for table in comparison.tables:
        blocks.append(f"<h3>{_escaped(about(table))}</h3><p><b>{_escaped(table.sentence)}</b></p>")
        blocks.append(_html_table(*columns_of(table, beside(table))))
        if told := baseline_told(table):
            blocks.append(f"<p>{_escaped(told)}</p>")
        blocks.append(f"<p><small>{_escaped(table.method)}</small></p>")
    for ranking in comparison.rankings:
        blocks.append(f"<h3>Ranks over data sets</h3><p><b>{_escaped(ranking.sentence)}</b></p>")
        blocks.append(_html_table(*ranking_columns(ranking)))
    notes = _notes(comparison)
    if notes:
        blocks.append(f"<ul>{''.join(f'<li>{_escaped(note)}</li>' for note in notes)}</ul>")
    return "\n".join(blocks)


def as_page(comparison: Compared) -> str:
    """Return the tables and sentences as a page of HTML."""
    names = ", ".join(dict.fromkeys(run.experiment for run in comparison.runs))
    head = f'<meta charset="utf-8"><title>{_escaped(names)}</title>'
    return (
        f"<!doctype html>\n<html><head>{head}</head><body>\n{as_html(comparison)}\n</body></html>\n"
    )


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    head = "".join(f"<th>{_escaped(cell)}</th>" for cell in header)
    body = (
        f"<tr>{''.join(f'<td>{_escaped(cell or str())}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<table class="dbgsom"><tr>{head}</tr>\n' + "\n".join(body) + "</table>"


def _escaped(text: str) -> str:
    return html.escape(as_text(text))
