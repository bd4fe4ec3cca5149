"""Checking a section against a pydantic model, with every problem in words and at its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from dbgsom_core.config.places import Section, Steps, mark_at, step_is_in
from dbgsom_core.interfaces.component import parse
from dbgsom_core.plugins.validation_messages import WORDED, explained

Model = TypeVar("Model", bound=BaseModel)
Finding = tuple[str, Steps, str]  # what it is of, where, sentence: see `Problems.add_at`

_WANTS_TEXT = ("string_type", "path_type", f"{WORDED}name")


def reject(findings: Iterable[Finding]) -> NoReturn:
    """Raise a ValidationError that has these findings.

    Raised by a validator, they become findings of the section around, with its steps in front.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError(WORDED + of, words),
            loc=tuple(steps),
            input=None,
        )
        for of, steps, words in findings
    ]
    raise ValidationError.from_exception_data("", details)


def findings_of(error: ValidationError, *before: str | int) -> list[Finding]:
    """Return the findings of an error that `reject` raised, with some steps ``before``."""
    return [
        (one["type"].removeprefix(WORDED), (*before, *one["loc"]), one["msg"])
        for one in error.errors(include_url=False)
    ]


def checked(
    cls: type[Model],
    section: Section,
    known: Iterable[str] = (),
    validate: Callable[[type[Model], Mapping[str, Any]], Model] = parse,
) -> Model:
    """Return an instance of ``cls`` made from a section; raises as `reject` does.

    Values are taken strictly, as YAML: a text is no number. ``known`` are further keys of the
    section, checked by others, to suggest for a misspelt one.
    """
    try:
        return validate(cls, section)
    except ValidationError as error:
        _put_text(section, error)
    try:
        return validate(cls, section)
    except ValidationError as error:
        wrong = error

    def held(steps: Steps) -> str:
        reference = mark_at(section, steps).reference
        return f"what {reference} holds" if reference else ""

    reject(explained(wrong, cls, section, known, held))


def _put_text(section: Section, error: ValidationError) -> None:
    """Put in what the environment held wherever text was wanted: ``PIN=0042`` is no number then."""
    for one in error.errors(include_url=False, include_context=False):
        parent: Any = section
        last: Any = ""
        mark, value = None, parent
        for step in one["loc"] if one["type"] in _WANTS_TEXT else ():
            if step_is_in(value, step):  # or it is the name of a union's branch
                parent, last, mark, value = value, step, value.marks[step], value[step]
        if mark is not None and mark.reference:
            parent[last] = mark.text
