"""Sentences for pydantic's validation errors: where, what is wanted, what is there instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dbgsom_core.errors import did_you_mean
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.interfaces.current import active_registry

WORDED = "worded_"  # prefix of error types whose message is a sentence already
_WANTED = "Input should be "  # how pydantic's messages on a single value begin
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


Steps = Sequence[str | int]  # keys and positions that lead to a value


def format_errors(error: ValidationError, cls: type[BaseModel], values: Any, key: str) -> list[str]:
    """Return one sentence for each error, with the dotted path of its value in front.

    ``values``, a mapping or whatever was given instead, failed to validate as ``cls``; ``key`` is
    the path of ``values``.
    """
    found = explain_errors(error, cls, values)
    return [f"{'.'.join(map(str, (key, *steps)))} {words}" for _, steps, words in found]


def explain_errors(
    error: ValidationError, cls: type[BaseModel], values: Any, known: Iterable[str] = ()
) -> Iterator[tuple[str, Steps, str]]:
    """Yield the kind of location, the path and a sentence of each error.

    The kind is ``key`` (unknown), ``missing``, ``section`` or ``value``. ``known`` are further
    keys, to suggest for a misspelt one. Values are shown as ``values`` has them, which may be
    references in place of what they stand for. The other arguments are those of `format_errors`.
    """
    wrong: dict[tuple[str | int, ...], list[Any]] = {}
    for finding in error.errors(include_url=False):
        kind, place = finding["type"], finding["loc"]
        steps = _steps(values, place)
        if kind.startswith(WORDED):
            yield kind.removeprefix(WORDED), place, finding["msg"]
        elif kind == "missing":
            yield "missing", (*steps, place[-1]), "is required"
        elif kind == "extra_forbidden":
            names = dict.fromkeys([*known, *_keys_at(cls, values, steps[:-1])])
            hint = did_you_mean(str(steps[-1]), names) or f"; known: {', '.join(names)}"
            yield "key", steps, f"unknown key{hint}"
        else:
            wrong.setdefault(steps, []).append(finding)
    for steps, findings in wrong.items():  # several of a value that may be of several types
        inside = [one for one in wrong if len(one) > len(steps) and one[: len(steps)] == steps]
        if not inside:
            yield "value" if steps else "section", steps, _sentence(findings, _at(values, steps))


def _steps(values: Any, place: Steps) -> tuple[str | int, ...]:
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


def _keys_at(cls: type[BaseModel], values: Any, steps: Steps) -> Iterable[str]:
    """Return the keys that the section at a path may have."""
    model: Any = cls
    for step in steps:
        values = values[step]
        if isinstance(step, int):  # each entry of a list is of one model
            continue
        kind = nested_fields(model).get(step)
        if kind is None:
            model = _model_in(model.model_fields[step].annotation)
        else:
            model = active_registry().find(kind, values["name"])
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    """Return the model in ``Model | None`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_model_in(one) for one in get_args(annotation)]
    return next(filter(None, found), None)


def _sentence(findings: Sequence[Any], value: Any) -> str:
    """Return what is wrong with a value, by its errors: one for each type that it might have."""
    wanted: list[str] = []
    for finding in findings:
        kind, message = finding["type"], finding["msg"]
        if kind == "value_error":  # in the words of a validator
            return str(finding["ctx"]["error"])
        if kind not in _WORDS and not message.startswith(_WANTED):
            return str(message)
        wanted.append(_WORDS.get(kind, message.removeprefix(_WANTED)))
    options = " or ".join(dict.fromkeys(wanted)).replace("greater than or equal to", "at least")
    options = options.replace("less than or equal to", "at most")
    hint = did_you_mean(value, re.findall("'([^']+)'", options)) if isinstance(value, str) else ""
    return f"must be {options}, not {format_value(value)}{hint}"


def format_value(value: Any) -> str:
    """Return a value as a message shows it; what sections and lists hold may be secret."""
    if isinstance(value, Mapping):
        return _SECTION
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:59]}…"
