"""What a column of a table seems to hold, by the distinct cells of some of its rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dbgsom_core.tables import (
    GROUP_MARKS,
    NA_VALUES,
    date_forms,
    is_missing,
    parse_numbers,
    unit_of,
    without_unit,
)

Kind = Literal["number", "category", "date", "id", "text", "constant", "empty"]
MOST_CLASSES = 20  # distinct values of a target of classes, and of a category
_REPEATED = 0.5  # a category has fewer values than this share of the rows
_UNIQUE = 0.99  # share of distinct values from which on a column identifies its rows
_NUMBERS = 0.9  # share of numbers from which on the words beside them say that one is missing
_MOST_WORDS = 3
_FIRST = 100  # distinct cells among which there is a unit, or none in the column
_CHECKED = 2000  # distinct cells that are matched with patterns
_ID = re.compile(
    r"(?i)(.*[_\s.-])?(id|ids|uuid|guid|nr|no|key|index|idx|identifier|lfdnr|nummer|rowid)"
    r"|.*(Id|ID|Nr|_id)|unnamed.*"
)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_EITHER_MARK = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # 1.234, whose point may part thousands
_NEARLY_NUMBER = re.compile(
    r"\(?[^\w\s]?\s*[+-]?(?!0\d)\d{1,3}([.,' \u00a0\u202f]?\d{3})*([.,]\d+)?"
    r"\s*(%|[^\W\d]{1,4}|[$€£¥])?\)?"
)


class Cells(NamedTuple):
    """The distinct cells of a column, stripped text, and how many rows have each."""

    texts: pa.Array
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, column: Any) -> Cells:
        """Return the cells of a column of text; null is empty."""
        stripped = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
        pairs = pc.value_counts(stripped)
        return cls(pairs.field(0), pairs.field(1).to_numpy())

    def filter(self, chosen: NDArray[np.bool_]) -> Cells:
        """Return some of them."""
        return Cells(self.texts.filter(pa.array(chosen)), self.counts[chosen])

    def present(self, words: Collection[str] = ()) -> Cells:
        """Return those that do not say that a value is missing."""
        return self.filter(~is_missing(self.texts, (*NA_VALUES, *words)))

    def first(self) -> list[str]:
        """Return some of the texts, to be matched with patterns."""
        found: list[str] = self.texts.slice(0, _CHECKED).to_pylist()
        return found


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a table and what it seems to hold.

    Attributes
    ----------
    place : int
        From 0.
    name : str
    kind : str
    values : int
        Distinct values that were seen.
    missing : float
        Share of the rows without a value.
    words : tuple of str
        Words for a missing value, beside the usual ones.
    date_formats : tuple of str
        All in which its dates can be read.
    spread : float
        Standard deviation of its numbers.
    whole : bool
        All numbers are integers.
    examples : tuple of str
        The most frequent values first.
    rarest : int
        Rows of the rarest value.
    unit : str
        Follows or leads its numbers.
    note : str
        What keeps its cells from being numbers; of numbers those that may be codes: 0, 1, 4, 17.
    """

    place: int
    name: str
    kind: Kind
    values: int = 0
    missing: float = 0.0
    words: tuple[str, ...] = ()
    date_formats: tuple[str, ...] = ()
    spread: float = 0.0
    whole: bool = False
    examples: tuple[str, ...] = ()
    rarest: int = 0
    unit: str = ""
    note: str = ""

    @property
    def has_classes(self) -> bool:
        """Whether its values can be classes: few words, or few integers."""
        few = 2 <= self.values <= MOST_CLASSES
        return few and (self.kind == "category" or (self.kind == "number" and self.whole))

    @property
    def is_binary(self) -> bool:
        """Whether its values are 0 and 1, or false and true."""
        values = {one.lower().removesuffix(".0") for one in self.examples}
        return self.kind == "number" and values in ({"0", "1"}, {"false", "true"})


def profile_columns(
    names: Sequence[str], columns: Sequence[Cells], decimal: str = ".", thousands: str = ""
) -> list[ColumnProfile]:
    """Return the profiles of all columns.

    A word for a missing value in one column is one in all of them, as for the readers of tables.
    """
    words: set[str] = set()
    while True:
        found = [
            profile_column(place, name, cells, decimal, thousands, words)
            for place, (name, cells) in enumerate(zip(names, columns, strict=True))
        ]
        more = {word for column in found for word in column.words} - words
        if not more:
            return found
        words |= more


def profile_column(
    place: int,
    name: str,
    cells: Cells,
    decimal: str = ".",
    thousands: str = "",
    words: Collection[str] = (),
) -> ColumnProfile:
    """Return the profile of a column.

    Parameters
    ----------
    place : int
    name : str
    cells : Cells
    decimal, thousands : str
        The marks of its numbers.
    words : collection of str
        Words for a missing value, beside the usual ones.
    """
    known = cells.present(words)
    said = {*words}.intersection(cells.texts.to_pylist() if words else ())
    if not len(known.texts):
        return ColumnProfile(place, name, "empty", missing=1.0, words=tuple(sorted(said)))
    named_id = _ID.fullmatch(name) is not None
    units = Counter[str]() if named_id else _units(known.first())
    unit = common_unit(known) if units else ""
    values, odd = parse_numbers(known.texts, decimal, thousands, unit, ())
    words_left = known.filter(odd)
    bare = unit and any(unit_of(cell) != unit for cell in known.filter(~odd).texts.to_pylist())
    numeric = not odd.any() and not bare
    if odd.any() and not bare and len(words_left.texts) <= _MOST_WORDS:
        few = words_left.counts.sum() <= (1 - _NUMBERS) * known.counts.sum()
        numeric = bool(few) and not any(map(unit_of, words_left.texts.to_pylist()))
        if numeric:
            said.update(words_left.texts.to_pylist())
            known, values = known.filter(~odd), values[~odd]
    rows = int(known.counts.sum())
    unique = len(known.texts) >= _UNIQUE * rows and rows > MOST_CLASSES
    kind: Kind = "constant"
    whole, note, formats = False, "", tuple[str, ...]()
    if len(known.texts) > 1 and numeric:
        plain = without_unit(known.texts, unit)
        whole = bool((values == np.floor(values)).all())
        whole = whole and not pc.any(pc.match_substring_regex(plain, r"[.,]|\d[eE]")).as_py()
        kind = _number_kind(plain, values, whole, unique and not unit, named_id)
        if kind == "number" and whole and not unit:
            note = _code_note(values, known.counts)
    elif len(known.texts) > 1:
        formats = tuple(date_forms(known.first()))
        kind, note = _text_kind(known, units, unique, named_id, place)
        if formats:
            kind, note = "date", ""
    often = np.argsort(-known.counts, kind="stable")[:4]
    return ColumnProfile(
        place,
        name,
        kind,
        values=len(known.texts),
        missing=1 - rows / int(cells.counts.sum()),
        words=tuple(sorted(said)),
        date_formats=formats,
        spread=_deviation(values, known.counts) if kind == "number" else 0.0,
        whole=whole,
        examples=tuple(known.texts.take(pa.array(often)).to_pylist()),
        rarest=int(known.counts.min()),
        unit=unit if numeric else "",
        note=note,
    )


def common_unit(cells: Cells) -> str:
    """Return the unit with which nearly all of some distinct cells are numbers; empty: none."""
    some = cells.present().first()
    units = _units(some)
    unit, times = units.most_common(1)[0] if units else ("", 0)
    return unit if times >= _NUMBERS * len(some) else ""


def decimal_mark(columns: Sequence[Cells], comma_parts_fields: bool = False) -> str:
    """Return the decimal mark that most columns use.

    ``1,234`` in quotes, where commas part fields, is a number of thousands.
    """
    commas = points = 0
    for cells in columns:
        some = [cell for cell in cells.first() if any(map(str.isdigit, cell))]
        with_comma = [cell for cell in some if _DECIMAL_COMMA.fullmatch(cell)]
        clear = not comma_parts_fields or not all(map(_EITHER_MARK.fullmatch, with_comma))
        commas += clear and len(with_comma) > len(some) / 4
        pointed = [cell for cell in some if _DECIMAL_POINT.fullmatch(cell)]
        points += not all(map(_EITHER_MARK.fullmatch, pointed)) and len(pointed) > len(some) / 4
    return "," if commas > points else "."


def thousands_mark(columns: Sequence[Cells], decimal: str) -> str:
    """Return the mark between thousands by which a column is one of numbers; empty: none."""
    for mark in GROUP_MARKS:
        for cells in columns if mark != decimal else ():
            texts = pa.array(cells.present().first(), pa.string())
            odd = parse_numbers(texts, decimal, words=())[1]
            still = parse_numbers(texts, decimal, mark, words=())[1]
            if still.sum() < odd.sum() and still.sum() <= (1 - _NUMBERS) * len(texts):
                return mark
    return ""


def ambiguous_marks(names: Sequence[str], columns: Sequence[Cells], decimal: str) -> list[str]:
    """Return a sentence for each column whose decimal marks could as well part thousands.

    Three digits follow each of them, and numbers without a mark stand beside them.
    """
    notes = []
    other = "," if decimal == "." else "."
    for name, cells in zip(names, columns, strict=True):
        some = cells.first()
        marked = [cell for cell in some if decimal in cell]
        plain = any(cell.isdecimal() and cell != "0" for cell in some)
        if marked and plain and all(map(_EITHER_MARK.fullmatch, marked)):
            value = float(marked[0].replace(decimal, "."))
            notes.append(
                f"column '{name}': {marked[0]} is read as {value:g}; if it is "
                f"{marked[0].replace(decimal, '')}, set thousands: '{decimal}' and decimal: "
                f"'{other}'"
            )
    return notes


def _units(cells: Iterable[str]) -> Counter[str]:
    """Return which units numbers among distinct cells have, and how many each."""
    some = list(cells)
    if not any(map(unit_of, some[:_FIRST])):
        return Counter()
    return Counter(filter(None, map(unit_of, some)))


def _number_kind(
    plain: pa.Array, values: NDArray[np.float64], whole: bool, unique: bool, named_id: bool
) -> Kind:
    codes = pc.any(pc.match_substring_regex(plain, r"^[+-]?0\d")).as_py()
    successive = whole and bool((np.diff(values) == 1).all())
    if unique and whole and (codes or successive or named_id):
        return "id"
    if codes:
        return "category" if len(plain) <= MOST_CLASSES else "text"
    return "number"


def _deviation(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    finite = np.isfinite(values)
    if not finite.any():
        return 0.0
    values, weights = values[finite], counts[finite].astype(np.float64)
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _code_note(values: NDArray[np.float64], counts: NDArray[np.int64]) -> str:
    """Return the few integers of a column with gaps between them: they may be codes."""
    codes = np.unique(values)
    if not 2 < len(codes) <= MOST_CLASSES or counts.min() < 2 or len({*np.diff(codes)}) == 1:
        return ""
    return ", ".join(f"{code:.0f}" for code in codes[:5]) + (", …" if len(codes) > 5 else "")


def _text_kind(
    cells: Cells, units: Counter[str], unique: bool, named_id: bool, place: int
) -> tuple[Kind, str]:
    """Return the kind of a column that holds neither numbers nor dates, and what is amiss."""
    some, n = cells.first(), len(cells.texts)
    nearly = sum(bool(_NEARLY_NUMBER.fullmatch(cell)) for cell in some)
    if nearly > _NUMBERS * len(some) and n > 2 and not named_id:
        return "text", _unit_note(sorted(units), not all(map(unit_of, some)))
    sentences = sum(" " in cell for cell in some) > len(some) / 2
    if unique and (named_id or not sentences):
        return ("id" if named_id or place == 0 else "text"), ""
    few = n <= max(2, _REPEATED * int(cells.counts.sum()))
    return ("category" if few and n <= MOST_CLASSES else "text"), ""


def _unit_note(units: Sequence[str], mixed: bool) -> str:
    if len(units) > 1:
        more = ", …" if len(units) > _MOST_WORDS else ""
        return f"numbers in {', '.join(units[:_MOST_WORDS])}{more}: convert them to one unit"
    if units and mixed:
        return f"numbers with and without {units[0]}: if all are meant so, name it under units"
    inside = f" in {units[0]}" if units else ""
    return f"numbers{inside} with marks that the file's other numbers lack: write them plain"


def is_header(row: Sequence[str], decimal: str, thousands: str = "") -> bool:
    """Return whether the first row of a table names its columns: by words, or by years in turn."""
    cells = [cell for cell in row if cell]
    values, odd = parse_numbers(pa.array(cells, pa.string()), decimal, thousands, words=())
    if 2 * (len(cells) - odd.sum()) <= len(cells):
        return True
    years = values[~odd]
    digits = all(cell.isdigit() for cell, bad in zip(cells, odd, strict=True) if not bad)
    return digits and len(years) > 1 and bool((np.diff(years) == 1).all())
