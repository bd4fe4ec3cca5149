"""Messages of commands and configurations: their level, and a length that a person reads."""

import logging

from dbgsom_core.errors import Remark

_LONGEST, _MOST_LINES = 500, 100  # characters of a line of a message, and lines


def level_of(category: type[Warning]) -> int:
    """Return the level at which a warning is logged: that of a remark is ``logging.INFO``."""
    return logging.INFO if issubclass(category, Remark) else logging.WARNING


def cut_message(text: str) -> str:
    """Return a message of at most 100 lines of at most 500 characters; the middle is left out."""
    lines, half = text.split("\n"), _LONGEST // 2 - 2
    shown = [
        one if len(one) <= _LONGEST else f"{one[:half]} … {one[-half:]}"
        for one in lines[:_MOST_LINES]
    ]
    more = len(lines) - len(shown)
    return "\n".join([*shown, *([f"and {more} more"] if more else [])])
