"""Filling ``${env:NAME}`` and ``${env:NAME:-default}`` from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from dbgsom_core.config.nodes import Entry, Items, Node, Plain, Scalar, Section, Spot
from dbgsom_core.config.problems import Problems
from dbgsom_core.config.scalars import read_scalar

_REFERENCE = re.compile(r"\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}")


def fill(spot: Spot, problems: Problems, env: Mapping[str, str] | None = None) -> Node:
    """Return the node at ``spot`` with every reference filled.

    A value that is one reference and nothing else is read as a scalar, so ``seed: ${env:SEED}``
    is a number. A default holds where the variable is unset or empty.
    """
    known = os.environ if env is None else env
    node = spot.node
    if isinstance(node, Items):
        items = (fill(spot / i, problems, known) for i in range(len(node.items)))
        return Items(tuple(items), node.place)
    if isinstance(node, Section):
        entries = {
            key: Entry(entry.place, fill(spot / key, problems, known))
            for key, entry in node.entries.items()
        }
        return Section(entries, node.place)
    if not isinstance(node.value, str) or "${env:" not in node.value:
        return node
    return _filled(node, node.value, spot.path, problems, known)


def fill_text(text: str) -> str:
    """Return a text that was written down with the references in it filled, where they can be."""
    return _REFERENCE.sub(lambda match: os.environ.get(match["name"]) or match[0], text)


def names_in(text: str) -> list[str]:
    """Return the variables that a text refers to, each once."""
    return list(dict.fromkeys(match["name"] for match in _REFERENCE.finditer(text)))


def texts_of(node: Node) -> Iterator[str]:
    """Yield all that a configuration says itself: keys, values and defaults of references."""
    if isinstance(node, Scalar):
        yield _REFERENCE.sub(lambda match: match["default"] or "", str(node.value))
    elif isinstance(node, Items):
        for item in node.items:
            yield from texts_of(item)
    else:
        for key, entry in node.entries.items():
            yield key
            yield from texts_of(entry.node)


def _filled(
    node: Scalar, written: str, path: str, problems: Problems, env: Mapping[str, str]
) -> Scalar:
    if "${env:" in _REFERENCE.sub("", written):
        problems.add(
            node.place, path, "holds a broken reference; write ${env:NAME} or ${env:NAME:-default}"
        )
        problems.settle(node.place, path)
        return node

    def value_of(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        held = env.get(name)
        if held:
            problems.hide(held, match[0])
            filled.append(held)
        if default is not None:
            return held or default
        if held is None:
            unset.append(name)
        return held or ""

    unset: list[str] = []
    filled: list[str] = []
    text = _REFERENCE.sub(value_of, written)
    for name in unset:
        problems.add(node.place, path, f"the environment variable {name} is not set")
    if unset:
        problems.settle(node.place, path)
    if filled:  # as a whole it can be hidden even if what it was filled with is short
        problems.hide(text, written)
    value: Plain = text
    if text and _REFERENCE.fullmatch(written):
        try:
            value = read_scalar(text)
        except ValueError:
            value = text
    return Scalar(value, node.place, written, text)
