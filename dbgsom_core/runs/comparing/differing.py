"""In what configurations differ, in as few words as tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = object()  # in place of what a configuration lacks


def distinct(names: Sequence[str]) -> list[str]:
    """Return names of which none is empty, and those that stand twice numbered."""
    found: list[str] = []
    for name in names:
        called, number = name or "as it is", 1
        while called in found:
            number += 1
            called = f"{name or 'as it is'} : {number}"
        found.append(called)
    return found


def told_apart(
    trees: Sequence[Mapping[str, Any]], varied: Sequence[str] = ()
) -> list[tuple[dict[str, Any], str]]:
    """Return what tells variants apart: by dotted key, and as words, empty where nothing does.

    What has most values comes first and, of equally many, what varies last, as in the names of a
    sweep's runs. So a variant has the same name wherever it is told.

    Parameters
    ----------
    trees : sequence of mapping
        The settings of each variant.
    varied : sequence of str
        Dotted keys that a sweep varies, in its order.
    """
    fields = differences(trees)
    keys = list(dict.fromkeys(key for one in fields for key in one))
    tops = [key for key in keys if not any(key.startswith(f"{other}.") for other in keys)]
    axes = [*varied, *tops]

    def place(key: str) -> tuple[int, int]:
        at = next(i for i, axis in enumerate(axes) if _is_of(axis, key))
        of_axis = (
            tuple((k, repr(v)) for k, v in one.items() if _is_of(axes[at], k)) for one in fields
        )
        return -len({*of_axis}), -at

    places = {key: place(key) for key in keys}
    keys.sort(key=places.__getitem__)
    found = [{key: one[key] for key in keys if key in one} for one in fields]
    return [(one, as_words(one)) for one in found]


def _is_of(axis: str, key: str) -> bool:
    return key == axis or key.startswith(f"{axis}.")


def differences(trees: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of each tree the dotted keys and values in which it differs from others.

    Components are told by name. Their fields are told where those of the same name differ: a
    field that only one component has tells nothing more.
    """
    found: list[dict[str, Any]] = [{} for _ in trees]
    _differ(dict(enumerate(trees)), "", found)
    return found


def _differ(trees: Mapping[int, Any], path: str, found: list[dict[str, Any]]) -> None:
    for key in dict.fromkeys(key for tree in trees.values() for key in tree):
        values = {i: tree.get(key, ABSENT) for i, tree in trees.items()}
        first = next(iter(values.values()))
        if all(value == first for value in values.values()):
            continue
        at = f"{path}.{key}" if path else str(key)
        if not all(isinstance(value, Mapping) for value in values.values()):
            for i, value in values.items():
                if value is not ABSENT:
                    found[i][at] = word(value)
            continue
        names = {i: value.get("name", ABSENT) for i, value in values.items()}
        alike: dict[Any, dict[int, Any]] = {}
        for i, value in values.items():
            rest = {k: v for k, v in value.items() if k != "name"}
            alike.setdefault(word(names[i]), {})[i] = rest
        for name, inner in alike.items():
            if len(alike) > 1:
                for i in inner:
                    found[i][at] = name
            if len(inner) > 1:
                _differ(inner, at, found)


def word(value: Any) -> Any:
    """Return a value as it stands in a name: a plain one as it is, all others as text."""
    if value is ABSENT:
        return "none"
    if isinstance(value, Mapping):
        rest = ", ".join(f"{k}={word(v)}" for k, v in value.items() if k != "name")
        name = str(value.get("name", ""))
        return f"{name}({rest})" if rest else name
    if isinstance(value, list):
        return " ".join(str(word(one)) for one in value) or "none"
    return value


def as_words(fields: Mapping[str, Any]) -> str:
    """Return fields as ``kernel=bubble, growth=fixed(rows=5)``."""
    inside: dict[str, list[str]] = {}
    tops: list[str] = []
    for key in fields:
        parent = next((top for top in tops if key.startswith(f"{top}.")), None)
        if parent is None:
            tops.append(key)
        else:
            inside.setdefault(parent, []).append(key)
    ends = [key.rpartition(".")[2] for key in tops]
    words = []
    for key, end in zip(tops, ends, strict=True):
        called = end if ends.count(end) == 1 else key.removeprefix("model.")
        within = ", ".join(f"{k[len(key) + 1 :]}={_shown(fields[k])}" for k in inside.get(key, ()))
        words.append(f"{called}={_shown(fields[key])}" + (f"({within})" if within else ""))
    return ", ".join(words)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
