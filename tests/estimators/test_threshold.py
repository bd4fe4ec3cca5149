"""Classifiers of two classes answer from a probability on that is chosen on held-out samples."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from dbgsom_core import SomClassifier

CLASSIFIER = SomClassifier(max_neurons=15, epochs=10)


@pytest.fixture(scope="module")
def rare():
    X, y = make_classification(900, 5, weights=[0.9], flip_y=0.1, random_state=0)
    return X, np.where(y == 1, "yes", "no")


@pytest.fixture(scope="module")
def held_out(rare):
    shares = cross_val_predict(
        clone(CLASSIFIER), *rare, cv=StratifiedKFold(5), method="predict_proba"
    )
    return shares[:, 1]


def fitted(rare, threshold, **more):
    return clone(CLASSIFIER).set_params(threshold=threshold, **more).fit(*rare)


def test_balanced_is_the_threshold_of_the_largest_balanced_accuracy(rare, held_out):
    found = fitted(rare, "balanced").threshold_
    is_yes = rare[1] == "yes"
    scores = {t: balanced_accuracy_score(is_yes, held_out >= t) for t in np.unique(held_out)}
    assert scores[found] == max(scores.values())


def test_recall_is_the_largest_threshold_that_finds_so_many(rare, held_out):
    found = fitted(rare, {"recall": 0.8}).threshold_
    of_yes = held_out[rare[1] == "yes"]
    enough = [t for t in np.unique(held_out) if (of_yes >= t).mean() >= 0.8]
    assert found == max(enough)


def test_cost_is_the_threshold_of_the_least_cost(rare, held_out):
    costs = {"false_positive": 1, "false_negative": 7}
    found = fitted(rare, {"cost": costs}).threshold_
    is_yes = rare[1] == "yes"
    totals = {}
    for t in np.unique(held_out):
        totals[t] = (~is_yes & (held_out >= t)).sum() + 7 * (is_yes & (held_out < t)).sum()
    assert totals[found] == min(totals.values())


def test_answers_follow_the_probability_of_positive_and_a_file_keeps_it(rare, tmp_path):
    X, _ = rare
    model = fitted(rare, 0.2)
    expected = np.where(model.predict_proba(X)[:, 1] >= 0.2, "yes", "no")
    assert (expected != clone(CLASSIFIER).fit(*rare).predict(X)).any()
    assert (model.predict(X) == expected).all()
    model.save(tmp_path / "model.npz")
    again = SomClassifier.load(tmp_path / "model.npz")
    assert (again.predict(X) == expected).all()
    assert (again.answers(X).label == expected).all()


def test_positive_may_be_the_other_class(rare):
    X, _ = rare
    model = fitted(rare, 0.9, positive="no")
    assert model.positive_ == "no"
    assert (model.predict(X) == np.where(model.predict_proba(X)[:, 0] >= 0.9, "no", "yes")).all()


def test_neurons_are_decided_as_samples_are(rare):
    X, _ = rare
    model = fitted(rare, 0.2, labeller="majority")
    expected = np.where(model.predict_proba(X)[:, 1] >= 0.2, "yes", "no")
    assert (model.predict(X) == expected).all()


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({"threshold": "balanced"}, ["a", "b", "c"], "between two classes, and y has 3"),
        ({"threshold": 0.3, "positive": "x"}, ["a", "b"], "'x', and the classes are 'a', 'b'"),
        ({"threshold": {"recall": 2}}, ["a", "b"], "threshold must be a number from 0 to 1"),
        ({"threshold": {"cost": {"false_positive": 1}}}, ["a", "b"], "threshold must be"),
    ],
)
def test_what_cannot_decide_is_refused_in_a_sentence(params, y, message, rng):
    X = rng.normal(size=(60, 3))
    with pytest.raises(ValueError, match=message):
        SomClassifier(**params).fit(X, np.resize(y, 60))


def test_a_chosen_threshold_needs_all_samples_at_once(rare):
    X, y = rare
    with pytest.raises(ValueError, match="partial_fit has not: give a number"):
        SomClassifier(threshold="balanced").partial_fit(X, y)
