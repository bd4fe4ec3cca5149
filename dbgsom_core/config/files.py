"""Reading a configuration file and the files that it extends."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import NoReturn

from dbgsom_core.config.merge import merge
from dbgsom_core.config.nodes import Items, Node, Scalar, Section, is_null
from dbgsom_core.config.problems import Place, Problems
from dbgsom_core.config.reader import read_yaml
from dbgsom_core.errors import did_you_mean
from dbgsom_core.files import MOST_SIBLINGS, read_at_most

_LARGEST = 1 << 22  # bytes of a file; the values in it are counted, too
_MOST_BELOW = 50  # files that extend each other in a row
_TABLES = {".csv", ".tsv", ".parquet", ".pq", ".npy", ".npz"}  # what `dbgsom init` looks at
_LONG = 200  # letters of a path that a message shows


def read_file(path: str | os.PathLike[str], problems: Problems) -> Section:
    """Return the section in a YAML file, merged over the files that it ``extends``.

    Raises
    ------
    ConfigError
        A file cannot be read, is no YAML, or extends itself.
    """
    shown = os.fspath(path)
    return _Files(problems).read(shown, Place(""), ())


class _Files:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._known: dict[Path, Section] = {}

    def read(self, shown: str, asked_at: Place, inside: tuple[Path, ...]) -> Section:
        real = self._resolved(shown, asked_at)
        if len(inside) > _MOST_BELOW:
            self._fail(asked_at, "extends", f"goes through more than {_MOST_BELOW} files")
        if real in inside:
            circle = " extends ".join(
                f"'{one.name}'" for one in (*inside[inside.index(real) :], real)
            )
            self._fail(asked_at, "extends" if asked_at.line else "", f"goes in a circle: {circle}")
        if real not in self._known:
            section = self._section(shown, asked_at)
            self._known[real] = self._extended(section, shown, (*inside, real))
        return self._known[real]

    def _extended(self, section: Section, shown: str, inside: tuple[Path, ...]) -> Section:
        extends = section.get("extends")
        result = Section({}, Place(shown, 1, 1))
        for reference in self._references(extends):
            beside = os.path.normpath(Path(shown).parent / str(reference.value))
            result = merge(result, self.read(beside, reference.place, inside), self._problems)
        return merge(result, section.without("extends"), self._problems)

    def _references(self, extends: Node | None) -> list[Scalar]:
        if extends is None or is_null(extends):
            return []
        found = []
        for node in extends.items if isinstance(extends, Items) else (extends,):
            if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
                found.append(node)
            else:
                self._problems.add(
                    node.place, "extends", "must be the path of a file, or a list of paths"
                )
        return found

    def _section(self, shown: str, asked_at: Place) -> Section:
        node = read_yaml(self._text(shown, asked_at), self._problems, shown)
        if node is None:
            self._fail(Place(shown, 1, 1), "", "the file is empty; it needs at least 'experiment'")
        if not isinstance(node, Section):
            found = "a list" if isinstance(node, Items) else "a single value"
            self._fail(node.place, "", f"the file must hold 'key: value' lines, not {found}")
        return node

    def _text(self, shown: str, asked_at: Place) -> str:
        where, path = _asked(shown, asked_at)
        suffixes = {suffix.lower() for suffix in Path(shown).suffixes[-2:]}
        if suffixes & _TABLES and not suffixes & {".yaml", ".yml"} and Path(shown).is_file():
            told = f"is a table, no configuration: 'dbgsom init {_short(shown)}' writes one"
            self._fail(where, path, told)
        try:
            content = read_at_most(Path(shown), _LARGEST)
        except FileNotFoundError:
            looked = "" if Path(shown).is_absolute() else f" (looked in {Path.cwd()})"
            near = did_you_mean(Path(shown).name, _beside(Path(shown)))
            self._fail(where, path, f"there is no file '{_short(shown)}'{looked}{near}")
        except IsADirectoryError:
            self._fail(where, path, f"'{_short(shown)}' is a folder, not a file")
        except OSError as error:
            self._fail(where, path, f"'{_short(shown)}' cannot be read: {error.strerror}")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode("utf-8-sig")
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            self._fail(
                Place(shown, line, column),
                "",
                f"byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8",
            )

    def _resolved(self, shown: str, asked_at: Place) -> Path:
        try:
            return Path(shown).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a null byte, or links in a circle
            where, path = _asked(shown, asked_at)
            self._fail(where, path, f"'{_short(shown)}' cannot be read: {error}")

    def _fail(self, place: Place, path: str, message: str) -> NoReturn:
        self._problems.add(place, path, message)
        raise self._problems.error()


def _asked(shown: str, asked_at: Place) -> tuple[Place, str]:
    # Where and under which key a file was named; on the command line the file itself is the place.
    return (asked_at, "extends") if asked_at.line else (Place(_short(shown)), "")


def _beside(path: Path) -> list[str]:
    # Configurations in the folder where one was sought.
    try:
        names = [one.name for one in islice(path.parent.iterdir(), MOST_SIBLINGS)]
    except OSError:
        return []
    return [name for name in names if name.endswith((".yaml", ".yml"))]


def _short(path: str) -> str:
    return path if len(path) <= _LONG else f"{path[:_LONG]}…"
