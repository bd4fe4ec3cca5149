"""Texts from elsewhere in markdown: shown as they are, whatever they hold."""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w))")  # an underscore within a word is a letter
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")


def as_markdown(told: object) -> str:
    """Return markdown that shows a text on one line: no mark, tag or control in it counts."""
    marked = _MARKS.sub(r"\\\1", one_line(told))
    return re.sub("[&<>]", lambda found: _HTML[found.group()], marked)


def as_code(told: object) -> str:
    """Return markdown that shows a text as code, in a table, too."""
    text = one_line(told).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    if not longest:
        return f"`{text}`"
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"


def one_line(told: object) -> str:
    """Return a text with ends of lines and controls written out, an escape as text."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _STEERING
        else letter
        for letter in str(told)
    )
