"""Texts that people read: at a length that they read, and without passwords."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LONGEST, _MOST_LINES = 500, 100  # characters of a line of a message, and lines


def cut_message(text: str) -> str:
    """Return a message of at most 100 lines of at most 500 characters; the middle is left out."""
    lines, half = text.split("\n"), _LONGEST // 2 - 2
    shown = []
    for line in lines[:_MOST_LINES]:
        shown.append(line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}")
    if len(lines) > _MOST_LINES:
        shown.append(f"and {len(lines) - _MOST_LINES} more")
    return "\n".join(shown)


_REFERENCE = r"\$\{env:[^}]*\}"
# A password may hold "/" and "@": where a colon comes first, all up to the last "@" is hidden.
_USER = re.compile(r"(?<!/)//(?!/)(?P<user>[^\s\"<>:]{0,200}:[^\s\"<>]{0,500}|[^/\s\"<>]{1,500})@")
_USER_REFERENCE = re.compile(rf"[^:\s@]*:?({_REFERENCE})+")
_TOKEN = re.compile(
    r"(?i)([?&;#][\w.\-]*(?:token|key|secret|passw(?:or)?d|pwd|passphrase"
    rf"|auth|sig|signature|credentials?)=)(?!{_REFERENCE})[^&#\s\"'<>]+"
)


def masked(value: Any) -> Any:
    """Return plain values whose addresses have ``***`` in place of passwords and tokens.

    References to the environment stay as they are written, and so do keys.
    """
    if isinstance(value, Mapping):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _USER.sub(_masked_user, value)
    return _TOKEN.sub(r"\1***", text)


def _masked_user(match: re.Match[str]) -> str:
    return match[0] if _USER_REFERENCE.fullmatch(match["user"]) else "//***@"
