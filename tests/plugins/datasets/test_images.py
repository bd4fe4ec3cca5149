"""Samples of files that are images."""

import numpy as np
import pandas as pd
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.numpy_files import Npy, Npz
from dbgsom_plugins.datasets.table_files import Csv, Parquet

X = np.arange(24.0).reshape(4, 6)


@pytest.mark.parametrize("kind", [Npy, Npz, Csv, Parquet])
def test_files_say_which_images_their_samples_are(kind, tmp_path):
    path = tmp_path / "x.npz"
    frame = pd.DataFrame(X, columns=[f"p{i}" for i in range(6)])
    with path.open("wb") as file:
        if kind in (Csv, Parquet):
            (frame.to_csv if kind is Csv else frame.to_parquet)(file, index=False)
        else:
            (np.save if kind is Npy else np.savez)(file, X)
    fields = {"x": "arr_0"} if kind is Npz else {}
    dataset = kind(path=str(path), image_shape=[2, 3], **fields)
    assert dataset.load().image_shape == (2, 3)
    if dataset.opened is not None:
        assert dataset.opened().image_shape == (2, 3)
    with pytest.raises(DataError, match=r"\[5, 5\] is of 25 values, and samples have 6: set"):
        kind(path=str(path), image_shape=[5, 5], **fields).load()
