"""Merging configurations: later wins, sections merge deeply, another name replaces."""

from __future__ import annotations

from dbgsom_core.config.nodes import Entry, Items, Node, Scalar, Section
from dbgsom_core.config.problems import Problems

# where a bare text is short for {name: text}
COMPONENT_PATHS = (
    "dataset",
    "model.metric",
    "model.kernel",
    "model.growth",
    "model.labeller",
    "tracking",
    "engine",
)


def merge(base: Section, over: Section, problems: Problems) -> Section:
    """Return ``base`` with ``over`` written over it.

    Sections merge key by key; lists and plain values are replaced, null included. A section whose
    ``name`` differs is replaced as a whole. A patch may reach into a list by position.
    """
    return _sections(base, over, "", problems)


def as_section(node: Node) -> Node:
    """Return ``{name: text}`` for a bare text, and any other node as it is."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return Section({"name": Entry(node.place, node)}, node.place)
    return node


def _sections(base: Section, over: Section, path: str, problems: Problems) -> Section:
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        inner = f"{path}.{key}" if path else key
        old = entries.get(key)
        if not base.patch and (old is None or isinstance(old.node, Scalar)):
            _check_no_position(entry.node, inner, problems)
        node = _merged(old.node if old else None, entry.node, inner, problems)
        # a key that is only reached through stays where it was written
        place = old.place if old and isinstance(entry.node, Section) else entry.place
        entries[key] = Entry(place, node)
    return Section(entries, base.place, base.patch)


def _merged(base: Node | None, over: Node, path: str, problems: Problems) -> Node:
    if base is not None and _within_component(path):
        if isinstance(over, Section) or isinstance(base, Section):
            base = as_section(base)
        if isinstance(base, Section):
            over = as_section(over)
    if isinstance(over, Section):
        if isinstance(base, Items) and over.patch:
            return _patched(base, over, path, problems)
        if not isinstance(base, Section) or _renamed(base, over):
            base = Section({}, over.place, over.patch)
        return _sections(base, over, path, problems)
    return over


def _patched(base: Items, over: Section, path: str, problems: Problems) -> Items:
    items = list(base.items)
    for key, entry in over.entries.items():
        inner = f"{path}.{key}"
        if not key.isdecimal() or int(key) >= len(items):
            last = len(items) - 1
            known = f"its items are 0 to {last}" if items else "it is empty"
            problems.add(entry.place, inner, f"there is no such item in this list; {known}")
            continue
        old = items[int(key)]
        if isinstance(entry.node, Section):
            old = as_section(old)
        items[int(key)] = _merged(old, entry.node, inner, problems)
    return Items(tuple(items), base.place)


def _check_no_position(node: Node, path: str, problems: Problems) -> None:
    if isinstance(node, Section) and node.patch:
        for key, entry in node.entries.items():
            if key.isdecimal():
                problems.add(entry.place, f"{path}.{key}", "there is no list here to reach into")
                problems.settle(entry.place, f"{path}.{key}")


def _within_component(path: str) -> bool:
    return any(path == known or path.startswith(f"{known}.") for known in COMPONENT_PATHS)


def _renamed(base: Section, over: Section) -> bool:
    old, new = base.get("name"), over.get("name")
    if old is None or new is None:
        return False
    return not (isinstance(old, Scalar) and isinstance(new, Scalar) and old.value == new.value)
