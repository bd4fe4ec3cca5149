"""Reading YAML text into nodes, strictly and safely: no tags, no duplicates, no bombs.

PyYAML's events are read, not the nodes of `yaml.compose`: these forget which tag was written and
where an alias stands, are all made before anything is told, and take twice the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from dbgsom_core.config.nodes import Entry, Items, Node, Scalar, Section
from dbgsom_core.config.problems import Place, Problems
from dbgsom_core.config.scalars import read_scalar

_MOST = 50_000  # values as they are written, which PyYAML reads in a second or two
_LARGEST = 20_000  # values that a document may hold once its aliases are written out
_DEEPEST = 50

_PLAIN_WORDS = {
    "found character '\\t' that cannot start any token": "tabs cannot indent YAML; use spaces",
    "mapping values are not allowed here": "a second ': ' on this line, or wrong indentation; "
    "quote text that holds ': '",
    "exceeded maximum nesting depth": f"nested deeper than {_DEEPEST} levels",
    "could not find expected ':'": "a key without ':'",
    "found unexpected end of stream": "a quote or bracket is not closed",
    "expected <block end>, but found '<block mapping start>'": "wrong indentation",
    "expected <block end>, but found '<block sequence start>'": "wrong indentation",
    "expected <block end>, but found '-'": "wrong indentation",
}


def read_yaml(
    text: str,
    problems: Problems,
    source: str,
    at: Place | None = None,
    path: str = "",
    quick: bool = False,
) -> Node | None:
    """Return the one document of a YAML text; None when it is empty.

    Parameters
    ----------
    text : str
    problems : Problems
        Takes what is wrong but lets reading go on: duplicate keys, tags and the like.
    source : str
        The name of the file in places.
    at : Place, optional
        One place for all values, for a text that is in no file.
    path : str
        The dotted key under which the text stands.
    quick : bool
        Read with libyaml where PyYAML has it: for files of our own, since it explains less.

    Raises
    ------
    ConfigError
        The text is no YAML, or unsafe to go on with.
    """
    reader = _Reader(problems, source, at)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if quick else yaml.SafeLoader
    try:
        return reader.read(text, path, loader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = at or Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        reader.fail(
            place, f"the character {text[error.position : error.position + 1]!r} is not allowed"
        )
    except yaml.MarkedYAMLError as error:
        words = str(error.problem or error.context)
        reader.fail(reader.place(error.problem_mark), _PLAIN_WORDS.get(words, f"no YAML: {words}"))


class _Reader:
    def __init__(self, problems: Problems, source: str, at: Place | None) -> None:
        self._problems, self._source, self._at = problems, source, at
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._events: Iterator[yaml.Event] = iter(())
        self._size = self._written = 0

    def place(self, mark: Any) -> Place:
        if self._at is not None:
            return self._at
        return Place(self._source, mark.line + 1, mark.column + 1)

    def fail(self, place: Place, message: str) -> NoReturn:
        self._problems.add(place, "", message)
        raise self._problems.error()

    def read(self, text: str, path: str, loader: Any) -> Node | None:
        self._events = iter(yaml.parse(text, Loader=loader))
        found: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fail(self.place(event.start_mark), "one file holds one document, not two")
                first = next(self._events)
                found = None if _is_nothing(first) else self._node(first, path, 0)
        return found

    def _node(self, event: Any, path: str, depth: int) -> Node:
        place = self.place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        self._size += 1
        self._written += 1
        if self._written > _MOST:
            self.fail(place, f"more than {_MOST} values in one file")
        if depth > _DEEPEST:
            self.fail(place, f"nested deeper than {_DEEPEST} levels")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._problems.add(place, path, f"tags such as '{tag}' are not supported")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        before = self._size
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._items(place, path, depth)
        else:
            node = self._section(place, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._size - before + 1)
        return node

    def _alias(self, anchor: str, place: Place) -> Node:
        if anchor not in self._anchors:
            self.fail(place, f"'*{anchor}' has no '&{anchor}' before it")
        known = self._anchors[anchor]
        if known is None:
            self.fail(place, f"'*{anchor}' contains itself")
        node, size = known
        self._size += size
        if self._size > _LARGEST:
            self.fail(place, f"aliases such as '*{anchor}' make more than {_LARGEST} values")
        return node

    def _scalar(self, event: yaml.ScalarEvent, place: Place, path: str) -> Scalar:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._problems.add(place, path, "holds half a character (a lone surrogate)")
            return Scalar(None, place)
        if event.style:
            return Scalar(event.value, place)
        try:
            return Scalar(read_scalar(event.value), place)
        except ValueError:
            self._problems.add(place, path, "is a number that is too large")
            return Scalar(None, place)

    def _items(self, place: Place, path: str, depth: int) -> Items:
        items: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, _below(path, str(len(items))), depth + 1))
        return Items(tuple(items), place)

    def _section(self, place: Place, path: str, depth: int) -> Section:
        entries: dict[str, Entry] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, path, depth + 1)
            # the key's own place: an aliased key stands where the alias is
            key_place = self.place(event.start_mark)
            name = key.value if isinstance(key, Scalar) else None
            inner = _below(path, str(name))
            node = self._node(next(self._events), inner, depth + 1)
            if not isinstance(name, str):
                self._problems.add(key_place, path, f"{_shown_key(key)} is no key; quote it")
            elif name == "<<":
                self._problems.add(
                    key_place, inner, "merge keys are not supported; use 'extends' or repeat"
                )
            elif name in entries:
                first = entries[name].place
                where = f" (first in line {first.line})" if first.line else ""
                self._problems.add(key_place, inner, f"the key appears twice{where}")
            else:
                entries[name] = Entry(key_place, node)
        return Section(entries, place)


def _is_nothing(event: yaml.Event) -> bool:
    return (
        isinstance(event, yaml.ScalarEvent)
        and event.style is None
        and event.value == ""
        and event.tag is None
    )


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown_key(key: Node) -> str:
    if isinstance(key, Scalar):
        return "null" if key.value is None else f"{key.value!r}".lower()
    return "a list" if isinstance(key, Items) else "a section"
