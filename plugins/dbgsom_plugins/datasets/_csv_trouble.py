"""Find the lines of a CSV file that cannot be used, and say why.

Only read when the fast reader gave up: a slow walk over the records that knows their lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbgsom_core.api import Columns, told_faults
from dbgsom_plugins.datasets._arrays import CURE
from dbgsom_plugins.datasets._roles import Roles
from dbgsom_plugins.datasets._table import MISSING_TARGET, units_cure

_MOST_LINES = 200_000  # that are looked at after the first fault
_MOST_KINDS = 21  # of faults, one more than are told
_NO_NUMBER = "is no number"
_TEXT = ": list the column under categorical, id or drop, or make it the target"


@dataclass
class _Fault:
    """What is wrong with a cell or line, and how many more are like it."""

    where: str
    told: str
    more: int = 0

    def __str__(self) -> str:
        return f"{self.where}{self.told}" + (f" (and {self.more} more)" if self.more else "")


def trouble(
    path: str,
    rows: Iterable[tuple[int, list[str]]],
    roles: Roles,
    columns: Columns,
    delimiter: str,
    *,
    numeric_target: bool = False,
    missing: str = "error",
    missing_target: str = "error",
    cells: bool = True,
) -> str | None:
    """Return what is wrong with records that cannot be used, a line for each kind, or None.

    Parameters
    ----------
    path : str
        What messages call the file.
    rows : iterable of (line, fields)
        The records below the header.
    roles : Roles
    columns : Columns
        How cells are written.
    delimiter : str
    numeric_target : bool
        The target must hold finite numbers.
    missing, missing_target : str
        What is done about missing values, as in `Table`.
    cells : bool
        Look at the cells, too, and not at their number alone.
    """
    faults: dict[tuple[int, str], _Fault] = {}
    checked = [i for i in roles.used if cells and i not in {*roles.ids, *roles.extra}]
    empty, first = {*checked}, None
    for number, (line, fields) in enumerate(rows):
        if first is not None and number > first + _MOST_LINES:
            empty.clear()
            break
        if len(fields) != len(roles.names):
            faults[-line, ""] = _Fault(f"line {line} ", _ragged(fields, roles.names, delimiter))
        elif missing != "keep" or not all(columns.is_missing(fields[i]) for i in roles.features):
            for i in checked:
                told, kind = None, ""
                if columns.is_missing(fields[i]):
                    policy = missing_target if i == roles.target else missing
                    if policy == "error":
                        told, kind = _missing(fields[i], i == roles.target), "missing"
                elif i in roles.categorical:
                    empty.discard(i)
                else:
                    empty.discard(i)
                    if i != roles.target or numeric_target:
                        told = columns.problem(roles.names[i], fields[i])
                if told is not None:
                    where = f"line {line}, column {roles.called(i)}: "
                    if (i, kind) in faults:
                        faults[i, kind].more += 1
                    else:
                        faults[i, kind] = _Fault(where, told + _cure(told, roles.names[i]))
        if faults and first is None:
            first = number
        if len(faults) >= _MOST_KINDS:
            empty.clear()
            break
    for i in empty:
        if (i, "missing") in faults and faults[i, "missing"].more:
            told = "holds no value at all: add it to drop"
            faults[i, "missing"] = _Fault(f"column {roles.called(i)} ", told)
    return told_faults(path, [str(fault) for fault in faults.values()]) if faults else None


def _missing(cell: str, is_target: bool) -> str:
    found = f" (found '{cell}')" if cell else ""
    return f"the value is missing{found}: {MISSING_TARGET if is_target else CURE}"


def _cure(told: str, name: str) -> str:
    if told.endswith(_NO_NUMBER):
        return _TEXT
    if units := units_cure(told, name):
        return f", or {units}{_TEXT[2:]}"
    return ": drop or replace it" if told.endswith("infinite") else ""


def _ragged(fields: Sequence[str], names: Sequence[str], delimiter: str) -> str:
    found = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    if any("\n" in field for field in fields):
        cure = "check for a quote that never closes"
    elif len(fields) > len(names):
        cure = f"put quotes around a field that contains {delimiter!r}"
    else:
        cure = "give every line a field for each column"
    return f"has {found} where the table has {len(names)} columns: {cure}"
