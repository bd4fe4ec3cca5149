"""What is hidden here, so that another process hides it too."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from dbgsom_core.interfaces.privacy import Secrets, hidden, hiding


def hidden_as_told() -> list[Any]:
    """Return what is hidden now as plain values; they are the secrets: for a pipe and no file."""
    return [secrets.as_told() for secrets in hidden()]


def hiding_told(told: list[Any]) -> AbstractContextManager[None]:
    """Hide what `hidden_as_told` returned elsewhere, while this lasts."""
    return hiding(*map(Secrets.of_told, told))
