"""The table of checks of what components return.

It stands alone, and imports no numpy: packages above add the kinds that they bring when they are
imported, and `validation` those of learning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from dbgsom_core.errors import UnfitError, described

# A check gets the component, its answer and what the method was given. It returns the answer as the
# core wants it, or raises `UnfitError`: "returned …; expected …".
Check = Callable[..., Any]
CHECKS: dict[str, dict[str, Check]] = {}  # by kind and method


def refuse(answer: Any, expected: str) -> NoReturn:
    """Raise the UnfitError of an answer that is something else than expected."""
    raise UnfitError(f"returned {described(answer)}; expected {expected}")


def returns(*classes: type[Any]) -> Check:
    """Return a check that lets instances of these classes pass."""

    def check(component: Any, answer: Any, *given: Any) -> Any:
        if not isinstance(answer, classes):
            refuse(answer, f"an instance of {classes[0].__name__}")
        return answer

    return check
