"""Every check of every component as a pytest case of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from dbgsom_core.errors import did_you_mean
from dbgsom_core.interfaces.component import Component
from dbgsom_core.testing.kit import checks_for, is_step

ExpectedFailures = Mapping[str, str] | Callable[[Component], Mapping[str, str]]


def parametrize_with_checks(
    component: Component | Sequence[Component],
    *,
    kind: str | None = None,
    claims: Sequence[str] | None = None,
    expected_failures: ExpectedFailures | None = None,
) -> pytest.MarkDecorator:
    """Return a decorator that calls a test once for every check of every component.

    The test takes ``component`` and ``check`` and says ``check(component)``.

    Parameters
    ----------
    component : Component, transformer for ``prepare``, or sequence of them
        Instances: a component with required fields is tested with the fields that you give.
    kind : str, optional
        ``"metric"``, ``"kernel"``, …; found from the methods without it.
    claims : sequence of str, optional
        What a metric claims, in place of its ``claims`` attribute.
    expected_failures : mapping of check name to reason, or a function of the component, optional
        Checks that are known to fail. One that passes all the same fails the test, so that the
        list stays true.

    Raises
    ------
    ValueError
        The kind cannot be told, or an expected failure names no check.
    """
    given: Any = component
    components = [given] if isinstance(given, Component) or is_step(given) else list(given)
    cases = []
    for one in components:
        expected = expected_failures(one) if callable(expected_failures) else expected_failures
        expected = dict(expected or {})
        for check in checks_for(one, kind, claims):
            reason = expected.pop(check.name, None)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            label = f"{type(one).__name__}-{check.name}"
            cases.append(pytest.param(one, check, id=label, marks=marks))
        for unknown in expected:
            hint = did_you_mean(unknown, [check.name for check in checks_for(one, kind, claims)])
            raise ValueError(
                f"expected_failures names '{unknown}', which is no check of "
                f"{type(one).__name__}{hint}"
            )
    return pytest.mark.parametrize(("component", "check"), cases)
