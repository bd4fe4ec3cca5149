"""Saved models: one file, no pickle, the same answers."""

import json

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ, persistence
from dbgsom_core.api import MetricComponent
from dbgsom_core.errors import ModelFileError, PluginError
from dbgsom_core.estimators import archive
from dbgsom_core.persistence import FittedModel
from dbgsom_core.runs.prepare import fit_steps, make_step


@pytest.fixture
def saved(tmp_path, iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)
    clf = SomClassifier(spreading_factor=0.4, max_neurons=20, random_state=3).fit(X, names[y])
    path = tmp_path / "model.npz"
    clf.save(path)
    return clf, path


def test_a_loaded_estimator_has_every_attribute_and_answer(saved, iris):
    clf, path = saved
    again = SomClassifier.load(path)
    assert again.weights_.flags.writeable
    no_file = {"_ended_in"}  # the leaves of training samples
    assert set(vars(again)) == set(vars(clf)) - no_file
    for name in ("weights_", "labels_", "classes_", "hit_counts_", "errors_", "neuron_labels_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clf, name), strict=True)
    for name in ("neurons_", "growth_events_", "history_", "n_iter_", "converged_"):
        assert getattr(again, name) == getattr(clf, name)
    np.testing.assert_array_equal(again.predict_proba(iris[0]), clf.predict_proba(iris[0]))
    np.testing.assert_array_equal(again.transform(iris[0]), clf.transform(iris[0]))
    np.testing.assert_array_equal(again.som_map_.hops, clf.som_map_.hops)


def test_float32_and_array_starts_survive(tmp_path, iris):
    X = iris[0].astype(np.float32)
    vq = SomVQ(init=X[:4]).fit(X)
    vq.save(tmp_path / "m.npz")
    again = SomVQ.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.weights_, vq.weights_, strict=True)
    np.testing.assert_array_equal(again.init, X[:4])


def test_a_file_names_tags_and_components_and_no_module_of_ours(tmp_path, iris):
    X, y = iris
    steps = [(name, make_step(name, {})) for name in ("range_scale", "standardize")]
    clf = SomClassifier(max_neurons=12).fit(fit_steps(steps, X, y), y)
    persistence.save(FittedModel(tuple(steps), clf), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        text = bytes(file["header"]).decode()
    assert "dbgsom_core" not in text
    parts = json.loads(text)["estimator"]["parts"]
    assert set(parts) == {"metric", "kernel", "growth", "labeller", "engine"}
    assert all(part["distribution"] == "dbgsom-core" and part["version"] for part in parts.values())


# ----------------------------------------------------------------------- what cannot be saved


class Mine(SomVQ):
    pass


class Far(MetricComponent):
    def pairwise(self, X, prototypes):
        return np.abs(X[:, None] - prototypes[None]).max(-1)


def test_what_nobody_could_load_is_refused_before_anything_is_written(tmp_path, iris):
    X = iris[0]
    vq = SomVQ(epochs=3).fit(X)
    path = tmp_path / "m.npz"
    with pytest.raises(ModelFileError, match=r"Mine cannot be saved.*files hold only .*SomVQ"):
        Mine(epochs=3).fit(X).save(path)
    with pytest.raises(PluginError, match=r"dbgsom\.plugins"):
        SomVQ(metric=Far(), epochs=3).fit(X).save(path)
    code = make_step("sklearn.preprocessing:FunctionTransformer", {"func": np.log1p}).fit(X)
    with pytest.raises(ModelFileError, match="FunctionTransformer, which is not on the list"):
        FittedModel((("log", code),), vq).save(path)
    with pytest.raises(ModelFileError, match=r"there is no folder .*nowhere to save map\.npz in"):
        vq.save(tmp_path / "nowhere" / "map.npz")
    vq.leaf_labels_ = vq.leaf_labels_[:-1]
    with pytest.raises(ModelFileError, match=r"cannot be saved .* leaf_labels_ must be"):
        vq.save(path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_keeps_the_older_file(saved, monkeypatch):
    clf, path = saved
    before = path.read_bytes()

    def broken(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(archive.np, "savez", broken)
    with pytest.raises(OSError, match="disk full"):
        clf.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


# ----------------------------------------------------------------------- what cannot be loaded


def test_a_damaged_file_says_so(saved):
    content = saved[1].read_bytes()
    saved[1].write_bytes(content[: int(0.9 * len(content))])
    with pytest.raises(ModelFileError, match="damaged, cut short"):
        persistence.load(saved[1])
    changed = bytearray(content)
    changed[content.index(b"a5.npy") + 250] ^= 1
    saved[1].write_bytes(changed)
    with pytest.raises(ModelFileError, match="is damaged"):
        persistence.load(saved[1])


def test_other_files_are_named(saved, tmp_path):
    with pytest.raises(ModelFileError, match="there is no model file"):
        persistence.load(tmp_path / "nothing.npz")
    with pytest.raises(ModelFileError, match="holds a SomClassifier, not a SomVQ"):
        SomVQ.load(saved[1])


def newer(header, arrays):
    header.update(format=999, version="9.9.9")


def missing_plugin(header, arrays):
    header["estimator"]["parts"]["metric"] |= {
        "name": "warping", "distribution": "dbgsom-warping", "version": "1.2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (newer, ModelFileError, r"of format 999, by dbgsom-core 9\.9\.9.* upgrade"),
        (missing_plugin, PluginError, r"claims that it is from dbgsom-warping 1\.2"),
    ],
)
def test_what_is_not_installed_here_is_named(saved, change, error, message, rewrite):
    rewrite(saved[1], change)
    with pytest.raises(error, match=message):
        persistence.load(saved[1])
