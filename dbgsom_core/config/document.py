"""Plain values with their places in files, and problems at places."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from dbgsom_core.errors import ConfigError, cut_message, masked

DEEPEST = 50  # levels of sections and lists
_LONGEST_POSITION = 9  # digits; Python refuses to read thousands of them

Keys = tuple[str, ...]  # keys, and positions in lists as text, that lead to a value


class Place(NamedTuple):
    """A file with 1-based line and column, or ``--set key=value``.

    Without a line it shows its ``source`` alone; Python values have an empty source.
    """

    source: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Mark(NamedTuple):
    """Where a value and its key were written."""

    value: Place = Place()
    key: Place = Place()  # in a list that of the value
    reference: str = ""  # as written, of what came from the environment: shown in its place
    text: str = ""  # what the environment held, before it was read as a number or a word


@dataclass(frozen=True)
class Document:
    """A configuration: plain dicts, lists and values, and the marks of what was written."""

    values: Any
    marks: dict[Keys, Mark] = field(default_factory=dict)
    source: str = "<python>"  # the file's name
    folder: Path = field(default_factory=Path.cwd)  # where relative paths in it start

    def find(self, *keys: str | int) -> tuple[Keys, bool]:
        """Return the first of some keys, as far as they lead to a value, and whether all do.

        A value alone where a list may stand is at its position 0, too, and a text is its name.
        """
        value: Any = self.values
        path: Keys = ()
        for key in map(str, keys):
            if has_key(value, key):
                value = value[int(key) if isinstance(value, list) else key]
                path = (*path, key)
            elif key != "0" and (key != "name" or not isinstance(value, str)):
                return path, False
        return path, True

    def mark(self, *keys: str | int) -> Mark:
        """Return the mark of the value that keys lead to, or of the last one that has a mark."""
        path, _ = self.find(*keys)
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark())

    def without(self, *names: str) -> Document:
        """Return the document without some keys of its top level."""
        values = {key: value for key, value in self.values.items() if key not in names}
        return replace(self, values=values)

    def show(self, values: Any) -> Any:
        """Return values made of this document, with references in place of what they stand for.

        They may hold more than was written: all fields of a component, of which a name alone
        stands here.
        """
        shown = deepcopy(values)
        for keys, mark in self.marks.items():
            if mark.reference:
                shown = _put(shown, keys, mark.reference)
        return shown


def _put(values: Any, keys: Keys, reference: str) -> Any:
    """Return values, changed in place, with a reference at some keys."""
    if isinstance(values, list) and len(values) == 1 and keys[:1] != ("0",):
        values[0] = _put(values[0], keys, reference)  # it was written alone
    elif not keys:
        if not isinstance(values, dict):
            return reference
        values["name"] = reference
    elif has_key(values, keys[0]):
        key: Any = int(keys[0]) if isinstance(values, list) else keys[0]
        values[key] = _put(values[key], keys[1:], reference)
    return values


def has_key(value: Any, key: str) -> bool:
    """Return whether a mapping has a key, or a list a position."""
    if isinstance(value, list):
        return len(key) < _LONGEST_POSITION and key.isdecimal() and int(key) < len(value)
    return isinstance(value, dict) and key in value


class Problem(NamedTuple):
    """What is wrong with the value of a dotted key."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        parts = (str(self.place), self.key, self.message)
        return ": ".join(part for part in parts if part).replace("\n", "\\n")


class Problems:
    """The problems found in a file.

    Of several at one place and key, or below it, the first counts: others follow from it.
    """

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems)

    def __len__(self) -> int:
        return len(self._problems)

    def add(self, place: Place, key: str, message: str) -> None:
        key = key.strip(".")
        for known in self._problems:
            if known.place == place and f"{key}.".startswith(f"{known.key}."):
                return
        self._problems.append(Problem(place, key, message))

    def fail(self, place: Place, key: str, message: str) -> NoReturn:
        """Raise the error with all problems and this last one."""
        self.add(place, key, message)
        self.raise_any()
        raise AssertionError

    def raise_any(self) -> None:
        """Raise all problems, one a line, in the order of the file."""
        if self._problems:
            ordered = sorted(self, key=lambda problem: (problem.place.line == 0, problem.place))
            raise ConfigError(cut_message(masked("\n".join(map(str, ordered)))))
