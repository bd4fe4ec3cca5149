"""Writing a configuration as YAML with comments, whatever characters its names and values hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from dbgsom_core.errors import DataError

_PLAIN = re.compile(r"[^\W\d](?:[\w .-]*[\w.-])?")
_WIDTH = 44  # characters of a line before its comment
_LONGEST_COMMENT = 70  # that stands beside its line
Key = tuple[str | int, ...]  # the keys and list positions that lead to a value


def commented_yaml(
    content: Mapping[str, Any], comments: Mapping[Key, str], header: Sequence[str] = ()
) -> str:
    """Return a configuration as YAML; whoever reads it finds ``content`` and nothing else.

    Parameters
    ----------
    content : mapping
        Mappings, lists of scalars, and scalars.
    comments : mapping of tuple to str
        Comments by the keys and positions that lead to a value: ``("dataset", "drop", 0)``.
        Line breaks and other characters that cannot be printed are written as escapes.
    header : sequence of str
        Comment lines above all.

    Raises
    ------
    DataError
        A text holds ``${``, by which a configuration refers to the environment.
    """
    lines = [f"# {_printable(line)}" for line in header]
    for key, value in content.items():
        lines += _entry(key, value, (key,), comments)
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, path: Key, comments: Mapping[Key, str]) -> Iterator[str]:
    indent = "  " * (len(path) - 1)
    named, comment = f"{indent}{_scalar(key)}:", comments.get(path, "")
    if isinstance(value, Mapping):
        yield from _line(named, comment)
        for inner, one in value.items():
            yield from _entry(inner, one, (*path, inner), comments)
    elif not isinstance(value, list):
        yield from _line(f"{named} {_scalar(value)}", comment)
    elif len(value) > 1 and any((*path, place) in comments for place in range(len(value))):
        yield from _line(named, comment)
        for place, one in enumerate(value):
            yield from _line(f"{indent}  - {_scalar(one)}", comments.get((*path, place), ""))
    else:
        why = [comment, *filter(None, [comments.get((*path, 0), "")])]
        yield from _line(f"{named} [{', '.join(map(_scalar, value))}]", ": ".join(why))


def _line(text: str, comment: str) -> Iterator[str]:
    comment = _printable(comment)
    if not comment:
        yield text
    elif len(text) < _WIDTH and len(comment) <= _LONGEST_COMMENT:
        yield f"{text.ljust(_WIDTH)}# {comment}"
    else:
        yield f"{' ' * (len(text) - len(text.lstrip()))}# {comment}"
        yield text


def _scalar(value: Any) -> str:
    """Return a value as a YAML scalar on one line, quoted where any version would misread it."""
    if not isinstance(value, str):
        return json.dumps(value)
    if "${" in value:
        raise DataError(
            f"'{value}' would be read as a reference to the environment in a configuration: "
            "rename it"
        )
    if _PLAIN.fullmatch(value) and value.isprintable() and yaml.safe_load(value) == value:
        return value  # no word such as null, no, or on, which versions read differently
    return '"' + _printable(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    return {"\n": r"\n", "\t": r"\t"}.get(character) or (
        f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    )
