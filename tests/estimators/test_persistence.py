"""Saved models: one file, no pickle, the same answers."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ, persistence
from dbgsom_core.api import Component
from dbgsom_core.errors import ModelFileError, PluginError
from dbgsom_core.estimators import model_file
from dbgsom_core.estimators.model_file import FittedModel
from dbgsom_core.runs.prepare import fit_steps, make_step
from dbgsom_plugins.engines.local import LocalEngine

DATA = Path(__file__).parent / "data"


@pytest.fixture
def saved(tmp_path, iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)
    clf = SomClassifier(spreading_factor=0.4, max_neurons=20, random_state=3).fit(X, names[y])
    path = tmp_path / "model.npz"
    clf.save(path)
    return clf, path


def rewritten(path, change):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    header = json.loads(bytes(arrays.pop("header")))
    del arrays["digest"], header["digests"]  # as a file that somebody wrote on purpose
    change(header)
    with path.open("wb") as file:
        np.savez(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)


def test_a_loaded_estimator_has_every_attribute_and_answer(saved, iris):
    clf, path = saved
    again = SomClassifier.load(path)
    assert set(vars(again)) == set(vars(clf))
    for name in ("weights_", "labels_", "classes_", "hit_counts_", "errors_", "neuron_labels_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clf, name))
        assert getattr(again, name).dtype == getattr(clf, name).dtype
    for name in ("neurons_", "growth_events_", "history_", "n_iter_", "converged_"):
        assert getattr(again, name) == getattr(clf, name)
    np.testing.assert_array_equal(again.predict_proba(iris[0]), clf.predict_proba(iris[0]))
    np.testing.assert_array_equal(again.transform(iris[0]), clf.transform(iris[0]))
    np.testing.assert_array_equal(again.som_map_.hops, clf.som_map_.hops)
    plt.close(again.plot(color="label").figure)


def test_a_loaded_estimator_can_be_trained_again(saved, iris):
    clf, path = saved
    again = SomClassifier.load(path).fit(iris[0], iris[1])
    np.testing.assert_array_equal(again.weights_, clf.weights_)


def test_float32_and_array_starts_survive(tmp_path, iris):
    X = iris[0].astype(np.float32)
    vq = SomVQ(init=X[:4]).fit(X)
    vq.save(tmp_path / "m.npz")
    again = SomVQ.load(tmp_path / "m.npz")
    assert again.weights_.dtype == np.float32
    np.testing.assert_array_equal(again.init, X[:4])
    np.testing.assert_array_equal(again.predict(X), vq.labels_)


@pytest.mark.parametrize(
    "step",
    [
        ("range_scale", {}),
        ("standardize", {}),
        ("sklearn.decomposition:PCA", {"n_components": 2}),
        ("sklearn.preprocessing:PowerTransformer", {}),
        ("sklearn.preprocessing:QuantileTransformer", {"n_quantiles": 20}),
        ("sklearn.preprocessing:RobustScaler", {}),
        ("sklearn.preprocessing:PolynomialFeatures", {}),
    ],
    ids=lambda step: step[0],
)
def test_prepare_steps_are_saved_with_the_map(step, tmp_path, iris):
    X, y = iris
    steps = [(step[0], make_step(*step))]
    model = FittedModel(tuple(steps), SomClassifier(epochs=10).fit(fit_steps(steps, X, y), y))
    model.save(tmp_path / "m.npz")
    again = persistence.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.prepare(X), model.prepare(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_a_step_that_holds_code_is_refused_and_leaves_no_file(tmp_path, iris):
    step = make_step("sklearn.preprocessing:FunctionTransformer", {"func": np.log1p})
    steps = [("log", step)]
    model = FittedModel(tuple(steps), SomVQ(epochs=3).fit(fit_steps(steps, iris[0], None)))
    with pytest.raises(ModelFileError, match="FunctionTransformer, which is not on the list"):
        model.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_no_plugin_offers_cannot_be_saved(tmp_path, iris):
    class Mine(Component):
        def pairwise(self, X, prototypes):
            return np.abs(X[:, None] - prototypes[None]).max(-1)

    vq = SomVQ(metric=Mine(), epochs=3).fit(iris[0])
    with pytest.raises(PluginError, match=r"dbgsom\.plugins"):
        vq.save(tmp_path / "m.npz")


def test_a_model_of_another_class_is_told_apart(saved):
    with pytest.raises(ModelFileError, match="holds a SomClassifier, not a SomVQ"):
        SomVQ.load(saved[1])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_says_so(saved, share):
    _, path = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelFileError, match=r"damaged or cut short|not written by"):
        persistence.load(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ModelFileError, match="there is no model file"):
        persistence.load(tmp_path / "nothing.npz")


def test_a_file_from_a_newer_version_says_so(saved):
    rewritten(saved[1], lambda header: header.update(format=999, version="9.9.9"))
    with pytest.raises(ModelFileError, match=r"9\.9\.9, which is newer .* upgrade"):
        persistence.load(saved[1])


def test_a_missing_plugin_is_named_with_its_distribution(saved):
    def change(header):
        header["estimator"]["parts"]["metric"] |= {
            "name": "warping", "distribution": "dbgsom-warping", "version": "1.2",
        }  # fmt: skip

    rewritten(saved[1], change)
    with pytest.raises(PluginError, match=r"claims that it came with dbgsom-warping 1\.2"):
        persistence.load(saved[1])


def test_a_file_cannot_name_classes_outside_scikit_learn(saved):
    def change(header):
        header["steps"] = [["x", {"$object": "subprocess:Popen", "state": {}}]]

    rewritten(saved[1], change)
    with pytest.raises(ModelFileError, match="subprocess:Popen"):
        persistence.load(saved[1])


def test_a_failed_save_keeps_the_older_file(saved, monkeypatch):
    clf, path = saved
    before = path.read_bytes()

    def broken(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(model_file.np, "savez_compressed", broken)
    with pytest.raises(OSError, match="disk full"):
        clf.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_model_remembers_every_component_with_all_its_parameters(saved):
    with np.load(saved[1], allow_pickle=False) as file:
        parts = json.loads(bytes(file["header"]))["estimator"]["parts"]
    assert set(parts) == {"metric", "kernel", "growth", "labeller", "engine"}
    for part in parts.values():
        assert part["distribution"] == "dbgsom-core"
        assert part["version"]
    assert parts["growth"]["params"] == {"spreading_factor": 0.4, "max_neurons": 20}
    assert parts["growth"]["fields"]["when"] is not None


def test_a_default_that_another_version_changed_is_told(saved):
    def change(header):
        header["estimator"]["parts"]["kernel"]["fields"]["decay"] = "linear"

    rewritten(saved[1], change)
    with pytest.warns(UserWarning, match="decay was 'linear' and is 'exponential'"):
        persistence.load(saved[1])


def test_a_loaded_estimator_can_be_tuned(saved, iris):
    clf, path = saved
    again = SomClassifier.load(path)
    assert again.spreading_factor == clf.spreading_factor
    again.set_params(spreading_factor=0.3).fit(*iris)
    assert again._parts.growth.spreading_factor == 0.3


def test_any_damaged_byte_says_so_or_does_no_harm(saved, iris):
    clf, path = saved
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    told = 0
    for where in generator.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[where] ^= 0x10
        path.write_bytes(damaged)
        try:
            loaded = SomClassifier.load(path)
        except ModelFileError:
            told += 1
        else:
            np.testing.assert_array_equal(loaded.predict_proba(iris[0]), clf.predict_proba(iris[0]))
    assert told > 75


@pytest.mark.parametrize("name", ["weights_", "_memory", "leaf_labels_"])
def test_a_file_without_a_fitted_array_is_refused(saved, name):
    rewritten(saved[1], lambda header: header["estimator"]["fitted"].pop(name))
    with pytest.raises(ModelFileError, match=f"no model that this version can read: '{name}'"):
        SomClassifier.load(saved[1])


def test_a_missing_folder_is_named(iris, tmp_path):
    vq = SomVQ(epochs=3).fit(iris[0])
    with pytest.raises(ModelFileError, match=r"there is no folder .*nowhere to save map\.npz in"):
        vq.save(tmp_path / "nowhere" / "map.npz")


def test_a_file_of_the_first_format_still_answers():
    # Written by 0.1.0, which named classes by their modules: steps, a tree of maps, what it saw.
    with pytest.warns(UserWarning, match="class_growth"):  # a field that came later
        model = persistence.load(DATA / "model-format-1.npz")
    told = np.load(DATA / "model-format-1-answers.npz")
    rows = told["rows"]
    np.testing.assert_array_equal(model.predict(rows), told["predict"])
    np.testing.assert_array_equal(model.bmu_path(rows), told["bmu_path"])
    np.testing.assert_allclose(model.predict_proba(rows), told["proba"], rtol=1e-12)
    scores = model.estimator.score_samples(model.prepare(rows))
    np.testing.assert_allclose(scores, told["scores"], rtol=1e-9)
    assert type(model.estimator._memory).__name__ == "Summaries"


def test_a_file_from_before_engines_were_plugins_keeps_its_engine(saved, iris):
    clf, path = saved

    def change(header):
        del header["estimator"]["parts"]["engine"]
        header["estimator"]["engine"] = {
            "name": "local", "threads": 2, "chunk_rows": 99, "working_memory": None,
        }  # fmt: skip

    rewritten(path, change)
    again = SomClassifier.load(path)
    assert again._parts.engine == LocalEngine(threads=2, chunk_rows=99, working_memory=None)
    np.testing.assert_array_equal(again.predict(iris[0]), clf.predict(iris[0]))


def test_a_file_names_tags_and_components_and_no_module_of_ours(tmp_path, iris):
    X, y = iris
    steps = [(name, make_step(name, {})) for name in ("range_scale", "standardize")]
    clf = SomClassifier(max_neurons=12).fit(fit_steps(steps, X, y), y)
    persistence.save(FittedModel(tuple(steps), clf), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        header = bytes(file["header"]).decode()
    assert "dbgsom_core" not in header
    tags = {"summaries", "calibration", "range_scale"}
    assert all(f'"$state": "{tag}", "version": 1' in header for tag in tags)
    assert '"$object": "sklearn.preprocessing:StandardScaler"' in header


def test_a_state_of_a_newer_version_is_refused(saved):
    def change(header):
        header["estimator"]["fitted"]["_memory"]["version"] = 2

    rewritten(saved[1], change)
    with pytest.raises(ModelFileError, match=r"'summaries' of version 2.*upgrade"):
        persistence.load(saved[1])


def test_saving_changes_nothing(saved, iris, tmp_path):
    clf, path = saved
    before = clf.predict_proba(iris[0])
    clf.save(tmp_path / "again.npz")
    np.testing.assert_array_equal(clf.predict_proba(iris[0]), before)
    assert clf.weights_.flags.writeable
    assert SomClassifier.load(path).weights_.flags.writeable


def test_a_file_without_digests_loads(saved, iris):
    clf, path = saved
    rewritten(path, lambda header: None)
    np.testing.assert_array_equal(SomClassifier.load(path).predict(iris[0]), clf.predict(iris[0]))


@pytest.mark.parametrize("part", ["header", "a5"])
def test_what_was_changed_after_writing_is_damage(saved, part):
    with np.load(saved[1]) as file:
        arrays = dict(file)
    arrays[part] = arrays[part].copy()
    arrays[part].view(np.uint8).reshape(-1)[-2] ^= 1
    with saved[1].open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(ModelFileError, match=r"is damaged: its header|it is damaged"):
        persistence.load(saved[1])
