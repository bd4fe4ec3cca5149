"""Which column of a table is a feature, a category, the target, an identifier, or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from dbgsom_core.api import DataError
from dbgsom_core.errors import did_you_mean


def _listed(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


# Columns by name or number; where a list is expected, one is a list of one.
Names = Annotated[str | int | tuple[str | int, ...], BeforeValidator(_listed)]
_TOLD = {
    "target": "target", "id": "id", "extra": "extra", "drop": "dropped", "columns": "among columns",
}  # fmt: skip
_SHOWN = 20  # column names that a message lists


@dataclass(frozen=True)
class Roles:
    """The roles of a table's columns, all as positions from 0."""

    names: tuple[str, ...]  # of every column of the file
    features: tuple[int, ...]  # become samples, in the file's order, categorical ones included
    categorical: frozenset[int]
    target: int | None
    ids: tuple[int, ...] = ()
    extra: tuple[int, ...] = ()  # numbers that figures show and the map is not trained on
    units: Mapping[int, str] = field(default_factory=dict)
    annotations: tuple[int, ...] = ()  # dates that are no features, kept beside the samples

    @property
    def used(self) -> tuple[int, ...]:
        """Every column that is read, in the file's order."""
        target = () if self.target is None else (self.target,)
        return tuple(sorted({*self.features, *target, *self.ids, *self.extra}))

    @property
    def dropped(self) -> tuple[int, ...]:
        """Every column that is not read."""
        used = {*self.used}
        return tuple(i for i in range(len(self.names)) if i not in used)


def choose_roles(
    path: str,
    names: Sequence[str],
    target: str | int | None,
    ids: Names,
    chosen: Names | None,
    drop: Names,
    categorical: Names,
    extra: Names = (),
    units: Mapping[str, str] | None = None,
) -> Roles:
    """Return the roles of the columns ``names`` of a file; columns are named or counted from 0."""
    faults: list[str] = []

    def found(role: str, columns: Names | None) -> dict[int, str]:
        given = columns if isinstance(columns, tuple) else () if columns is None else (columns,)
        places = {}
        for column in given:
            try:
                places[_find(role, column, names)] = role
            except DataError as error:
                faults.append(str(error))
        return places

    goals, left_out = found("target", target), found("drop", drop)
    identifying, features = found("id", ids), found("columns", chosen)
    categories, beside = found("categorical", categorical), found("extra", extra)
    measured: dict[int, str] = {}
    for key, unit in (units or {}).items():
        counted = key not in names and key.isdecimal()  # keys are text
        measured |= dict.fromkeys(found("units", int(key) if counted else key), unit)

    def clash(column: int, one: str, other: str) -> None:
        faults.append(f"column '{names[column]}' is {one} and {other}: choose one")

    roles: dict[int, str] = {}
    for part in (goals, identifying, beside, left_out, features):
        for column in part.keys() & roles.keys():
            clash(column, _TOLD[roles[column]], _TOLD[part[column]])
        roles |= part
    for column in categories.keys() & (roles.keys() - features.keys()):
        clash(column, "categorical", _TOLD[roles[column]])
    for column in measured.keys() & (identifying.keys() | categories.keys()):
        clash(column, "an id" if column in identifying else "categorical", "has a unit")
    if chosen is not None:
        for column in categories.keys() - roles.keys():
            faults.append(f"column '{names[column]}' is categorical, but not among columns")
        kept = tuple(sorted(features))
    else:
        kept = tuple(i for i in range(len(names)) if i not in roles)
    for i in kept:
        if not names[i]:
            faults.append(
                f"column {i} (from 0) has no name (an index?): name it, or add {i} to drop"
            )
    used = [*kept, *goals, *identifying, *beside]
    for name, count in Counter(names[i] for i in used).items():
        if count > 1 and not any(f"called '{name}'" in fault for fault in faults):
            places = ", ".join(str(i) for i in used if names[i] == name)
            faults.append(
                f"two columns are called '{name}' ({places}, from 0): rename one, or add its "
                "number to drop"
            )
    if not kept and not faults:
        faults.append("no column is left for the samples: drop fewer")
    if faults:
        raise DataError("\n".join(f"{path}: {fault}" for fault in faults))
    goal = next(iter(goals), None)
    return Roles(
        tuple(names),
        kept,
        frozenset(categories),
        goal,
        tuple(identifying),
        tuple(beside),
        {i: unit for i, unit in measured.items() if i in {*kept, *goals, *beside}},
    )


def _find(role: str, column: str | int, names: Sequence[str]) -> int:
    if isinstance(column, int):
        if not -len(names) <= column < len(names):
            raise DataError(
                f"{role} is column {column}, but there are {len(names)} columns, from 0"
            )
        return column % len(names)
    places = [i for i, name in enumerate(names) if name == column.strip()]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(
            f"two columns are called '{column}' ({', '.join(map(str, places))}, from 0): rename "
            f"one, or give the number of the one that is meant by {role}"
        )
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    raise DataError(
        f"{role} column '{column}' does not exist{did_you_mean(column, names)} (columns: {listed})"
    )
