"""Saying in plain words what a value must be, from the JSON Schema of its field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbgsom_core.config.nodes import Node, Scalar, Section
from dbgsom_core.errors import did_you_mean

JsonSchema = Mapping[str, Any]

_NOUNS = {
    "boolean": "true or false",
    "null": "null",
    "string": "text",
    "object": "a section of 'key: value' lines",
    "array": "a list",
}


def schema_at(root: JsonSchema, path: Sequence[str | int]) -> JsonSchema | None:
    """Return the part of a JSON Schema that speaks of the value at ``path``, or None."""
    found: JsonSchema | None = root
    for step in path:
        if found is None:
            return None
        found = _step(root, found, step)
    return None if found is None else _followed(root, found)


def must_be(schema: JsonSchema, root: JsonSchema, node: Node) -> str:
    """Return ``must be …, not …`` for the value of ``node``."""
    hint = ""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, str) and not (isinstance(node, Scalar) and node.reference):
        hint = did_you_mean(value, _choices(root, schema))
    excluded = _excluded_bound(root, schema, value)
    wanted = describe(schema, root, bounds=not isinstance(value, str))
    return f"must be {wanted}{excluded}, not {shown(node)}{hint}"


def describe(schema: JsonSchema, root: JsonSchema, bounds: bool = True) -> str:
    """Return a noun phrase for what a JSON Schema allows, null only where nothing else is.

    Without ``bounds`` the phrase names kinds of values alone: enough for a text that should have
    been a number.
    """
    schema = _followed(root, schema)
    options = _options(root, schema)
    if len(options) > 1:
        choices = [f"'{one}'" for one in _choices(root, schema)]
        if len(choices) > 1:
            choices = [f"one of {', '.join(choices)}"]
        others = (describe(one, root, bounds) for one in options if not _is_choice(one))
        phrases = [phrase for phrase in (*others, *choices) if phrase != "null"]
        return _either(dict.fromkeys(phrases))
    if _is_choice(schema):
        choices = [f"'{one}'" if isinstance(one, str) else str(one) for one in _values(schema)]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        noun = "an integer" if kind == "integer" else "a number"
        return _number(schema, noun) if bounds else noun
    if kind == "array":
        return _list(schema, root)
    if kind == "string" and schema.get("minLength"):
        return "text that is not empty"
    return _NOUNS.get(str(kind), "another value")


def shown(node: Node) -> str:
    """Return how a value is told in a message; what the environment held is never told."""
    if isinstance(node, Section):
        return "a section of 'key: value' lines"
    if not isinstance(node, Scalar):
        return "a list"
    if node.reference:
        return f"what {node.reference} holds"
    value = node.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:57] + '…'!r}"
    text = str(value) if not isinstance(value, int) or abs(value) < 10**30 else "so large a number"
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(text, text)


def _step(root: JsonSchema, schema: JsonSchema, step: str | int) -> JsonSchema | None:
    for option in _options(root, _followed(root, schema)):
        found: Any = None
        if isinstance(step, int):
            first = option.get("prefixItems", ())
            found = first[step] if step < len(first) else option.get("items")
        else:
            found = option.get("properties", {}).get(step) or option.get("additionalProperties")
        if isinstance(found, Mapping):
            return found
    return None


def _followed(root: JsonSchema, schema: JsonSchema) -> JsonSchema:
    while isinstance(reference := schema.get("$ref"), str):
        schema = root["$defs"][reference.rpartition("/")[2]]
    return schema


def _options(root: JsonSchema, schema: JsonSchema) -> list[JsonSchema]:
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not branches:
        return [schema]
    return [one for branch in branches for one in _options(root, _followed(root, branch))]


def _is_choice(schema: JsonSchema) -> bool:
    return "enum" in schema or "const" in schema


def _values(schema: JsonSchema) -> list[Any]:
    return list(schema.get("enum", ())) or [schema["const"]]


def _choices(root: JsonSchema, schema: JsonSchema) -> list[str]:
    options = (one for one in _options(root, schema) if _is_choice(one))
    return [str(value) for option in options for value in _values(option)]


def _either(phrases: Mapping[str, None]) -> str:
    *most, last = phrases
    return f"{', '.join(most)} or {last}" if most else last


def _number(schema: JsonSchema, noun: str) -> str:
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least, most = schema.get("minimum"), schema.get("maximum")
    low = above if above is not None else least
    high = below if below is not None else most
    if low is not None and high is not None:
        return f"{noun} between {_short(low)} and {_short(high)}"
    if above is not None:
        return f"{noun} above {_short(above)}"
    if least is not None:
        return f"{noun} of at least {_short(least)}"
    if below is not None:
        return f"{noun} below {_short(below)}"
    return f"{noun} of at most {_short(most)}" if most is not None else noun


def _excluded_bound(root: JsonSchema, schema: JsonSchema, value: Any) -> str:
    for option in _options(root, schema):
        bounds = (option.get("exclusiveMinimum"), option.get("exclusiveMaximum"))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and value in bounds and None not in bounds:
            return " (both excluded)"
    return ""


def _list(schema: JsonSchema, root: JsonSchema) -> str:
    items = schema.get("items")
    each = f" with {describe(items, root)} in each place" if isinstance(items, Mapping) else ""
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and least == most:
        return f"a list of {least}{each}"
    return f"a list{f' of at least {least}' if least else ''}{each}"


def _short(bound: Any) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)
