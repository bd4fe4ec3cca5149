"""Configuration values that remember where they were written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

from dbgsom_core.config.problems import NOWHERE, Place, Problems

_DEEPEST = 50

Plain = bool | int | float | str | None


@dataclass(frozen=True)
class Scalar:
    """One plain value.

    Attributes
    ----------
    value : bool, int, float, str or None
    place : Place
    reference : str
        The text as written when the value came from the environment, else empty. Whatever is
        shown or stored uses it in place of the value.
    text : str
        What the environment held, before it was read as a number or a word.
    """

    value: Plain
    place: Place
    reference: str = ""
    text: str = ""


@dataclass(frozen=True)
class Items:
    """A list of nodes."""

    items: tuple[Node, ...]
    place: Place


class Entry(NamedTuple):
    """One ``key: value`` of a section: where the key stands, and the value."""

    place: Place
    node: Node


@dataclass(frozen=True)
class Section:
    """A mapping of keys to nodes.

    Attributes
    ----------
    entries : mapping of str to Entry
    place : Place
    patch : bool
        True for a section that a dotted key (``--set prepare.0.name=…``, a sweep) stands for: its
        keys may be positions in a list.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    place: Place = NOWHERE
    patch: bool = False

    def get(self, key: str) -> Node | None:
        """Return the node at ``key``, or None."""
        entry = self.entries.get(key)
        return None if entry is None else entry.node

    def without(self, *keys: str) -> Section:
        """Return this section without some keys."""
        kept = {key: entry for key, entry in self.entries.items() if key not in keys}
        return Section(kept, self.place, self.patch)


Node = Scalar | Items | Section


class Spot(NamedTuple):
    """A node with its dotted path and the place of its key."""

    path: str
    key_place: Place
    node: Node

    def __truediv__(self, key: str | int) -> Spot:
        """Return the spot at a key or a position, which must exist."""
        path = f"{self.path}.{key}" if self.path else str(key)
        if isinstance(self.node, Section):
            entry = self.node.entries[str(key)]
            return Spot(path, entry.place, entry.node)
        assert isinstance(self.node, Items)
        node = self.node.items[int(key)]
        return Spot(path, node.place, node)


def is_null(node: Node | None) -> bool:
    """Say whether a node is absent or null."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def plain(node: Node, masked: bool = False) -> Any:
    """Return the values of a node; ``masked`` shows references instead of what they stand for."""
    if isinstance(node, Scalar):
        return node.reference if masked and node.reference else node.value
    if isinstance(node, Items):
        return [plain(item, masked) for item in node.items]
    return {key: plain(entry.node, masked) for key, entry in node.entries.items()}


def held(node: Node) -> str:
    """Return how a value from the environment is told, which is never shown; else nothing."""
    reference = node.reference if isinstance(node, Scalar) else ""
    return f"what {reference} holds" if reference else ""


def mask(values: Any, node: Node) -> Any:
    """Return ``values`` with the references of ``node`` written over what they stand for."""
    if isinstance(node, Scalar):
        return node.reference or values
    if isinstance(node, Section) and isinstance(values, dict):
        return {
            key: mask(value, node.entries[key].node) if key in node.entries else value
            for key, value in values.items()
        }
    if isinstance(node, Items) and isinstance(values, list) and len(values) == len(node.items):
        return [mask(value, item) for value, item in zip(values, node.items, strict=True)]
    return values


def from_python(value: Any, problems: Problems, path: str = "", depth: int = 0) -> Node:
    """Return the node of a Python value, with places that show nothing.

    Mappings with text keys, lists, tuples, plain values, paths and numpy scalars are understood;
    anything else is a problem at its path.
    """
    place = Place("")
    if depth > _DEEPEST:
        problems.add(place, path, f"is nested deeper than {_DEEPEST} levels")
        return Scalar(None, place)
    if isinstance(value, PurePath):
        return Scalar(str(value), place)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return Scalar(value, place)

    def below(key: Any, inner: Any) -> Node:
        return from_python(inner, problems, f"{path}.{key}" if path else str(key), depth + 1)

    if isinstance(value, (list, tuple)):
        return Items(tuple(below(i, item) for i, item in enumerate(value)), place)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                problems.add(place, path, f"keys must be text, not {key!r}")
        entries = {
            key: Entry(place, below(key, inner))
            for key, inner in value.items()
            if isinstance(key, str)
        }
        return Section(entries, place)
    told = f"must be a plain value, a list or a mapping, not of the type {type(value).__name__}"
    if hasattr(value, "shape"):
        told += "; what a table holds is read from a csv, parquet, npy or npz file"
    problems.add(place, path, told)
    return Scalar(None, place)
