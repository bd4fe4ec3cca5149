"""Novelty scores and their conformal p-values."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dbgsom_core import SomClassifier, SomVQ


def test_digits_that_were_never_seen_are_told_from_those_that_were(digits):
    digit = 3
    X, y = digits
    even = np.arange(len(y)) % 2 == 0
    vq = SomVQ().fit(X[even & (y != digit)])
    held_out = vq.score_samples(X[~even])
    assert roc_auc_score(y[~even] != digit, held_out) > 0.85


def test_far_away_is_lower_and_ever_lower(iris):
    vq = SomVQ(epochs=20).fit(iris[0])
    scores = vq.score_samples(iris[0][0] + np.array([[5.0], [10.0], [100.0]]))
    assert scores[0] < min(vq.offset_, vq.score_samples(iris[0]).min())
    assert (np.diff(scores) < 0).all()


def test_the_score_is_the_root_mean_square_distance_to_the_samples_around(digits):
    """Sample by sample, from the means, hits and spreads of parts of neurons that are kept."""
    X = digits[0]
    vq = SomVQ(max_neurons=30, epochs=20).fit(X[::2])
    memory, units = vq._memory, vq.bmu(X[::2])
    for neuron in np.unique(memory.units):
        samples, part = X[::2][units == neuron], memory.units == neuron
        mean = memory.weights[part] @ memory.X[part] / len(samples)
        np.testing.assert_allclose(mean, samples.mean(axis=0), atol=1e-9)
    unit = np.sqrt(np.average(memory.scatter**2, weights=memory.weights))
    for row, score in zip(X[1:40:2], vq.score_samples(X[1:40:2]), strict=True):
        distances = ((row - memory.X) ** 2).sum(axis=1)
        nearest = np.argsort(distances, kind="stable")
        squares = np.repeat(
            (distances + memory.scatter**2)[nearest], memory.weights[nearest].astype(int)
        )
        expected = np.average(squares, weights=np.exp(-np.arange(len(squares)) / 10))
        assert score == pytest.approx(-np.sqrt(expected) / unit, rel=1e-4)


def test_outliers_that_own_a_neuron_look_no_better_for_it(rng):
    X = np.vstack([rng.normal(size=(300, 3)), [[30.0, 0, 0], [30.1, 0, 0], [30.0, 0.1, 0]]])
    vq = SomVQ(max_neurons=40).fit(X)
    assert set(np.argsort(vq.score_samples(X))[:3]) == {300, 301, 302}


@pytest.mark.parametrize("contamination", [0.05, 0.5])
def test_contamination_bounds_the_share_of_the_training_samples_below_the_offset(
    contamination, digits
):
    X = digits[0]
    vq = SomVQ(contamination=contamination).fit(X)
    outliers = np.mean(vq.score_samples(X) < vq.offset_)
    assert contamination / 5 < outliers <= contamination
    np.testing.assert_array_equal(vq.decision_function(X), vq.score_samples(X) - vq.offset_)


@pytest.mark.parametrize(
    ("kind", "calibration"),
    [("normal", None), ("few values", 0.3), ("classes", None)],
)
def test_false_alarms_keep_the_level(calibration, kind):
    """New samples of the same source, 16 times: shares of p-values up to α, to sampling."""
    levels, shares = np.array([0.05, 0.1, 0.3]), []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(500, 3))
        X = np.round(X) if kind == "few values" else X
        y = (X[:, 0] + rng.normal(size=500) > 0).astype(int)
        cls = SomClassifier if kind == "classes" else SomVQ
        model = cls(calibration=calibration, epochs=20).fit(X[:250], y[:250])
        pvalues = model.novelty_pvalue(X[250:])
        shares.append([(pvalues <= level).mean() for level in levels])
        outliers = model.score_samples(X[250:]) < model.offset_
        np.testing.assert_array_equal(outliers, pvalues <= 0.05)
    error = np.std(shares, axis=0) / 4
    assert (np.mean(shares, axis=0) <= levels + 3 * error + 0.01).all()
    if kind == "normal":
        assert (np.mean(shares, axis=0) >= levels - 3 * error - 0.02).all()


def test_samples_held_out_train_nothing(iris):
    vq = SomVQ(calibration=0.2, epochs=20).fit(iris[0])
    assert vq.hit_counts_.sum() == 120
    assert len(vq.labels_) == 150
    assert vq.partial_fit(iris[0][:10]).hit_counts_.sum() == 128


def test_a_level_that_few_samples_cannot_tell_calls_nothing_an_outlier(iris):
    vq = SomVQ(contamination=0.01).fit(iris[0][::5])
    assert vq.offset_ == -np.inf
    assert (vq.decision_function(iris[0] + 100) > 0).all()
