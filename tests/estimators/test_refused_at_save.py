"""What could not be loaded again is refused before a file is written."""

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.errors import ModelFileError
from dbgsom_core.estimators import archive
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.runs.prepare import make_step


def test_a_subclass_is_refused_before_anything_is_written(tmp_path, iris):
    class Mine(SomVQ):
        pass

    with pytest.raises(ModelFileError, match=r"Mine cannot be saved.*save one of .*SomVQ"):
        Mine(epochs=3).fit(iris[0]).save(tmp_path / "m.npz")

    scaler = make_step("standardize", {})
    scaler.__class__ = type("StandardScaler", (type(scaler),), {"__module__": "mine"})
    X = scaler.fit(iris[0]).transform(iris[0])
    model = FittedModel((("mine", scaler),), SomVQ(epochs=3).fit(X))
    with pytest.raises(ModelFileError, match=r"mine is a mine.StandardScaler.*dbgsom_transformers"):
        model.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_an_attribute_of_another_type_is_refused_at_save(tmp_path, iris):
    scaler = make_step("standardize", {}).fit(iris[0])
    vq = SomVQ(epochs=3).fit(scaler.transform(iris[0]))
    scaler.mean_ = scaler.mean_[:2]
    with pytest.raises(ModelFileError, match=r"x.mean_ must be float\[D\]"):
        FittedModel((("x", scaler),), vq).save(tmp_path / "m.npz")
    vq.leaf_labels_ = vq.leaf_labels_[:-1]
    with pytest.raises(ModelFileError, match=r"could load it again: .* leaf_labels_ must be"):
        vq.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_what_packs_too_well_is_written_so_that_it_loads(tmp_path, iris, monkeypatch):
    # So regular that a reader would take it for a bomb if it were packed.
    vq = SomVQ(epochs=3, max_neurons=9).fit(iris[0])
    vq.labels_ = np.zeros(1 << 19, dtype=np.int64)
    monkeypatch.setattr(archive, "ARRAY_BYTES", (1 << 20, 100))
    vq.save(tmp_path / "m.npz")
    assert (tmp_path / "m.npz").stat().st_size > 1 << 22
    assert len(SomVQ.load(tmp_path / "m.npz").labels_) == 1 << 19
