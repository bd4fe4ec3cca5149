"""An explained configuration as YAML with origins in comments; what two of them differ in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dbgsom_core.config.dump import dump_inline
from dbgsom_core.config.origins import Explained, Path

_WIDEST = 60  # letters up to which comments stand below each other

Told = tuple[Any, str]


def as_yaml(explained: Explained, comments: bool = True) -> str:
    """Return YAML that loads again; ``comments`` tell each value's origin."""
    lines = list(_lines(explained.values, explained.origins, (), ""))
    if not comments:
        return "".join(f"{text}\n" for text, _ in lines)
    width = max((len(text) for text, origin in lines if origin and len(text) <= _WIDEST), default=0)
    return "".join(
        f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines
    )


def _lines(
    values: Any, origins: Mapping[Path, str], path: Path, indent: str
) -> Iterator[tuple[str, str]]:
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in pairs:
        at = (*path, key)
        head = f"{indent}- " if isinstance(key, int) else f"{indent}{dump_inline(key)}:"
        if _is_plain(value, origins, at):
            yield f"{head.rstrip()} {dump_inline(value)}", origins.get(at, "")
        elif isinstance(key, int) and isinstance(value, Mapping):
            inner = list(_lines(value, origins, at, f"{indent}  "))
            yield f"{head}{inner[0][0].lstrip()}", inner[0][1]
            yield from inner[1:]
        else:
            yield head.rstrip(), ""
            yield from _lines(value, origins, at, f"{indent}  ")


def _is_plain(value: Any, origins: Mapping[Path, str], path: Path) -> bool:
    """Say whether a value stands on one line: a list does whose values come from one place."""
    if not isinstance(value, (Mapping, list)) or not value:
        return True
    if isinstance(value, Mapping) or any(isinstance(one, (Mapping, list)) for one in value):
        return False
    whole = origins.get(path, "")
    return all(
        _same_file(origins.get((*path, i), ""), whole) and "environment" not in origins[(*path, i)]
        for i in range(len(value))
    )


def _same_file(one: str, other: str) -> bool:
    return one.rpartition(":")[0] == other.rpartition(":")[0]


def differences(first: Explained, second: Explained) -> dict[str, tuple[Told | None, Told | None]]:
    """Return what differs, by dotted key: value and origin in each; None: it has no such key.

    Lists of components are compared item by item where they are equally long, else as a whole.
    Of components with other names, whose fields mean nothing to each other, only what was written
    is told.
    """
    found = _compared(first.values, second.values, ())
    return {
        ".".join(map(str, path)): (_told(first, path, one), _told(second, path, other))
        for path, one, other in found
    }


def _compared(one: Any, other: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping) and not _strangers(one, other):
        for key in dict.fromkeys((*one, *other)):
            yield from _compared(one.get(key, ...), other.get(key, ...), (*path, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, pair in enumerate(zip(one, other, strict=True)):
            yield from _compared(*pair, (*path, i))
    # 1 and True are equal in Python; 1 and 1.0 mean the same in YAML.
    elif isinstance(one, bool) != isinstance(other, bool) or one != other:
        yield path, one, other


def _strangers(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether these are components of which each is another one."""
    return "name" in one and "name" in other and one["name"] != other["name"]


def _told(side: Explained, path: Path, value: Any) -> Told | None:
    if value is ...:
        return None
    below = (origin for at, origin in side.origins.items() if at[: len(path)] == path)
    return _written(side, path, value), side.origins.get(path) or next(below, "default")


def _written(side: Explained, path: Path, value: Any) -> Any:
    """Return a value without the fields of components that nobody wrote; a bare one is its name."""
    if isinstance(value, list):
        return [_written(side, (*path, i), one) for i, one in enumerate(value)]
    if not isinstance(value, Mapping) or "name" not in value:
        return value
    said = {
        at[len(path)]
        for at, origin in side.origins.items()
        if at[: len(path)] == path and len(at) > len(path) and not origin.startswith("default")
    }
    kept = {key: _written(side, (*path, key), one) for key, one in value.items() if key in said}
    name = value["name"]
    return {"name": name, **kept} if {*kept} - {"name"} else name
