"""SomRegressor: its map, its answers, and the intervals around them."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomRegressor


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def test_each_neuron_answers_with_the_mean_target_of_its_samples(diabetes):
    X, y = diabetes
    gaps = with_gaps(y)
    regressor = SomRegressor(labeller="mean", epochs=20).fit(X, gaps)
    units = regressor.bmu(X)
    for neuron in np.unique(units[np.isfinite(gaps)]):
        mean = np.nanmean(gaps[units == neuron])
        assert regressor.neuron_labels_[neuron] == pytest.approx(mean)
    assert np.isfinite(regressor.neuron_labels_).all()
    np.testing.assert_array_equal(regressor.predict(X), regressor.neuron_labels_[units])
    assert regressor.score(X, y) == pytest.approx(r2_score(y, regressor.predict(X)))


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (
            SomRegressor(labeller="majority"),
            "Majority is for .*classifier, not for regressor.*local_linear",
        ),
        (
            SomClassifier(labeller="mean"),
            "Mean is for estimator regressor, not for class.*linear_vote",
        ),
        (SomClassifier(labeller="index"), "Index is for estimator vq, not for classifier"),
        (
            SomRegressor(growth={"name": "directed", "threshold": "entropy"}),
            "needs class labels, and a regressor has none",
        ),
    ],
)
def test_parts_that_cannot_serve_the_estimator_are_refused(estimator, sentence, iris):
    with pytest.raises(ValueError, match=sentence):
        estimator.fit(*iris)


def test_intervals_hold_their_level_on_new_samples(diabetes):
    X, y = diabetes
    shares = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[:221], order[221:]
        regressor = SomRegressor(calibration=0.3, epochs=20).fit(X[train], y[train])
        low, high = regressor.predict_interval(X[test], 0.8).T
        np.testing.assert_allclose((low + high) / 2, regressor.predict(X[test]))
        shares.append(np.mean((low <= y[test]) & (y[test] <= high)))
    assert 0.8 - np.std(shares) < np.mean(shares) < 0.88


def test_a_level_that_few_residuals_cannot_tell_is_infinite(diabetes):
    X, y = diabetes
    regressor = SomRegressor(calibration=0.02, epochs=5).fit(X, y)
    assert np.isinf(regressor.predict_interval(X[:3], 0.99)).all()
    assert np.isfinite(regressor.predict_interval(X[:3], 0.8)).all()
    with pytest.raises(ValueError, match="level must be a number between 0 and 1, not 1"):
        regressor.predict_interval(X, 1)
    regressor.set_params(calibration=None).fit(X, y)
    with pytest.raises(ValueError, match=r"fit with calibration=0\.2"):
        regressor.predict_interval(X)


def with_gaps(y):
    return np.where(np.random.default_rng(0).random(len(y)) < 0.4, np.nan, y)


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (np.ones((442, 2)), r"y has 2 targets.*sklearn.multioutput.MultiOutputRegr"),
        (np.full(442, np.nan), "y is nan for all samples"),
        (["1", "2"] * 221, "Convert your data to numeric values explicitly"),
    ],
)
def test_targets_that_cannot_be_learnt_are_refused(targets, told, diabetes):
    with pytest.raises(ValueError, match=told):
        SomRegressor().fit(diabetes[0], targets)


@pytest.mark.parametrize("calibration", [None, 0.25])
def test_samples_without_a_target_train_the_map_alone(diabetes, calibration):
    X, y = diabetes
    new = np.arange(len(X)) % 4 == 0
    gaps = with_gaps(y)
    regressor = SomRegressor(calibration=calibration).fit(X[~new], gaps[~new])
    everywhere = SomRegressor(calibration=calibration).fit(X[~new], y[~new])
    np.testing.assert_array_equal(regressor.weights_, everywhere.weights_)
    np.testing.assert_array_equal(regressor.hit_counts_, everywhere.hit_counts_)
    assert regressor.score(X[new], y[new]) > 0.2
    known = np.isfinite(gaps[new])
    expected = r2_score(y[new][known], regressor.predict(X[new])[known])
    assert regressor.score(X[new], gaps[new]) == pytest.approx(expected)


def test_a_saved_regressor_goes_on_with_gaps(diabetes, tmp_path):
    X, y = diabetes
    gaps = with_gaps(y)
    regressor = SomRegressor(epochs=20, calibration=0.2).fit(X[:300], gaps[:300])
    regressor.save(tmp_path / "m.npz")
    again = SomRegressor.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict_interval(X), regressor.predict_interval(X))
    again.partial_fit(X[300:400], gaps[300:400])
    regressor.partial_fit(X[300:400], gaps[300:400])
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    assert regressor.score(X[400:], y[400:]) > 0.2
    regressor.partial_fit(X[:2], [np.nan, np.nan])
    assert np.isfinite(regressor.predict(X)).all()


@pytest.mark.parametrize("goes_on", [False, True])
def test_answers_stay_near_the_range_of_the_training_targets(diabetes, goes_on):
    X, y = diabetes
    gaps = with_gaps(y)
    regressor = SomRegressor(epochs=10).fit(X, gaps)
    if goes_on:
        regressor.partial_fit(X[:20], np.full(20, np.nanmean(gaps)))
    low, high = np.nanmin(gaps), np.nanmax(gaps)
    beyond = 0.05 * (high - low)
    far_away = np.vstack([60 * X, -60 * X, 1e6 * X])
    answers = regressor.predict(far_away)
    np.testing.assert_allclose(answers.min(), low - beyond)
    np.testing.assert_allclose(answers.max(), high + beyond)
    np.testing.assert_array_equal(regressor.answers(far_away).label, answers)
