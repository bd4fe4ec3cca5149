"""Groups that a person named in the explorer: their file, and maps that are labelled by it."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris

from dbgsom_core import SomVQ
from dbgsom_core.errors import DataError
from dbgsom_core.persistence import NamedGroups

X, _ = load_iris(return_X_y=True)
NAMES = ["short petals", "=long & \N{GREEK SMALL LETTER ALPHA}"]
HIERARCHICAL = {"growth": {"name": "hierarchical", "tau_2": 0.05}, "epochs": 30}


def groups_of(weights, **changes):
    content = {
        "format": "dbgsom groups",
        "version": 1,
        "title": "iris",
        "groups": NAMES,
        "neurons": (weights[:, 2] > 3).astype(int).tolist(),
        "prototypes": weights.tolist(),
    }
    return {**content, **changes}


@pytest.fixture
def write(tmp_path):
    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "groups.json").write_text(text, encoding="utf-8")
        return str(tmp_path / "groups.json")

    return write


@pytest.mark.parametrize("params", [{}, {"metric": "cosine"}, HIERARCHICAL])
def test_a_fitted_map_and_one_that_is_trained_anew_answer_with_the_names(params, write, tmp_path):
    model = SomVQ(**params).fit(X)
    live = model.leaf_weights_[model.leaf_hit_counts_ > 0]
    content = groups_of(live, neurons=(np.arange(len(live)) % 2).tolist())
    path = write(content)
    leaf = model.answers(X).leaf
    distances = np.linalg.norm(live[None] - model.leaf_weights_[leaf, None], axis=2)
    expected = np.array(NAMES)[np.array(content["neurons"])[distances.argmin(axis=1)]]
    assert model.name_groups(path) is model
    anew = SomVQ(labeller={"name": "clusters", "edited": path}, **params).fit(X)
    for named in (model, anew):
        assert named.labels_.tolist() == named.predict(X).tolist() == expected.tolist()
        named.save(tmp_path / "model.npz")
        loaded = SomVQ.load(tmp_path / "model.npz")
        assert loaded.labels_.tolist() == loaded.predict(X).tolist() == expected.tolist()
    assert model.neuron_labels_.tolist() == anew.neuron_labels_.tolist()


def test_neurons_belong_to_the_group_of_the_nearest_prototype(write, rng):
    known, others = rng.normal(size=(40, 3)), rng.normal(size=(500, 3))
    places = rng.integers(0, 5, 40)
    names = list("abcde")
    content = groups_of(known, groups=names, neurons=places.tolist())
    found = NamedGroups.read(write(content)).labels_of(others)
    nearest = [min(range(40), key=lambda i: np.sum((known[i] - row) ** 2)) for row in others]
    assert found.tolist() == [names[places[i]] for i in nearest]


def test_labels_of_a_map_from_a_file_are_not_known(write, tmp_path):
    model = SomVQ().fit(X)
    model.save(tmp_path / "model.npz")
    neurons = (np.arange(len(model.weights_)) % 2).tolist()
    loaded = SomVQ.load(tmp_path / "model.npz")
    loaded.name_groups(write(groups_of(model.weights_, neurons=neurons)))
    assert set(loaded.predict(X)) == set(NAMES)
    with pytest.raises(AttributeError, match=r"its groups named since.*predict\(X\) returns them"):
        _ = loaded.labels_


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version must be 1, not 2"),
        ({"format": "x"}, "format must be 'dbgsom groups', not 'x'"),
        ({"more": 1}, "more unknown key"),
        ({"groups": ["a", "a"]}, "has 2 groups called 'a'"),
        ({"groups": ["a", " "]}, "groups.1 must be a name, not an empty one"),
        ({"groups": ["a" * 101, "b"]}, "groups.0 must have at most 100 characters"),
        ({"groups": ["a\nb", "b"]}, "groups.0 must be on one line, with single spaces and no"),
        ({"groups": ["a\u202eb", "b"]}, "groups.0 must be on one line, with single spaces and no"),
        ({"groups": ["a  b", "b"]}, "groups.0 must be on one line, with single spaces and no"),
        ({"neurons": [2, 0]}, "has a neuron of group 2, and groups are counted 0 to 1"),
        ({"neurons": [-1, 0]}, "neurons.0 must be at least 0, not -1"),
        ({"neurons": [0]}, "has 2 prototypes for 1 neurons"),
        ({"prototypes": [[1.0], [1.0, 2.0]]}, "has prototypes of different lengths"),
        ({"prototypes": [["1"], [1.0]]}, "prototypes.0.0 must be a number, not '1'"),
        ({"prototypes": [[float("nan")], [1.0]]}, "prototypes.0.0 must be a finite number"),
    ],
)
def test_other_files_are_refused_in_a_sentence_before_training(changes, words, write):
    path = write({**groups_of(np.array([[1.0] * 4, [5.0] * 4])), **changes})
    with pytest.raises(ValueError, match=words) as caught:
        SomVQ(labeller={"name": "clusters", "edited": path}, epochs=10**9).fit(X)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON: EOF"),
        ("[" * 10**5, "is no JSON: recursion"),
        ("[1]", "must be a section"),
    ],
)
def test_texts_that_are_no_groups_are_refused(text, words, write):
    with pytest.raises(DataError, match=words):
        NamedGroups.read(write(text))


def test_files_that_are_missing_or_of_other_columns_are_refused(write, tmp_path):
    with pytest.raises(DataError, match=r"groups.json cannot be read: there is no such file"):
        NamedGroups.read(tmp_path / "groups.json")
    model = SomVQ(epochs=5).fit(X)
    before = model.predict(X)
    with pytest.raises(DataError, match="are of a map with 2 features, and this one has 4"):
        model.name_groups(write(groups_of(np.ones((1, 3)), prototypes=[[1.0, 2.0]])))
    assert model.predict(X).tolist() == before.tolist()
