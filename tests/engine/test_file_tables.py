"""Rows of a table in a file are those of the array that it holds."""

import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.engine.tables import FileTable, FollowedTable, SlicedTable, as_table, picked

rows_of_a_table = st.one_of(
    st.lists(st.integers(-40, 39), max_size=60).map(lambda rows: np.array(rows, dtype=int)),
    st.lists(st.booleans(), min_size=40, max_size=40).map(np.array),
    st.slices(40),
)


@settings(max_examples=60)
@given(rows=rows_of_a_table, then=st.slices(30))
def test_rows_of_a_table_are_those_of_the_array(tmp_path_factory, rows, then):
    X = np.arange(120, dtype=np.float32).reshape(40, 3)
    path = tmp_path_factory.mktemp("table") / "x.npy"
    np.save(path, X)
    file = as_table(np.load(path, mmap_mode="r"))
    both = FollowedTable(file, X[:7])
    for table, array in ((file, X), (both, np.vstack([X, X[:7]])), (SlicedTable(X), X)):
        where = rows if not isinstance(rows, np.ndarray) or rows.dtype != bool else rows[:40]
        if isinstance(where, np.ndarray) and where.dtype == bool and len(array) > 40:
            where = np.concatenate([where, where[:7]])
        np.testing.assert_array_equal(table[where], array[where])
        np.testing.assert_array_equal(picked(table, where)[then], array[where][then])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(file))[:], X)


def test_maps_are_read_by_their_file_where_that_holds_what_they_show(tmp_path):
    X = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / "x.npy", X)
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    own = np.load(tmp_path / "x.npy", mmap_mode="c")
    own[0, 0] = -1.0
    fortran = np.load(tmp_path / "x.npy", mmap_mode="r")[:, ::2]
    raw = np.memmap(tmp_path / "x.npy", np.float64, "r", offset=whole.offset + 24, shape=(19, 3))
    for view, expected, kind in (
        (whole[4:17], X[4:17], FileTable),
        (whole[4:17][2:], X[6:17], FileTable),
        (raw, X[1:], FileTable),
        (own, own, SlicedTable),
        (fortran, X[:, ::2], SlicedTable),
    ):
        table = as_table(view)
        assert isinstance(table, kind)
        np.testing.assert_array_equal(table[:], expected)
