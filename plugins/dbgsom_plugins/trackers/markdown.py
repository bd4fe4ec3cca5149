"""Text from names, files and users in markdown: shown as it is, on one line, whatever it holds."""

from __future__ import annotations

import re
import sys

from dbgsom_core.api import as_label

_MARKS = re.compile(r"[\\`*\[\]|~$<>&]|(?<!\w)_|_(?!\w)")  # an underscore within a word is a letter
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def as_markdown(text: object) -> str:
    """Return markdown that shows a text: no mark, tag, line break or control in it counts."""
    line = as_label(text, sys.maxsize - 1)
    return _MARKS.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), line)


def as_code(text: object) -> str:
    """Return markdown that shows a text as code, in a table, too; one with backticks as text."""
    line = as_label(text, sys.maxsize - 1)
    return as_markdown(line) if "`" in line else "`{}`".format(line.replace("|", "\\|"))
