"""Checking one section against a pydantic model, with every problem at its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import truediv
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dbgsom_core.config.nodes import Entry, Items, Scalar, Section, Spot, held, plain
from dbgsom_core.config.problems import Problems
from dbgsom_core.interfaces.component import parse
from dbgsom_core.plugins.validation_messages import explained

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
        found = explained(error, cls, plain(node), known, lambda at: held(_at(spot, at).node))
        for kind, steps, words in found:
            at = _at(spot, steps[:-1] if kind == "missing" else steps)
            path = f"{at.path}.{steps[-1]}".lstrip(".") if kind == "missing" else at.path
            of_key = kind in ("missing", "extra_forbidden") or at == spot
            problems.add(at.key_place if of_key else at.node.place, path, words)
        return None


def _at(spot: Spot, steps: Iterable[str | int]) -> Spot:
    return reduce(truediv, steps, spot)


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
