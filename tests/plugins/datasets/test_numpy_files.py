"""Arrays in .npy and .npz files."""

import numpy as np
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.numpy_files import Npy, Npz

X = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def npy(tmp_path):
    def load(array, target=None):
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
        if target is None:
            return Npy(path=str(tmp_path / "x.npy")).load()
        np.save(tmp_path / "y.npy", target, allow_pickle=True)
        return Npy(path=str(tmp_path / "x.npy"), target_path=str(tmp_path / "y.npy")).load()

    return load


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [("f4", "f4"), ("f8", "f8"), (">f8", "f8"), (">f4", "f4"), ("f2", "f8"), ("u1", "f8"),
     ("i8", "f8"), ("?", "f8")],
)  # fmt: skip
def test_float32_stays_and_other_numbers_become_float64(npy, stored, loaded):
    data = npy((X % 2).astype(stored))
    assert data.X.dtype == np.dtype(loaded)
    assert data.X.dtype.isnative
    assert np.array_equal(data.X, X % 2)
    assert data.y is None


def test_a_mapped_file_stays_where_it_is(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X.astype(np.float32))
    data = Npy(path=str(path), mapped=True).load()
    assert isinstance(data.X, np.memmap)
    np.testing.assert_array_equal(data.X, X)
    assert type(Npy(path=str(path)).load().X) is np.ndarray


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (X.astype(int), "float32 or float64 row by row"),
        (np.asfortranarray(X), "float32 or float64 row by row"),
        (np.where(X == 7, np.nan, X), "Input contains NaN"),
        (X[0], "Expected 2D array, got 1D"),
    ],
)
def test_what_cannot_be_mapped_is_told(tmp_path, array, told):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=told):
        Npy(path=str(tmp_path / "x.npy"), mapped=True).load()


def test_a_mapped_file_that_is_cut_short_is_told(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match="cut short"):
        Npy(path=str(path), mapped=True).load()


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.arange(3.0), "Expected 2D array, got 1D array"),
        (np.zeros((2, 2, 2)), "dim 3"),
        (np.zeros((0, 3)), "0 sample"),
        (np.array([["a", "b"]]), "holds text, not numbers"),
        (np.array([[1, None]], dtype=object), "need pickle"),
        (np.zeros((2, 2), complex), "complex"),
        (np.zeros(3, [("a", float), ("b", int)]), "records with the fields a, b"),
        (np.zeros((2, 2), "M8[s]"), "dates"),
        (np.where(X == 7, np.nan, X), "Input contains NaN"),
        (np.where(X == 7, -np.inf, X), "Input contains infinity"),
    ],
)
def test_an_array_that_is_no_samples_is_told_with_its_cure(npy, array, told):
    with pytest.raises(DataError, match=told) as caught:
        npy(array)
    assert "x.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (np.arange(5), "5 targets for 6 samples"),
        (np.zeros((6, 2)), r"shape \(6, 2\)"),
        (np.array([1, None] * 3, dtype=object), "need pickle"),
        (np.array([0, 1, np.nan, 1, 0, 1]), "row 2 .*missing"),
        (np.zeros(6, complex), "complex"),
    ],
)
def test_targets_that_do_not_fit_are_told(npy, y, told):
    with pytest.raises(DataError, match=told) as caught:
        npy(X, y)
    assert "y.npy" in str(caught.value)


def test_an_archive_is_read_by_its_keys(tmp_path):
    path = str(tmp_path / "d.npz")
    np.savez(path, X=X, y=np.arange(6), other=X + 1)
    assert Npz(path=path).load().y.tolist() == list(range(6))
    assert Npz(path=path, y=None).load().y is None
    assert np.array_equal(Npz(path=path, x="other").load().X, X + 1)


def test_only_the_default_target_may_be_absent(tmp_path):
    path = str(tmp_path / "d.npz")
    np.savez(path, X=X)
    assert Npz(path=path).load().y is None
    with pytest.raises(DataError, match=r"no array 'label' \(it holds: X\)"):
        Npz(path=path, y="label").load()
    with pytest.raises(DataError, match=r"no array 'XX'; did you mean 'X'\? \(it holds: X\)"):
        Npz(path=path, x="XX").load()


def test_a_damaged_array_in_an_archive_is_told(tmp_path):
    file = tmp_path / "d.npz"
    np.savez(file, X=X)
    content = bytearray(file.read_bytes())
    content[220] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        Npz(path=str(file)).load()


def test_a_pickle_in_an_archive_is_not_opened(tmp_path):
    np.savez(tmp_path / "d.npz", X=np.array([[1, "a"]], dtype=object))
    with pytest.raises(DataError, match="need pickle"):
        Npz(path=str(tmp_path / "d.npz")).load()


def test_files_of_another_format_are_told(tmp_path):
    (tmp_path / "t.npy").write_text("a,b\n1,2\n")
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "z.npz", X=X)
    (tmp_path / "z.npz").rename(tmp_path / "z.npy")
    (tmp_path / "empty.npy").touch()
    cut = (tmp_path / "x.npy").read_bytes()[:-9]
    (tmp_path / "cut.npy").write_bytes(cut)
    for name, told in [
        ("t.npy", "no .npy file"),
        ("z.npy", "no .npy file"),
        ("empty.npy", "no .npy file"),
        ("cut.npy", "cut short"),
        ("gone.npy", "no such file"),
    ]:
        with pytest.raises(DataError, match=told):
            Npy(path=str(tmp_path / name)).load()
    with pytest.raises(DataError, match=r"no \.npz archive"):
        Npz(path=str(tmp_path / "x.npy")).load()
