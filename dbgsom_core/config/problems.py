"""Collecting every problem of a configuration before telling them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.privacy import Secrets, hide, hiding, masked, without_passwords


class Place(NamedTuple):
    """Where something was written: a file with 1-based line and column, or ``--set key=value``.

    A place without a line shows its ``source`` alone; Python values have an empty source.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


NOWHERE = Place("")


class Problem(NamedTuple):
    """One thing that is wrong: where, under which dotted key, and a sentence."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        parts = (str(self.place), self.path, self.message)
        return ": ".join(part for part in parts if part).replace("\n", "\\n")


class Problems:
    """The problems found so far, each kept once, and what the environment held on the way."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}
        self._settled: set[Place | str] = set()
        self.secrets = Secrets()
        self.openly: frozenset[str] = frozenset()  # texts of the file that are no secrets

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, path: str, message: str) -> None:
        """Note a problem, unless its place is settled."""
        if place not in self._settled and path not in self._settled:
            with hiding(self.secrets):
                self._found[Problem(place, path, masked(message))] = None

    def hide(self, held: str, reference: str) -> None:
        """Tell ``reference`` everywhere in place of what the environment holds."""
        hide(held, reference, self.secrets, self.openly)

    def settle(self, place: Place, path: str) -> None:
        """Take no more problems here: what is wrong is told, all else would follow from it."""
        self._settled.add(place if place.source else path)

    def error(self) -> ConfigError:
        """Return the error that tells all problems, one a line, in the order of the file."""
        found = sorted(self._found, key=lambda one: (one.place.line == 0, one.place))
        return ConfigError(without_passwords("\n".join(map(str, found))))  # of --set, too

    def raise_any(self) -> None:
        """Raise `ConfigError` if there is any problem."""
        if self._found:
            raise self.error()
