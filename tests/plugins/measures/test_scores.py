"""Measures of probabilities, novelty, numbers and purity, beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.measures.maps import TopographicFunction, TopographicProduct
from dbgsom_plugins.measures.targets import (
    R2,
    AveragePrecision,
    Brier,
    ExpectedCalibrationError,
    LogLoss,
    MeanAbsoluteError,
    NoveltyAuc,
    Purity,
    RocAuc,
    RootMeanSquaredError,
)


@pytest.fixture(scope="session")
def judge(evaluate):
    """Return an evaluation of targets on a map of one neuron."""

    def judge(y, shares=None, **more):
        if shares is not None:
            more["probabilities_of"] = lambda data: np.asarray(shares)
        y = None if y is None else np.asarray(y)
        n = 4 if y is None else len(y)
        return evaluate(np.zeros((n, 1)), SomMap([(0, 0)], [[0.0]]), y=y, **more)

    return judge


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 4), texts=st.booleans())
def test_probabilities_are_measured_as_scikit_learn_does(judge, seed, n_classes, texts):
    rng = np.random.default_rng(seed)
    classes = np.array(["a", "b", "c", "d"] if texts else [3, 5, 8, 9])[:n_classes]
    y = np.concatenate([classes, rng.choice(classes, 30)])
    shares = rng.dirichlet(np.ones(n_classes), len(y)).round(2)  # some are equal, and some 0
    shares /= shares.sum(axis=1, keepdims=True)
    evaluation = judge(y, shares, classes=classes)
    scores = shares[:, 1] if n_classes == 2 else shares
    area = metrics.roc_auc_score(y, scores, multi_class="ovr", labels=classes)
    assert RocAuc().compute(evaluation) == pytest.approx(area)
    loss = metrics.log_loss(y, shares, labels=classes)
    assert LogLoss().compute(evaluation) == pytest.approx(loss)
    is_class = y[:, None] == classes
    judged = range(n_classes)
    if n_classes == 2:  # the rarer one, or the second
        judged = [int(is_class[:, 1].sum() <= is_class[:, 0].sum())]
    precisions = [metrics.average_precision_score(is_class[:, c], shares[:, c]) for c in judged]
    assert AveragePrecision().compute(evaluation) == pytest.approx(np.mean(precisions))
    brier = np.square(shares - is_class).sum(axis=1).mean()
    if n_classes == 2:
        brier = metrics.brier_score_loss(is_class[:, 1], shares[:, 1])
    assert Brier().compute(evaluation) == pytest.approx(brier)


def test_calibration_is_how_far_shares_are_from_how_often_they_are_right(judge):
    y = ["a", "a", "b", "b", "a", "b"]
    shares = [[0.95, 0.05], [0.97, 0.03], [0.92, 0.08], [0.4, 0.6], [0.35, 0.65], [1.0, 0.0]]
    evaluation = judge(y, shares, classes=np.array(["a", "b"]))
    # From 0.9 on four of mean 0.96, of which two are right; from 0.6 on two of 0.625, of which one.
    expected = (4 * (0.96 - 0.5) + 2 * (0.625 - 0.5)) / 6
    assert ExpectedCalibrationError().compute(evaluation) == pytest.approx(expected)


def test_classes_without_samples_or_training_and_samples_without_a_class(judge):
    shares, classes = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.array([0, 1])
    known = judge([0, 1, -1], shares, classes=classes, labelled=np.array([True, True, False]))
    assert LogLoss().compute(known) == pytest.approx(metrics.log_loss([0, 1], shares[:2]))
    assert RocAuc().compute(known) == 1
    new = judge([0, 7], [[1.0, 0.0], [0.5, 0.5]], classes=classes)
    assert LogLoss().compute(new) == pytest.approx(-np.log(np.finfo(float).eps) / 2)


def test_a_classifier_gives_what_they_need(rng):
    X = rng.normal(size=(90, 2))
    y = np.where(X[:, 0] > 0, "right", "left")
    model = SomClassifier(max_neurons=9, epochs=10).fit(X, y)
    evaluation, shares = model.evaluate(X, y), model.predict_proba(X)
    assert LogLoss().compute(evaluation) == pytest.approx(metrics.log_loss(y, shares))
    area = metrics.roc_auc_score(y, shares[:, 1])
    assert RocAuc().compute(evaluation) == pytest.approx(area)


@pytest.mark.parametrize(
    ("y", "outlier", "classes"),
    [
        ([1, 1, -1, -1], None, None),
        ([0, 0, 1, 1], None, None),
        (list("aabb"), "b", None),
        ([0, 1, 2, 2], None, np.arange(2)),  # a class of no training
    ],
)
def test_outliers_are_marked_in_the_usual_ways(judge, y, outlier, classes):
    scores = np.array([0.1, 0.6, 0.5, 0.9])
    evaluation = judge(y, novelty_of=lambda data: scores, classes=classes)
    assert NoveltyAuc(outlier=outlier).compute(evaluation) == 0.75


def test_novelty_is_that_of_the_estimator(rng):
    X = rng.normal(size=(200, 3))
    model = SomVQ(max_neurons=9, epochs=10).fit(X[:150])
    rows = np.vstack([X[150:], X[:20] + 1.5])
    y = np.r_[np.ones(50, int), -np.ones(20, int)]
    area = metrics.roc_auc_score(y == -1, -model.score_samples(rows))
    assert NoveltyAuc().compute(model.evaluate(rows, y)) == pytest.approx(area)


@pytest.mark.parametrize(
    ("measure", "y", "shares", "words"),
    [
        (RocAuc, [0, 1], None, "one is missing"),
        (LogLoss, [0, 1], None, "one is missing"),
        (RocAuc, [0, 0], [[1.0, 0.0], [0.5, 0.5]], "all samples are of one class"),
        (NoveltyAuc, None, None, "y is missing"),
        (NoveltyAuc, [0, 1, 2], None, "which targets mark"),
        (NoveltyAuc, [1, 1, 1], None, "which targets mark"),
        (R2, None, None, "Got None"),
    ],
)
def test_what_is_missing_is_named(judge, measure, y, shares, words):
    more = {"novelty_of": lambda data: np.zeros(data.n), "predictions": np.zeros(4)}
    classes = None if shares is None else np.arange(2)
    with pytest.raises(ValueError, match=words):
        measure().compute(judge(y, shares, classes=classes, **more))


def test_errors_of_numbers_equal_scikit_learns(judge, rng):
    y = rng.normal(size=60)
    answers = y + rng.normal(size=60)
    evaluation = judge(y, predictions=answers)
    for measure, expected in (
        (R2, metrics.r2_score),
        (RootMeanSquaredError, metrics.root_mean_squared_error),
        (MeanAbsoluteError, metrics.mean_absolute_error),
    ):
        assert measure().compute(evaluation) == pytest.approx(expected(y, answers))


@pytest.mark.parametrize(("answer", "value"), [(2.0, 1.0), (3.0, 0.0)])
def test_equal_targets_leave_nothing_to_explain(judge, answer, value):
    assert R2().compute(judge(np.full(4, 2.0), predictions=np.full(4, answer))) == value


def test_a_single_neuron_has_no_neighbours_to_lose(judge):
    for measure in (TopographicProduct, TopographicFunction):
        assert measure().compute(judge(None)) == 0


def test_held_out_samples_are_judged_by_the_classes_of_the_training(evaluate):
    som_map = SomMap.rectangle(1, 4, np.arange(4.0)[:, None])
    # Neurons of two b to one a, of a tie, of one class, and of none.
    training = evaluate(
        np.array([[0.0], [0], [0], [1], [1], [2]]), som_map, y=np.array([*"bbabac"])
    )
    X, y = np.array([[0.0], [0], [1], [1], [2], [2], [3]]), np.array([*"baabczc"])
    alone = Purity().compute(evaluate(X, som_map, y=y))
    assert alone == pytest.approx(4 / 7)  # b, a, and c or z, and c
    judged = Purity().compute(evaluate(X, som_map, y=y, training_of=lambda: training))
    assert judged == pytest.approx(3 / 7)  # b, a of the tie, which sorts first, and c
    assert 0 < judged.references["shuffled"] < 0.4
