"""A classifier whose samples are partly without a class."""

import warnings

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomClassifier
from dbgsom_core.training.targets import encode_classes


@pytest.fixture
def few(digits):
    """Digits of which a quarter has a label."""
    hidden = np.random.default_rng(0).random(len(digits[0])) > 0.25
    return *digits, hidden


def marked(y, hidden, kind):
    if kind == "minus one":
        return np.where(hidden, -1, y)
    if kind == "texts and None":
        return np.array([None if h else f"digit {one}" for one, h in zip(y, hidden, strict=True)])
    if kind == "list with None":
        return [None if h else int(one) for one, h in zip(y, hidden, strict=True)]
    if kind == "floats and nan":
        return np.where(hidden, np.nan, y.astype(float))
    return pd.Series(y, dtype="object").where(~hidden, None)


@pytest.mark.parametrize(
    "kind", ["minus one", "texts and None", "list with None", "floats and nan", "pandas"]
)
def test_marks_of_any_kind_give_the_same_classifier(kind, few):
    X, y, hidden = few
    unlabelled = -1 if kind == "minus one" else "auto"
    clf = SomClassifier(max_neurons=60, unlabelled=unlabelled).fit(X, marked(y, hidden, kind))
    expected = SomClassifier(max_neurons=60).fit(X, marked(y, hidden, "floats and nan"))
    np.testing.assert_array_equal(clf.weights_, expected.weights_)
    assert len(clf.classes_) == 10
    assert clf.predict_proba(X).shape == (len(X), 10)
    names = dict(zip(clf.classes_.tolist(), range(10), strict=True))
    found = np.array([names[one] for one in clf.predict(X).tolist()])
    np.testing.assert_array_equal(found, expected.predict(X))
    assert np.mean(found == y) > 0.9


def test_minus_one_warns_unless_it_was_said(iris):
    X, y = iris
    y = np.where(np.arange(len(y)) % 2, y, -1)
    with pytest.warns(UserWarning, match="-1 in y is taken as 'no class'"):
        clf = SomClassifier().fit(X, y)
    assert clf.classes_.tolist() == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="-1 in y")
        assert len(SomClassifier(unlabelled=-1).fit(X, y).classes_) == 3
        assert len(SomClassifier(unlabelled=None).fit(X, y).classes_) == 4


@pytest.mark.parametrize("labels", [[-1, 1], [-1, 0], [-2, -1, 3], [-2.0, -1.0, 2.0]])
def test_minus_one_is_a_class_where_it_may_be_one(labels):
    y = np.tile(labels, 5)
    target = encode_classes(np.zeros((len(y), 1)), y)
    assert target.classes.tolist() == labels
    assert (target.codes >= 0).all()


def test_a_label_can_be_the_mark(iris):
    X, y = iris
    names = np.array(["?", "a", "b"])[y]
    clf = SomClassifier(unlabelled="?").fit(X, names)
    assert clf.classes_.tolist() == ["a", "b"]
    assert clf.score(X[y > 0], names[y > 0]) > 0.8


def test_without_any_label_there_is_nothing_to_learn(iris):
    with pytest.raises(ValueError, match="no sample has a class label"):
        SomClassifier(unlabelled=-1).fit(iris[0], np.full(150, -1))


@pytest.mark.parametrize("marks", [[None] * 20, [np.nan] * 20, [-1] * 20])
def test_a_later_batch_may_be_wholly_without_a_class(marks, iris):
    X, y = iris
    clf = SomClassifier(epochs=10, unlabelled=-1).fit(X, y)
    before = clf.hit_counts_.sum()
    clf.partial_fit(X[:20], marks)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.hit_counts_.sum() == before + 20
    assert clf.score(X, y) > 0.9
