"""Text cells of a table to numbers and dates, a column at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NA_VALUES = ("", "NA", "N/A", "#N/A", "NaN", "-NaN", "<NA>", "NULL", "?", "-", ".")
ISO_DATES = "ISO8601"
PARTS = ("year", "month", "day", "weekday", "hour")  # that a date may become
_PANDAS_FIELDS = {"weekday": "day_of_week"}
GROUP_MARKS = {".": ".", ",": ",", "'": "'\u2019", " ": " \u00a0\u202f"}  # and their variants
# Decimal marks and what stands between thousands, the usual ones first.
NUMBER_MARKS = [
    (".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", "'"), (",", " "), (".", " "),
]  # fmt: skip
_SHOWN = 40  # characters of a cell in a message
_LONGEST = 60  # characters of a number with its unit

_VALID = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))$"
_IN_PARENTHESES = r"(?s)^\((\s*[^-+()\s].*)\)$"  # (5) is -5 in accounting
_BLANK = r"[\s\p{Z}]*"
_NUMBER = r"(?:0|[1-9](?:[\d.,'\u2019 \u00a0\u202f]*\d)?|0?[.,]\d+)"  # no code such as 007
_MONEY = "$£¥¢\u20a0-\u20cf"
_LEADING = f"[A-Z]{{0,2}}[{_MONEY}]|EUR|USD|CHF|GBP|JPY|CNY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR"
_FOLLOWING = rf"(?![eE][+-]?\d)(?:[^\W\d_]|[%‰°\"″′{_MONEY}])(?:[^\s\d]|\s(?=[^\s\d])){{0,14}}[23]?"
_WITH_UNIT = re.compile(rf"[+-]?(?:({_LEADING})\s*[+-]?{_NUMBER}|{_NUMBER}\s*({_FOLLOWING}))")
_A_UNIT = re.compile(r"[^\s\d+\-.,'](.{0,38}\S)?")

_DAYS = ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d")
_DATE_FORMS = list(map("".join, product(_DAYS, ("", " %H:%M", " %H:%M:%S"))))


def is_missing(texts: pa.Array, words: Sequence[str] = NA_VALUES) -> NDArray[np.bool_]:
    """Return which texts (n,) are null or one of the words, ignoring case.

    Blanks around them do not count.
    """
    upper = pc.utf8_upper(pc.utf8_trim_whitespace(texts))
    known = pa.array([word.strip().upper() for word in words], pa.string())
    is_word = pc.is_in(upper, value_set=known)
    return to_bool(pc.or_kleene(is_word, pc.is_null(texts)))


def parse_numbers(
    texts: pa.Array,
    decimal: str = ".",
    thousands: str = "",
    unit: str = "",
    words: Sequence[str] = NA_VALUES,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return texts (n,) as float64 numbers, nan where missing or invalid, and which are invalid.

    ``true`` and ``false`` are 1 and 0, ``(5)`` is -5, and infinity is a number. ``thousands``, of
    `GROUP_MARKS`, may stand between groups of three digits; ``unit`` may follow or lead the number;
    ``words`` say that a number is missing, in any case of letters.
    """
    if decimal == ".":
        values = _cast(texts)  # most columns are plain numbers
        if values is not None and not np.isnan(values).any():
            return values, np.zeros(len(values), dtype=bool)
    cells = without_unit(pc.utf8_trim_whitespace(texts), unit)
    if thousands:
        marks = re.escape(GROUP_MARKS[thousands])
        grouped = rf"^[+-]?\d{{1,3}}(?:[{marks}]\d{{3}})+(?:{re.escape(decimal)}\d*)?$"
        plain = pc.replace_substring_regex(cells, f"[{marks}]", "")
        cells = pc.if_else(pc.match_substring_regex(cells, grouped), plain, cells)
    if decimal == ",":
        dotted = pc.match_substring(cells, ".")
        cells = pc.if_else(dotted, "no number", pc.replace_substring(cells, ",", "."))
    cells = pc.replace_substring_regex(cells, "^(?i:true)$", "1")
    cells = pc.replace_substring_regex(cells, "^(?i:false)$", "0")
    valid = pc.match_substring_regex(cells, _VALID)
    cells = pc.if_else(valid, pc.utf8_ltrim(cells, "+"), pa.scalar(None, cells.type))
    values = _cast(cells)
    if values is None:  # beyond what pyarrow reads
        values = np.array(cells.to_pylist(), dtype=np.float64)  # None is nan
    missing = is_missing(texts, words)
    values[missing] = np.nan
    return values, ~(missing | to_bool(valid))


def number(cell: str, decimal: str = ".", thousands: str = "", unit: str = "") -> float | None:
    """Return the number in a text, or None."""
    values, bad = parse_numbers(pa.array([cell]), decimal, thousands, unit, ())
    if bad[0]:
        return None
    return float(values[0])


def number_problem(cell: str, decimal: str, thousands: str, unit: str, hint: str = "") -> str:
    """Return why a text is no number, as the end of a sentence.

    ``hint`` ends it where nothing about the text says what may be done.
    """
    cell = cell.strip()
    for mark, group in NUMBER_MARKS:
        if number(cell, mark, group, unit) is not None:
            hint = f": give decimal as '{mark}'"
            if group:
                hint += f" and thousands as '{group}'"
            break
    other = unit_of(cell)
    if other and unit:
        hint = f": convert it to '{unit}'"
    elif other:
        hint = f": set units, or write it without '{other}'"
    return f"'{short(cell)}' is no number{hint}"


def is_unit(text: str) -> bool:
    """Return whether a text may be the unit of a column: it does not begin as numbers do."""
    return _A_UNIT.fullmatch(text) is not None


def unit_of(cell: str) -> str:
    """Return the unit before or after the number in a text, or an empty text."""
    if len(cell) > _LONGEST:
        return ""
    if cell.startswith("(") and cell.endswith(")"):
        cell = cell[1:-1]
    match = _WITH_UNIT.fullmatch(cell)
    if match is None:
        return ""
    return match[1] or match[2]


def without_unit(texts: pa.Array, unit: str = "") -> pa.Array:
    """Return texts without the unit before or after them: ``-5`` of ``-€ 5`` and ``(5 €)``.

    Accounting's parentheses become a sign, with and without a unit.
    """
    cells = pc.replace_substring_regex(texts, _IN_PARENTHESES, r"-\1")
    if not unit:
        return cells
    mark = re.escape(unit)
    leading = rf"(?s)^([+-]?){_BLANK}{mark}{_BLANK}(.+)$"
    following = rf"(?s)^(.*\S){_BLANK}{mark}$"
    without_following = pc.replace_substring_regex(cells, following, r"\1")
    without_leading = pc.replace_substring_regex(cells, leading, r"\1\2")
    is_leading = pc.match_substring_regex(cells, leading)
    return pc.if_else(is_leading, without_leading, pc.utf8_trim_whitespace(without_following))


def parse_dates(texts: pa.Array, form: str) -> NDArray[np.datetime64]:
    """Return texts (n,) as UTC timestamps, datetime64[us]; NaT where invalid.

    ``form`` is for `datetime.strptime`, or `ISO_DATES`.
    """
    import pandas as pd  # is slow to import, and few tables have dates

    cells = pd.Series(pc.utf8_trim_whitespace(texts).to_pylist(), dtype=object)
    moments = pd.to_datetime(cells, format=form, errors="coerce", utc=True)
    return np.array(moments.dt.tz_localize(None), dtype="datetime64[us]")


def date_forms(cells: Sequence[str], given: str | None = None, share: float = 1.0) -> list[str]:
    """Return the date formats that at least a share of texts fit, of ``given`` if that fits.

    More than one fits where days and months cannot be told apart.
    """
    texts = pa.array([*cells], pa.string())
    candidates = [ISO_DATES, *_DATE_FORMS]
    if given is not None:
        candidates = [given]
    counts = {}
    for form in candidates:
        counts[form] = int(np.count_nonzero(~np.isnat(parse_dates(texts, form))))
    most = max(1, share * len(cells), *counts.values())
    return [form for form, count in counts.items() if count >= most]


def date_features(moments: NDArray[Any], parts: Sequence[str]) -> NDArray[np.float64]:
    """Return the parts of timestamps (n,), datetime64, as columns (n, P); see `Columns.dates`."""
    import pandas as pd

    columns = []
    for part in parts:
        if part == "ordinal":
            days = (moments - np.datetime64(0, "D")) / np.timedelta64(1, "D")
            columns.append(np.where(np.isnat(moments), np.nan, days))
        else:
            field = _PANDAS_FIELDS.get(part, part)
            values = getattr(pd.DatetimeIndex(moments), field)
            columns.append(np.asarray(values, np.float64))
    return np.column_stack(columns)


def short(cell: str) -> str:
    """Return a cell's text, shortened to one line for messages."""
    cell = " ".join(cell.split())
    if len(cell) > _SHOWN:
        return cell[: _SHOWN - 1] + "…"
    return cell


def to_bool(mask: Any) -> NDArray[np.bool_]:
    """Return a mask of pyarrow as an array; null is false."""
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)


def _cast(texts: pa.Array) -> NDArray[np.float64] | None:
    try:
        numbers = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.array(numbers.to_numpy(zero_copy_only=False))  # null is nan
