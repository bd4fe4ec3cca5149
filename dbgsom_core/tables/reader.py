"""Readers of tables in batches of rows, and formats of files that have them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

ROWS = 1 << 17  # of a batch at most


@dataclass(frozen=True)
class CsvDialect:
    """The dialect of a CSV file; None: unknown.

    Attributes
    ----------
    delimiter, encoding, decimal : str or None
    thousands : str or None
        What may stand between thousands; empty: nothing.
    header : bool or None
        Whether the first line names the columns.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool | None = None


@dataclass
class TableReader(ABC):
    """A table in a file, of which batches of rows are read; formats subclass it and `read`.

    Attributes
    ----------
    path : str
        What messages call the file.
    format : str
    names : list of str
        Of the columns, stripped; names may stand there twice.
    types : list of pyarrow.DataType
        Text for all columns of a CSV file.
    num_rows : int or None
        None where only reading tells.
    dialect : CsvDialect or None
        Of a CSV file.
    notes : list of str
        What a reader found out about the file and its user should know.
    files : sequence of Path
        Those of the table, one after the other.
    """

    path: str
    format: str
    names: list[str]
    types: list[pa.DataType]
    num_rows: int | None = None
    dialect: CsvDialect | None = None
    notes: list[str] = field(default_factory=list)
    files: Sequence[Path] = ()

    def batches(
        self,
        places: Sequence[int] | None = None,
        rows: int = ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most ``rows`` at a time.

        Parameters
        ----------
        places : sequence of int, optional
            Columns that are read, by their places from 0 and in this order; None: all.
        rows : int

        Yields
        ------
        pyarrow.RecordBatch
            Its columns are called by their places. Cells of a CSV file are texts, as they stand
            there.

        Raises
        ------
        DataError
            The file is damaged, or lines have not a field a column: all of them are named.
        """
        chosen = [*range(len(self.names))] if places is None else [*places]
        labels = [str(place) for place in chosen]
        for batch in self.read(chosen, rows):
            for start in range(0, batch.num_rows, rows):
                part = batch.slice(start, rows)
                yield pa.RecordBatch.from_arrays(part.columns, names=labels)

    @abstractmethod
    def read(self, places: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        """Yield batches of about ``rows`` rows of the columns at ``places``."""

    def lines(self, rows: Iterable[int]) -> dict[int, int]:
        """Return the line numbers of rows, by a second reading; none for formats without lines."""
        return {}


@dataclass(frozen=True)
class TableFormat:
    """A format of files with tables; see `format_of`.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        In small letters, with their dots.
    open : callable
        Gets a path, or a folder with such files, and returns a `TableReader`; raises `DataError`.
    write : callable, optional
        Gets a path and a `pyarrow.Schema`, and returns an object with ``write_batch(batch)`` and
        ``close()``.
    add : callable, optional
        As ``write``, and gets the path of a table of this format with the same rows, to a copy of
        which the columns are added; files with more than a table, such as FCS, have it.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[str], TableReader]
    write: Callable[[Path, pa.Schema], Any] | None = None
    add: Callable[[Path, pa.Schema, str], Any] | None = None
