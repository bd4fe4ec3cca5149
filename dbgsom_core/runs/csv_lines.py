"""Columns to lines of a CSV file, a block of rows at a time, with pyarrow and without."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.interfaces.coded import Coded

_FEW = 1 << 15  # cells that are written sooner than a loop is compiled that does it
_ROWS = 1 << 13  # of which text is made at a time, in memory that serves again


class _Column(NamedTuple):
    # As `write_lines` takes it, and how long each text is.
    kind: int
    cells: NDArray[np.int64]
    gone: NDArray[np.bool_]
    lengths: NDArray[np.int64] | None = None


class CsvLines:
    """Makes lines of columns: floats as the shortest text that reads back to the bit.

    Cells that are masked or missing are empty; texts stand in quotes where they have to, as does
    nothing on a line of its own, which readers would leave out. ``mask`` is asked what a text is
    told as.
    """

    def __init__(self, delimiter: str = ",", mask: Callable[[str], str] | None = None) -> None:
        self._delimiter, self._mask = delimiter, mask
        self._special = re.compile(f'[{re.escape(delimiter)}"\\n\\r]')
        self._rooms = [np.empty(0, np.uint8)] * 2

    def header(self, names: Iterable[str]) -> bytes:
        """Return the line of the names of columns."""
        cells = [name if self._mask is None else self._mask(name) for name in names]
        return (self._delimiter.join(map(self._quoted, cells)) + "\n").encode()

    def blocks(self, columns: Mapping[str, Any]) -> Generator[memoryview, None, None]:
        """Yield the lines of columns (n,), arrays or Series, each block until the one after the
        next is made.
        """
        from dbgsom_core.engine.text.lines import SPARE, WIDEST, tables, write_lines

        made: list[_Column] = []
        texts = bytearray()
        for column in columns.values():
            made.append(self._column(column, texts))
        kinds = np.array([one.kind for one in made], np.uint8)
        texts += bytes(SPARE)
        pool = np.frombuffer(texts, np.uint8)
        told = [one.lengths for one in made if one.lengths is not None]
        a_row = 2 + len(made) + WIDEST * (len(made) - len(told))
        n = len(made[0].cells)
        if len(made) * n < _FEW:
            cells, gone = (
                np.stack([one.cells for one in made]),
                np.stack([one.gone for one in made]),
            )
            yield self._of_few(kinds, cells, gone, pool)
            return
        # Copies of a block stay in the cache.
        cells, gone = np.empty((len(made), _ROWS), np.int64), np.empty((len(made), _ROWS), bool)
        for start in range(0, n, _ROWS):
            rows, stop = slice(start, start + _ROWS), min(_ROWS, n - start)
            for one, its_cells, its_gone in zip(made, cells, gone, strict=True):
                its_cells[:stop], its_gone[:stop] = one.cells[rows], one.gone[rows]
            size = SPARE + stop * a_row + sum(int(one[rows].sum()) for one in told)
            room = self._rooms.pop(0)
            if size > len(room):
                room = np.empty(size, np.uint8)
            self._rooms.append(room)
            end = write_lines(
                kinds, cells, gone, pool, ord(self._delimiter), tables(), 0, stop, room
            )
            yield room[:end].data

    def _of_few(
        self,
        kinds: NDArray[np.uint8],
        cells: NDArray[np.int64],
        gone: NDArray[np.bool_],
        pool: NDArray[np.uint8],
    ) -> memoryview:
        # The same lines without the loop, which takes seconds to compile.
        from dbgsom_core.engine.text.lines import FLOAT, TEXT, TRUTH, text_from

        content, columns = pool.tobytes(), []
        for kind, column in zip(kinds.tolist(), cells, strict=True):
            if kind == FLOAT:
                columns.append([_number(one) for one in column.view(np.float64).tolist()])
            elif kind == TEXT:
                parts = zip(*(one.tolist() for one in text_from(column)), strict=True)
                columns.append([content[a : a + n].decode() for a, n in parts])
            else:
                told = np.array(["false", "true"])[column] if kind == TRUTH else column
                columns.append(list(map(str, told.tolist())))
        for column, absent in zip(columns, gone, strict=True):
            for row in np.flatnonzero(absent).tolist():
                column[row] = ""
        rows = zip(*columns, strict=True)
        lines = ((self._delimiter.join(row) or '""') + "\n" for row in rows)
        return memoryview("".join(lines).encode())

    def _column(self, column: Any, texts: bytearray) -> _Column:
        # Texts are added to those that there are.
        from dbgsom_core.engine.text.lines import FLOAT, INTEGER, TEXT, TRUTH, text_at

        if isinstance(column, Coded):
            one_each = self._column(column.values, texts)
            assert one_each.lengths is not None
            absent = (column.codes < 0) | one_each.gone[column.codes]
            lengths = np.where(absent, 0, one_each.lengths[column.codes])
            return _Column(TEXT, one_each.cells[column.codes], absent, lengths)
        gone = np.array(np.ma.getmaskarray(column)) if _is_masked(column) else None
        values = column.data if _is_masked(column) else column
        if gone is None:
            gone = np.zeros(len(values), bool)
        dtype = values.dtype if isinstance(values.dtype, np.dtype) else np.dtype(object)
        if dtype.kind == "f" and dtype != np.float32:  # whose shortest text is another one
            cells = np.asarray(values, np.float64).view(np.int64)
            return _Column(FLOAT, cells, gone)
        if dtype.kind in "biu" and np.can_cast(dtype, np.int64):
            kind = TRUTH if dtype.kind == "b" else INTEGER
            return _Column(kind, np.asarray(values, np.int64), gone)
        content, ends, missing = _told(values)
        content, ends = self._as_written(content, ends)
        lengths = np.diff(ends)
        lengths[gone | missing] = 0
        cells = text_at(ends[:-1] - ends[0] + len(texts), lengths)
        texts += content[ends[0] : ends[-1]]
        return _Column(TEXT, cells, gone | missing, lengths)

    def _as_written(
        self, content: bytes, ends: NDArray[np.int64]
    ) -> tuple[bytes, NDArray[np.int64]]:
        # Masked, and in quotes where that is needed, which is seldom.
        text = content[ends[0] : ends[-1]].decode()
        told = text if self._mask is None else self._mask(text)
        if told == text and not self._special.search(text):
            return content, ends
        cells = [content[a:b].decode() for a, b in pairwise(ends.tolist())]
        if self._mask is not None:
            cells = [self._mask(cell) for cell in cells]
        return _joined([self._quoted(cell) for cell in cells])

    def _quoted(self, cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if self._special.search(cell) else cell


def _number(value: float) -> str:
    # As `write_lines` writes it.
    if not math.isfinite(value) or value == 0:
        return "" if math.isnan(value) else repr(value).removesuffix(".0")
    number = Decimal(repr(value)).normalize()
    if -6 <= number.adjusted() < 10:
        return f"{number:f}"
    sign, digits, _ = number.as_tuple()
    first, *rest = map(str, digits)
    decimals = "." + "".join(rest) if rest else ""
    return f"{'-' * sign}{first}{decimals}e{number.adjusted():+d}"


def _is_masked(column: Any) -> bool:
    return isinstance(column, np.ma.MaskedArray)  # getdata would take a Series of pandas apart


def _told(values: Any) -> tuple[bytes, NDArray[np.int64], NDArray[np.bool_]]:
    """Return the texts of values one after the other, where each ends, from 0, and what is missing.

    What pyarrow knows is told as pyarrow does: dates, for instance.
    """
    try:
        import pyarrow as pa
    except ImportError:
        import pandas as pd

        values = np.asarray(values)
        missing = np.asarray(pd.isna(values), bool)
        kind, cells = values.dtype.kind, values.tolist()
        if kind == "M":  # of nanoseconds Python makes whole numbers
            cells = np.char.replace(np.datetime_as_string(values), "T", " ").tolist()
        elif kind == "f":
            cells = [_number(float(one)) for one in values.astype(str).tolist()]
        return *_joined(
            ["" if no else str(one) for one, no in zip(cells, missing, strict=True)]
        ), missing
    array = arrow_array(values).cast(pa.large_string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    _, offsets, content = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    missing = array.is_null().to_numpy(zero_copy_only=False)
    return b"" if content is None else content.to_pybytes(), ends, missing


def _joined(cells: Sequence[str]) -> tuple[bytes, NDArray[np.int64]]:
    parts = [cell.encode() for cell in cells]
    return b"".join(parts), np.cumsum([0, *map(len, parts)])


def arrow_array(column: Any) -> Any:
    """Return a column, an array, Series or `Coded`, as pyarrow's; what is masked or nan is null."""
    import pyarrow as pa

    if isinstance(column, Coded):
        return arrow_array(column.values).take(pa.array(column.codes, mask=column.codes < 0))
    if _is_masked(column):
        return pa.array(arrow_array(column.data).to_numpy(zero_copy_only=False), mask=column.mask)
    if isinstance(column, np.ndarray) and column.dtype == object:
        import pandas as pd

        if pd.api.types.infer_dtype(column) not in ("string", "empty"):
            cells = zip(column.tolist(), pd.isna(column).tolist(), strict=True)
            column = pa.array([None if no else str(one) for one, no in cells], pa.string())
    return pa.array(column, from_pandas=True)
