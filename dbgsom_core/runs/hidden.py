"""What is redacted here, so that the process beside a run that MLflow has redacts it, too."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from dbgsom_core.interfaces.privacy import _active, redaction


def hidden_as_told() -> list[Any]:
    """Return what is redacted now as plain values; they are the secrets: for a pipe and no file."""
    return [{text: shown for known in _active for text, shown in known.items()}]


def hiding_told(told: list[Any]) -> AbstractContextManager[None]:
    """Redact what `hidden_as_told` returned elsewhere, while this lasts."""
    return redaction(told[0])
