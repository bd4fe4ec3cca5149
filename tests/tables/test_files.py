"""Tables in files: every way of writing one is read as the same, and written as it was read."""

import contextlib
import csv
import gzip
import io
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbgsom_core.errors import DataError, PluginError
from dbgsom_core.tables import (
    Columns,
    CsvDialect,
    Faults,
    TableFormat,
    TableReader,
    check_target,
    formats,
    open_table,
    write_table,
)
from dbgsom_core.tables.csv import _end_of_records

ROWS = {"name": ["Ann", "Bo; Co", 'a "b"', "two\nlines"], "size": ["1,5", "2", "", "-3"]}


@pytest.fixture
def read(tmp_path):
    """Read content as a table: names, columns, and the line of each row."""

    def read(content, name="t.csv", dialect=CsvDialect(), **more):  # noqa: B008
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        reader = open_table(str(path), dialect, **more)
        batches = [*reader.batches()]
        columns = [
            [cell for batch in batches for cell in batch.column(place).to_pylist()]
            for place in range(len(reader.names))
        ]
        return reader, columns

    return read


SHEET = 'name;size\nAnn;1,5\n"Bo; Co";2\n"a ""b""";\n"two\nlines";-3\n'


@pytest.mark.parametrize(
    "content",
    [
        SHEET,
        SHEET.replace("\n", "\r\n").replace("two\r\n", "two\n"),
        "sep=;\n" + SHEET,
        b"\xef\xbb\xbfsep=;\r\n" + SHEET.encode(),
        SHEET.encode("utf-16"),
        "\n\n" + SHEET.replace("Ann", "\n  \nAnn"),
        gzip.compress(SHEET.encode()),
    ],
    ids=[
        "plain",
        "CRLF",
        "sep",
        "both",
        "utf-16",
        "blank",
        "gz",
    ],
)
def test_every_way_of_writing_a_table_is_read(content, read):
    reader, columns = read(content)
    assert reader.names == ["name", "size"]
    assert columns == [*ROWS.values()]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_other_encodings_are_read_where_they_are_said(encoding, read):
    content = "größe,ort\n1,Köln\n".encode(encoding)
    reader, columns = read(content, dialect=CsvDialect(encoding=encoding))
    assert (reader.names, columns) == (["größe", "ort"], [["1"], ["Köln"]])
    if encoding == "cp1252":
        with pytest.raises(DataError, match="no text of the encoding UTF-8: give encoding as that"):
            read(content)
        late = b"a,b\n" + b"1,2\n" * 300_000 + "3,ö\n".encode(encoding)
        with pytest.raises(DataError, match="no text of the encoding UTF-8"):
            read(late)


@pytest.mark.parametrize(
    ("content", "delimiter", "header"),
    [
        ("a;b\n1,5;2,5\n3;4\n", ";", True),
        ("a\tb c\n1\t2\n", "\t", True),
        ("1,2\n3,4\n", ",", False),
        ("a\n1\n2\n", ",", True),
        ('"x,y",b\n"1,5",2\n', ",", True),
    ],
)
def test_delimiter_and_header_are_found_out(content, delimiter, header, read):
    reader, _ = read(content)
    assert (reader.dialect.delimiter, reader.dialect.header) == (delimiter, header)


def test_rows_of_blanks_and_quotes_in_the_middle_are_as_the_module_csv_reads_them(read):
    content = 'a,b\n5" pipe,x\n"q"w,"1,5"\n'
    assert read(content)[1] == [['5" pipe', "qw"], ["x", "1,5"]]
    inches = 'a,b\n5" pipe,"two\nlines"\n' + "x,y\n" * 9
    assert read(inches)[1][1][:2] == ["two\nlines", "y"]
    assert read('a\n1\n\n""\n2\n')[1] == [["1", "", "2"]]
    assert read("a\n")[1] == [[]]


def test_a_bad_cell_below_quoted_line_breaks_is_told_by_its_line(read):
    reader, _ = read('note,x\n"two\nlines",1\n\n"\n\n",2\nplain,many\n')
    columns, faults = Columns(("x",)), Faults()
    (batch,) = reader.batches([1])
    columns.features(batch.columns, {}, faults)
    with pytest.raises(DataError) as caught:
        faults.check(reader)
    assert str(caught.value) == f"{reader.path}, line 8, column 'x': 'many' is no number"


def test_a_line_of_another_number_of_fields_is_told(read):
    for line in ("1", "1,2,3"):
        with pytest.raises(DataError, match=rf"t\.csv .* Expected 2 columns, got . *: {line}\)"):
            read(f'a,b\n"x\ny",2\n{line}\n5,6\n')


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("a;b\n", "a;b"),
        ('a,b\n1,"x\n2,y\n', r"line 2: no CSV \(unexpected end of data\)"),
        ('a,b\nx,5"\n7,"z\n8,w\n', r"line 3: no CSV \(unexpected end of data\)"),
        ("a,b\n1,2\n3,\0\n", "holds zero bytes: it is no text, or in another encoding"),
    ],
)
def test_what_is_no_table_is_refused(content, told, read):
    if content == "a;b\n":
        assert read(content, guess=True)[0].names == ["a", "b"]
        told = "single column 'a;b': give delimiter as ';'"
    with pytest.raises(DataError, match=told):
        read(content, guess=False)


def test_standard_input_is_a_table(tmp_path):
    code = """
from dbgsom_core.tables import open_table
reader = open_table("-")
print(reader.names, reader.dialect.delimiter)
print(sum(batch.num_rows for batch in reader.batches()), reader.lines([1]))
"""

    def piped(content):
        return subprocess.run([sys.executable, "-c", code], input=content, capture_output=True)

    assert piped(b'a;b\n3;"4\n5"\n1;2\n').stdout == b"['a', 'b'] ;\n2 {1: 4}\n"


TABLE = {
    "x": np.array([0.1, np.nan, -7, 1e300]),
    "n": np.ma.array([1, 2, 3, 2**62], mask=[0, 1, 0, 0]),
    "yes": np.array([True, False, True, True]),
    "text": np.array(["", "a,b", 'say "no"', "two\nlines"], dtype=object),
    "kind": pa.array(["u", None, "v", "u"]).dictionary_encode(),
}


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.feather"])
def test_a_table_reads_back_as_it_was_written(name, tmp_path):
    path, seen = str(tmp_path / name), []
    assert write_table(path, [TABLE, TABLE], progress=seen.append) == 8
    assert seen == [4, 8]
    reader = open_table(path)
    assert reader.names == [*TABLE]
    whole = pa.Table.from_batches(reader.batches()).rename_columns(reader.names).to_pydict()
    if reader.format == "csv":
        assert whole["x"] == ["0.1", "", "-7", "1e+300"] * 2
        assert whole["n"] == ["1", "", "3", str(2**62)] * 2
        assert whole["yes"] == ["true", "false", "true", "true"] * 2
        assert whole["kind"] == ["u", "", "v", "u"] * 2
    else:
        assert whole["x"] == [0.1, None, -7, 1e300] * 2
        assert whole["n"] == [1, None, 3, 2**62] * 2
        assert whole["kind"] == ["u", None, "v", "u"] * 2
    assert whole["text"] == TABLE["text"].tolist() * 2
    assert [*tmp_path.iterdir()] == [tmp_path / name]


def test_lines_are_plain_where_they_may_be(capsys):
    columns = {
        "a": [1.0, 0.1 + 0.2, -0.0],
        "b,c": ["x", " y ", None],
        "when": [datetime(2024, 1, 2)] * 3,
    }
    assert write_table("-", [columns]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        'a,"b,c",when', "1,x,2024-01-02", "0.30000000000000004, y ,2024-01-02", "-0,,2024-01-02",
    ]  # fmt: skip
    write_table("-", [{"only": ["x", None, ""]}])
    assert capsys.readouterr().out == 'only\nx\n""\n""\n'


@given(st.lists(st.floats(allow_nan=False)))
def test_floats_are_written_to_the_bit(values):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        write_table("-", [{"x": np.array(values, dtype=float)}])
    read = [float(line) for line in out.getvalue().splitlines()[1:]]
    assert np.array(read).tobytes() == np.array(values, dtype=float).tobytes()


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.feather", "t.npy"])
def test_a_table_that_is_not_whole_is_not_there(name, tmp_path):
    (tmp_path / name).write_bytes(b"before")

    def batches():
        yield TABLE
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_table(tmp_path / name, batches())
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, b"before")]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "t.xlsx",
            r"tables are written as \.csv, \.tsv, \.parquet, \.pq, \.feather, \.arrow, \.npy",
        ),
        ("folder.csv", "is a folder: name a file"),
        ("none/t.csv", "there is no folder none to write t.csv in"),
    ],
)
def test_where_no_table_can_be_written_is_told_before(path, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    with pytest.raises(DataError, match=told):
        check_target(path)


class Lines(TableReader):
    """A format of one column, as a plugin may have it."""

    def read(self, places, rows):
        cells = pa.array(Path(self.path).read_text().split())
        yield pa.RecordBatch.from_arrays([cells] * len(places), names=["x"] * len(places))


class LinesWriter:
    def __init__(self, path, schema):
        self.file = path.open("w")

    def write_batch(self, batch):
        self.file.writelines(f"{one}\n" for one in batch.column(0).to_pylist())

    def close(self):
        self.file.close()


LINES = TableFormat(
    "lines", (".lines",), lambda path: Lines(path, "lines", ["cell"], [pa.string()]), LinesWriter
)


def test_a_format_of_a_plugin_is_read_and_written(tmp_path, monkeypatch):
    group, loaded = "dbgsom.table_formats", {"value": LINES}

    class Entry(EntryPoint):
        def load(self):
            return loaded["value"]

    entry = Entry("lines", "lines_plugin:LINES", group)
    monkeypatch.setattr(
        formats, "entry_points", lambda group, name: [entry] if name == entry.name else []
    )
    path = str(tmp_path / "t.lines")
    assert write_table(path, [{"a": [1, 2, 3]}]) == 3
    batches = [batch.to_pydict() for batch in open_table(path).batches(rows=2)]
    assert batches == [{"0": ["1", "2"]}, {"0": ["3"]}]
    folder = open_table(str(tmp_path))
    assert (folder.format, folder.path) == ("lines", str(tmp_path))
    write_table(tmp_path / "t.parquet", [{"a": [1]}])
    assert open_table(str(tmp_path)).format == "parquet"
    loaded["value"] = "no format"
    with pytest.raises(PluginError, match=r"lines_plugin:LINES of .* is no TableFormat"):
        open_table(path)
    del loaded["value"]
    with pytest.raises(PluginError, match="lines_plugin:LINES of a plugin cannot be imported"):
        check_target(path)


def test_a_format_adds_columns_to_a_copy_of_the_table_that_is_answered(tmp_path, monkeypatch):
    class Adder(LinesWriter):
        def __init__(self, path, schema, source):
            super().__init__(path, schema)
            self.file.write(f"# {Path(source).read_text().strip()}\n")

    monkeypatch.setitem(formats.FORMATS, "lines", replace(LINES, add=Adder))
    old, new, other = (tmp_path / name for name in ("old.lines", "new.lines", "other.csv"))
    old.write_text("x\n")
    write_table(new, [{"a": [1]}], beside=str(old))
    assert new.read_text() == "# x\n1\n"
    assert old.read_text() == "x\n"
    other.write_text("a\n1\n")
    write_table(new, [{"a": [1]}], beside=str(other))
    assert new.read_text() == "1\n"
    with pytest.raises(DataError, match=r"is a folder: write all .*file by file to \.lines"):
        write_table(tmp_path / "all.lines", [{"a": [1]}], beside=str(tmp_path))


@given(st.text('ab,"\n\r', max_size=40))
@example('x,5"\n7,"z\n8"\n9,1\n')
def test_blocks_of_csv_end_where_the_module_csv_ends_a_record(text):
    records = csv.reader(io.StringIO(f"{text}b", newline=""))
    ends = [0, *(records.line_num for _ in records)]
    whole = text.splitlines(keepends=True)[: ends[-2]]
    assert _end_of_records(text.encode(), ",") == len("".join(whole))


def test_a_row_that_never_ends_is_refused(read):
    with pytest.raises(DataError, match="row of more than"):
        read('a,b\n1,"' + "2\n" * (1 << 24))


def test_a_reader_that_is_gone_is_not_an_error_and_a_full_disk_is(monkeypatch):
    class Broken(io.StringIO):
        error = BrokenPipeError(32, "Broken pipe")

        def write(self, text):
            raise self.error

    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(BrokenPipeError):
        write_table("-", [TABLE])
    Broken.error = OSError(28, "No space left on device")
    with pytest.raises(DataError, match="standard output cannot be written: No space left"):
        write_table("-", [TABLE])


def test_a_column_or_records_become_an_array(tmp_path):
    write_table(tmp_path / "column.npy", [{"x": np.arange(3.0)}, pa.table({"x": [0.0, 1.0]})])
    assert np.load(tmp_path / "column.npy").tolist() == [0, 1, 2, 0, 1]
    write_table(
        tmp_path / "records.npy", [TABLE, TABLE | {"kind": np.array(["long", "", "", "ö"])}]
    )
    records = np.load(tmp_path / "records.npy")
    assert records.dtype.names == (*TABLE,)
    assert records["n"].tolist() == [1, -1, 3, 2**62] * 2
    assert records["kind"].tolist() == ["u", "", "v", "u", "long", "", "", "ö"]


def test_tables_that_cannot_be_read_by_name_are_refused(tmp_path):
    table = pa.table([pa.array([1, 2]), pa.array([3.5, 4.5])], names=["a", "a"])
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="several columns of one name: rename all but one"):
        open_table(str(tmp_path / "t.parquet"))
    with pytest.raises(DataError, match="tables are read from csv, parquet"):
        open_table(str(tmp_path / "t.parquet"), format="orc")
