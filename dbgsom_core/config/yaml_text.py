"""YAML 1.2 as text: read strictly and safely (no tags, no duplicates, no bombs), and written.

PyYAML's events are read, not the nodes of `yaml.compose`: these forget where an alias stands, are
all made before anything is checked, and take twice the time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
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
from dbgsom_core.errors import as_text

_MOST = 50_000  # values as they are written, which PyYAML reads in a second or two
_LARGEST = 20_000  # values that a document may hold once its aliases are written out
_WIDEST = 60  # characters of a line with a comment beside it
_LONGEST_COMMENT = 70  # characters of a comment beside its line

Path = tuple[str | int, ...]  # the keys and positions that lead to a value

_WORDS: dict[str, Plain] = {
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
    "found unexpected end of stream": "a quote or bracket is not closed",
    "expected <block end>, but found '<block mapping start>'": "wrong indentation",
}


def read_scalar(text: str) -> Plain:
    """Return what an unquoted scalar means by the core schema (YAML 1.2.2, section 10.3.2).

    ``1e-3`` is a number, ``010`` is ten, ``0o10`` is eight; ``no``, ``on`` and ``12:30:45`` are
    text. Raises ValueError for a number that is too large for the code below: an integer of more
    than 64 bits, a float that is written as none of the words for infinity and would be it.
    """
    if text in _WORDS:
        return _WORDS[text]
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
        words = str(error.problem or error.context)
        reader.fail(reader.place(error.problem_mark), _PLAIN_WORDS.get(words, f"no YAML: {words}"))


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
        self._size = self._written = 0

    def place(self, mark: Any) -> Location:
        if self._at is not None:
            return self._at
        return Location(self._source, mark.line + 1, mark.column + 1)

    def fail(self, place: Location, message: str) -> NoReturn:
        self._problems.fail(place, "", message)

    def read(self, text: str, path: str, loader: Any) -> tuple[Any, Mark]:
        self._events = iter(yaml.parse(text, Loader=loader))
        first = self._at or Location(self._source, 1, 1)
        found: tuple[Any, Mark] = None, Mark(first, first)
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fail(self.place(event.start_mark), "one file holds one document, not two")
                found = self._value(next(self._events), path, 0)
        return found

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
            value, message = _scalar(event)
            if message:
                self._problems.add(place, path, message)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._items(path, depth)
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
        if self._size > _LARGEST:
            self.fail(place, f"aliases such as '*{anchor}' make more than {_LARGEST} values")
        return value, mark

    def _items(self, path: str, depth: int) -> Items:
        items = Items()
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            value, mark = self._value(event, below(path, len(items)), depth + 1)
            items.append(value)
            items.marks.append(mark)
        return items

    def _section(self, place: Location, path: str, depth: int) -> Section:
        section = Section(place=place)
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
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
            elif name in section:
                first = section.marks[name].key
                where = f" (first in line {first.line})" if first.line else ""
                self._problems.add(key_place, inner, f"the key appears twice{where}")
            else:
                section.put(name, value, mark._replace(key=key_place))
        return section


def _scalar(event: yaml.ScalarEvent) -> tuple[Plain, str]:
    """Return the value of a scalar, and what is wrong with it."""
    if any("\ud800" <= character <= "\udfff" for character in event.value):
        return "", "holds half a character (a lone surrogate)"
    if event.style or (event.tag is not None and event.value == ""):
        return event.value, ""
    try:
        return read_scalar(event.value), ""
    except ValueError:
        return event.value, "is a number that is too large"


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


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return YAML text of plain values, in their order, that `load_experiment` reads back."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def dump_inline(value: Any) -> str:
    """Return plain values as YAML on one line that stands after ``key:``."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def commented_yaml(
    values: Mapping[str, Any], comments: Mapping[Path, str], header: Iterable[str] = ()
) -> str:
    """Return YAML that loads as ``values``, with comments beside its lines, or above where long.

    ``comments`` are found by the keys and positions that lead to a value; a list of plain values
    stands on one line unless one of them has a comment. ``header`` are comment lines above all.
    """
    lines = list(_commented(values, comments, (), ""))
    short = [len(text) for text, comment in lines if comment and len(text) <= _WIDEST]
    width = max(short, default=0)
    found = [f"# {_comment(line)}" for line in header]
    for text, comment in lines:
        shown = _comment(comment)
        if not shown:
            found.append(text)
        elif len(text) <= _WIDEST and len(shown) <= _LONGEST_COMMENT:
            found.append(f"{text:<{width}}  # {shown}")
        else:
            found += [f"{' ' * (len(text) - len(text.lstrip()))}# {shown}", text]
    return "".join(f"{line}\n" for line in found)


def _commented(
    values: Any, comments: Mapping[Path, str], path: Path, indent: str
) -> Iterator[tuple[str, str]]:
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in pairs:
        at = (*path, key)
        head = f"{indent}- " if isinstance(key, int) else f"{indent}{dump_inline(key)}:"
        nested = isinstance(value, Mapping) or (
            isinstance(value, list)
            and any(isinstance(one, (Mapping, list)) or (*at, i) in comments
                    for i, one in enumerate(value))
        )  # fmt: skip
        if not nested or not value:
            yield f"{head.rstrip()} {dump_inline(value)}", comments.get(at, "")
        elif isinstance(key, int) and isinstance(value, Mapping):
            inner = list(_commented(value, comments, at, f"{indent}  "))
            yield f"{head}{inner[0][0].lstrip()}", inner[0][1]
            yield from inner[1:]
        else:
            yield head.rstrip(), comments.get(at, "")
            yield from _commented(value, comments, at, f"{indent}  ")


def _comment(text: str) -> str:
    return as_text(text).replace("\n", "\\n")
