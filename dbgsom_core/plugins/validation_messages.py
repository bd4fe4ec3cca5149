"""Sentences for pydantic's validation errors: where, what is wanted, what is there instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dbgsom_core.errors import UnknownNameError, did_you_mean
from dbgsom_core.interfaces.component import active_registry, nested_fields
from dbgsom_core.withdrawn import withdrawn

WORDED = "worded"  # the type of errors whose message is a sentence, and whose place is right
_WANTED = "Input should be "  # how pydantic's messages on a single value begin
_LONGEST = 60  # characters of a value: with the rest of its sentence it stays on a line
_SECTION = "a section of 'key: value' lines"
_WORDS = {  # what YAML calls it, by pydantic's types of errors
    "model_type": _SECTION,
    "dict_type": _SECTION,
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
}

Steps = tuple[str | int, ...]  # keys and positions that lead to a value


def format_errors(error: ValidationError, cls: type[BaseModel], values: Any, key: str) -> list[str]:
    """Return one sentence for each error, with the dotted path of its value in front.

    ``values``, a mapping or whatever was given instead, failed to validate as ``cls``; ``key`` is
    the path of ``values``.
    """
    sentences = []
    for _, steps, words in explain_errors(error, cls, values):
        path = ".".join(map(str, (key, *steps)))
        sentences.append(f"{path} {words}")
    return sentences


def explain_errors(
    error: ValidationError, cls: type[BaseModel], values: Any, shown: Any = None
) -> Iterator[tuple[str, Steps, str]]:
    """Yield the kind, the path and a sentence of each error.

    The kind is ``key`` (unknown), ``missing`` or ``value``. ``shown`` are the values that messages
    show, where others than ``values``. The other arguments are those of `format_errors`.
    """
    wrong: dict[Steps, list[Any]] = {}  # errors of a value, one for each type that it might have
    for detail in error.errors(include_url=False):
        kind, place = detail["type"], detail["loc"]
        steps = _steps(values, place)
        cause = detail.get("ctx", {}).get("error")
        if kind == WORDED:
            yield "value", place, detail["msg"]
        elif kind == "missing":
            yield "missing", (*steps, place[-1]), "is required"
        elif kind == "extra_forbidden":
            key, names = str(steps[-1]), _keys_at(cls, values, steps[:-1])
            hint = withdrawn("key", key) or did_you_mean(key, names)
            if not hint:
                hint = f"; known: {', '.join(names)}"
            yield "key", steps, f"unknown key{hint}"
        elif isinstance(cause, UnknownNameError) and isinstance(_at(values, steps), Mapping):
            yield "value", (*steps, "name"), str(cause)
        else:
            wrong.setdefault(steps, []).append(detail)
    for steps, details in wrong.items():
        # Where a value inside is wrong, too, that this one is of no other type says nothing.
        inner = [other for other in wrong if other != steps and other[: len(steps)] == steps]
        if not inner:
            value = _at(values if shown is None else shown, steps)
            yield "value", steps, _sentence(details, value)


def _steps(values: Any, place: Sequence[str | int]) -> Steps:
    """Return the path of a value, without the names of a union's branches that pydantic adds."""
    steps: list[str | int] = []
    for step in place:
        is_item = isinstance(values, (list, tuple)) and step in range(len(values))
        if is_item or (isinstance(values, Mapping) and step in values):
            values = values[step]
            steps.append(step)
    return tuple(steps)


def _at(values: Any, steps: Steps) -> Any:
    for step in steps:
        values = values[step]
    return values


def _keys_at(cls: type[BaseModel], values: Any, steps: Steps) -> list[str]:
    """Return the keys that the section at a path may have, a component's ``name`` among them."""
    model: Any = cls  # of the section that the steps so far lead to
    names: list[str] = []
    kind, default = None, None  # of a component, until its section says which one it is
    for step in steps:
        values = values[step]
        if isinstance(step, str) and step in model.model_fields:
            field = model.model_fields[step]
            kind, default = nested_fields(model).get(step), field.default
            if kind is None:
                names = []
                model = _model_in(field.annotation)
            else:
                names = ["name"]
        if kind is not None and isinstance(values, Mapping):
            model, kind = active_registry().find(kind, values.get("name", default)), None
    for name, field in model.model_fields.items():
        names.append(field.alias or name)
    return names


def _model_in(annotation: Any) -> Any:
    """Return the model in ``Model | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = map(_model_in, get_args(annotation))
    return next(filter(None, models), None)


def _sentence(details: Sequence[Any], value: Any) -> str:
    """Return what is wrong with a value, by its errors: one for each type that it might have."""
    wanted: list[str] = []
    for detail in details:
        kind, message = detail["type"], detail["msg"]
        if kind == "value_error":  # in the words of a validator
            return str(detail["ctx"]["error"])
        _, is_length, length = message.partition(" should have ")
        if is_length:
            return f"must have {length.replace(' after validation', '')}"
        if kind not in _WORDS and not message.startswith(_WANTED):
            return str(message)
        wanted.append(_WORDS.get(kind, message.removeprefix(_WANTED)))
    options = " or ".join(dict.fromkeys(wanted))
    options = options.replace("greater than or equal to", "at least")
    options = options.replace("less than or equal to", "at most")
    hint = ""
    if isinstance(value, str):
        hint = did_you_mean(value, re.findall("'([^']+)'", options))
    return f"must be {options}, not {format_value(value)}{hint}"


def format_value(value: Any) -> str:
    """Return a value as a message shows it; what sections and lists hold may be secret."""
    if isinstance(value, Mapping):
        return _SECTION
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
