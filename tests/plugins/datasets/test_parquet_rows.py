"""Rows of Parquet files that stay where they are are those of the table in memory."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.table_files import Parquet

pytest.importorskip("dask.dataframe")

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


@pytest.fixture
def rows(folder):
    return Parquet(path=str(folder), **FIELDS).opened().X


def test_a_table_that_is_opened_is_the_table_that_is_loaded(folder):
    component = Parquet(path=str(folder), **FIELDS)
    opened, loaded = component.opened(), component.load()
    assert opened.X.chunks[0] == (90, 90, 70, 1, 90, 90, 90, 79, 90, 10)  # row groups
    assert opened.X.dtype == loaded.X.dtype == np.float64
    np.testing.assert_array_equal(opened.X.compute(), loaded.X)
    np.testing.assert_array_equal(loaded.X, FRAME[["a", "n", "on", "b"]].to_numpy(float))
    np.testing.assert_array_equal(opened.y, loaded.y)
    np.testing.assert_array_equal(opened.ids["id"], loaded.ids["id"])
    np.testing.assert_array_equal(opened.variables["price"], loaded.variables["price"])
    assert opened.columns == loaded.columns
    single = Parquet(path=str(folder / "part.1.parquet"), columns="a").opened().X
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single[:, 0].compute(), FRAME["a"][:250])
    again = pickle.loads(pickle.dumps(opened.X))  # for workers
    np.testing.assert_array_equal(again[300:310].compute(), loaded.X[300:310])


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
    assert len(rows[:30].compute()) == 30
    os.utime(folder / "part.1.parquet", (1, 1))
    with pytest.raises(DataError, match=r"part\.1\.parquet changed while it was read"):
        rows[30:40].compute()
    path = folder / "part.10.parquet"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"part\.10\.parquet (changed|is no Parquet)"):
        rows[620:640].compute()
    path.unlink()
    with pytest.raises(DataError, match=r"part\.10\.parquet cannot be read"):
        rows[620:640].compute()
