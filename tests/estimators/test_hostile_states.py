"""What metrics and labellers learnt, as somebody may have changed it in a model file.

Compiled loops read and write beside an array that is shorter than they were told.
"""

import json

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, persistence
from dbgsom_core.errors import ModelFileError


def rewrite(path, change):
    """Let somebody change the estimator and the arrays of a file, who leaves no digests."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != "digest"}
    header = json.loads(bytes(arrays["header"]))
    del header["digests"]
    change(header["estimator"], arrays)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)


def state_changed(whose, name, change):
    def changed(estimator, arrays):
        key = estimator[whose]["$map"][name]["$array"]
        arrays[key] = change(arrays[key])

    return changed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("whitening", lambda a: a[:2]),
        ("whitening", lambda a: a[:, :2]),
        ("mean", lambda a: a[:2]),
        ("mean", lambda a: a[:1, None]),
    ],
)
def test_what_a_metric_learned_fits_its_samples(name, change, tmp_path, iris):
    vq = SomVQ(metric="mahalanobis", max_neurons=6, epochs=3).fit(iris[0])
    path = tmp_path / "m.npz"
    vq.save(path)
    rewrite(path, state_changed("metric_state", name, change))
    with pytest.raises(ModelFileError, match="not of samples of 4 columns"):
        persistence.load(path)


@pytest.mark.parametrize("name", ["mean", "of_all", "offsets", "slopes"])
def test_what_a_labeller_learnt_is_of_all_neurons(name, tmp_path, iris):
    path = tmp_path / "m.npz"
    SomRegressor(max_neurons=6, epochs=3).fit(iris[0][:, :3], iris[0][:, 3]).save(path)
    rewrite(path, state_changed("labeller_state", name, lambda a: a[:-1]))
    with pytest.raises(ModelFileError, match="what its labeller learnt of another map"):
        persistence.load(path)


@pytest.mark.parametrize("metric", ["cosine", "correlation", "hamming", "jensen_shannon"])
@pytest.mark.parametrize("features", [3, 5, 10**12])
def test_samples_have_the_columns_of_the_prototypes(metric, features, tmp_path, iris):
    # What is compiled would read beside an array that is too short.
    X = np.rint(2 * iris[0])
    SomVQ(metric=metric, max_neurons=6, epochs=3).fit(X).save(tmp_path / "m.npz")

    def change(estimator, arrays):
        estimator["fitted"]["n_features_in_"] = features

    rewrite(tmp_path / "m.npz", change)
    with pytest.raises(ModelFileError, match=r"prototypes of 4 columns|claims to be of"):
        persistence.load(tmp_path / "m.npz")


LEARNT = {
    "shares of fewer classes": ("shares", lambda a: a[:-1], "learnt of another map"),
    "of more": ("shares", lambda a: np.append(a, a), "learnt of another map"),
    "of each class": ("shares", np.diag, "learnt of another map"),
    "a share for all": ("shares", lambda a: a[0], "learnt of another map"),
    "no strength": ("kernel", lambda a: a[:1], "learnt of another map"),
    "shares below 0": ("shares", np.negative, "learnt of another map"),
    "no kernel": ("kernel", lambda a: a * np.nan, "learnt of another map"),
    "a class above all": ("labels", lambda a: a + 7, "classes that it does not know"),
    "one below": ("labels", lambda a: a - 7, "classes that it does not know"),
    "one between": ("labels", lambda a: a + 0.5, "classes that it does not know"),
    "classes in another order": ("classes_", lambda a: a[::-1], "classes that it does not know"),
    "one class for all": ("classes_", lambda a: 0 * a, "classes that it does not know"),
}


@pytest.mark.parametrize(("name", "change", "told"), LEARNT.values(), ids=LEARNT)
def test_what_a_classifier_learnt_is_of_its_classes(name, change, told, tmp_path, classifier):
    path = tmp_path / "m.npz"
    classifier.save(path)

    def changed(estimator, arrays):
        fitted, learnt = estimator["fitted"], estimator["labeller_state"]["$map"]
        key = {**fitted, **fitted["_memory"]["state"], **learnt}[name]["$array"]
        arrays[key] = change(arrays[key])

    rewrite(path, changed)
    with pytest.raises(ModelFileError, match=told):
        persistence.load(path)


@pytest.fixture(scope="module")
def classifier(iris):
    return SomClassifier(max_neurons=6, epochs=3).fit(*iris)
