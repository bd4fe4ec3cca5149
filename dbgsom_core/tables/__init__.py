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
    from dbgsom_core.tables.cells import (
        GROUP_MARKS,
        ISO_DATES,
        NA_VALUES,
        date_features,
        date_forms,
        is_missing,
        is_unit,
        number,
        number_problem,
        parse_dates,
        parse_numbers,
        short,
        unit_of,
        without_unit,
    )
    from dbgsom_core.tables.columns import (
        PARTS,
        CellsError,
        Columns,
        Fault,
        Faults,
        Unseen,
        as_array,
        as_texts,
        is_text,
        numbered,
        unseen_sentences,
    )
    from dbgsom_core.tables.csv import (
        ROWS,
        STANDARD_STREAM,
        CsvDialect,
        CsvHead,
        parse_csv,
        sniff_csv,
    )
    from dbgsom_core.tables.files import (
        FORMATS,
        TableFormat,
        TableReader,
        as_batch,
        check_target,
        is_number,
        open_table,
        parquet_file,
        write_table,
    )
    from dbgsom_core.tables.streams import open_packed, reading

__all__ = [
    "FORMATS",
    "GROUP_MARKS",
    "ISO_DATES",
    "NA_VALUES",
    "PARTS",
    "ROWS",
    "STANDARD_STREAM",
    "CellsError",
    "Columns",
    "CsvDialect",
    "CsvHead",
    "Fault",
    "Faults",
    "TableFormat",
    "TableReader",
    "Unseen",
    "as_array",
    "as_batch",
    "as_texts",
    "check_target",
    "date_features",
    "date_forms",
    "is_missing",
    "is_number",
    "is_text",
    "is_unit",
    "number",
    "number_problem",
    "numbered",
    "open_packed",
    "open_table",
    "parquet_file",
    "parse_csv",
    "parse_dates",
    "parse_numbers",
    "reading",
    "short",
    "sniff_csv",
    "unit_of",
    "unseen_sentences",
    "without_unit",
    "write_table",
]

_MODULES = ("cells", "columns", "csv", "files", "streams")


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = import_module(f"{__name__}.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
