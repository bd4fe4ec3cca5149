"""Tables are written to the same cells with pyarrow and without, and whole or not at all."""

import errno
import io
import sys

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_core.interfaces.coded import Coded
from dbgsom_core.runs import csv_lines
from dbgsom_core.runs.csv_lines import CsvLines
from dbgsom_core.runs.using.table_writing import write_table


@pytest.fixture
def table(rng):
    values = rng.normal(size=50) * 10.0 ** rng.integers(-12, 12, 50)
    gone = rng.random(50) < 0.2
    return {
        "id": pd.Series([None, 'a,"b"', *map(str, range(48))], dtype=object),
        "label": np.array(["é", "b"])[rng.integers(0, 2, 50)],
        "unit": np.ma.array(rng.integers(0, 99, 50), mask=gone),
        "outlier": np.ma.array(values > 0, mask=gone),
        "novelty": np.where(gone, np.nan, values),
        "share": np.column_stack([values, values])[:, 1],
    }


def test_csv_is_the_same_without_pyarrow(tmp_path, monkeypatch, table, read_csv):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(csv_lines, "_ROWS", 20)  # several pieces of a chunk
    monkeypatch.setattr(csv_lines, "_FEW", 0)
    parts = [{name: one[:30] for name, one in table.items()}]
    parts.append({name: one[30:] for name, one in table.items()})
    told = []
    assert write_table(str(tmp_path / "with.csv"), parts, tell=told.append) == 50
    assert told == [30, 50]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        write_table(str(tmp_path / "without.csv"), parts)
    read = [read_csv(tmp_path / f"{one}.csv") for one in ("with", "without")]
    pd.testing.assert_frame_equal(*read, check_exact=True)
    assert (read[0]["share"] == table["share"]).all()  # to the bit
    assert read[0]["outlier"].isna().tolist() == table["outlier"].mask.tolist()
    texts = [pd.read_csv(tmp_path / f"{one}.csv", dtype=str) for one in ("with", "without")]
    for name in ("id", "label", "unit", "outlier"):
        assert texts[0][name].equals(texts[1][name])


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("few", [0, 1 << 15])
def test_values_that_come_again_are_written_as_they_are(tmp_path, monkeypatch, rng, name, few):
    monkeypatch.setattr(csv_lines, "_FEW", few)
    values = np.array(["é", 'a,"b"', "", None], dtype=object)
    codes = rng.integers(-1, 4, 60)
    plain = np.where(codes < 0, None, values[codes])
    tables = [{"n": codes, "label": Coded(codes, values)}, {"n": codes, "label": plain}]
    written = []
    for table in tables:
        assert write_table(str(tmp_path / name), [table]) == 60
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_few_rows_are_written_as_many_are(monkeypatch, table, rng):
    edges = [0.0, -0.0, 1e-7, 1.5e-6, -1e10, 9999999999.5, 5e-324, 1.7e308, np.inf, -np.inf]
    table["edges"] = np.concatenate([edges, 10.0 ** np.arange(-20, 20)])
    table["n"] = rng.integers(-(10**18), 10**18, 50)
    written = []
    for few in (0, 1 << 15):
        monkeypatch.setattr(csv_lines, "_FEW", few)
        written.append(b"".join(map(bytes, CsvLines().blocks(table))))
    assert written[0] == written[1]


KINDS = {  # as ids of a plugin's data set may be
    "texts": (np.array(["a", None, np.nan, pd.NA], object), ["a", "", "", ""]),
    "mixed": (np.array(["a"] * 1001 + [3, None], object), ["a"] * 1001 + ["3", ""]),
    "days": (np.array(["2020-01-02", "NaT"], "M8[D]"), ["2020-01-02", ""]),
    "times": (np.array(["2020-01-02T03:04:05"], "M8[ns]"), ["2020-01-02 03:04:05.000000000"]),
    "short": (np.array([0.1, np.nan, 16777216], np.float32), ["0.1", "", "16777216"]),
    "other": (np.array([0.1, 2.0], ">f8"), ["0.1", "2"]),
    "long": (np.array([0.25], np.longdouble), ["0.25"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [0, 1 << 15])
@pytest.mark.parametrize("arrow", [True, False])
def test_cells_of_any_kind_are_told_and_empty_where_nothing_is_known(monkeypatch, kind, few, arrow):
    if arrow:
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(csv_lines, "_FEW", few)
    values, told = KINDS[kind]
    columns = {"one": values, "n": np.zeros(len(values), int)}
    assert b"".join(CsvLines().blocks(columns)).decode() == "".join(f"{one},0\n" for one in told)


@pytest.mark.parametrize("few", [0, 1 << 15])
def test_an_empty_cell_alone_on_its_line_is_a_row_all_the_same(monkeypatch, few):
    monkeypatch.setattr(csv_lines, "_FEW", few)
    column = np.ma.array(["a", "b", ""], mask=[False, True, False])
    lines = CsvLines()
    text = (lines.header(["label"]) + b"".join(lines.blocks({"label": column}))).decode()
    assert pd.read_csv(io.StringIO(text), dtype=str)["label"].isna().tolist() == [False, True, True]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, table):
    path = tmp_path / "kept.csv"
    path.write_text("before")

    def parts():
        yield table
        raise OSError(errno.ENOSPC, "No space left on device")  # as writing the next one does

    with pytest.raises(DataError, match=r"kept\.csv cannot be written: No space left on device"):
        write_table(str(path), parts())
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["kept.csv"]


@pytest.mark.parametrize("last", ["write", "flush"])
def test_standard_output_that_takes_no_more_is_told(table, last):
    class Full(io.StringIO):
        def refuse(self, *given):
            raise OSError(errno.ENOSPC, "No space left on device")

    full = Full()
    setattr(full, last, full.refuse)
    with pytest.raises(DataError, match="standard output cannot be written: No space left"):
        write_table("-", [table], full)


@pytest.mark.parametrize("rows", [1, 5, 12345])
@pytest.mark.parametrize(("name", "version"), [("share", 2), ("probability_ü漢", 3)])
def test_an_array_has_names_in_any_letters(tmp_path, rows, name, version):
    chunk = {"unit": np.arange(rows), name: np.arange(rows) / 7}
    assert write_table(str(tmp_path / "a.npy"), [chunk, chunk]) == 2 * rows
    assert (tmp_path / "a.npy").read_bytes()[6] == version
    found = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert found.dtype.names == tuple(chunk)
    assert found.offset % 64 == 0
    for name, column in chunk.items():
        np.testing.assert_array_equal(found[name], np.tile(column, 2))
