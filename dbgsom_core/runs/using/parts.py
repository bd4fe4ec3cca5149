"""Parts of a CSV table that can be read again: a whole file, or lines of standard input."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from dbgsom_core.runs.using.table_head import Head, opened

STANDARD_INPUT = "-"
_BLOCK = 1 << 22  # letters of standard input that are read at a time
_LONGEST = 1 << 26  # letters in which a quote is to be closed


class Part(NamedTuple):
    """Some rows: what opens them in bytes, how they begin, and how many lines are before."""

    opened: Callable[[], AbstractContextManager[Any]]
    head: Head
    before: int


def parts_of(path: str, head: Head) -> Iterator[Part]:
    """Yield the parts of a table that begins so, one after the other."""
    if path != STANDARD_INPUT:
        yield Part(partial(opened, path), head, 0)
        return
    before = 0
    with opened(path) as stream:
        for block in _blocks(io.TextIOWrapper(stream, head.encoding, newline="")):
            if not block.isspace():
                content = partial(io.BytesIO, block.encode())
                yield Part(content, head._replace(encoding="utf-8"), before)
                head = head._replace(skipped=0, header=False)
            before += block.count("\n")


def _blocks(text: io.TextIOWrapper) -> Iterator[str]:
    # Whole lines, none of which ends within quotes.
    left = ""
    while more := text.read(_BLOCK):
        left += more
        end = left.rfind("\n") + 1
        if left.count('"', 0, end) % 2 and len(left) < _LONGEST:
            end = left.rfind("\n", 0, left.rfind('"', 0, end)) + 1
        if end:
            yield left[:end]
            left = left[end:]
    if left:
        yield left
