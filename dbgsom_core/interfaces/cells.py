"""What stands in the cells of a table: numbers, dates, nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

NA_VALUES = ("", "NA", "N/A", "#N/A", "NaN", "-NaN", "<NA>", "NULL", "?", "-", ".")
MOST_FAULTS = 20  # that one message tells
ISO_DATES = "ISO8601"
_TIMES = {"": "", r" \d{1,2}:\d\d": " %H:%M", r" \d{1,2}:\d\d:\d\d": " %H:%M:%S"}
_DAYS = {
    r"\d{1,2}\.\d{1,2}\.\d{4}": ("%d.%m.%Y",),
    r"\d{1,2}\.\d{1,2}\.\d\d": ("%d.%m.%y",),
    r"\d{1,2}/\d{1,2}/\d{4}": ("%d/%m/%Y", "%m/%d/%Y"),
    r"\d{4}/\d{1,2}/\d{1,2}": ("%Y/%m/%d",),
}
_DATE_FORMS = [
    (
        re.compile(r"\d{4}-\d\d(-\d\d([ T]\d\d(:?\d\d){0,2}(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?)?)?"),
        ISO_DATES,
    ),
    *(
        (re.compile(day + time), form + clock)
        for day, forms in _DAYS.items()
        for time, clock in _TIMES.items()
        for form in forms
    ),
]
_SHOWN = 40  # letters of a cell that a message shows
GROUP_MARKS = {".": ".", ",": ",", "'": "'\u2019", " ": " \u00a0\u202f"}  # and their variants
_LEFT_OUT = {mark: str.maketrans("", "", all_) for mark, all_ in GROUP_MARKS.items()}
_DAY = np.timedelta64(1, "D")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_NUMBER = r"(?:0|[1-9](?:[\d.,'\u2019 \u00a0\u202f]*\d)?|0?[.,]\d+)"  # no code as 007 is
_MONEY = "$£¥¢\u20a0-\u20cf"
_LEADING = f"[A-Z]{{0,2}}[{_MONEY}]|EUR|USD|CHF|GBP|JPY|CNY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR"
_FOLLOWING = rf"(?![eE][+-]?\d)(?:[^\W\d_]|[%‰°\"″′{_MONEY}])(?:[^\s\d]|\s(?=[^\s\d])){{0,14}}[23]?"
_WITH_UNIT = re.compile(rf"[+-]?(?:({_LEADING})\s*[+-]?{_NUMBER}|{_NUMBER}\s*({_FOLLOWING}))")
_A_UNIT = re.compile(r"[^\s\d+\-.,'](.{0,38}\S)?")
_LONGEST = 60  # letters of a number with its unit
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?|[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


def told_faults(where: str, faults: Sequence[str], total: int | None = None) -> str:
    """Return faults of data as a message: one a line, at most 20, and how many more there are.

    ``total`` is how many there are, where ``faults`` are not all of them.
    """
    told = "\n".join(f"{where}, {fault}" for fault in faults[:MOST_FAULTS])
    more = len(faults) if total is None else total
    return told if more <= MOST_FAULTS else f"{told}\n{where}: … and {more - MOST_FAULTS} more"


def number(cell: str, decimal: str, thousands: str = "", unit: str = "") -> float | None:
    """Return the number that a cell is, nan and infinity included, true as 1; None for others.

    With a mark ``thousands`` digits may stand in groups of three, ``1.234,5``; a ``unit`` may
    follow or lead the number.
    """
    if unit:
        cell = without_unit(cell, unit)
    if thousands:
        cell = _ungrouped([cell], decimal, thousands)[0]
    if decimal == ",":
        if "." in cell:
            return None
        cell = cell.replace(",", ".")
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _ungrouped(cells: Sequence[str], decimal: str, thousands: str) -> list[str]:
    """Return cells without marks between thousands, where those stand as they have to."""
    grouped, left_out = _grouped(decimal, thousands).fullmatch, _LEFT_OUT[thousands]
    return [cell.translate(left_out) if grouped(cell) else cell for cell in cells]


@lru_cache(maxsize=16)
def _grouped(decimal: str, thousands: str) -> re.Pattern[str]:
    marks = re.escape(GROUP_MARKS[thousands])
    return re.compile(rf"[+-]?\d{{1,3}}([{marks}]\d{{3}})+({re.escape(decimal)}\d*)?")


def is_unit(text: str) -> bool:
    """Say whether a text may be the unit of a column: it does not begin as numbers do."""
    return _A_UNIT.fullmatch(text) is not None


def unit_of(cell: str) -> str:
    """Return the unit that follows or leads the number that a cell seems to be, or nothing."""
    match = _WITH_UNIT.fullmatch(cell) if len(cell) <= _LONGEST else None
    return "" if match is None else match[1] or match[2]


def without_unit(cell: str, unit: str) -> str:
    """Return a cell without the unit that follows or leads it: ``-5`` of ``-5 €`` and ``-€ 5``."""
    match = _around(unit).fullmatch(cell)
    return cell if match is None else match[3] or match[1] + match[2]


@lru_cache(maxsize=256)
def _around(unit: str) -> re.Pattern[str]:
    mark = re.escape(unit)
    return re.compile(rf"([+-]?)\s*{mark}\s*(.+)|(.+?)\s*{mark}")


def numbers(
    cells: Sequence[str], decimal: str, thousands: str = "", unit: str = ""
) -> NDArray[np.float64]:
    """Return the numbers that cells are, float64 (n,); nan for those that are none."""
    if unit:
        cells = [without_unit(cell, unit) for cell in cells]
    marked = "".join(cells)
    if thousands and any(mark in marked for mark in GROUP_MARKS[thousands]):
        cells = _ungrouped(cells, decimal, thousands)
        marked = "".join(cells)
    if "_" not in marked and not (decimal == "," and "." in marked):
        try:
            if decimal == ",":
                return np.array([float(cell.replace(",", ".")) for cell in cells])
            return np.array([float(cell) for cell in cells])
        except ValueError:
            pass  # one of them is none, or true
    read = [number(cell, decimal) for cell in cells]
    return np.array([np.nan if one is None else one for one in read], dtype=np.float64)


def number_problem(
    cell: str, decimal: str = ".", thousands: str = "", unit: str = ""
) -> str | None:
    """Return what keeps a cell from being a finite number, as the end of a sentence, or None."""
    whole, cell = cell, without_unit(cell, unit) if unit else cell
    value = number(cell, decimal, thousands)
    if value is not None and not math.isnan(value):
        return None if math.isfinite(value) else f"the value '{short(cell)}' is infinite"
    if _THOUSANDS.fullmatch(cell) and not _DECIMAL_COMMA.fullmatch(cell):
        mark = next(letter for letter in cell if letter in ".,")
        fits = mark != decimal and number(cell, decimal, mark) is not None
        cure = f", or set thousands: '{mark}'" if fits else ""
        return f"'{short(cell)}' is no number: write it without marks between thousands{cure}"
    if decimal == "." and _DECIMAL_COMMA.fullmatch(cell):
        return f"'{short(cell)}' is no number: set decimal: ',', or write it with a decimal point"
    if decimal == "," and number(cell, ".") is not None:
        return f"'{short(cell)}' is no number with the decimal mark ',': write it with that"
    if (found := unit_of(whole)) not in ("", unit):
        cure = f"convert it to '{unit}'" if unit else f"write it without '{found}'"
        return f"'{short(whole)}' is no number: {cure}"
    return f"'{short(cell)}' is no number"


def date_features(moments: NDArray[Any], parts: Sequence[str]) -> NDArray[np.float64]:
    """Return the parts of moments (n,), datetime64, as columns (n, P); see `Columns.dates`."""
    days, months = moments.astype("datetime64[D]"), moments.astype("datetime64[M]")
    made: dict[str, Callable[[], Any]] = {
        "ordinal": lambda: (moments - np.datetime64(0, "D")) / _DAY,
        "year": lambda: moments.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": lambda: months.astype(np.int64) % 12 + 1,
        "day": lambda: (days - months) / _DAY + 1,
        "weekday": lambda: (days.astype(np.int64) + 3) % 7,
        "hour": lambda: (moments - days).astype("timedelta64[h]").astype(np.int64),
    }
    return np.column_stack([np.asarray(made[part](), dtype=np.float64) for part in parts])


def moments_of(cells: Any, form: str) -> NDArray[Any]:
    """Return texts as moments in UTC, datetime64; NaT where one is no date of this form."""
    import pandas as pd

    parsed = pd.to_datetime(
        pd.Series(list(cells), dtype=object), format=form, errors="coerce", utc=True
    )
    return in_utc(parsed)


def in_utc(column: pd.Series) -> NDArray[Any]:
    """Return a column of datetime64 as an array (n,) in UTC."""
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(column.to_numpy(dtype="datetime64[us]"))


def short(cell: str) -> str:
    """Return as much of a cell as a message shows, on one line."""
    cell = " ".join(cell.split())
    return cell if len(cell) <= _SHOWN else cell[: _SHOWN - 1] + "…"


def date_forms(cells: Sequence[str], given: str | None = None) -> list[str]:
    """Return the forms in which all cells are dates, `Columns.dates`; of ``given`` if that fits.

    More than one fits where days and months cannot be told apart.
    """
    if given is not None:
        return [given] if len(cells) and not np.isnat(moments_of(cells, given)).any() else []
    fitting = [
        form
        for pattern, form in _DATE_FORMS
        if len(cells) and all(pattern.fullmatch(cell) for cell in cells)
    ]
    return [form for form in fitting if not np.isnat(moments_of(cells, form)).any()]
