"""What is wrong with the cells of a table, gathered until somebody wants to hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.errors import DataError, as_text
from dbgsom_core.interfaces.cells import MOST_FAULTS, told_faults

Item = TypeVar("Item")


class Fault(NamedTuple):
    """A cell that cannot be used: its row from 0, its column, and what is wrong with it.

    ``line`` is where the row stands in a file; None where rows are no lines.
    """

    row: int
    column: str
    told: str
    line: int | None = None

    def __str__(self) -> str:
        line = "" if self.line is None else f" (line {self.line})"
        return f"row {self.row}{line}, column '{self.column}': {self.told}"


class Faults:
    """Faulty cells: the first ones of each column, and how many there are; false without any.

    Attributes
    ----------
    total : int
    """

    def __init__(self) -> None:
        self.total = 0
        self._first: dict[str, list[Fault]] = {}

    def __bool__(self) -> bool:
        return self.total > 0

    def add(self, column: str, rows: NDArray[np.intp], told: Callable[[int], str]) -> None:
        """Add rows (n,), in their order, of a column; ``told`` says what is wrong with one."""
        self.total += len(rows)
        self._keep(Fault(row, column, told(row)) for row in rows[:MOST_FAULTS].tolist())

    def add_where(self, bad: NDArray[np.bool_], columns: Sequence[str], told: str) -> None:
        """Add all cells that are ``bad`` (n, D), for one reason."""
        for place in np.flatnonzero(bad.any(axis=0)).tolist():
            self.add(columns[place], np.flatnonzero(bad[:, place]), lambda row: told)

    def take(self, others: Faults) -> None:
        """Add others."""
        self.total += others.total
        for faults in others._first.values():
            self._keep(faults)

    def placed(self, first: int, line: int | None, said: Callable[[str], str]) -> Faults:
        """Return them with rows counted from ``first``, which is on ``line``, in other words."""
        placed = Faults()
        placed.total = self.total
        placed._first = {
            column: [
                Fault(first + one.row, column, said(one.told), line and line + one.row)
                for one in faults
            ]
            for column, faults in self._first.items()
        }
        return placed

    def told(self, where: str) -> str:
        """Return a message of at most 20 of them, some of each column, and how many more."""
        ranked = sorted(
            (rank, place, fault)
            for place, faults in enumerate(self._first.values())
            for rank, fault in enumerate(faults)
        )
        chosen = sorted(ranked[:MOST_FAULTS], key=lambda one: (one[1], one[2].row))
        return told_faults(where, [str(fault) for _, _, fault in chosen], self.total)

    def _keep(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            if fault.column in self._first or len(self._first) < MOST_FAULTS:
                kept = self._first.setdefault(fault.column, [])
                if len(kept) < MOST_FAULTS:
                    kept.append(fault)


class CellsError(DataError):
    """Cells of a table cannot be used; the sentences name them.

    Attributes
    ----------
    faults : Faults
    """

    def __init__(self, where: str, faults: Faults) -> None:
        super().__init__(where, faults)
        self.faults = faults

    def __str__(self) -> str:
        where, faults = self.args
        return as_text(faults.told(where))


def infinite(X: NDArray[Any], columns: Sequence[str]) -> Faults:
    """Return which numbers X (n, D) are infinite."""
    faults = Faults()
    if X.dtype.kind == "f" and (bad := np.isinf(X)).any():
        faults.add_where(bad, columns, "the value is infinite")
    return faults


def gathered(where: str, items: Iterable[Item | Faults]) -> Iterator[Item]:
    """Yield items up to the first faults; then raise all faults as one, at the end.

    Another `DataError` ends it at once, told below the faults that came before.

    Raises
    ------
    CellsError, DataError
    """
    faults = Faults()
    try:
        for item in items:
            if isinstance(item, Faults):
                faults.take(item)
            elif not faults:
                yield item
    except DataError as error:
        if not faults:
            raise
        raise DataError(f"{faults.told(where)}\n{error}") from error
    if faults:
        raise CellsError(where, faults)
