"""Reading the small files of a run folder: whatever they hold, in bounded time and memory.

A run folder may come from elsewhere, or from a disk that failed. What of a file is not what a run
writes is left out and told; nothing here raises because of what a file holds.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dbgsom_core.config import read_plain
from dbgsom_core.errors import ConfigError
from dbgsom_core.files import nests_deeper, open_regular, read_at_most
from dbgsom_core.interfaces.trackers import Ranking, Variant
from dbgsom_core.runs.folder.folds import FoldMeasures, parse_folds

_LARGEST = 1 << 24  # bytes of one file
_DEEPEST = 50  # lists and mappings within each other


class Records:
    """The files of one run folder as mappings of plain values, and what is wrong with them.

    Attributes
    ----------
    damage : list of str
        A sentence for each file or value that cannot be used.
    """

    def __init__(self) -> None:
        self.damage: list[str] = []

    def json(self, path: Path) -> Record:
        """Read a JSON file; one that does not exist is empty."""
        return self._record(path, _from_json)

    def yaml(self, path: Path) -> Record:
        """Read a YAML file; one that does not exist is empty."""
        return self._record(path, lambda text: read_plain(text, path.name))

    def folds(self, path: Path) -> list[FoldMeasures]:
        """Read what the folds of a run measured; a file that does not exist holds none."""
        try:
            return parse_folds(read_at_most(path, _LARGEST).decode("utf-8"))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.damage.append(f"{path.name} cannot be read: {error.strerror or error}")
        except (ValueError, OverflowError, csv.Error) as error:
            told = str(error).splitlines()[0]
            self.damage.append(f"{path.name} is no table of folds: {told:.200}")
        return []

    def look_at(self, path: Path, limit: int | None = None) -> None:
        """Note a file that is there and no regular one, or has more than ``limit`` bytes."""
        try:
            with open_regular(path) as file:
                if limit is not None and file.seek(0, os.SEEK_END) > limit:
                    self.damage.append(f"{path.name} has more than {limit} bytes")
        except FileNotFoundError:
            pass
        except OSError as error:
            self.damage.append(f"{path.name} cannot be read: {error.strerror or error}")

    def _record(self, path: Path, parse: Callable[[str], Any]) -> Record:
        torn = ""
        try:
            content = parse(read_at_most(path, _LARGEST).decode("utf-8"))
        except FileNotFoundError:
            content = {}
        except OSError as error:
            content = self._damaged(f"{path.name} cannot be read: {error.strerror or error}")
        except ConfigError as error:
            content = self._damaged(str(error).splitlines()[0])
        except (ValueError, RecursionError) as error:
            kind = path.suffix[1:].upper()
            torn = f"{path.name} is no {kind}: {str(error).splitlines()[0]:.200}"
            content = self._damaged(torn)
        if not isinstance(content, Mapping):
            content = self._damaged(f"{path.name} holds no mapping")
        return Record(path.name, content, self.damage, torn)

    def _damaged(self, told: str) -> Mapping[str, Any]:
        self.damage.append(told)
        return {}


class Record:
    """What one file holds; each value is of its type, or missing and told as damage.

    ``torn`` says why its text cannot be read at all.
    """

    def __init__(
        self, name: str, content: Mapping[str, Any], damage: list[str], torn: str = ""
    ) -> None:
        self._name, self._damage = name, damage
        self.content, self.torn = content, torn

    def get(self, key: str, kind: type[Any], default: Any = None) -> Any:
        """Return the value at a key, of this type; ``default`` without it, and for null."""
        value = self.content.get(key)
        if value is None:
            return default
        if isinstance(value, kind):
            return value
        self._damage.append(f"{self._name}: '{key:.60}' is no {_KINDS[kind]}")
        return default

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        """Return the value at a key, one of some words; the first of them without it."""
        value = self.get(key, str, known[0])
        if value in known:
            return str(value)
        self._damage.append(f"{self._name}: '{key}' is '{value:.60}', not {' or '.join(known)}")
        return known[0]

    def time(self, key: str) -> datetime | None:
        """Return the moment at a key."""
        text = self.get(key, str)
        try:
            moment = None if text is None else datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if text is not None and (moment is None or moment.tzinfo is None):
            self._damage.append(f"{self._name}: '{key}' is no time: '{text:.60}'")
            return None
        return moment

    def numbers(self, values: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Return all values, or these, as numbers; JSON has those not finite as text."""
        found = {}
        for key, value in (self.content if values is None else values).items():
            try:
                found[str(key)] = float(value)
            except (TypeError, ValueError, OverflowError):
                self._damage.append(f"{self._name}: '{key!s:.60}' is no number")
        return found

    def children(self) -> list[dict[str, Any]]:
        """Return the children of a sweep, each with a name and its measures."""
        found = []
        for child in self.get("children", list, []):
            measures = child.get("measures") if isinstance(child, dict) else None
            if isinstance(measures, dict) and isinstance(child.get("name"), str):
                found.append({**child, "measures": self.numbers(measures)})
            else:
                self._damage.append(f"{self._name}: a child without name and measures")
        return found

    def rankings(self) -> list[Ranking]:
        """Return how the variants of a sweep are ranked."""
        found = []
        for one in self.get("rankings", list, []):
            try:
                variants = [_variant(variant, self) for variant in one["variants"]]
                measures = [*map(str, one["measures"])]
                up = one["direction"] == "maximize"
                ranking = Ranking(
                    str(one["data"]),
                    measures,
                    "maximize" if up else "minimize",
                    variants,
                    str(one.get("verdict", "")),
                )
                if not (measures and variants):
                    raise LookupError("nothing is ranked")
            except (LookupError, TypeError, AttributeError):
                self._damage.append(f"{self._name}: a ranking that is none")
            else:
                found.append(ranking)
        return found


def _variant(one: Mapping[str, Any], record: Record) -> Variant:
    measures, spread = record.numbers(one["measures"]), record.numbers(one["spread"])
    return Variant(str(one["name"]), {**one["varies"]}, measures, spread, [*map(str, one["runs"])])


_KINDS: dict[type[Any], str] = {str: "text", dict: "mapping", list: "list"}


def _from_json(text: str) -> Any:
    content = json.loads(text)
    if nests_deeper(content, _DEEPEST):
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    return content
