"""CSV files of nothing but numbers, read a few times faster than by pandas, to the same bits."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.cells import number
from dbgsom_core.runs.using.table_head import Head

_BLOCK = 1 << 21  # bytes that are read at a time
_LONGEST_LINE = 1 << 26
_LIKE_ASCII = frozenset(["utf-8", "utf-8-sig", "ascii", "iso8859-1", "iso8859-15", "cp1252"])


class PlainLines:
    """Reads lines of short numbers and missing values until one is no such line.

    What such a line means, and what is wrong with it, is for others to say: for `pandas.read_csv`.
    Numbers of more than some 15 digits are for it, too.

    Attributes
    ----------
    whole : bool
        Whether the file was read to its end.
    """

    def __init__(
        self, head: Head, places: NDArray[np.int64], words: Sequence[str], mark: str, thousands: str
    ) -> None:
        """Read what begins so: field i is feature ``places[i]``, or is not read where that is -1.

        ``words`` say that a value is missing; ``mark`` is the decimal mark, and ``thousands`` may
        stand between groups of three digits.
        """
        self._head, self._places, self._marks = head, places, (mark, thousands)
        self._missing = list(dict.fromkeys(word.encode() for word in words))
        self.whole = False
        divided = head.delimiter.isascii() and not head.delimiter.isalnum()
        self._serves = (
            divided
            and head.delimiter not in f' "+-{mark}{thousands}\n\r'
            and codecs.lookup(head.encoding).name in _LIKE_ASCII
            # pandas takes all spellings of a number for missing of which one is
            and all((value := number(word, ".")) is None or math.isnan(value) for word in words)
        )

    def read(self, stream: Any, rows: int) -> Iterator[NDArray[np.float64]]:
        """Yield samples (n, D), ``rows`` of them but at the end."""
        if not self._serves:
            return
        start = stream.read(_BLOCK)
        if len(start) < _BLOCK:  # to compile the loop, or to load it, takes longer than pandas does
            return
        start = start.removeprefix(codecs.BOM_UTF8)
        for _ in range(self._head.skipped + self._head.header):
            line, end, start = start.partition(b"\n")
            if not end or line.count(b'"') % 2 or b"\r" in line.removesuffix(b"\r"):
                return
        from dbgsom_core.engine.text.fields import FULL, MORE, STRANGE, layout, read_lines

        how = layout(self._head.delimiter, *self._marks, self._places, self._missing)
        width = int(self._places.max()) + 1
        room, filled = np.zeros(2 * _BLOCK, np.uint8), len(start)  # it serves again
        room[:filled] = np.frombuffer(start, np.uint8)
        X, row, more, why = np.empty((rows, width)), 0, True, MORE
        while more and why != STRANGE and filled < _LONGEST_LINE:
            if 2 * filled > len(room):
                room = np.concatenate([room, np.zeros_like(room)])
            got = stream.readinto(room[filled:-1].data)
            more, filled = bool(got), filled + got
            if not more and filled:
                room[filled] = ord("\n")
                filled += 1
            at, why = 0, FULL
            while why == FULL:
                at, row, why = read_lines(room, at, filled, how, X.view(np.uint64), row)
                if why == FULL:
                    yield X
                    X, row = np.empty((rows, width)), 0
            room[: filled - at] = room[at:filled].copy()
            filled -= at
        self.whole = not more and why == MORE
        if row:
            yield X[:row]
