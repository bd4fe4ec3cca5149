"""Text cells of a table to numbers and dates, a column at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NA_VALUES = ("", "NA", "N/A", "#N/A", "NaN", "-NaN", "<NA>", "NULL", "?", "-", ".")
ISO_DATES = "ISO8601"
GROUP_MARKS = {".": ".", ",": ",", "'": "'\u2019", " ": " \u00a0\u202f"}  # and their variants
_SHOWN = 40  # characters of a cell in a message
_LONGEST = 60  # characters of a number with its unit

_VALID = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))$"
_IN_PARENTHESES = r"(?s)^\((\s*[^-+()\s].*)\)$"  # (5) is -5 in accounting
_BLANK = r"[\s\p{Z}]*"
_DECIMAL_COMMA = r"[+-]?\d+,\d+"
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?|[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_NUMBER = r"(?:0|[1-9](?:[\d.,'\u2019 \u00a0\u202f]*\d)?|0?[.,]\d+)"  # no code such as 007
_MONEY = "$£¥¢\u20a0-\u20cf"
_LEADING = f"[A-Z]{{0,2}}[{_MONEY}]|EUR|USD|CHF|GBP|JPY|CNY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR"
_FOLLOWING = rf"(?![eE][+-]?\d)(?:[^\W\d_]|[%‰°\"″′{_MONEY}])(?:[^\s\d]|\s(?=[^\s\d])){{0,14}}[23]?"
_WITH_UNIT = re.compile(rf"[+-]?(?:({_LEADING})\s*[+-]?{_NUMBER}|{_NUMBER}\s*({_FOLLOWING}))")
_A_UNIT = re.compile(r"[^\s\d+\-.,'](.{0,38}\S)?")

_ISO = re.compile(r"\d{4}-\d\d(-\d\d([ T]\d\d.*)?)?")
_FORMS = [
    f"{day}{time}"
    for day in ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d")
    for time in ("", " %H:%M", " %H:%M:%S")
]
_DAY = np.timedelta64(1, "D")


def is_missing(texts: pa.Array, words: Sequence[str] = NA_VALUES) -> NDArray[np.bool_]:
    """Return which texts (n,) are null or one of the words, ignoring case.

    Blanks around them do not count.
    """
    upper = pc.utf8_upper(pc.utf8_trim_whitespace(texts))
    known = pc.is_in(upper, value_set=_upper(tuple(words)))
    return to_bool(pc.or_kleene(known, pc.is_null(texts)))


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
    known = None
    if decimal == ".":
        known = _cast(texts)
    elif not thousands and not pc.any(pc.match_substring(texts, ".")).as_py():
        known = _cast(pc.replace_substring(texts, ",", "."))
    if known is not None and not (np.isnan(known).any() and "NAN" not in _words(tuple(words))):
        return known, np.zeros(len(known), dtype=bool)
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
        values = np.array([math.nan if cell is None else float(cell) for cell in cells.to_pylist()])
    missing = is_missing(texts, words)
    values[missing] = np.nan
    return values, ~(missing | to_bool(valid))


def number(cell: str, decimal: str = ".", thousands: str = "", unit: str = "") -> float | None:
    values, bad = parse_numbers(pa.array([cell]), decimal, thousands, unit, ())
    return None if bad[0] else float(values[0])


def number_problem(
    cell: str, decimal: str = ".", thousands: str = "", unit: str = ""
) -> str | None:
    """Return why a text is no finite number, as the end of a sentence, or None."""
    whole = cell.strip()
    cell = without_unit(pa.array([whole]), unit)[0].as_py()
    value = number(cell, decimal, thousands)
    if value is not None and not math.isnan(value):
        return None if math.isfinite(value) else f"the value '{short(cell)}' is infinite"
    if any(character.isdecimal() and not character.isascii() for character in cell):
        return f"'{short(cell)}' is no number: write it with the digits 0 to 9"
    has_comma = re.fullmatch(_DECIMAL_COMMA, cell)
    if _THOUSANDS.fullmatch(cell) and not has_comma:
        mark = next(character for character in cell if character in ".,")
        fits = mark != decimal and number(cell, decimal, mark) is not None
        cure = f", or give thousands as '{mark}'" if fits else ""
        return f"'{short(cell)}' is no number: write it without marks between thousands{cure}"
    if decimal == "." and has_comma:
        return f"'{short(cell)}' is no number: give decimal as ',', or write a decimal point"
    if decimal == "," and number(cell) is not None:
        return f"'{short(cell)}' has a decimal point; this table uses decimal commas: write one"
    if (found := unit_of(whole)) not in ("", unit):
        cure = f"convert it to '{unit}'" if unit else f"write it without '{found}'"
        return f"'{short(whole)}' is no number: {cure}"
    return f"'{short(cell)}' is no number"


def has_other_decimal(texts: pa.Array, decimal: str) -> NDArray[np.bool_]:
    pattern = _DECIMAL_COMMA if decimal == "." else r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?"
    return to_bool(pc.match_substring_regex(pc.utf8_trim_whitespace(texts), f"^(?:{pattern})$"))


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
    return "" if match is None else match[1] or match[2]


def without_unit(texts: pa.Array, unit: str = "") -> pa.Array:
    """Return texts without the unit before or after them: ``-5`` of ``-€ 5`` and ``(5 €)``.

    Accounting's parentheses become a sign, with and without a unit.
    """
    cells = pc.replace_substring_regex(texts, _IN_PARENTHESES, r"-\1")
    if unit:
        mark = re.escape(unit)
        leading, following = (
            rf"(?s)^([+-]?){_BLANK}{mark}{_BLANK}(.+)$",
            rf"(?s)^(.*\S){_BLANK}{mark}$",
        )
        led = pc.match_substring_regex(cells, leading)
        cells = pc.if_else(
            led,
            pc.replace_substring_regex(cells, leading, r"\1\2"),
            pc.utf8_trim_whitespace(pc.replace_substring_regex(cells, following, r"\1")),
        )
    return cells


def parse_dates(texts: pa.Array, form: str) -> NDArray[np.datetime64]:
    """Return texts (n,) as UTC timestamps, datetime64[us]; NaT where invalid.

    ``form`` is for `datetime.strptime`, or `ISO_DATES`.
    """
    encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(texts))
    moments = [_moment(cell or "", form) for cell in encoded.dictionary.to_pylist()]
    found: NDArray[np.datetime64] = np.array([*moments, None], dtype="datetime64[us]")
    return np.asarray(found[np.asarray(pc.fill_null(encoded.indices, -1))])


def _moment(cell: str, form: str) -> datetime | None:
    try:
        if form != ISO_DATES:
            moment = datetime.strptime(cell, form)
        elif _ISO.fullmatch(cell):
            moment = datetime.fromisoformat(f"{cell}-01" if len(cell) == 7 else cell)
        else:
            return None
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def date_forms(cells: Sequence[str], given: str | None = None, share: float = 1.0) -> list[str]:
    """Return the date formats that at least a share of texts fit, of ``given`` if that fits.

    More than one fits where days and months cannot be told apart.
    """
    texts = pa.array([*cells], pa.string())
    read = {
        form: int((~np.isnat(parse_dates(texts, form))).sum())
        for form in ([ISO_DATES, *_FORMS] if given is None else [given])
        if len(cells)
    }
    most = max(read.values(), default=0)
    return [form for form, n in read.items() if n == most and 0 < n >= share * len(cells)]


def date_features(moments: NDArray[Any], parts: Sequence[str]) -> NDArray[np.float64]:
    """Return the parts of timestamps (n,), datetime64, as columns (n, P); see `Columns.dates`."""
    days, months = moments.astype("datetime64[D]"), moments.astype("datetime64[M]")
    columns = []
    for part in parts:
        if part == "ordinal":
            column: Any = (moments - np.datetime64(0, "D")) / _DAY
        elif part == "year":
            column = moments.astype("datetime64[Y]").astype(np.int64) + 1970
        elif part == "month":
            column = months.astype(np.int64) % 12 + 1
        elif part == "day":
            column = (days - months) / _DAY + 1
        elif part == "weekday":
            column = (days.astype(np.int64) + 3) % 7
        else:
            column = (moments - days).astype("timedelta64[h]").astype(np.int64)
        columns.append(np.where(np.isnat(moments), np.nan, np.asarray(column, dtype=np.float64)))
    return np.column_stack(columns)


def short(cell: str) -> str:
    """Return a cell's text, shortened to one line for messages."""
    cell = " ".join(cell.split())
    return cell if len(cell) <= _SHOWN else cell[: _SHOWN - 1] + "…"


def to_bool(mask: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)


def _cast(texts: pa.Array) -> NDArray[np.float64] | None:
    try:
        numbers = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.array(numbers.to_numpy(zero_copy_only=False))  # null is nan


@lru_cache(maxsize=16)
def _words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip().upper() for word in words))


@lru_cache(maxsize=16)
def _upper(words: tuple[str, ...]) -> pa.Array:
    return pa.array(_words(words), pa.string())
