"""Samples of files that are images."""

import numpy as np
import pytest

from dbgsom_core.errors import DataError
from dbgsom_plugins.datasets.numpy_files import Npy
from dbgsom_plugins.datasets.table_files import Csv


@pytest.mark.parametrize("kind", [Npy, Csv])
def test_files_say_which_images_their_samples_are(kind, tmp_path):
    path = tmp_path / "x.npy"
    X = np.arange(24.0).reshape(4, 6)
    with path.open("wb") as file:
        if kind is Npy:
            np.save(file, X)
        else:
            np.savetxt(file, X, delimiter=",", header="a,b,c,d,e,f", comments="")
    assert kind(path=str(path), image_shape=[2, 3]).load().image_shape == (2, 3)
    with pytest.raises(DataError, match=r"\[5, 5\] is of 25 values, and samples have 6: set"):
        kind(path=str(path), image_shape=[5, 5]).load()
