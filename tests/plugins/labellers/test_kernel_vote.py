"""Class probabilities from the groups around a sample."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

from dbgsom_core import SomClassifier


@pytest.fixture(scope="module")
def split():
    X, y = make_classification(
        400, 6, n_informative=4, n_classes=3, flip_y=0.15, class_sep=0.8, random_state=3
    )
    return train_test_split(X, y, test_size=0.5, random_state=0)


def test_probabilities_are_the_votes_and_the_prior(split):
    X_train, X, y, _ = split
    fitted = SomClassifier(labeller="kernel_vote").fit(X_train, y)
    memory, state = fitted._memory, fitted._answering.state
    bandwidth, strength = state["kernel"]
    squares = np.square(X[:20, None] - memory.X[None]).sum(axis=2)
    order = np.sort(squares, axis=1)[:, :16]
    for row, shares in enumerate(fitted.predict_proba(X[:20])):
        near = squares[row] <= order[row, -1]
        kernel = np.exp(-(squares[row] - order[row, 0]) / (2 * bandwidth * order[row, 4]))
        votes = np.array(
            [(kernel * memory.weights)[near & (memory.labels == c)].sum() for c in (0, 1, 2)]
        )
        expected = (votes + strength * state["shares"]) / (votes.sum() + strength)
        np.testing.assert_allclose(shares, expected, rtol=1e-9)


def test_an_empty_neuron_says_what_is_around_it():
    X = np.array([[0.0], [0.1], [10.0], [10.1], [10.2]])
    clf = SomClassifier(
        growth={"name": "fixed", "rows": 1, "columns": 4},
        kernel={"name": "gaussian", "start": 0.01, "end": 0.01},
        init=[[0.0], [5.0], [9.0], [10.0]],
        epochs=2,
    ).fit(X, ["a", "a", "b", "b", "b"])
    assert clf.hit_counts_[2] == 0
    assert clf.neuron_labels_.tolist()[2:] == ["b", "b"]
    near, far = clf._probabilities[2], clf._probabilities[1]
    assert near[1] > far[1] > 0


def test_missing_values_and_samples_without_a_class(split):
    X, X_test, y, y_test = split
    gaps = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    few = np.where(np.arange(len(y)) % 4 == 0, y, -1)
    clf = SomClassifier(unlabelled=-1).fit(gaps, few)
    assert clf.score(X_test, y_test) > 0.5
    assert clf.predict_proba(X_test).min() > 0
