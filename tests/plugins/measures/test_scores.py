"""What probabilities and novelty scores are worth, beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures.prototypes import TopographicFunction, TopographicProduct
from dbgsom_plugins.measures.targets import (
    R2,
    LogLoss,
    MeanAbsoluteError,
    NoveltyAuc,
    Purity,
    RocAuc,
    RootMeanSquaredError,
)
from dbgsom_plugins.metrics.norms import Euclidean


def evaluation_of(y, **more):
    data = LocalEngine().over(np.zeros((len(y), 1)), Euclidean())
    return Evaluation(SomMap([(0, 0)], [[0.0]]), data, y=np.asarray(y), **more)


def probable(y, classes, shares, **more):
    return evaluation_of(
        y, classes=np.asarray(classes), probabilities_of=lambda data: np.asarray(shares), **more
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.booleans())
def test_probabilities_are_checked_as_scikit_learn_does(seed, n_classes, texts):
    rng = np.random.default_rng(seed)
    classes = np.array(["a", "b", "c", "d"] if texts else [3, 5, 8, 9])[:n_classes]
    y = np.concatenate([classes, rng.choice(classes, 30)])
    shares = rng.dirichlet(np.ones(n_classes), len(y)).round(2)  # some are equal, and some 0
    shares /= shares.sum(axis=1, keepdims=True)
    evaluation = probable(y, classes, shares)
    scores = shares[:, 1] if n_classes == 2 else shares
    expected = roc_auc_score(y, scores, multi_class="ovr", labels=classes)
    assert RocAuc().compute(evaluation) == pytest.approx(expected)
    assert LogLoss().compute(evaluation) == pytest.approx(log_loss(y, shares, labels=classes))


def test_classes_without_samples_have_no_area():
    y, shares = [0, 0, 1], [[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]]
    evaluation = probable(y, [0, 1, 2], shares)
    assert RocAuc().compute(evaluation) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="all samples are of one class"):
        RocAuc().compute(probable([0, 0], [0, 1], [[1.0, 0.0], [0.5, 0.5]]))


def test_a_class_that_no_training_had_was_given_no_probability():
    evaluation = probable([0, 7], [0, 1], [[1.0, 0.0], [0.5, 0.5]])
    assert LogLoss().compute(evaluation) == pytest.approx(-np.log(np.finfo(float).eps) / 2)


def test_samples_without_a_class_are_left_out():
    shares = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    known = np.array([True, True, False])
    evaluation = probable([0, 1, -1], [0, 1], shares, labelled=known)
    assert LogLoss().compute(evaluation) == pytest.approx(log_loss([0, 1], shares[:2]))
    assert RocAuc().compute(evaluation) == 1


@pytest.mark.parametrize("measure", [RocAuc, LogLoss])
def test_without_probabilities_they_say_so(measure):
    with pytest.raises(ValueError, match="one is missing"):
        measure().compute(evaluation_of([0, 1]))


def test_a_classifier_gives_what_they_need(rng):
    X = rng.normal(size=(90, 2))
    y = np.where(X[:, 0] > 0, "right", "left")
    model = SomClassifier(max_neurons=9, epochs=10).fit(X, y)
    evaluation, shares = model.evaluate(X, y), model.predict_proba(X)
    assert LogLoss().compute(evaluation) == pytest.approx(log_loss(y, shares))
    assert RocAuc().compute(evaluation) == pytest.approx(roc_auc_score(y, shares[:, 1]))


@pytest.mark.parametrize(
    ("y", "outlier"), [([1, 1, -1, -1], None), ([0, 0, 1, 1], None), (list("aabb"), "b")]
)
def test_outliers_are_marked_in_the_usual_ways(y, outlier):
    scores = np.array([0.1, 0.6, 0.5, 0.9])
    evaluation = evaluation_of(y, novelty_of=lambda data: scores)
    assert NoveltyAuc(outlier=outlier).compute(evaluation) == 0.75


def test_classes_of_no_training_are_outliers():
    known = {"classes": np.array([0, 1]), "novelty_of": lambda data: np.array([0.0, 0.2, 0.9])}
    assert NoveltyAuc().compute(evaluation_of([0, 1, 2], **known)) == 1


def test_novelty_is_that_of_the_estimator(rng):
    X = rng.normal(size=(200, 3))
    model = SomVQ(max_neurons=9, epochs=10).fit(X[:150])
    rows = np.vstack([X[150:], X[:20] + 1.5])
    y = np.r_[np.ones(50, int), -np.ones(20, int)]
    found = NoveltyAuc().compute(model.evaluate(rows, y))
    assert found == pytest.approx(roc_auc_score(y == -1, -model.score_samples(rows)))


@pytest.mark.parametrize(
    ("y", "told"),
    [(None, "y is missing"), ([0, 1, 2], "which targets mark"), ([1, 1, 1], "which targets mark")],
)
def test_novelty_without_known_outliers_says_what_is_missing(y, told):
    evaluation = evaluation_of(np.zeros(3), novelty_of=lambda data: np.zeros(3))
    from dataclasses import replace

    with pytest.raises(ValueError, match=told):
        NoveltyAuc().compute(replace(evaluation, y=None if y is None else np.array(y)))


def test_the_absolute_error_is_that_of_scikit_learn(rng):
    y, answers = rng.normal(size=20), rng.normal(size=20)
    evaluation = evaluation_of(y, predictions=answers)
    assert MeanAbsoluteError().compute(evaluation) == pytest.approx(mean_absolute_error(y, answers))


def numbers(y, predictions):
    data = LocalEngine().over(np.zeros((4, 1)), Euclidean())
    return Evaluation(SomMap([(0, 0)], [[0.0]]), data, y=y, predictions=predictions)


def test_they_equal_scikit_learns(rng):
    y = rng.normal(size=60)
    answers = y + rng.normal(size=60)
    evaluation = numbers(y, answers)
    assert R2().compute(evaluation) == pytest.approx(r2_score(y, answers))
    assert RootMeanSquaredError().compute(evaluation) == pytest.approx(
        root_mean_squared_error(y, answers)
    )


@pytest.mark.parametrize(("answer", "value"), [(2.0, 1.0), (3.0, 0.0)])
def test_equal_targets_leave_nothing_to_explain(answer, value):
    assert R2().compute(numbers(np.full(4, 2), np.full(4, answer))) == value


@pytest.mark.parametrize("measure", [R2, RootMeanSquaredError])
def test_scikit_learn_says_that_numbers_are_needed(measure):
    assert measure.estimators == ("regressor",)
    assert measure.needs_target
    with pytest.raises(ValueError, match="Got None"):
        measure().compute(numbers(None, np.zeros(4)))


def test_a_single_neuron_has_no_neighbours_to_lose():
    evaluation = numbers(None, None)
    assert TopographicProduct().compute(evaluation) == 0
    assert TopographicFunction().compute(evaluation) == 0


def on_a_line(X, y, **more):
    """Four neurons at 0, 1, 2 and 3 with samples at some of these."""
    data = LocalEngine().over(np.array(X, dtype=float)[:, None], Euclidean())
    som_map = SomMap([(i, 0) for i in range(4)], [[0.0], [1.0], [2.0], [3.0]])
    return Evaluation(som_map, data, y=np.array(y), **more)


def test_held_out_samples_are_judged_by_those_of_the_training():
    #                        two to one,  a tie, one class; none at 3
    training = on_a_line([0, 0, 0, 1, 1, 2], list("bba" + "ba" + "c"))
    held_out = on_a_line([0, 0, 1, 1, 2, 2, 3], list("ba" + "ab" + "cz" + "c"))
    assert Purity().compute(held_out) == pytest.approx(4 / 7)  # b, a, and c or z, and c
    judged = on_a_line(
        [0, 0, 1, 1, 2, 2, 3], list("ba" + "ab" + "cz" + "c"), training_of=lambda: training
    )
    found = Purity().compute(judged)
    assert found == pytest.approx(3 / 7)  # b, a of the tie, which sorts first, and c
    assert 0 < found.references["shuffled"] < 0.4


def test_purity_by_the_training_is_that_of_a_slow_count(rng):
    X, y = rng.normal(size=(400, 3)), rng.choice(["a", "b", "c"], 400, p=[0.5, 0.3, 0.2])
    model = SomVQ(max_neurons=30, epochs=8).fit(X[:250])
    evaluation = model.evaluate(X[250:], y[250:], seed=1)
    training = model.evaluate(X[:250], y[:250])
    judged = Evaluation(
        evaluation.som_map, evaluation.data, y[250:], seed=1, training_of=lambda: training
    )
    units, right = model.bmu(X[:250]), 0
    for unit, one in zip(model.bmu(X[250:]), y[250:], strict=True):
        classes, counts = np.unique(y[:250][units == unit], return_counts=True)
        right += len(classes) > 0 and classes[counts.argmax()] == one
    found = Purity().compute(judged)
    assert found == pytest.approx(right / 150)
    assert found.references == Purity().compute(judged).references  # seeded
    assert found < Purity().compute(evaluation)
