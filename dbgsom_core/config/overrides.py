"""Dotted keys: ``--set key=value`` and the keys of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from dbgsom_core.config.merge import merge
from dbgsom_core.config.nodes import Entry, Node, Scalar, Section
from dbgsom_core.config.problems import Place, Problems
from dbgsom_core.config.reader import read_yaml
from dbgsom_core.errors import ConfigError

_DEEPEST = 50


def patch(dotted: str, node: Node, place: Place) -> Section:
    """Return the section in which ``node`` stands at a dotted key, such as ``model.epochs``."""
    for key in reversed(dotted.split(".")):
        node = Section({key: Entry(place, node)}, place, patch=True)
    assert isinstance(node, Section)
    return node


def is_dotted_key(text: str) -> bool:
    """Say whether every part between the dots of a key, not too many, holds something."""
    parts = text.split(".")
    return len(parts) <= _DEEPEST and all(part and part == part.strip() for part in parts)


def overlay(overrides: Sequence[str], problems: Problems) -> Section:
    """Return all ``key=value`` overrides as one section to be merged over a file."""
    if isinstance(overrides, str):
        raise TypeError("overrides must be a list of 'key=value' texts, not one text")
    result = Section(patch=True)
    for override in overrides:
        place = Place(f"--set {override}")
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not is_dotted_key(key):
            problems.add(place, "", "an override is written key=value, such as model.epochs=20")
            continue
        if key.partition(".")[0] == "extends":
            problems.add(place, key, "can only be written in a file")
            continue
        try:
            value = read_yaml(text, problems, "", at=place, path=key)
        except ConfigError:  # already among the problems
            continue
        node = Scalar(None, place) if value is None else value
        result = merge(result, patch(key, node, place), problems)
    return result
