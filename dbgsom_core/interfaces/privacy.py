"""What is not told: the users and passwords of addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def without_passwords(text: str) -> str:
    """Return a text without the user and password of any URI in it."""
    return re.sub(r"//[^/\s]+@", "//***@", text)


def masked(value: Any) -> Any:
    """Return plain values without the user and password of any URI in their texts."""
    if isinstance(value, Mapping):
        return {key: masked(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(one) for one in value]
    return without_passwords(value) if isinstance(value, str) else value
