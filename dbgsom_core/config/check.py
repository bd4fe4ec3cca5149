"""Checking one section against a pydantic model, with every problem at its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from dbgsom_core.config.expectations import must_be, schema_at
from dbgsom_core.config.nodes import Entry, Items, Node, Scalar, Section, Spot, plain
from dbgsom_core.config.problems import Problems
from dbgsom_core.errors import did_you_mean
from dbgsom_core.interfaces.component import parse

Model = TypeVar("Model", bound=BaseModel)


def check(
    cls: type[Model], spot: Spot, problems: Problems, known: Iterable[str] = ()
) -> Model | None:
    """Return an instance of ``cls`` made from the section at ``spot``, or None with problems.

    Parameters
    ----------
    cls : pydantic model
    spot : Spot
        Of a `Section`. Its values are taken strictly, as YAML: a text is no number.
    problems : Problems
    known : iterable of str
        Further keys of the section, checked by others, to suggest for a misspelt one.
    """
    node = spot.node
    assert isinstance(node, Section)
    try:
        return parse(cls, plain(node))
    except ValidationError as error:
        as_text = _environment_as_text(node, error)
    try:
        return parse(cls, plain(as_text))
    except ValidationError as error:
        _explain(error, cls, spot, problems, known)
        return None


def _environment_as_text(node: Section, error: ValidationError) -> Section:
    """Take values from the environment as text wherever text was wanted, ``PIN=0042`` say."""
    for one in error.errors(include_url=False, include_context=False):
        if one["type"] in ("string_type", "path_type"):
            node = _with_text(node, one["loc"])
    return node


def _with_text(node: Any, location: Sequence[str | int]) -> Any:
    if isinstance(node, Scalar):
        return Scalar(node.text, node.place, node.reference, node.text) if node.reference else node
    if not location:
        return node
    step, rest = location[0], location[1:]
    if isinstance(node, Section) and step in node.entries:
        entry = node.entries[str(step)]
        changed = Entry(entry.place, _with_text(entry.node, rest))
        return Section({**node.entries, str(step): changed}, node.place, node.patch)
    if isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
        items = list(node.items)
        items[step] = _with_text(items[step], rest)
        return Items(tuple(items), node.place)
    return _with_text(node, rest)  # the name of a union's branch


def _explain(
    error: ValidationError,
    cls: type[BaseModel],
    spot: Spot,
    problems: Problems,
    known: Iterable[str],
) -> None:
    told: set[str] = set()
    details = error.errors(include_url=False)
    # a sentence of the model's own says more than what its type would
    details.sort(key=lambda one: one["type"] not in ("value_error", "assertion_error"))
    for one in details:
        at, steps, missing = _walk(spot, one["loc"])
        kind = one["type"]
        if kind == "extra_forbidden":
            names = [*known, *_keys_beside(cls, steps[:-1])]
            problems.add(at.key_place, at.path, unknown_key(missing, names))
        elif kind == "missing":
            path = f"{at.path}.{missing}" if at.path else missing
            problems.add(at.key_place, path, "is required")
        elif at.path not in told:
            told.add(at.path)
            place = at.key_place if at == spot else at.node.place
            problems.add(place, at.path, _sentence(one, cls, at, steps))


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the sentence for a key that nobody knows."""
    names = list(dict.fromkeys(known))
    hint = did_you_mean(key, names) or f"; known: {', '.join(names)}"
    return f"unknown key{hint}"


def _walk(spot: Spot, location: Sequence[str | int]) -> tuple[Spot, list[str | int], str]:
    """Follow a pydantic location as far as the data goes; steps absent from it are skipped."""
    missing = ""
    taken: list[str | int] = []
    for step in location:
        node: Node = spot.node
        missing = str(step)
        in_section = isinstance(node, Section) and step in node.entries
        in_items = isinstance(node, Items) and isinstance(step, int) and step < len(node.items)
        if in_section or in_items:
            spot = spot / step
            taken.append(step)
    return spot, taken, missing


def _keys_beside(cls: type[BaseModel], steps: Sequence[str | int]) -> list[str]:
    schema = _schema(cls)
    beside = schema_at(schema, steps) if steps else schema
    return list((beside or schema).get("properties", ()))


def _sentence(one: Any, cls: type[BaseModel], at: Spot, steps: Sequence[str | int]) -> str:
    if one["type"] in ("value_error", "assertion_error"):
        return str(one.get("ctx", {}).get("error", one["msg"]))
    schema = _schema(cls)
    part = schema_at(schema, steps) if steps else None
    if part is None:
        told = str(one["msg"]).replace("Input should be", "must be")
        return told[:1].lower() + told[1:]
    return must_be(part, schema, at.node)


@lru_cache(maxsize=64)
def _schema(cls: type[BaseModel]) -> dict[str, Any]:
    try:
        return cls.model_json_schema()
    except PydanticInvalidForJsonSchema:  # a field of a type that JSON Schema has no words for
        return {}
