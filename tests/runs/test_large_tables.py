"""Files larger than memory are trained on and answered block by block."""

import tracemalloc

import numpy as np
import pytest

from dbgsom_core.runs.using.table_reading import Wanted, chunks_of

ROWS, FEATURES = 60_000, 8


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A table of six row groups, and its file."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X = np.random.default_rng(0).normal(size=(ROWS, FEATURES))
    path = tmp_path_factory.mktemp("tables") / "large.parquet"
    table = pa.table({f"x{i}": column for i, column in enumerate(X.T)})
    pq.write_table(table, path, row_group_size=ROWS // 6)
    return X, path


def test_a_parquet_file_that_is_answered_is_not_held_in_memory(parquet, monkeypatch):
    X, path = parquet
    monkeypatch.setattr("dbgsom_core.runs.using.table_reading.CELLS_A_CHUNK", 1 << 13)
    done = 0
    tracemalloc.start()  # sees arrays and what is read of the file
    try:
        for chunk in chunks_of(str(path), Wanted(None, FEATURES)):
            np.testing.assert_array_equal(chunk.X, X[done : done + len(chunk.X)])
            done += len(chunk.X)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done == ROWS
    assert held < X.nbytes / 2
