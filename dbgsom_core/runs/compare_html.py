"""A comparison as HTML: tables with a dot and a line for each interval, in a notebook or a page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from dbgsom_core.errors import as_text
from dbgsom_core.runs.ranking import Row, Table
from dbgsom_core.runs.stats import LEVEL

_WIDTH, _HEIGHT, _MARGIN = 170, 20, 8  # of an interval, in pixels
_STYLE = (
    ".dbgsom .wide{overflow-x:auto}"
    ".dbgsom table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".dbgsom :is(th,td){padding:3px 14px 3px 0;text-align:right;border-bottom:1px solid #8884}"
    ".dbgsom th{vertical-align:bottom}.dbgsom td{white-space:nowrap}"
    ".dbgsom :is(th,td):first-child{text-align:left;white-space:normal;min-width:8em}"
    ".dbgsom svg{display:block;overflow:visible;fill:light-dark(#1f6feb,#79b8ff);"
    "stroke:light-dark(#1f6feb,#79b8ff)}"
    ".dbgsom .worse{fill:#888;stroke:#888}.dbgsom .zero{stroke:#8888;stroke-dasharray:2 2}"
    ".dbgsom text{stroke:none;fill:currentColor;font-size:11px;font-weight:400}"
)
_PAGE_STYLE = (
    ":root{color-scheme:light dark}"
    "body{margin:0 auto;max-width:1180px;padding:16px;font:15px/1.5 system-ui,sans-serif;"
    "background:light-dark(#fff,#16181d);color:light-dark(#22252b,#eceef2)}"
    "h1{font-size:24px;line-height:1.2;overflow-wrap:anywhere}"
    "h3{font-size:18px;font-weight:600;margin:28px 0 8px}"
    ".dbgsom p,.dbgsom li{max-width:75ch}.dbgsom p:not(.lead),.dbgsom li{"
    "color:light-dark(#565d69,#a9b0bc);font-size:13px}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'"


Block = tuple[str, Any]  # a kind, h3, b, p, li or table, and its content, see `compare.blocks`


def as_page(title: str, blocks: Iterable[Block]) -> str:
    title = html.escape(as_text(title))
    head = (
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>{_PAGE_STYLE}</style>"
    )
    body = f"<h1>{title}</h1>\n{as_html(blocks)}"
    head = f"<head>\n{head}\n</head>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


def as_html(blocks: Iterable[Block]) -> str:
    found = [f'<div class="dbgsom"><style>{_STYLE}</style>']
    for kind, content in blocks:
        if kind == "table":
            (header, rows), table = content
            found.append(_table(header, rows, None if table is None else _Intervals(table)))
        elif kind == "b":
            found.append(f'<p class="lead"><b>{_text(content)}</b></p>')
        else:
            found.append(f"<{kind}>{_text(content)}</{kind}>")
    return "\n".join([*found, "</div>"])


def _text(value: Any) -> str:
    return html.escape(as_text("" if value is None else value))


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str | None]], intervals: _Intervals | None
) -> str:
    """Return a table, with its intervals after the first column."""
    lines = []
    drawn = ["", *([""] * len(rows))]
    if intervals is not None:
        drawn = [f"<th>{intervals.axis()}</th>", *(f"<td>{one}</td>" for one in intervals.marks())]
    for cell, values, svg in zip(["th", *["td"] * len(rows)], [header, *rows], drawn, strict=True):
        texts = [_text(value) for value in values]
        if cell == "th":  # names of measures may be broken between their words
            texts = [text.replace("_", "_<wbr>") for text in texts]
        first, *others = (f"<{cell}>{text}</{cell}>" for text in texts)
        lines.append(f"<tr>{first}{svg}{''.join(others)}</tr>")
    return f'<div class="wide" tabindex="0"><table>\n{"".join(lines)}\n</table></div>'


class _Intervals:
    """The intervals of a table on one scale: differences from the best, or means ± deviation."""

    def __init__(self, table: Table) -> None:
        self._rows = table.rows
        self._of_differences = any(row.low is not None for row in table.rows)
        values = [one for row in table.rows for one in self._ends(row) if math.isfinite(one)]
        self._low, self._high = min(values, default=0.0), max(values, default=0.0)

    def _ends(self, row: Row) -> tuple[float, float, float]:
        """Return a row's value, and the ends of its interval."""
        if not self._of_differences:
            spread = row.deviation if row.deviation is not None else 0.0
            return row.mean, row.mean - spread, row.mean + spread
        if row.difference is None:  # of the best, or of a row that shares no seed with it
            value = 0.0 if row is self._rows[0] else math.nan
            return value, value, value
        if row.low is None or row.high is None:
            return row.difference, row.difference, row.difference
        return row.difference, row.low, row.high

    def _x(self, value: float) -> str:
        width = self._high - self._low
        share = (value - self._low) / width if width > 0 else 0.5
        return f"{_MARGIN + share * (_WIDTH - 2 * _MARGIN):.1f}"

    def axis(self) -> str:
        what = "difference" if self._of_differences else "± deviation"
        low, high = (f"{one:.3g}" for one in (self._low, self._high))
        texts = f'<text x="0" y="14">{low}</text><text x="{_WIDTH}" y="14" text-anchor="end">'
        middle = f'<text x="{_WIDTH // 2}" y="14" text-anchor="middle">{what}</text>'
        return _svg(f"{texts}{high}</text>{middle}", what)

    def marks(self) -> list[str]:
        return [self._mark(row) for row in self._rows]

    def _mark(self, row: Row) -> str:
        value, low, high = self._ends(row)
        zero = ""
        if self._of_differences:
            x = self._x(0.0)
            zero = f'<line class="zero" x1="{x}" x2="{x}" y1="0" y2="{_HEIGHT}"/>'
        if not all(map(math.isfinite, (value, low, high))):
            return _svg(zero, "none")
        y = _HEIGHT // 2
        line = (
            f'<line x1="{self._x(low)}" x2="{self._x(high)}" y1="{y}" y2="{y}" stroke-width="2"/>'
        )
        dot = f'<circle cx="{self._x(value)}" cy="{y}" r="4"/>'
        kind = ' class="worse"' if row.holm is not None and row.holm < LEVEL else ""
        label = f"{value:.3g}, {low:.3g} to {high:.3g}"
        return _svg(f"{zero}<g{kind}>{line}{dot}</g>", label)


def _svg(content: str, label: str) -> str:
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return f'<svg {size} role="img" aria-label="{html.escape(label)}">{content}</svg>'
