"""The conformance kit: every promise that a component must keep, as checks for pytest.

>>> from dbgsom_core.testing import parametrize_with_checks  # doctest: +SKIP
>>> @parametrize_with_checks(MyMetric())  # doctest: +SKIP
... def test_my_metric_keeps_its_promises(component, check):
...     check(component)

Names are imported on first use: pytest loads this package's plugin in every session of an
environment, whether it tests a component or not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbgsom_core.testing.kit import Check as Check
    from dbgsom_core.testing.kit import Outcome as Outcome
    from dbgsom_core.testing.kit import all_checks as all_checks
    from dbgsom_core.testing.kit import checks_for as checks_for
    from dbgsom_core.testing.kit import run_checks as run_checks
    from dbgsom_core.testing.parametrize import parametrize_with_checks as parametrize_with_checks

_HOMES = {
    "Check": "kit",
    "Outcome": "kit",
    "all_checks": "kit",
    "checks_for": "kit",
    "parametrize_with_checks": "parametrize",
    "run_checks": "kit",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
