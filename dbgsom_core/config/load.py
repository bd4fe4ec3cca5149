"""Merge YAML text, files, ``extends``, ``--set`` and the environment to one tree of values.

read ▶ merge over what a file extends ▶ overrides ▶ fill references to the environment.

YAML 1.2 is read strictly and safely (no tags, no duplicates, no bombs), by PyYAML's events and not
the nodes of `yaml.compose`: these forget where an alias stands, are all made before anything is
checked, and take twice the time.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml

from dbgsom_core.config.sections import (
    DEEPEST,
    Items,
    Location,
    Mark,
    Plain,
    Problems,
    Section,
    below,
    plain,
)
from dbgsom_core.errors import ConfigError, did_you_mean
from dbgsom_core.experiments.addresses import masked
from dbgsom_core.tables.safe_files import MOST_SIBLINGS, read_at_most

_MOST = 50_000  # values as they are written, which PyYAML reads in a second or two
_MOST_ALIASED = 20_000  # values that a document may hold once its aliases are written out
_LARGEST = 1 << 22  # bytes of a file; the values in it are counted, too
_MOST_BELOW = 50  # files that extend each other in a row
_TABLES = {".csv", ".tsv", ".parquet", ".pq", ".npy", ".npz"}  # what `dbgsom init` looks at
_LONG = 200  # characters of a path that a message shows
# Where a bare text is short for {name: text}.
_COMPONENTS = (
    "dataset", "model.metric", "model.kernel", "model.growth", "model.labeller", "tracking",
    "engine",
)  # fmt: skip
_REFERENCE = re.compile(r"\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}")
_SCALARS: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGERS = (
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o([0-7]+)"), 8),
    (re.compile(r"0x([0-9a-fA-F]+)"), 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_PLAIN_WORDS = {
    "found character '\\t' that cannot start any token": "tabs cannot indent YAML; use spaces",
    "mapping values are not allowed here": "a second ': ' on this line, or wrong indentation; "
    "quote text that holds ': '",
    "exceeded maximum nesting depth": f"nested deeper than {DEEPEST} levels",
    "found unexpected end of stream": "the quote that begins here is not closed",
    "could not find expected ':'": "there is no ': ' after this key",
    "expected ',' or ']', but got '<stream end>'": "a bracket [ is not closed",
    "expected ',' or '}', but got '<stream end>'": "a bracket { is not closed",
    "expected <block end>, but found '<block mapping start>'": "wrong indentation",
}
_WHERE_IT_BEGINS = ("found unexpected end of stream", "could not find expected ':'")


# ------------------------------------------------------------------------------------------- YAML


def read_scalar(text: str) -> Plain:
    """Return the value of an unquoted scalar by the core schema (YAML 1.2.2, section 10.3.2).

    ``1e-3`` is a number, ``010`` is ten, ``0o10`` is eight; ``no``, ``on`` and ``12:30:45`` are
    text. Raises ValueError for a number that is too large for the code below: an integer of more
    than 64 bits, a float that is written as none of the words for infinity and would be it.
    """
    if text in _SCALARS:
        return _SCALARS[text]
    for pattern, base in _INTEGERS:
        if match := pattern.fullmatch(text):
            whole = int(match[match.lastindex or 0], base)
            if not -(2**63) <= whole < 2**63:
                raise ValueError("it is too large")
            return whole
    if _FLOAT.fullmatch(text):
        if math.isinf(number := float(text)):
            raise ValueError("it is too large")
        return number
    return text


def read_yaml(
    text: str,
    problems: Problems,
    source: str,
    at: Location | None = None,
    path: str = "",
    quick: bool = False,
) -> tuple[Any, Mark]:
    """Return the one document of a YAML text as a tree with its mark; None when it is empty.

    ``problems`` takes what lets reading go on: duplicate keys, tags and the like. Locations name
    ``source``; a text that is in no file is all ``at`` one place, under the dotted key ``path``.
    ``quick`` reads with libyaml where PyYAML has it: for files of our own, since it explains less.
    Raises `ConfigError` where the text is no YAML, or unsafe to go on with.
    """
    reader = _Reader(problems, source, at)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if quick else yaml.SafeLoader
    try:
        return reader.read(text, path, loader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = at or Location(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        character = text[error.position : error.position + 1]
        reader.fail(place, f"the character {character!r} is not allowed")
    except yaml.MarkedYAMLError as error:
        words, found_at = str(error.problem or error.context), error.problem_mark
        if error.context_mark is not None and words in _WHERE_IT_BEGINS:
            found_at = error.context_mark
        reader.fail(reader.place(found_at), _PLAIN_WORDS.get(words, f"no YAML: {words}"))


def read_plain(text: str, source: str) -> Any:
    """Return the plain values of a YAML text, unfilled and unmerged; None where it is empty."""
    problems = Problems()
    values, _ = read_yaml(text, problems, source, quick=True)
    problems.raise_any()
    return plain(values)


class _Reader:
    def __init__(self, problems: Problems, source: str, at: Location | None) -> None:
        self._problems, self._source, self._at = problems, source, at
        self._anchors: dict[str, tuple[Any, Mark, int] | None] = {}
        self._events: Iterator[Any] = iter(())
        self._size = self._written = 0  # values with aliases written out, and as they stand

    def place(self, mark: Any) -> Location:
        if self._at is not None:
            return self._at
        return Location(self._source, mark.line + 1, mark.column + 1)

    def fail(self, place: Location, message: str) -> NoReturn:
        self._problems.fail(place, "", message)

    def read(self, text: str, path: str, loader: Any) -> tuple[Any, Mark]:
        self._events = iter(yaml.parse(text, Loader=loader))
        first = self._at or Location(self._source, 1, 1)
        found: tuple[Any, Mark] | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    self.fail(self.place(event.start_mark), "one file holds one document, not two")
                found = self._value(next(self._events), path, 0)
        return (None, Mark(first, first)) if found is None else found

    def _value(self, event: Any, path: str, depth: int) -> tuple[Any, Mark]:
        place = self.place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        self._size += 1
        self._written += 1
        if self._written > _MOST:
            self.fail(place, f"more than {_MOST} values in one file")
        if depth > DEEPEST:
            self.fail(place, f"nested deeper than {DEEPEST} levels")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._problems.add(place, path, f"tags such as '{tag}' are not supported")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        before, mark = self._size, Mark(place, place)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, place, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = Items()
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                item, at = self._value(inner, below(path, len(value)), depth + 1)
                value.append(item)
                value.marks.append(at)
        else:
            value = self._section(place, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, mark, self._size - before + 1)
        return value, mark

    def _alias(self, anchor: str, place: Location) -> tuple[Any, Mark]:
        if anchor not in self._anchors:
            self.fail(place, f"'*{anchor}' has no '&{anchor}' before it")
        known = self._anchors[anchor]
        if known is None:
            self.fail(place, f"'*{anchor}' contains itself")
        value, mark, size = known
        self._size += size
        if self._size > _MOST_ALIASED:
            self.fail(place, f"aliases such as '*{anchor}' make more than {_MOST_ALIASED} values")
        return value, mark

    def _section(self, place: Location, path: str, depth: int) -> Section:
        section = Section(place=place)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name, _ = self._value(event, path, depth + 1)
            # the key's own place: an aliased key stands where the alias is
            key_place = self.place(event.start_mark)
            is_text = isinstance(name, str)
            inner = below(path, name if is_text else "None")
            value, mark = self._value(next(self._events), inner, depth + 1)
            if not is_text:
                shown = "null" if name is None else f"{name!r}".lower()
                if isinstance(name, (Section, Items)):
                    shown = "a list" if isinstance(name, Items) else "a section"
                self._problems.add(key_place, path, f"{shown} is no key; quote it")
            elif name == "<<" and getattr(event, "style", None) is None:  # not in quotes
                message = "merge keys are not supported; use 'extends' or repeat"
                self._problems.add(key_place, inner, message)
            elif name != name.strip() and event.style is None:
                letter = next(one for one in name if one.isspace())
                message = f"{letter!a} before or after a key is no space: write a plain one"
                self._problems.add(key_place, path, message.replace("'", ""))
            elif name in section:
                first = section.marks[name].key
                where = f" (first in line {first.line})" if first.line else ""
                self._problems.add(key_place, inner, f"the key appears twice{where}")
            else:
                section.put(name, value, mark._replace(key=key_place))
        return section

    def _scalar(self, event: yaml.ScalarEvent, place: Location, path: str) -> Plain:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._problems.add(place, path, "holds half a character (a lone surrogate)")
            return ""
        if event.style or (event.tag is not None and event.value == ""):
            return str(event.value)
        try:
            return read_scalar(event.value)
        except ValueError:
            self._problems.add(place, path, "is a number that is too large")
            return str(event.value)


# ------------------------------------------------------------------------------------------ files


def merged(path: str | os.PathLike[str], overrides: Sequence[str], problems: Problems) -> Section:
    """Return the section of a file, those that it extends and overrides; nothing is filled."""
    root = _read_file(os.fspath(path), None, (), {}, problems)
    problems.source, problems.folder = os.fspath(path), Path(path).resolve().parent
    return overridden(root, overrides, problems)


def _read_file(
    shown: str,
    named_at: Location | None,
    inside: tuple[Path, ...],
    known: dict[Path, Section],
    problems: Problems,
) -> Section:
    """Return the section of a file, over those that it extends; ``known`` are read already.

    ``inside`` are the files that led to it, the last of which names it somewhere; of the one on the
    command line the file itself is the location of what is wrong.
    """
    name = shown if len(shown) <= _LONG else f"{shown[:_LONG]}…"
    where = (Location(name), "") if named_at is None else (named_at, "extends")
    try:
        real = Path(shown).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, or links in a circle
        problems.fail(*where, f"'{name}' cannot be read: {error}")
    if len(inside) > _MOST_BELOW:
        problems.fail(*where, f"goes through more than {_MOST_BELOW} files")
    if real in inside:
        circle = [f"'{one.name}'" for one in (*inside[inside.index(real) :], real)]
        problems.fail(*where, f"goes in a circle: {' extends '.join(circle)}")
    if real in known:
        return known[real]
    section, _ = read_yaml(_text_of(shown, name, where, problems), problems, shown)
    first = Location(shown, 1, 1)
    if section is None:
        problems.fail(first, "", "the file is empty; it needs at least 'experiment'")
    if not isinstance(section, Section):
        found = "a list" if isinstance(section, Items) else "a single value"
        problems.fail(first, "", f"the file must hold 'key: value' lines, not {found}")
    result, bases = Section(place=first), section.get("extends")
    if bases is not None and not isinstance(bases, Items):
        bases = Items([bases], [section.marks["extends"]])
    for base, at in zip(bases, bases.marks, strict=True) if bases else ():
        if isinstance(base, str) and base:
            beside = os.path.normpath(Path(shown).parent / base)
            below_it = _read_file(beside, at.value, (*inside, real), known, problems)
            result = merge(result, below_it, problems)
        else:
            problems.add(at.value, "extends", "must be the path of a file, or a list of paths")
    known[real] = merge(result, section.without("extends"), problems)
    return known[real]


def _text_of(shown: str, name: str, where: tuple[Location, str], problems: Problems) -> str:
    path = Path(shown)
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    if suffixes & _TABLES and not suffixes & {".yaml", ".yml"} and path.is_file():
        problems.fail(*where, f"is a table, no configuration: 'dbgsom init {name}' writes one")
    try:
        content = read_at_most(path, _LARGEST)
    except FileNotFoundError:
        names: list[str] = []
        with suppress(OSError):  # there is no such folder either
            names = [one.name for one in islice(path.parent.iterdir(), MOST_SIBLINGS)]
        near = did_you_mean(path.name, [one for one in names if one.endswith((".yaml", ".yml"))])
        looked = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
        problems.fail(*where, f"there is no file '{name}'{looked}{near}")
    except OSError as error:
        problems.fail(*where, f"'{name}' cannot be read: {error.strerror}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        at = Location(shown, before.count("\n") + 1, len(before) - before.rfind("\n"))
        byte = f"0x{content[error.start]:02x}"
        problems.fail(at, "", f"byte {byte} is no UTF-8; save the file as UTF-8")


# ---------------------------------------------------------------------------------------- merging


def merge(base: Section, over: Section, problems: Problems, path: str = "") -> Section:
    """Return ``base`` updated by ``over``.

    Sections merge key by key; lists and plain values are replaced, null included. A section whose
    ``name`` differs is replaced as a whole. A patch may reach into a list by position.
    """
    result = Section(base, base.marks, base.place, base.patch)
    for key, value in over.items():
        inner, mark, old = below(path, key), over.marks[key], base.get(key)
        if key in base and isinstance(value, Section) and value.patch:
            # a key that is only reached through stays where it was written
            mark = mark._replace(key=base.marks[key].key)
        result.put(key, *_merged(old, base.marks.get(key, mark), value, mark, inner, problems))
    return result


def as_section(value: Any, mark: Mark) -> Any:
    """Return ``{name: text}`` for a bare text, and any other value as it is."""
    if isinstance(value, str):
        return Section({"name": value}, {"name": mark._replace(key=mark.value)}, mark.value)
    return value


def _merged(
    base: Any, base_mark: Mark, over: Any, mark: Mark, path: str, problems: Problems
) -> tuple[Any, Mark]:
    if any(path == known or path.startswith(f"{known}.") for known in _COMPONENTS):
        if isinstance(over, Section) or isinstance(base, Section):
            base = as_section(base, base_mark)
        if isinstance(base, Section):
            over = as_section(over, mark)
    if not isinstance(over, Section):
        return over, mark
    if isinstance(base, Items) and over.patch:
        return _patched(base, over, path, problems), base_mark
    names = [one.get("name") for one in (base, over) if isinstance(one, Section)]
    renamed = None not in names and (names[0] != names[-1] or isinstance(names[0], (dict, list)))
    if len(names) < 2 or renamed:
        base = Section(place=over.place, patch=over.patch)
    section = merge(base, over, problems, path)
    return section, mark._replace(value=section.place)


def _patched(base: Items, over: Section, path: str, problems: Problems) -> Items:
    items = Items(base, base.marks)
    for key, value in over.items():
        inner, mark = f"{path}.{key}", over.marks[key]
        if not key.isdecimal() or int(key) >= len(items):
            known = f"its items are 0 to {len(items) - 1}" if items else "it is empty"
            problems.add(mark.key, inner, f"there is no such item in this list; {known}")
            continue
        old, at = items[int(key)], items.marks[int(key)]
        if isinstance(value, Section):
            old = as_section(old, at)
        items[int(key)], items.marks[int(key)] = _merged(old, at, value, mark, inner, problems)
    return items


def patch(dotted: str, value: Any, mark: Mark) -> Section:
    """Return a section with ``value`` at a dotted key, such as ``model.epochs``."""
    for key in reversed(dotted.split(".")):
        value = Section({key: value}, {key: mark}, mark.value, patch=True)
    assert isinstance(value, Section)
    return value


def is_dotted_key(text: str) -> bool:
    """Return whether a key is dotted, with no empty and not too many parts."""
    parts = text.split(".")
    return len(parts) <= DEEPEST and all(part and part == part.strip() for part in parts)


def overlay(overrides: Sequence[str], problems: Problems) -> Section:
    """Return all ``key=value`` overrides as one section to be merged over a file."""
    if isinstance(overrides, str):
        raise TypeError("overrides must be a list of 'key=value' texts, not one text")
    result = Section(patch=True)
    for override in overrides:
        place = Location(f"--set {override}")
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not is_dotted_key(key):
            message = "an override is written key=value, such as model.epochs=20"
            problems.add(place, "", message)
        elif key.partition(".")[0] == "extends":
            problems.add(place, key, "can only be written in a file")
        else:
            with suppress(ConfigError):  # already among the problems
                value, mark = read_yaml(text, problems, "", place, key)
                result = merge(result, patch(key, value, mark), problems)
    return result


def overridden(root: Section, overrides: Sequence[str], problems: Problems) -> Section:
    """Return a section with overrides; one that changes nothing is noted among ``problems``."""
    changed = merge(root, overlay(overrides, problems), problems)
    for override in overrides:
        if plain(merge(root, overlay([override], Problems()), Problems())) == plain(root):
            problems.notes.append(f"--set {masked(override)} changes nothing: it is so already")
    return changed


# ------------------------------------------------------------------------------------ environment


def fill(
    value: Any, mark: Mark, problems: Problems, apart: Sequence[str] = (), path: str = ""
) -> tuple[Any, Mark]:
    """Return a tree with every reference to the environment filled, ``apart`` from some keys.

    A value that is one reference and nothing else is read as a scalar, so ``seed: ${env:SEED}``
    is a number. A default holds where the variable is unset or empty.
    """
    if path in apart:
        return value, mark
    if isinstance(value, Section):
        section = Section(place=value.place)
        for key, inner in value.items():
            filled = fill(inner, value.marks[key], problems, apart, below(path, key))
            section.put(key, *filled)
        return section, mark
    if isinstance(value, Items):
        items = Items()
        for i, (inner, inside) in enumerate(zip(value, value.marks, strict=True)):
            one, its_mark = fill(inner, inside, problems, apart, below(path, i))
            items.append(one)
            items.marks.append(its_mark)
        return items, mark
    if not isinstance(value, str) or "${env:" not in value:
        return value, mark
    if any("${" in (match["default"] or "") for match in _REFERENCE.finditer(value)):
        message = "holds a reference in the default of another one: a default is plain text"
        problems.add(mark.value, path, message)
        return value, mark
    if "${env:" in _REFERENCE.sub("", value):
        message = "holds a broken reference; write ${env:NAME} or ${env:NAME:-default}"
        problems.add(mark.value, path, message)
        return value, mark

    def value_of(match: re.Match[str]) -> str:
        name, held = match["name"], os.environ.get(match["name"])
        if held is None and match["default"] is None:
            problems.add(mark.value, path, f"the environment variable {name} is not set")
        return held or match["default"] or ""

    text = _REFERENCE.sub(value_of, value)
    read: Any = text
    if text and _REFERENCE.fullmatch(value):
        with suppress(ValueError):
            read = read_scalar(text)
    return read, mark._replace(reference=value, text=text)
