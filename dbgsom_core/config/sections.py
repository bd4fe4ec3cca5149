"""Values with their source locations, problems at locations, and validation by models."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from dbgsom_core.errors import ConfigError
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.experiments.messages import cut_message
from dbgsom_core.interfaces.component import parse
from dbgsom_core.plugins.validation_messages import WORDED, explain_errors

DEEPEST = 50  # levels of sections and lists

Plain = bool | int | float | str | None
Steps = Sequence[str | int]  # keys and positions that lead to a value
Model = TypeVar("Model", bound=BaseModel)
# Kind of location, steps, sentence. A ``value`` or ``name`` is marked at the value; a ``key``, one
# that is ``missing``, and a ``section`` at the key.
Finding = tuple[str, Steps, str]

_WANTS_TEXT = ("string_type", "path_type", f"{WORDED}name")


class Location(NamedTuple):
    """Source location: a file with 1-based line and column, or ``--set key=value``.

    Without a line it shows its ``source`` alone; Python values have an empty source.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


NOWHERE = Location("")


class Mark(NamedTuple):
    """Source information of a value."""

    value: Location
    key: Location  # in a list that of the value
    reference: str = ""  # as written, of what came from the environment: shown in its place
    text: str = ""  # what the environment held, before it was read as a number or a word


UNMARKED = Mark(NOWHERE, NOWHERE)


class Section(dict[str, Any]):
    """A mapping whose values have marks.

    One that a dotted key (``--set prepare.0.name=…``, a sweep) stands for is a ``patch``: its keys
    may be positions in a list.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        marks: Mapping[str, Mark] | None = None,
        place: Location = NOWHERE,
        patch: bool = False,
    ) -> None:
        super().__init__(values or {})
        self.marks, self.place, self.patch = dict(marks or {}), place, patch

    def put(self, key: str, value: Any, mark: Mark) -> None:
        self[key], self.marks[key] = value, mark

    def without(self, *keys: str) -> Section:
        kept = {key: value for key, value in self.items() if key not in keys}
        return Section(kept, self.marks, self.place, self.patch)


class Items(list[Any]):
    """A list whose values have marks, one each."""

    def __init__(self, values: Iterable[Any] = (), marks: Iterable[Mark] = ()) -> None:
        super().__init__(values)
        self.marks = list(marks)


def plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {key: plain(one) for key, one in value.items()}
    return list(map(plain, value)) if isinstance(value, Items) else value


def below(path: str, step: str | int) -> str:
    return f"{path}.{step}" if path else str(step)


def mark_at(root: Section, steps: Steps) -> Mark:
    """Return the mark of the value at the end of ``steps``, or of the last one that there is.

    One alone where a list may stand is at its position 0, too.
    """
    mark, value = Mark(root.place, root.place), root
    for step in steps:
        if step == 0 and not isinstance(value, Items):
            continue
        if not has_step(value, step):
            break
        mark, value = value.marks[step], value[step]  # type: ignore[index]
    return mark


def has_step(value: Any, step: str | int) -> bool:
    if isinstance(value, Items):
        return isinstance(step, int) and 0 <= step < len(value)
    return isinstance(value, Section) and step in value


def with_references(values: Any, source: Any, mark: Mark = UNMARKED) -> Any:
    """Return plain values with the references of ``source`` instead of their values.

    ``source`` is the tree from which the values came. They may hold less, or more: all fields of a
    component whose name alone was written.
    """
    if mark.reference:
        if isinstance(values, dict) and "name" in values:
            return {**values, "name": mark.reference}
        if isinstance(values, list) and len(values) == 1 and not isinstance(source, Items):
            return [with_references(values[0], source, mark)]
        return mark.reference
    if isinstance(source, Section) and isinstance(values, dict):
        return {
            key: with_references(value, source[key], source.marks[key]) if key in source else value
            for key, value in values.items()
        }
    if isinstance(source, Items) and isinstance(values, list) and len(values) == len(source):
        return list(map(with_references, values, source, source.marks))
    return values


def from_python(value: Any, problems: Problems, path: str = "", depth: int = 0) -> Any:
    """Return the tree of a Python value, with empty locations.

    Mappings with text keys, lists, tuples, plain values, paths and numpy scalars are understood;
    anything else is a problem at its path.
    """
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str, PurePath)):
        return str(value) if isinstance(value, PurePath) else value
    message = f"must be a plain value, a list or a mapping, not of the type {type(value).__name__}"
    if depth > DEEPEST:
        message = f"is nested deeper than {DEEPEST} levels"
    elif isinstance(value, (list, tuple)):
        items = [
            from_python(one, problems, below(path, i), depth + 1) for i, one in enumerate(value)
        ]
        return Items(items, [UNMARKED] * len(value))
    elif isinstance(value, Mapping):
        section = Section()
        for key, inner in value.items():
            if isinstance(key, str):
                found = from_python(inner, problems, below(path, key), depth + 1)
                section.put(key, found, UNMARKED)
            else:
                problems.add(NOWHERE, path, f"keys must be text, not {key!r}")
        return section
    elif hasattr(value, "shape"):
        message += "; what a table holds is read from a csv, parquet, npy or npz file"
    problems.add(NOWHERE, path, message)
    return None


class Problem(NamedTuple):
    """A problem: its location, dotted key and message."""

    place: Location
    path: str
    message: str

    def __str__(self) -> str:
        parts = (str(self.place), self.path, self.message)
        return ": ".join(part for part in parts if part).replace("\n", "\\n")


_MANY, _FIRST = 20, 5  # problems from which on the first of each kind are told
_QUOTED = re.compile(r"'[^']*'")


class Problems:
    """The problems found in a file.

    Of several at one location and key, or below it, the first counts: others follow from it.
    Relative paths in the file start in ``folder``.
    """

    def __init__(self, source: str = "<python>", folder: Path | None = None) -> None:
        self._found: list[Problem] = []
        self._paths: dict[Location, list[str]] = {}
        self.source, self.folder = source, Path.cwd() if folder is None else folder
        self.notes: list[str] = []  # on what is no problem

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Location, path: str, message: str) -> None:
        paths = self._paths.setdefault(place, [])
        if not any(path == known or (known and path.startswith(f"{known}.")) for known in paths):
            paths.append(path)
            self._found.append(Problem(place, path, message))

    def add_at(self, root: Section, steps: Steps, message: str, kind: str = "value") -> None:
        """Add a problem of a value in a tree, of one of the kinds of a `Finding`."""
        mark = mark_at(root, steps)
        place = mark.value if kind in ("value", "name") else mark.key
        self.add(place, ".".join(map(str, steps)), message)

    def add_findings(self, root: Section, error: ValidationError, *before: str | int) -> None:
        for kind, steps, message in findings_of(error, *before):
            self.add_at(root, steps, message, kind)

    def error(self) -> ConfigError:
        """Return the error with all problems, one a line, in the order of the file."""
        found = sorted(self, key=lambda one: (one.place.line == 0, one.place))
        shown = list(map(str, found))
        if len(found) > _MANY:
            kinds = [_QUOTED.sub("", one.message) for one in found]  # 'x' or 'y' is no difference
            times, seen, shown = Counter(kinds), Counter[str](), []
            for one, kind in zip(found, kinds, strict=True):
                seen[kind] += 1
                if seen[kind] <= _FIRST:
                    shown.append(str(one))
                elif seen[kind] == times[kind]:
                    shown.append(f"and {times[kind] - _FIRST} more like this")
        return ConfigError(cut_message(masked("\n".join(shown))))

    def fail(self, place: Location, path: str, message: str) -> NoReturn:
        """Raise the error with all problems and this last one."""
        self.add(place, path, message)
        raise self.error()

    def raise_any(self) -> None:
        if self._found:
            raise self.error()


# -------------------------------------------------------------------- sections against models


def reject(findings: Iterable[Finding]) -> NoReturn:
    """Raise a ValidationError that has these findings.

    Raised by a validator, they become findings of the section around, with its steps in front.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError(WORDED + kind, text), loc=tuple(path), input=None)
        for kind, path, text in findings
    ]
    raise ValidationError.from_exception_data("", details)


def findings_of(error: ValidationError, *before: str | int) -> list[Finding]:
    """Return the findings of an error that `reject` raised, with some steps ``before``."""
    return [
        (one["type"].removeprefix(WORDED), (*before, *one["loc"]), one["msg"])
        for one in error.errors(include_url=False)
    ]


def checked(
    cls: type[Model],
    section: Section,
    known: Iterable[str] = (),
    validate: Callable[[type[Model], Mapping[str, Any]], Model] = parse,
) -> Model:
    """Return an instance of ``cls`` made from a section; raises as `reject` does.

    Values are taken strictly, as YAML: a text is no number. What the environment held stays text
    where text is wanted: ``PIN=0042`` is no number then. ``known`` are further keys of the section,
    checked by others, to suggest for a misspelt one.
    """
    try:
        return validate(cls, section)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False):
            parent: Any = None
            last: Any = ""
            value: Any = section
            for step in one["loc"] if one["type"] in _WANTS_TEXT else ():
                if has_step(value, step):  # or it is the name of a union's branch
                    parent, last, value = value, step, value[step]
            if parent is not None and parent.marks[last].reference:
                parent[last] = parent.marks[last].text
    try:
        return validate(cls, section)
    except ValidationError as error:
        wrong = error
    reject(explain_errors(wrong, cls, with_references(section, section), known))
