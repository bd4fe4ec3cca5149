"""A classifier whose samples are partly without a class."""

import warnings

import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomClassifier


def marked(y, hidden, kind):
    if kind == "minus one":
        return np.where(hidden, -1, y)
    if kind == "text":
        return np.where(hidden, "?", y.astype(str))
    if kind == "pandas":
        return pd.Series(y, dtype="object").where(~hidden, None)
    values = y.astype(object) if kind == "list" else y.astype(str).astype(object)
    values[hidden] = None
    return values.tolist() if kind == "list" else values


@pytest.mark.parametrize("kind", ["minus one", "text", "texts and None", "list", "pandas"])
def test_marks_of_any_kind_give_the_same_classifier(kind, digits):
    X, y = digits
    hidden = np.random.default_rng(0).random(len(X)) > 0.25
    unlabelled = {"minus one": -1, "text": "?"}.get(kind, "auto")
    params = {"max_neurons": 60, "epochs": 20}
    clf = SomClassifier(unlabelled=unlabelled, **params).fit(X, marked(y, hidden, kind))
    expected = SomClassifier(**params).fit(X, np.where(hidden, np.nan, y.astype(float)))
    np.testing.assert_array_equal(clf.weights_, expected.weights_)
    assert clf.classes_.astype(int).tolist() == [*range(10)]
    answers = clf.predict(X).astype(int)
    np.testing.assert_array_equal(answers, expected.predict(X))
    assert np.mean(answers == y) > 0.9


def test_minus_one_warns_unless_it_was_said_or_may_be_a_class(iris):
    X, y = iris
    y = np.where(np.arange(len(y)) % 2, y, -1)
    with pytest.warns(UserWarning, match="-1 in y is taken as 'no class'"):
        clf = SomClassifier(epochs=10).fit(X, y)
    assert clf.classes_.tolist() == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="-1 in y")
        assert len(SomClassifier(epochs=10, unlabelled=-1).fit(X, y).classes_) == 3
        assert len(SomClassifier(epochs=10, unlabelled=None).fit(X, y).classes_) == 4
        signs = SomClassifier(epochs=10).fit(X, np.where(y > 0, 1, -1))
    assert signs.classes_.tolist() == [-1, 1]


@pytest.mark.parametrize("mark", [None, np.nan, -1])
def test_a_later_batch_may_be_wholly_without_a_class(mark, iris):
    X, y = iris
    with pytest.raises(ValueError, match="no sample has a class label"):
        SomClassifier(unlabelled=-1).fit(X, np.full(150, -1))
    clf = SomClassifier(epochs=10, unlabelled=-1).fit(X, y)
    before = clf.hit_counts_.sum()
    clf.partial_fit(X[:20], [mark] * 20)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.hit_counts_.sum() == before + 20
