"""Format pydantic's validation errors as sentences, from the JSON Schema of the fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from dbgsom_core.errors import DbgsomError, did_you_mean
from dbgsom_core.interfaces.component import nested_fields
from dbgsom_core.interfaces.current import active_registry

JsonSchema = Mapping[str, Any]

WORDED = "worded_"  # prefix of error types whose message is a sentence already
_OWN_WORDS = ("value_error", "assertion_error")  # errors whose message a model's validator wrote
_NOUNS = {
    "boolean": "true or false",
    "null": "null",
    "string": "text",
    "object": "a section of 'key: value' lines",
    "array": "a list",
    "integer": "an integer",
    "number": "a number",
}
_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "of at least",
    "exclusiveMaximum": "below",
    "maximum": "of at most",
}


def format_errors(error: ValidationError, cls: type[BaseModel], values: Any, key: str) -> list[str]:
    """Return one sentence for each error, with the dotted path of its value in front.

    ``values``, a mapping or whatever was given instead, failed to validate as ``cls``; ``key`` is
    the path of ``values``.
    """
    found = explain_errors(error, cls, values)
    return [f"{'.'.join(map(str, (key, *steps)))} {words}" for _, steps, words in found]


def explain_errors(
    error: ValidationError,
    cls: type[BaseModel],
    values: Any,
    known: Iterable[str] = (),
    held: Callable[[Sequence[str | int]], str] = lambda steps: "",
) -> Iterator[tuple[str, Sequence[str | int], str]]:
    """Yield the kind of location, the path and a sentence of each error.

    The kind is ``key`` (unknown), ``missing``, ``section`` or ``value``. ``known`` are further
    keys, to suggest for a misspelt one; ``held(steps)`` names a value that must not be shown
    itself. The other arguments are those of `format_errors`.
    """
    schema = _schema(cls)
    done: list[list[str | int]] = []
    found: list[Any] = list(error.errors(include_url=False))
    # Messages of validators come before those of types; errors inside a value come before those of
    # other types that the value might have had.
    for finding in sorted(found, key=lambda one: (one["type"] not in _OWN_WORDS, -len(one["loc"]))):
        kind, at = finding["type"], values
        if kind.startswith(WORDED):
            yield kind.removeprefix(WORDED), finding["loc"], finding["msg"]
            continue
        steps: list[str | int] = []
        for step in finding["loc"]:  # names of a union's branches stand between
            inside = dict(at) if isinstance(at, BaseModel) else at
            in_list = isinstance(inside, (list, tuple)) and step in range(len(inside))
            if in_list or (isinstance(inside, Mapping) and step in inside):
                at = inside[step]
                steps.append(step)
        if kind == "extra_forbidden":
            component = _nested_class(cls, values, steps[:-1])
            options = _options(schema, _at(schema, steps[:-1]) or schema)
            names = [*known, *(key for one in options for key in one.get("properties", ()))]
            names = list(dict.fromkeys(names if component is None else component.model_fields))
            name, colon, value = str(steps[-1]).partition(":")
            hint = did_you_mean(str(steps[-1]), names) or f"; known: {', '.join(names)}"
            if colon and name in names:  # YAML reads {folds:3} as one key
                hint = f"; a space is missing after the colon: {name}: {value}"
            yield "key", steps, f"unknown key{hint if names else ''}"
        elif kind == "missing":
            yield "missing", [*steps, finding["loc"][-1]], "is required"
        elif steps not in done and not (
            len(finding["loc"]) > len(steps) and any(one[: len(steps)] == steps for one in done)
        ):
            done.append(steps)
            message = _sentence(finding, schema, steps, at, held(steps))
            yield "value" if steps else "section", steps, message


def _nested_class(cls: type[BaseModel], values: Any, steps: Sequence[str | int]) -> Any:
    """Return the class of the component at the path ``steps``; None where none is named."""
    for step in steps:
        kind = nested_fields(cls).get(str(step))
        values = values.get(step) if isinstance(values, Mapping) else None
        name = values.get("name") if isinstance(values, Mapping) else None
        if kind is None or not isinstance(name, str):
            return None
        try:
            cls = active_registry().find(kind, name)
        except DbgsomError:
            return None
    return cls if steps else None


def _sentence(
    finding: Any, root: JsonSchema, steps: Sequence[str | int], value: Any, held: str
) -> str:
    message = str(finding["msg"])
    if finding["type"] in _OWN_WORDS:
        return str(finding.get("ctx", {}).get("error", message))
    schema, hint = _at(root, steps) if steps else None, ""
    if schema is None:
        wanted = message.removeprefix("Input should be ")
        if wanted == message:
            return message[:1].lower() + message[1:]
        return f"must be {wanted}, not {held or format_value(value)}"
    options = _options(root, schema)
    wanted = _described(schema, root, bounds=not isinstance(value, str))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for option in options:  # the value is a bound that the range excludes
            ends = (option.get("exclusiveMinimum"), option.get("exclusiveMaximum"))
            if value in ends and len(option.keys() & _BOUNDS.keys()) > 1:
                wanted += f" ({format_value(value) if None in ends else 'both'} excluded)"
                break
    if finding["type"] == "finite_number":
        wanted = wanted.replace("number", "finite number", 1)
    if isinstance(value, str) and not held:
        hint = did_you_mean(value, [str(one) for option in options for one in _choices(option)])
    return f"must be {wanted}, not {held or format_value(value)}{hint}"


def format_value(value: Any) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return _NOUNS["object" if isinstance(value, Mapping) else "array"]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    large = isinstance(value, int) and abs(value) >= 10**30
    text = "so large a number" if large else str(value)
    text = text if len(text) <= 60 else text[:57] + "…"
    if isinstance(value, str):
        return f"the text {text!r}"
    return f".{text}".replace(".-", "-.") if text in ("inf", "-inf", "nan") else text


# -------------------------------------------------------------------------- reading a JSON Schema


@lru_cache(maxsize=64)
def _schema(cls: type[BaseModel]) -> dict[str, Any]:
    try:
        return cls.model_json_schema()
    except PydanticInvalidForJsonSchema:  # a field of a type without JSON Schema
        return {}


def _at(root: JsonSchema, steps: Sequence[str | int]) -> JsonSchema | None:
    """Return the part of a schema that describes the value at the path ``steps``."""
    found: Any = root
    for step in steps:
        for option in [] if found is None else _options(root, found):
            if isinstance(step, int):
                first = option.get("prefixItems", ())
                found = first[step] if step < len(first) else option.get("items")
            else:
                found = option.get("properties", {}).get(step)
                found = found or option.get("additionalProperties")
            if isinstance(found, Mapping):
                break
        else:
            return None
    return found  # type: ignore[no-any-return]


def _options(root: JsonSchema, schema: JsonSchema) -> list[JsonSchema]:
    """Return the branches of a schema, references followed."""
    while isinstance(reference := schema.get("$ref"), str):
        schema = root["$defs"][reference.rpartition("/")[2]]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not branches or "properties" in schema:
        return [schema]
    return [one for branch in branches for one in _options(root, branch)]


def _choices(schema: JsonSchema) -> list[Any]:
    return list(schema.get("enum", ())) or [schema[key] for key in ("const",) if key in schema]


def _described(schema: JsonSchema, root: JsonSchema, bounds: bool = True) -> str:
    """Return a noun phrase for what a JSON Schema allows, null only where nothing else is.

    Without ``bounds`` the phrase names kinds of values alone: enough for a text that should have
    been a number.
    """
    options = _options(root, schema)
    values = [one for option in options for one in _choices(option)]
    choices = [f"'{one}'" if isinstance(one, str) else str(one) for one in values]
    if len(choices) > 1:
        choices = [f"one of {', '.join(choices)}"]
    if len(options) > 1:
        others = [_described(one, root, bounds) for one in options if not _choices(one)]
        *most, last = dict.fromkeys(one for one in (*others, *choices) if one != "null")
        return f"{', '.join(most)} or {last}" if most else last
    if choices:
        return choices[0]
    (schema,) = options
    noun = _NOUNS.get(str(kind := schema.get("type")), "another value")
    if kind in ("integer", "number"):
        limits = [(words, schema[key]) for key, words in _BOUNDS.items() if key in schema]
        texts = [
            f"{bound:.16g}" if isinstance(bound, float) and bound.is_integer() else str(bound)
            for _, bound in limits
        ]
        if not bounds or not limits:
            return noun
        if len(limits) > 1:
            return f"{noun} between {texts[0]} and {texts[-1]}"
        return f"{noun} {limits[0][0]} {texts[0]}"
    if kind == "array":
        items, least = schema.get("items"), schema.get("minItems")
        each = f" with {_described(items, root)} in each place" if items else ""
        if least is not None and least == schema.get("maxItems"):
            return f"a list of {least}{each}"
        return f"a list{f' of at least {least}' if least else ''}{each}"
    if kind == "string" and schema.get("minLength"):
        return "text that is not empty"
    return noun
