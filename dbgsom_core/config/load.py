"""Documents, values with the places where they were written, and how they are loaded.

read YAML ▶ merge over what a file extends ▶ ``--set`` ▶ fill references to the environment.
YAML 1.2 is read strictly and safely: no tags, no duplicates, no bombs.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple, NoReturn

import yaml

from dbgsom_core.errors import ConfigError, DataError, described
from dbgsom_core.experiments.datasets import dataset_of_file
from dbgsom_core.experiments.trackers import cut_message, masked
from dbgsom_core.files import read_at_most, reading

Scalar = bool | int | float | str | None
Keys = tuple[str, ...]  # keys, and positions in lists as text, that lead to a value

DEEPEST = 50  # levels of sections and lists
_LONGEST_POSITION = 9  # digits; Python refuses to read thousands of them
_MOST = 50_000  # values of a document: a YAML bomb of aliases has billions
_LARGEST = 1 << 20  # bytes of a file, which PyYAML reads in some seconds
_MOST_FILES = 50  # that a file extends: more of them are a circle
REFERENCE = re.compile(r"\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^{}]*))?\}")
# Words of the core schema (YAML 1.2.2, section 10.3.2); in any other case they are text.
_SCALARS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": math.inf, ".Inf": math.inf, ".INF": math.inf,
    "+.inf": math.inf, "+.Inf": math.inf, "+.INF": math.inf,
    "-.inf": -math.inf, "-.Inf": -math.inf, "-.INF": -math.inf,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
}  # fmt: skip
_INTEGERS = (  # patterns and their base
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o[0-7]+"), 8),
    (re.compile(r"0x[0-9a-fA-F]+"), 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


# ---------------------------------------------------------------------- values and their places


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

    def without(self, name: str) -> Document:
        """Return the document without a key of its top level."""
        values = {key: value for key, value in self.values.items() if key != name}
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


class Problems(list[Problem]):
    """The problems found in a file, which `add` takes.

    Of several at one place and key, or below it, the first counts: others follow from it.
    """

    def add(self, place: Place, key: str, message: str) -> None:
        key = key.strip(".")
        for known in self:
            if known.place == place and f"{key}.".startswith(f"{known.key}."):
                return
        self.append(Problem(place, key, message))

    def fail(self, place: Place, key: str, message: str) -> NoReturn:
        """Raise the error with all problems and this last one."""
        self.add(place, key, message)
        self.raise_any()
        raise AssertionError

    def raise_any(self) -> None:
        """Raise all problems, one a line, in the order of the file."""
        if self:
            ordered = sorted(self, key=lambda problem: (problem.place.line == 0, problem.place))
            raise ConfigError(cut_message(masked("\n".join(map(str, ordered)))))


# ------------------------------------------------------------------------------------------- YAML


def read_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar by the core schema.

    ``1e-3`` is a number, ``010`` is ten, ``0o10`` is eight; ``no``, ``on`` and ``12:30:45`` are
    text. Raises ValueError for a number that is too large for the code below: an integer of more
    than 64 bits, a float that is written as none of the words for infinity and would be it.
    """
    if text in _SCALARS:
        return _SCALARS[text]
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            whole = int(text, base)
            if not -(2**63) <= whole < 2**63:
                raise ValueError("it is too large")
            return whole
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError("it is too large")
        return number
    return text


class _Tagless:
    """Resolver of loaders: a node has a tag where one is written, and an empty one elsewhere."""

    DEFAULT_SCALAR_TAG: Any = ""
    DEFAULT_SEQUENCE_TAG: Any = ""
    DEFAULT_MAPPING_TAG: Any = ""
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 # as PyYAML has it


class _Loader(_Tagless, yaml.SafeLoader):  # type: ignore[misc] # the tags are no constants
    """A loader that explains what is wrong."""


class _QuickLoader(_Tagless, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A loader for files of our own: it explains less."""


def read_yaml(
    text: str, problems: Problems, source: str | Place, keys: Keys = (), loader: Any = _Loader
) -> Document:
    """Return the one document of a YAML text, its values below ``keys``; None when it is empty.

    ``source`` is the name of a file, or the place of a text that is in none. ``problems`` takes
    what lets reading go on: duplicate keys, tags and the like. Raises `ConfigError` where the text
    is no YAML, or unsafe to go on with.
    """
    reader = _Reader(problems, source)
    try:
        node = yaml.compose(text, Loader=loader)
    except RecursionError:
        problems.fail(Place(str(source)), "", f"nested deeper than {DEEPEST} levels")
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = Place(str(source)) if mark is None else reader.place(mark)
        parts = [getattr(error, "context", None), getattr(error, "problem", None)]
        words = ", ".join(filter(None, parts)) or str(error).partition("\n")[0]
        problems.fail(place, "", f"no YAML: {words}")
    values = None if node is None else reader.value(node, keys)
    return Document(nested(keys, values), reader.marks)


def read_plain(text: str, source: str) -> Any:
    """Return the plain values of a YAML text, unfilled and unmerged; None where it is empty."""
    problems = Problems()
    document = read_yaml(text, problems, source, loader=_QuickLoader)
    problems.raise_any()
    return document.values


class _Reader:
    """Makes values and marks of PyYAML's nodes."""

    def __init__(self, problems: Problems, source: str | Place) -> None:
        self._problems, self._source = problems, source
        self._count = 0
        self.marks: dict[Keys, Mark] = {}

    def place(self, mark: Any) -> Place:
        if isinstance(self._source, Place):
            return self._source
        return Place(self._source, mark.line + 1, mark.column + 1)

    def value(self, node: Any, keys: Keys, key_place: Place | None = None) -> Any:
        place = self.place(node.start_mark)
        self._count += 1
        if self._count > _MOST:
            self._problems.fail(place, "", f"more than {_MOST} values")
        if len(keys) > DEEPEST:
            self._problems.fail(place, "", f"nested deeper than {DEEPEST} levels")
        if node.tag:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problems.add(place, ".".join(keys), f"tags such as '{tag}' are not supported")
        self.marks[keys] = Mark(place, key_place or place)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place, keys)
        if isinstance(node, yaml.MappingNode):
            return self._section(node, keys)
        return [self.value(item, (*keys, str(i))) for i, item in enumerate(node.value)]

    def _section(self, node: Any, keys: Keys) -> dict[str, Any]:
        section: dict[str, Any] = {}
        for key, value in node.value:
            place = self.place(key.start_mark)
            name: Any = key.value
            inner = (*keys, str(name))
            problem = ""
            if not isinstance(key, yaml.ScalarNode):
                inner, problem = keys, "a list or section is no key"
            elif name == "<<" and key.style is None:
                problem = "merge keys are not supported; use 'extends' or repeat"
            elif not isinstance(self._scalar(key, place, keys), str):
                inner, problem = keys, f"{name} is no key; quote it"
            elif name in section:
                line = self.marks[inner].key.line
                problem = "the key appears twice" + (f" (first in line {line})" if line else "")
            if problem:
                self._problems.add(place, ".".join(inner), problem)
            else:
                section[name] = self.value(value, inner, place)
        return section

    def _scalar(self, node: Any, place: Place, keys: Keys) -> Scalar:
        try:
            node.value.encode()  # which half a character (a lone surrogate) cannot be
            return node.value if node.style else read_scalar(node.value)
        except ValueError as error:
            self._problems.add(place, ".".join(keys), f"cannot be read: {error}")
            return ""


# ----------------------------------------------------------------------------------- YAML as text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML quotes what YAML 1.1 would misread; 1e-3 and 0o10 are text there but numbers in 1.2
    try:
        style = None if isinstance(read_scalar(value), str) else "'"
    except ValueError:
        style = "'"
    if any(mark in value for mark in "\n\x85\u2028\u2029"):  # the last three break lines in 1.1
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(values: Any, **options: Any) -> str:
    """Return YAML text of plain values, in their order, that `load_experiment` reads back."""
    options = {"width": 100, "sort_keys": False, "allow_unicode": True, **options}
    return str(yaml.dump(values, Dumper=_Dumper, **options))


# ------------------------------------------------------------------------------------------ files


def read_config(
    config: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Sequence[str],
    problems: Problems,
) -> Document:
    """Return the document of a file or of Python values, with overrides; nothing is filled."""
    if isinstance(config, (str, os.PathLike)):
        path = os.fspath(config)
        document = _read_file(path, Mark(), [], problems)
        document = replace(document, folder=Path(path).resolve().parent)
    else:
        document = _from_python(config, problems)
    document = overridden(document, overrides, problems)
    if "extends" in document.values:
        problems.add(document.mark("extends").key, "extends", "can only be written in a file")
    return document.without("extends")


def _from_python(values: Any, problems: Problems) -> Document:
    """Return the document of Python values: mappings, lists, tuples, numpy scalars and paths."""

    def as_plain(value: Any) -> Any:
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        if getattr(value, "shape", None) == ():  # of numpy
            return value.item()
        raise ValueError(
            f"a configuration holds texts, numbers, lists and mappings, and no {described(value)}; "
            "what a table holds is read from a csv, parquet, npy or npz file"
        )

    try:
        values = json.loads(json.dumps(values, default=as_plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(str(error)) from error
    if not isinstance(values, dict):
        raise ConfigError("a configuration is a mapping of keys to values")
    return read_yaml(dump_yaml(values), problems, Place())  # as it is read where it is stored


def _read_file(path: str, named: Mark, files: list[str], problems: Problems) -> Document:
    """Return the document of a file, over those that it extends; ``files`` were read before.

    ``named`` is where a file names it: there stands what is wrong with the file as a whole.
    """
    place, key = named.value, "extends" if files else ""
    files.append(path)
    if len(files) > _MOST_FILES:
        problems.fail(place, key, f"goes through more than {_MOST_FILES} files, or in a circle")
    name = Path(path).name.lower()
    is_yaml = name.endswith((".yaml", ".yml"))  # no need to import what reads tables
    if not is_yaml and dataset_of_file(name.removesuffix(".gz")):
        message = f"{path} is a table, no configuration: 'dbgsom init {path}' writes one"
        problems.fail(place, key, message)
    try:
        with reading(path, "configuration"):
            text = read_at_most(Path(path), _LARGEST).decode("utf-8-sig")
    except DataError as error:
        problems.fail(place, key, str(error))
    document = read_yaml(text, problems, path)
    first = Place(path, 1, 1)
    if not isinstance(document.values, dict):
        message = "the file must hold 'key: value' lines, at least 'experiment'"
        problems.fail(first, "", message)
    result = Document({}, {(): Mark(first, first)})
    bases = document.values.get("extends")
    if not isinstance(bases, list):
        bases = [] if bases is None else [bases]
    for number, base in enumerate(bases):
        mark = document.mark("extends", number)
        if isinstance(base, str) and base:
            base = os.path.normpath(Path(path).parent / base)
            result = merge(result, _read_file(base, mark, files, problems), problems)
        else:
            message = "must be the path of a file, or a list of paths"
            problems.add(mark.value, "extends", message)
    return merge(result, document.without("extends"), problems)


# ---------------------------------------------------------------------------------------- merging


_WITHOUT_NAME = (("class_weight",), ("threshold",))  # keys of sections that are no components


def merge(base: Document, over: Document, problems: Problems) -> Document:
    """Return ``base`` updated by ``over``.

    Sections merge key by key; lists and plain values are replaced, null included. A section whose
    ``name`` differs is replaced as a whole. Positions as keys reach into a list.
    """
    marks = {**base.marks, **over.marks}
    marks[()] = base.mark()

    def merged(old: Any, new: Any, keys: Keys) -> Any:
        if keys[-1:] not in _WITHOUT_NAME:  # elsewhere a text is short for {name: text}
            name = (*keys, "name")
            if isinstance(new, str) and isinstance(old, dict):
                new, marks[name] = {"name": new}, over.mark(*keys)
            elif isinstance(old, str) and isinstance(new, dict):
                old = {"name": old}
                if "name" not in new:
                    marks[name] = base.mark(*keys)
        if not isinstance(new, dict):
            return new
        if isinstance(old, list) and new and all(map(str.isdecimal, new)):
            return patched(old, new, keys)
        section: dict[str, Any] = {}
        if isinstance(old, dict):
            section = dict(old)
            if keys and "name" in new and old.get("name") not in (None, new["name"]):
                section = {}  # of another component, whose fields these are not
        for key, value in new.items():
            section[key] = merged(section.get(key), value, (*keys, key))
        return section

    def patched(items: list[Any], new: dict[str, Any], keys: Keys) -> list[Any]:
        items = items.copy()
        for key, value in new.items():
            inner = (*keys, key)
            if has_key(items, key):
                position = int(key)
                items[position] = merged(items[position], value, inner)
                continue
            known = f"its items are 0 to {len(items) - 1}" if items else "it is empty"
            message = f"there is no such item in this list; {known}"
            # Where the first value below this key was written: the key itself has no mark.
            below = (mark for at, mark in over.marks.items() if at[: len(inner)] == inner)
            problems.add(next(below, Mark()).key, ".".join(inner), message)
        return items

    return replace(base, values=merged(base.values, over.values, ()), marks=marks)


def nested(keys: Keys, value: Any) -> Any:
    """Return sections in each other that hold a value at some keys."""
    for key in reversed(keys):
        value = {key: value}
    return value


def split_key(dotted: str) -> Keys:
    """Return the parts of a dotted key; none where parts are empty, or too many."""
    keys = tuple(dotted.split("."))
    is_key = len(keys) <= DEEPEST and all(key and key == key.strip() for key in keys)
    return keys if is_key else ()


def overridden(document: Document, overrides: Sequence[str], problems: Problems) -> Document:
    """Return a document with overrides, of which later ones win."""
    if isinstance(overrides, str):
        raise TypeError("overrides must be a list of 'key=value' texts, not one text")
    changes = Document({})
    for override in overrides:
        place = Place(f"--set {override}")
        key, equals, text = override.partition("=")
        keys = split_key(key.strip())
        if not equals or not keys:
            message = "an override is written key=value, such as model.epochs=20"
            problems.add(place, "", message)
            continue
        with suppress(ConfigError):  # already among the problems
            changes = merge(changes, read_yaml(text, problems, place, keys), problems)
    return merge(document, changes, problems)


# ------------------------------------------------------------------------------------ environment


def fill(document: Document, problems: Problems, apart: Collection[Keys] = ()) -> Document:
    """Return a document with every reference to the environment filled, ``apart`` from some keys.

    A value that is one reference and nothing else is read as a scalar, so ``seed: ${env:SEED}``
    is a number. A default holds where the variable is unset or empty.
    """
    marks = dict(document.marks)

    def filled(value: Any, keys: Keys) -> Any:
        if keys in apart:
            return value
        if isinstance(value, dict):
            return {key: filled(item, (*keys, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, (*keys, str(i))) for i, item in enumerate(value)]
        if not isinstance(value, str) or "${env:" not in value:
            return value
        mark, key = document.mark(*keys), ".".join(keys)
        if "${env:" in REFERENCE.sub("", value):
            message = "holds a broken reference; write ${env:NAME} or ${env:NAME:-default}"
            problems.add(mark.value, key, message)
            return value

        def value_of(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            text = os.environ.get(name)
            if text is None and default is None:
                problems.add(mark.value, key, f"the environment variable {name} is not set")
            return text or default or ""

        text = REFERENCE.sub(value_of, value)
        marks[keys] = mark._replace(reference=value, text=text)
        if text and REFERENCE.fullmatch(value):
            with suppress(ValueError):
                return read_scalar(text)
        return text

    return replace(document, values=filled(document.values, ()), marks=marks)
