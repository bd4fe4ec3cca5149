"""Samples of files that are images."""

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.numpy_files import Npy, Npz
from dbgsom_plugins.datasets.table_files import Csv, Parquet

X = np.arange(24.0).reshape(4, 6)


@pytest.fixture
def files(tmp_path):
    frame = pd.DataFrame(X, columns=[f"p{i}" for i in range(6)]).assign(kind=list("abab"))
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", X=X)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    said = {"image_shape": [2, 3]}
    return [
        Npy(path=str(tmp_path / "x.npy"), **said),
        Npz(path=str(tmp_path / "x.npz"), **said),
        Csv(path=str(tmp_path / "x.csv"), target="kind", **said),
        Parquet(path=str(tmp_path / "x.parquet"), target="kind", **said),
    ]


def test_all_files_say_which_images_their_samples_are(files):
    for dataset in files:
        assert dataset.load().image_shape == (2, 3)
        if dataset.opened is not None:
            assert dataset.opened().image_shape == (2, 3)


def test_a_shape_of_another_size_is_refused_with_the_cure(files):
    for dataset in files:
        wrong = dataset.model_copy(update={"image_shape": (5, 5)})
        with pytest.raises(DataError, match=r"\[5, 5\] is of 25 values, and samples have 6: set"):
            wrong.load()
    for shape in ([0, 6], [6], [2, 3, 1], "2x3", [2.5, 2]):
        with pytest.raises(ValueError, match="image_shape"):
            Npy(path="x.npy", image_shape=shape)
