"""Names for the runs of a sweep, from what varies between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from dbgsom_core.config.nodes import Entry, Items, Node, Scalar, plain

_UNSAFE = re.compile(r"[^A-Za-z0-9 ,.\-_/:=]")
_UNCHANGED = "as it is"  # a variant in which nothing but the seed varies

Varied = Mapping[str, Entry]


def child_names(children: Sequence[Varied]) -> list[str]:
    """Return a name for each child: only what differs, what has most values first.

    Of keys with equally many values the last comes first, which changes fastest in a grid:
    ``spreading_factor=0.3, kernel=gaussian``.
    """
    parts = [_parts(child) for child in children]
    keys = _in_order(parts)
    short = shortened([key for key, _ in keys])
    alike = {key for key in keys if len({part.get(key) for part in parts}) == 1}
    if any(alike >= part.keys() for part in parts):  # one would have no name
        alike = set()
    names, known = [], Counter[str]()
    for part in parts:
        told = (f"{short[key[0]]}={part[key]}" for key in keys if key in part and key not in alike)
        name = safe(", ".join(told))
        known[name] += 1
        names.append(name if known[name] == 1 else f"{name} : {known[name]}")
    return names


def variant_names(children: Sequence[tuple[str, Varied]]) -> list[str]:
    """Return what each named child has in common with those that differ in their seed alone."""
    if not any("seed" in varied for _, varied in children):
        return [name for name, _ in children]
    rest = [{k: entry for k, entry in varied.items() if k != "seed"} for _, varied in children]
    keys = [repr({key: plain(one[key].node) for key in sorted(one)}) for one in rest]
    unique = dict(zip(keys, rest, strict=True))
    names = dict(zip(unique, child_names(list(unique.values())), strict=True))
    return [names[key] or _UNCHANGED for key in keys]


def variant_name(varied: Varied) -> str:
    """Return a name from all that a variant changes, in its order."""
    parts = _parts(varied)
    short = shortened([key for key, _ in parts])
    return safe(", ".join(f"{short[key]}={told}" for (key, _), told in parts.items()))


def shortened(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted key where no other one ends alike."""
    ends = Counter(key.rpartition(".")[2] for key in dict.fromkeys(keys))
    short = {key: key.rpartition(".")[2] for key in keys}
    return {key: end if ends[end] == 1 else key for key, end in short.items()}


def safe(name: str) -> str:
    """Return a name that folders, addresses and trackers take."""
    return _UNSAFE.sub("-", name)


_Key = tuple[str, str]  # the key as it is told, and the varied key that it belongs to


def _parts(child: Varied) -> dict[_Key, str]:
    return {
        (key, axis): told
        for axis, entry in child.items()
        for key, told in _flat(axis.removesuffix(".name"), entry.node)
    }


def _flat(key: str, node: Node) -> Iterator[tuple[str, str]]:
    # A component is told as its name and the fields that are given with it.
    if isinstance(node, (Scalar, Items)):
        yield key, value_text(node)
        return
    for field, entry in node.entries.items():
        yield from _flat(key if field == "name" else f"{key}.{field}", entry.node)
    if not node.entries:
        yield key, "none"


def _in_order(parts: Sequence[Mapping[_Key, str]]) -> list[_Key]:
    keys = list(dict.fromkeys(key for part in parts for key in part))
    axes = list(dict.fromkeys(axis for _, axis in keys))
    values: dict[str, set[tuple[str, ...]]] = {axis: set() for axis in axes}
    for part in parts:
        told: dict[str, list[str]] = {axis: [] for axis in axes}
        for key, text in part.items():
            told[key[1]] += [key[0], text]
        for axis, texts in told.items():
            values[axis].add(tuple(texts))
    place = {axis: (-len(values[axis]), -at) for at, axis in enumerate(axes)}
    return sorted(keys, key=lambda key: place[key[1]])


def value_text(node: Node) -> str:
    """Return a value as names tell it, on one line."""
    if isinstance(node, Items):
        return " ".join(map(value_text, node.items)) or "none"
    if not isinstance(node, Scalar):
        return " ".join(f"{key}={value_text(one.node)}" for key, one in node.entries.items())
    value = plain(node)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
