"""pydantic's findings as sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from dbgsom_core.errors import did_you_mean

_COMPARISONS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_TYPES = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "a finite number",
    "none_required": "null",
}


def findings(
    error: ValidationError, model: type[BaseModel] | None = None
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (path, sentence) for each thing that is wrong, one for each place.

    Alternatives of a union are told as one sentence.
    """
    places: dict[tuple[str | int, ...], list[Any]] = {}
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if _is_key(part))
        places.setdefault(path, []).append(detail)
    for path, details in places.items():
        told = [_sentence(detail, path, model) for detail in details]
        numeric = [d for d in details if d["type"] in _COMPARISONS]
        if numeric and len(details) > 1:  # the right type, out of range: the rest is noise
            yield path, _sentence(numeric[0], path, model)
        elif len(told) == 1:
            yield path, told[0]
        else:
            wanted = [text.removeprefix("must be ").partition(", not ")[0] for text in told]
            shown = _shown(details[0]["input"])
            yield path, f"must be {' or '.join(dict.fromkeys(wanted))}, not {shown}"


def sentences(error: ValidationError, where: str) -> list[str]:
    """Return one sentence for each thing that is wrong, with its dotted place in front."""
    return [f"{'.'.join(map(str, (where, *path)))} {text}" for path, text in findings(error)]


def _is_key(part: str | int) -> bool:
    # pydantic puts the tried alternative of a union into the path: int, float, literal['a','b'], …
    noise = ("int", "float", "str", "bool", "none", "list", "dict", "tuple")
    return isinstance(part, int) or not (
        part in noise or part.startswith(("literal[", "list[", "dict[", "tuple[", "function-"))
    )


def _sentence(detail: Any, path: tuple[Any, ...], model: type[BaseModel] | None) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    shown = _shown(detail["input"])
    if kind == "extra_forbidden":
        known = model.model_fields if model is not None else ()
        return f"unknown key{did_you_mean(str(path[-1]), known)}"
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        return f"must be {context['expected']}, not {shown}"
    if kind in _COMPARISONS:
        words, key = _COMPARISONS[kind]
        return f"must be {words} {context[key]}, not {shown}"
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}, not {shown}"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, not {shown}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
