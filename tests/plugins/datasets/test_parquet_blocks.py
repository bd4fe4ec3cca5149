"""Rows of Parquet files that stay where they are are those of the table in memory."""

import errno
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets import _parquet_blocks
from dbgsom_plugins.datasets._parquet_blocks import ParquetBlocks
from dbgsom_plugins.datasets.table_files import Parquet

ROWS = 700
rng = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "a": rng.normal(size=ROWS).astype(np.float32),
        "n": rng.integers(-(2**40), 2**40, ROWS),
        "id": np.arange(ROWS),
        "on": rng.random(ROWS) < 0.5,
        "b": rng.normal(size=ROWS),
        "kind": rng.choice(["u", "v"], ROWS),
        "price": rng.random(ROWS),
        "when": pd.date_range("2024-01-01", periods=ROWS),
    }
)
FIELDS = {"target": "kind", "id": "id", "extra": "price", "dates": "drop"}


@pytest.fixture
def folder(tmp_path):
    """Files of groups of 90 rows whose names do not stand in the order of their letters."""
    ends = [0, 250, 251, 600, ROWS]
    for number, start, stop in zip((1, 2, 9, 10), ends, ends[1:], strict=False):
        FRAME[start:stop].to_parquet(tmp_path / f"part.{number}.parquet", row_group_size=90)
    (tmp_path / "_SUCCESS").touch()
    return tmp_path


@pytest.fixture(params=[False, True], ids=["packed", "unpacked"])
def rows(folder, monkeypatch, request):
    monkeypatch.setattr(_parquet_blocks, "_BATCH", 80)  # 20 rows are decoded together
    return Parquet(path=str(folder), unpacked=request.param, **FIELDS).opened().X


@pytest.fixture
def decoded(monkeypatch):
    """How many rows each decoding of some had."""
    found = []

    def each(self, number, made=ParquetBlocks._decoded):
        for rows in made(self, number):
            found.append(len(rows))
            yield rows

    monkeypatch.setattr(ParquetBlocks, "_decoded", each)
    return found


def test_a_table_that_is_opened_is_the_table_that_is_loaded(folder):
    component = Parquet(path=str(folder), **FIELDS)
    opened, loaded = component.opened(), component.load()
    assert isinstance(opened.X, ParquetBlocks)
    assert opened.X.dtype == loaded.X.dtype == np.float64
    np.testing.assert_array_equal(opened.X[:], loaded.X)
    np.testing.assert_array_equal(loaded.X, FRAME[["a", "n", "on", "b"]].to_numpy(float))
    np.testing.assert_array_equal(opened.y, loaded.y)
    np.testing.assert_array_equal(opened.ids["id"], loaded.ids["id"])
    np.testing.assert_array_equal(opened.variables["price"], loaded.variables["price"])
    assert opened.columns == loaded.columns
    assert opened.feature_names == loaded.feature_names == ("a", "n", "on", "b")
    single = Parquet(path=str(folder / "part.1.parquet"), columns="a").opened().X
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single[:][:, 0], FRAME["a"][:250])


def test_slices_in_any_order_are_those_of_the_array(rows):
    X, order = rows[:], np.random.default_rng(1)
    again = pickle.loads(pickle.dumps(rows))
    for start, length in order.integers(0, [[ROWS, 200]] * 60):
        for table in (rows, again):
            np.testing.assert_array_equal(table[start : start + length], X[start : start + length])
    assert rows[5:5].shape == (0, 4)


def test_rows_that_threads_ask_for_one_after_the_other_are_decoded_once(rows, decoded):
    X = rows[:]
    decoded.clear()
    rows = pickle.loads(pickle.dumps(rows))
    starts = np.arange(0, ROWS, 25).reshape(-1, 2)[:, ::-1].ravel()  # the later one first
    for start in starts:
        np.testing.assert_array_equal(rows[start : start + 25], X[start : start + 25])
    assert sum(decoded) == ROWS
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda start: (start, rows[start : start + 35]), range(0, ROWS, 35))
        for start, part in found:
            np.testing.assert_array_equal(part, X[start : start + 35])
    again = sum(decoded) > ROWS
    assert again == (rows._unpacked is None)


def test_what_is_unpacked_is_decoded_once_whoever_asks_and_in_which_order(folder, decoded):
    rows = Parquet(path=str(folder), **FIELDS).opened().X  # a disk has room for so little
    starts = np.random.default_rng(2).permutation(np.arange(0, ROWS, 25))
    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(lambda start: (start, rows[start : start + 25]), starts.tolist()))
    X = np.concatenate([found[start] for start in sorted(found)])
    np.testing.assert_array_equal(X, FRAME[["a", "n", "on", "b"]].to_numpy(float))
    assert sum(decoded) == ROWS
    os.utime(folder / "part.9.parquet", (1, 1))
    with pytest.raises(DataError, match=r"part\.9\.parquet changed while it was read"):
        rows[300:301]


def test_where_no_temporary_file_can_be_rows_are_decoded_in_each_pass(folder, monkeypatch):
    X = Parquet(path=str(folder), unpacked=False, **FIELDS).opened().X[:]

    def refused(**given):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as full:
        full.setattr("tempfile.TemporaryFile", refused)
        rows = Parquet(path=str(folder), **FIELDS).opened().X
        np.testing.assert_array_equal(rows[:], X)
        assert rows._unpacked is None
        must = Parquet(path=str(folder), unpacked=True, **FIELDS).opened().X
        with pytest.raises(DataError, match="leave unpacked out"):
            must[:10]
    monkeypatch.delattr("os.preadv")  # as on Windows
    rows = Parquet(path=str(folder), **FIELDS).opened().X
    np.testing.assert_array_equal(rows[:], X)
    assert rows._unpacked is None


def test_what_is_no_number_is_not_left_where_it_is(tmp_path):
    frame = FRAME.copy()
    frame.loc[3, "kind"] = None
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    for fields in (
        {"columns": ["a", "kind"], "categorical": "kind"},
        {"columns": ["a", "n"], "categorical": "n"},
        {"columns": ["a", "when"], "dates": "ordinal"},
        {"columns": "a", "target": "kind", "missing_target": "drop"},
    ):
        assert Parquet(path=str(path), **fields).opened() is None
    with pytest.raises(DataError, match="'aa' does not exist; did you mean 'a'"):
        Parquet(path=str(path), columns="aa").opened()


def test_files_of_one_table_have_the_same_columns(folder):
    FRAME.astype({"n": float}).to_parquet(folder / "part.11.parquet")
    for ask in (Parquet(path=str(folder), **FIELDS).opened, Parquet(path=str(folder)).load):
        with pytest.raises(DataError, match=r"part\.11\.parquet has other columns"):
            ask()
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"a folder without a \.parquet file"):
        Parquet(path=str(folder / "empty")).load()


def test_a_file_that_changes_is_named(rows, folder):
    assert len(rows[:30]) == 30
    os.utime(folder / "part.1.parquet", (1, 1))
    with pytest.raises(DataError, match=r"part\.1\.parquet changed while it was read"):
        rows[30:40]
    path = folder / "part.10.parquet"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"part\.10\.parquet (changed|is no Parquet)"):
        rows[620:640]
    path.unlink()
    with pytest.raises(DataError, match=r"part\.10\.parquet cannot be read"):
        rows[620:640]
