"""Which column of a table is a feature, a category, the target, or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dbgsom_core.api import DataError, did_you_mean

_SHOWN = 20  # column names that a message lists


@dataclass(frozen=True)
class Columns:
    """The roles of a table's columns, all as positions from 0.

    Attributes
    ----------
    names : tuple of str
        Every column of the file.
    features : tuple of int
        Columns that become samples, in the file's order, categorical ones included.
    categorical : frozenset of int
        Features that hold categories.
    target : int or None
    """

    names: tuple[str, ...]
    features: tuple[int, ...]
    categorical: frozenset[int]
    target: int | None

    @property
    def numeric(self) -> tuple[int, ...]:
        """Features that hold numbers."""
        return tuple(i for i in self.features if i not in self.categorical)

    @property
    def used(self) -> tuple[int, ...]:
        """Every column that is read, in the file's order."""
        return tuple(sorted({*self.features, *(() if self.target is None else (self.target,))}))

    def called(self, column: int) -> str:
        """Return what messages call a column: its name, or its place when it has none."""
        return f"'{self.names[column]}'" if self.names[column] else f"{column} (from 0)"


def choose_columns(
    path: str,
    names: Sequence[str],
    target: str | int | None,
    drop: Sequence[str | int],
    categorical: Sequence[str | int],
) -> Columns:
    """Return the roles of the columns ``names`` of a file; columns are named or counted from 0.

    Raises
    ------
    DataError
        A column is unknown, nameless, named twice or in two roles, or no feature is left.
    """
    goal = None if target is None else _find(path, "target", target, names)
    left_out = {_find(path, "drop", column, names) for column in drop}
    categories = {_find(path, "categorical", column, names) for column in categorical}
    for role, column in [("target", goal), *(("categorical", i) for i in sorted(categories))]:
        if column in left_out:
            raise DataError(f"{path}: column '{names[column]}' is {role} and dropped: choose one")
    if goal in categories:
        raise DataError(
            f"{path}: column '{names[goal]}' is the target, which may hold text as it is: "
            "take it out of categorical"
        )
    features = tuple(i for i in range(len(names)) if i != goal and i not in left_out)
    for i in features:
        if not names[i]:
            raise DataError(
                f"{path}: column {i} (from 0) has no name (an index?): name it, or add {i} to drop"
            )
    named = Counter(names[i] for i in range(len(names)) if i not in left_out)
    for name, count in named.items():
        if count > 1:
            raise DataError(f"{path}: two columns are called '{name}': rename or drop one")
    if not features:
        raise DataError(f"{path}: no column is left for the samples: drop fewer")
    return Columns(tuple(names), features, frozenset(categories), goal)


def _find(path: str, role: str, column: str | int, names: Sequence[str]) -> int:
    if isinstance(column, int):
        if not -len(names) <= column < len(names):
            raise DataError(
                f"{path}: {role} is column {column}, but there are {len(names)} columns, from 0"
            )
        return column % len(names)
    places = [i for i, name in enumerate(names) if name == column.strip()]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(
            f"{path}: two columns are called '{column}': rename one, or give its number from 0"
        )
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    raise DataError(
        f"{path}: {role} column '{column}' does not exist{did_you_mean(column, names)} "
        f"(columns: {listed})"
    )
