"""Arrays in .npy and .npz files."""

import numpy as np
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.numpy_files import Npy, Npz

X = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def npy(tmp_path):
    def load(array, target=None, **fields):
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
        if target is not None:
            np.save(tmp_path / "y.npy", target, allow_pickle=True)
            fields["target_path"] = str(tmp_path / "y.npy")
        return Npy(path=str(tmp_path / "x.npy"), **fields).load()

    return load


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [("f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("f2", "f8"), ("i8", "f8"), ("?", "f8")],
)
def test_float32_stays_and_other_numbers_become_float64(npy, stored, loaded):
    data = npy((X % 2).astype(stored))
    assert data.X.dtype == np.dtype(loaded)
    assert data.X.dtype.isnative
    assert np.array_equal(data.X, X % 2)


def test_a_mapped_file_stays_where_it_is(npy):
    data = npy(X.astype(np.float32), mapped=True)
    assert isinstance(data.X, np.memmap)
    np.testing.assert_array_equal(data.X, X)


@pytest.mark.parametrize(
    ("array", "words", "fields"),
    [
        (np.arange(3.0), "Expected 2D array, got 1D array", {}),
        (np.zeros((0, 3)), "0 sample", {}),
        (np.array([["a", "b"]]), "holds text, not numbers", {}),
        (np.array([[1, None]], dtype=object), "need pickle", {}),
        (np.zeros((2, 2), complex), "complex", {}),
        (np.zeros(3, [("a", float), ("b", int)]), "records with the fields a, b", {}),
        (np.zeros((2, 2), "M8[s]"), "dates", {}),
        (np.where(X == 7, -np.inf, X), "Input contains infinity", {}),
        (X.astype(int), "float32 or float64 row by row", {"mapped": True}),
        (np.asfortranarray(X), "float32 or float64 row by row", {"mapped": True}),
        (np.where(X == 7, np.nan, X), "Input contains NaN", {"mapped": True}),
    ],
)
def test_an_array_that_is_no_samples_is_refused_with_its_cure(npy, array, words, fields):
    with pytest.raises(DataError, match=words) as caught:
        npy(array, **fields)
    assert "x.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.arange(5), "5 targets for 6 samples"),
        (np.zeros((6, 2)), r"shape \(6, 2\)"),
        (np.array([0, 1, np.nan, 1, 0, 1]), "row 2 .*missing"),
        (np.zeros(6, complex), "complex"),
    ],
)
def test_targets_that_do_not_fit_are_refused(npy, y, words):
    with pytest.raises(DataError, match=words) as caught:
        npy(X, y)
    assert "y.npy" in str(caught.value)


def test_an_archive_is_read_by_its_keys(tmp_path):
    path = str(tmp_path / "d.npz")
    np.savez(path, X=X, y=np.arange(6), other=X + 1)
    assert Npz(path=path).load().y.tolist() == list(range(6))
    assert np.array_equal(Npz(path=path, x="other").load().X, X + 1)
    np.savez(path, X=X)
    assert Npz(path=path).load().y is None
    with pytest.raises(DataError, match=r"no array 'label' \(it holds: X\)"):
        Npz(path=path, y="label").load()
    with pytest.raises(DataError, match=r"no array 'XX'; did you mean 'X'\? \(it holds: X\)"):
        Npz(path=path, x="XX").load()


def test_damaged_archives_and_pickles_are_not_opened(tmp_path):
    file = tmp_path / "d.npz"
    np.savez(file, X=X)
    content = bytearray(file.read_bytes())
    content[220] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        Npz(path=str(file)).load()
    np.savez(file, X=np.array([[1, "a"]], dtype=object))
    with pytest.raises(DataError, match="need pickle"):
        Npz(path=str(file)).load()


@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        (b"a,b\n1,2\n", {}, "no .npy file"),
        (b"", {}, "no .npy file"),
        (None, {}, "cut short"),
        (None, {"mapped": True}, "cut short"),
    ],
)
def test_files_of_another_format_are_refused(content, fields, words, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:-8] if content is None else content)
    with pytest.raises(DataError, match=words):
        Npy(path=str(path), **fields).load()
    with pytest.raises(DataError, match=r"no \.npz archive"):
        Npz(path=str(path)).load()
