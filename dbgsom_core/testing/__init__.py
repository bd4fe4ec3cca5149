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
    from dbgsom_core.testing.kit import (
        Check,
        Outcome,
        all_checks,
        checks_for,
        parametrize_with_checks,
        run_checks,
    )

__all__ = [
    "Check", "Outcome", "all_checks", "checks_for", "parametrize_with_checks", "run_checks",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.kit"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
