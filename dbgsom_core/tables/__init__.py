"""Tables in files and frames: read in batches, written whole or not at all, and made into samples.

For authors of data sets. `open_table` opens a table of any format, whose batches are
`pyarrow.RecordBatch` (all text where the file is CSV). `Columns` says which columns become samples
and how their cells are read; a model keeps it. `write_table` writes a table of any format. pyarrow
is imported with the first of these names.

>>> from dbgsom_core.tables import Columns, CellsError, Faults, open_table
>>> table = open_table("flats.csv")                                        # doctest: +SKIP
>>> columns = Columns(("rooms", "price"), units={"price": "€"})            # doctest: +SKIP
>>> places, unknown = columns.places(table.names, table.path)              # doctest: +SKIP
>>> for batch in table.batches(places):                                    # doctest: +SKIP
...     X = columns.features(batch.columns, batch.num_rows, {}, faults := Faults())
...     if faults:
...         raise CellsError(table.path, faults, table.lines(faults.rows()))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbgsom_core.tables.cells import GROUP_MARKS as GROUP_MARKS
    from dbgsom_core.tables.cells import ISO_DATES as ISO_DATES
    from dbgsom_core.tables.cells import NA_VALUES as NA_VALUES
    from dbgsom_core.tables.cells import date_forms as date_forms
    from dbgsom_core.tables.cells import is_missing as is_missing
    from dbgsom_core.tables.cells import is_unit as is_unit
    from dbgsom_core.tables.cells import number as number
    from dbgsom_core.tables.cells import number_problem as number_problem
    from dbgsom_core.tables.cells import parse_dates as parse_dates
    from dbgsom_core.tables.cells import parse_numbers as parse_numbers
    from dbgsom_core.tables.cells import short as short
    from dbgsom_core.tables.cells import unit_of as unit_of
    from dbgsom_core.tables.cells import without_unit as without_unit
    from dbgsom_core.tables.columns import PARTS as PARTS
    from dbgsom_core.tables.columns import CellsError as CellsError
    from dbgsom_core.tables.columns import Columns as Columns
    from dbgsom_core.tables.columns import Faults as Faults
    from dbgsom_core.tables.columns import Unseen as Unseen
    from dbgsom_core.tables.columns import as_array as as_array
    from dbgsom_core.tables.columns import as_texts as as_texts
    from dbgsom_core.tables.columns import is_text as is_text
    from dbgsom_core.tables.columns import numbered as numbered
    from dbgsom_core.tables.columns import unseen_sentences as unseen_sentences
    from dbgsom_core.tables.formats import check_target as check_target
    from dbgsom_core.tables.formats import is_number as is_number
    from dbgsom_core.tables.formats import open_table as open_table
    from dbgsom_core.tables.formats import parquet_file as parquet_file
    from dbgsom_core.tables.formats import write_table as write_table
    from dbgsom_core.tables.reader import CsvDialect as CsvDialect
    from dbgsom_core.tables.reader import TableFormat as TableFormat
    from dbgsom_core.tables.reader import TableReader as TableReader
    from dbgsom_core.tables.safe_files import open_packed as open_packed
    from dbgsom_core.tables.safe_files import reading as reading


def __getattr__(name: str) -> Any:
    modules = ("cells", "columns", "reader", "csv", "formats", "safe_files")
    for module in modules if name[0] != "_" else ():
        found = import_module(f"{__name__}.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
