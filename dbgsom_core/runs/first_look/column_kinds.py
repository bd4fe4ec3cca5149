"""What an unknown data set and the columns of a table seem to be, by some of its rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.cells import (
    GROUP_MARKS,
    NA_VALUES,
    date_forms,
    number,
    numbers,
    unit_of,
    without_unit,
)

Kind = Literal["number", "category", "date", "id", "text", "constant", "empty"]
_FEW = 20  # values that a category has at most
_REPEATED = 0.5  # a category has fewer values than this share of the rows
_UNIQUE = 0.99  # share of distinct values from which on a column identifies
_MOST_CLASSES = 20
_NUMBERS = 0.9  # share of numbers from which on the words beside them say that one is missing
_MOST_WORDS = 3
_FIRST = 100  # distinct cells among which there is a unit, or none in the column
_LOOKED_AT = 2000  # distinct cells of a column that are looked at one by one
_ID = re.compile(
    r"(?i)(.*[_\s.-])?(id|ids|uuid|guid|nr|no|key|index|idx|identifier|lfdnr|nummer|rowid)"
    r"|.*(Id|ID|Nr|_id)|unnamed.*"
)
_TARGET = re.compile(
    r"(?i)(target|class|classes|label|labels|y|outcome|species|klasse|ziel|zielvariable"
    r"|diagnosis|churn|response)"
)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_MARKED = re.compile(
    r"\(?[^\w\s]?\s*[+-]?(?!0\d)\d{1,3}([.,' \u00a0\u202f]?\d{3})*([.,]\d+)?"
    r"\s*(%|[^\W\d]{1,4}|[$€£¥])?\)?"
)
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
EITHER = " or "  # between forms of dates that both fit
_EITHER_MARK = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # 1.234, whose point may part thousands
Format = Literal["csv", "parquet", "npy", "npz", "name"]
CELLS = 2_000_000  # that are looked at, more or less


@dataclass(frozen=True)
class Column:
    """One column, as it looks.

    Attributes
    ----------
    place : int
        From 0.
    name : str
    kind : str
    values : int
        How many distinct values were seen.
    missing : float
        Share of the rows without a value.
    words : tuple of str
        What says that a value is missing, beside the usual words.
    form : str
        Of a date.
    spread : float
        The standard deviation of numbers.
    shown : tuple of str
        A few values, the most frequent first.
    rarest : int
        Rows of the rarest value.
    unit : str
        What follows or leads its numbers.
    note : str
        What else is to be said of it.
    """

    place: int
    name: str
    kind: Kind
    values: int = 0
    missing: float = 0.0
    words: tuple[str, ...] = ()
    form: str = ""
    spread: float = 0.0
    whole: bool = False
    shown: tuple[str, ...] = field(default=(), repr=False)
    rarest: int = 0
    unit: str = ""
    note: str = ""

    @property
    def may_be_classes(self) -> bool:
        """Whether its values could be classes: few words, or few whole numbers."""
        few = 2 <= self.values <= _MOST_CLASSES
        return few and (self.kind == "category" or (self.kind == "number" and self.whole))


@dataclass(frozen=True)
class Look:
    """What a data set seems to be.

    Attributes
    ----------
    format : {"csv", "parquet", "npy", "npz", "name"}
    path : str
        As it was given, or the name of a data set.
    columns : sequence of Column
        Empty for arrays and data sets by name.
    rows : int
        How many there are, an estimate where ``whole`` is False.
    whole : bool
        All of it was looked at.
    options : mapping
        How a file is written: delimiter, encoding, decimal, header; names of arrays.
    notes : sequence of str
    features : int
        Of an array.
    missing : bool
        Values of an array are missing.
    spreads : sequence of float
        Standard deviations of the features that are numbers.
    classes : int or None
        How many an array of targets names; None: it holds numbers, or there is none.
    has_target : bool
    """

    format: Format
    path: str
    columns: Sequence[Column] = ()
    rows: int = 0
    whole: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    features: int = 0
    missing: bool = False
    spreads: Sequence[float] = ()
    classes: int | None = None
    has_target: bool = False


def look_at_columns(
    names: Sequence[str], columns: Sequence[Sequence[str]], decimal: str, thousands: str = ""
) -> list[Column]:
    """Say what the columns of a table seem to be.

    What says in one column that a value is missing says so in all of them, as it does for readers.
    """
    words: set[str] = set()
    while True:
        found = [
            look_at_column(i, name, cells, decimal, words, thousands)
            for i, (name, cells) in enumerate(zip(names, columns, strict=True))
        ]
        more = {word for one in found for word in one.words} - words
        if not more:
            return found
        words |= more


def look_at_column(
    place: int,
    name: str,
    cells: Sequence[str],
    decimal: str,
    words: Collection[str] = (),
    thousands: str = "",
) -> Column:
    """Say what a column seems to be.

    Parameters
    ----------
    place : int
    name : str
    cells : sequence of str
        Some of its cells, stripped.
    decimal : str
    words : collection of str
        What says that a value is missing, beside the usual words.
    thousands : str
        What stands between thousands.
    """
    counts = Counter(cells)
    gaps = {word.upper() for word in (*NA_VALUES, *words)}
    known = {cell: n for cell, n in counts.items() if cell.upper() not in gaps}
    said = {cell for cell in counts if cell in words}
    rows, present = len(cells), sum(known.values())
    if not known:
        return Column(place, name, "empty", missing=1.0, words=tuple(sorted(said)))
    units = Counter[str]() if _ID.fullmatch(name) else _units(list(known))
    unit = usual_unit(list(known)) if units else ""
    read = {cell: number(cell, decimal, thousands, unit) for cell in known}
    odd = [cell for cell, value in read.items() if value is None]
    bare = [cell for cell in known if unit and cell not in odd and unit_of(cell) != unit]
    strange = sum(known[cell] for cell in odd)
    numeric = not odd and not bare
    few = 0 < len(odd) <= _MOST_WORDS and not bare and not any(map(unit_of, odd))
    if few and present - strange >= _NUMBERS * present:
        numeric = True
        said.update(odd)
        known = {cell: n for cell, n in known.items() if cell not in odd}
        present -= strange
    facts = {
        "values": len(known),
        "missing": 1 - present / rows,
        "words": tuple(sorted(said)),
        "shown": tuple(sorted(known, key=lambda cell: (-known[cell], cell))[:4]),
        "rarest": min(known.values()),
        "unit": unit if numeric else "",
    }

    def made(kind: Kind, **more: object) -> Column:
        return Column(place, name, kind, **facts, **more)  # type: ignore[arg-type]

    if len(known) == 1:
        return made("constant")
    distinct = len(known) >= _UNIQUE * present and present > _FEW
    if numeric:
        plain = Counter[str]()
        for cell, n in known.items():
            plain[without_unit(cell, unit) if unit else cell] += n
        values = numbers(list(plain), decimal, thousands)
        return _number(made, name, list(plain), values, distinct and not unit, plain)
    forms = date_forms(list(known)[:_LOOKED_AT])
    if forms:
        return made("date", form=EITHER.join(forms))
    marked = sum(bool(_MARKED.fullmatch(cell)) for cell in known)
    if marked > _NUMBERS * len(known) and len(known) > 2 and not _ID.fullmatch(name):
        mixed = not all(map(unit_of, known))
        return made("text", note=_told_units(sorted(units), mixed))
    sentences = sum(" " in cell for cell in known) > len(known) / 2
    if distinct and (_ID.fullmatch(name) or not sentences):
        return made("id" if _ID.fullmatch(name) or place == 0 else "text")
    if len(known) <= _FEW and len(known) <= max(2, _REPEATED * present):
        return made("category")
    return made("text")


def guess_target(columns: Sequence[Column]) -> Column | None:
    """Return the column that is most likely to be predicted, or None."""
    usable = [one for one in columns if one.kind in ("category", "number")]
    for column in usable:
        if _TARGET.fullmatch(column.name) and (column.may_be_classes or column.kind == "number"):
            return column
    last = columns[-1] if columns else None
    if last is not None and last.kind == "category" and last.may_be_classes and len(usable) > 1:
        return last
    return None


def usual_unit(cells: Sequence[str]) -> str:
    """Return the unit with which nearly all of some distinct cells are numbers; empty: none."""
    cells = [cell for cell in cells if cell.upper() not in NA_VALUES]
    units = _units(cells)
    unit, times = units.most_common(1)[0] if units else ("", 0)
    return unit if times >= _NUMBERS * min(len(cells), _LOOKED_AT) else ""


def _units(cells: Sequence[str]) -> Counter[str]:
    """Return which units numbers among distinct cells have, and how many each."""
    if not any(map(unit_of, cells[:_FIRST])):
        return Counter()
    return Counter(filter(None, map(unit_of, cells[:_LOOKED_AT])))


def _told_units(units: Sequence[str], mixed: bool) -> str:
    if len(units) > 1:
        more = ", …" if len(units) > _MOST_WORDS else ""
        return f"numbers in {', '.join(units[:_MOST_WORDS])}{more}: convert them to one unit"
    if units and mixed:
        return f"numbers with and without {units[0]}: if all are meant so, name it under units"
    inside = f" in {units[0]}" if units else ""
    return f"numbers{inside} with marks that the file's other numbers lack: write them plain"


def decimal_mark(columns: Sequence[Sequence[str]], quoted: bool = False) -> str:
    """Return the decimal mark that most columns of cells use.

    Where commas part fields and stand in ``quoted`` cells, 1,234 is as it is in English.
    """
    commas = points = 0
    for cells in columns:
        some = [cell for cell in cells[:_LOOKED_AT] if any(map(str.isdigit, cell))]
        with_comma = [cell for cell in some if _DECIMAL_COMMA.fullmatch(cell)]
        clear = not quoted or not all(map(_EITHER_MARK.fullmatch, with_comma))
        commas += clear and len(with_comma) > len(some) / 4
        pointed = [cell for cell in some if _DECIMAL_POINT.fullmatch(cell)]
        clear = not all(map(_EITHER_MARK.fullmatch, pointed))
        points += clear and len(pointed) > len(some) / 4
    return "," if commas > points else "."


def thousands_mark(columns: Sequence[Sequence[str]], decimal: str) -> str:
    """Return what stands between thousands, so that a column is of numbers; empty: nothing."""
    gaps = {word.upper() for word in NA_VALUES}
    for mark in GROUP_MARKS:
        for cells in columns if mark != decimal else ():
            some = [cell for cell in cells[:_LOOKED_AT] if cell.upper() not in gaps]
            odd = [cell for cell in some if number(cell, decimal) is None]
            read = sum(number(cell, decimal, mark) is not None for cell in odd)
            if read and len(odd) - read <= (1 - _NUMBERS) * len(some):
                return mark
    return ""


def doubtful_marks(
    names: Sequence[str], columns: Sequence[Sequence[str]], decimal: str
) -> list[str]:
    """Return a sentence for each column whose decimal marks could as well part thousands.

    Those are all followed by three digits, and numbers without one stand beside them.
    """
    told = []
    other = "," if decimal == "." else "."
    for name, cells in zip(names, columns, strict=True):
        some = cells[:_LOOKED_AT]
        marked = [cell for cell in some if decimal in cell]
        if not marked or not all(map(_EITHER_MARK.fullmatch, marked)):
            continue
        if any(cell.isdecimal() and cell != "0" for cell in some):
            value = number(marked[0], decimal)
            told.append(
                f"column '{name}': {marked[0]} is read as {value:g}; if it is "
                f"{marked[0].replace(decimal, '')}, set thousands: '{decimal}' and decimal: "
                f"'{other}'"
            )
    return told


def has_header(row: Sequence[str], decimal: str, thousands: str = "") -> bool:
    """Return whether the first row names the columns: it holds no number where others do."""
    first = [cell for cell in row if cell]
    read = [cell for cell in first if number(cell, decimal, thousands) is not None]
    if 2 * len(read) <= len(first):
        return True
    return all(cell.isdigit() for cell in read) and _years(read)


def _years(cells: Sequence[str]) -> bool:
    values = [int(cell) for cell in cells]
    return values == list(range(values[0], values[0] + len(values)))


def _number(
    made: object,
    name: str,
    cells: list[str],
    values: NDArray[np.float64],
    distinct: bool,
    counts: Mapping[str, int],
) -> Column:
    assert callable(made)
    values = values[np.isfinite(values)]
    whole = bool((values == np.floor(values)).all()) and not any(
        mark in cell for cell in cells for mark in ".,eE"
    )
    codes = any(re.match(r"[+-]?0\d", cell) for cell in cells)
    counted = whole and len(values) > 1 and bool((np.diff(values) == 1).all())
    if distinct and whole and (codes or counted or _ID.fullmatch(name)):
        found: Column = made("id")
        return found
    if codes:
        found = made("category" if len(cells) <= _FEW else "text")
        return found
    weights = np.array([counts[cell] for cell in cells], dtype=np.float64)[: len(values)]
    mean = np.average(values, weights=weights) if len(values) else 0.0
    spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weights))) if len(values) else 0
    found = made("number", spread=spread, whole=whole)
    return found
