"""Tables in files and frames: read in batches, written whole or not at all, and made into samples.

For authors of data sets. `open_table` opens a table of any format, whose batches are
`pyarrow.RecordBatch` (all text where the file is CSV). `Columns` says which columns become samples
and how their cells are read; a model keeps it. `write_table` writes a table of any format.

>>> from dbgsom_core.tables import Columns, Faults, open_table
>>> table = open_table("flats.csv")                                        # doctest: +SKIP
>>> columns = Columns(("rooms", "price"), units={"price": "€"})            # doctest: +SKIP
>>> places, unknown = columns.places(table.names, table.path)              # doctest: +SKIP
>>> for batch in table.batches(places):                                    # doctest: +SKIP
...     X = columns.features(batch.columns, {}, faults := Faults())
...     faults.check(table)
"""

from dbgsom_core.files import reading
from dbgsom_core.tables.cells import (
    ISO_DATES,
    NA_VALUES,
    PARTS,
    date_forms,
    is_unit,
    number,
    parse_dates,
    parse_numbers,
    short,
)
from dbgsom_core.tables.columns import (
    Columns,
    Faults,
    numbered,
    unseen_sentences,
)
from dbgsom_core.tables.formats import (
    check_target,
    open_table,
    parquet_file,
    write_table,
)
from dbgsom_core.tables.reader import (
    FRAME,
    CsvDialect,
    FrameReader,
    TableFormat,
    TableReader,
    arrow_table,
    as_array,
    as_texts,
    is_moment,
    is_number,
    is_text,
)
from dbgsom_core.tables.words import top_words

__all__ = [
    "FRAME",
    "ISO_DATES",
    "NA_VALUES",
    "PARTS",
    "Columns",
    "CsvDialect",
    "Faults",
    "FrameReader",
    "TableFormat",
    "TableReader",
    "arrow_table",
    "as_array",
    "as_texts",
    "check_target",
    "date_forms",
    "is_moment",
    "is_number",
    "is_text",
    "is_unit",
    "number",
    "numbered",
    "open_table",
    "parquet_file",
    "parse_dates",
    "parse_numbers",
    "reading",
    "short",
    "top_words",
    "unseen_sentences",
    "write_table",
]
