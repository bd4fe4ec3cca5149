"""SomRegressor: its map, its answers, and the intervals around them."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, persistence


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


MEAN = {"labeller": "mean"}


def test_each_neuron_answers_with_the_mean_target_of_its_samples(diabetes):
    X, y = diabetes
    regressor = SomRegressor(**MEAN).fit(X, y)
    units = regressor.bmu(X)
    for neuron in np.unique(units):
        assert regressor.neuron_labels_[neuron] == pytest.approx(y[units == neuron].mean())
    np.testing.assert_array_equal(regressor.predict(X), regressor.neuron_labels_[units])
    np.testing.assert_array_equal(regressor.labels_, regressor.predict(X))
    assert regressor.score(X, y) == pytest.approx(r2_score(y, regressor.predict(X)))
    assert regressor.score(X, y) > 0.4


@pytest.mark.parametrize("y", [["a", "b"] * 75, ["1", "2"] * 75])
def test_text_is_refused_as_scikit_learn_does(y, iris):
    with pytest.raises(ValueError, match="Convert your data to numeric values explicitly"):
        SomRegressor().fit(iris[0], y)


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (
            SomRegressor(labeller="majority"),
            "Majority is for .*classifier, not for regressor.*local_linear",
        ),
        (SomRegressor(labeller="clusters"), "Clusters is for estimator vq, not for regressor"),
        (
            SomClassifier(labeller="mean"),
            "Mean is for estimator regressor, not for class.*linear_vote",
        ),
        (SomVQ(labeller="mean"), "Mean is for estimator regressor, not for vq.*index"),
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
    held = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[:221], order[221:]
        regressor = SomRegressor(calibration=0.3, epochs=20).fit(X[train], y[train])
        assert len(regressor._residuals) == 66
        low, high = regressor.predict_interval(X[test], 0.8).T
        np.testing.assert_allclose((low + high) / 2, regressor.predict(X[test]))
        held.append(np.mean((low <= y[test]) & (y[test] <= high)))
    assert 0.8 - 3 * np.std(held) / 3 < np.mean(held) < 0.88


def test_a_level_that_few_residuals_cannot_tell_is_infinite(diabetes, tmp_path):
    X, y = diabetes
    regressor = SomRegressor(calibration=0.02, epochs=5).fit(X, y)
    assert np.isinf(regressor.predict_interval(X[:3], 0.99)).all()
    assert np.isfinite(regressor.predict_interval(X[:3], 0.8)).all()
    regressor.save(tmp_path / "map.npz")
    again = persistence.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(again.predict_interval(X), regressor.predict_interval(X))


def test_intervals_need_samples_held_out_and_a_level(diabetes):
    X, y = diabetes
    regressor = SomRegressor(epochs=5).fit(X, y)
    with pytest.raises(ValueError, match=r"fit with calibration=0\.2"):
        regressor.predict_interval(X)
    with pytest.raises(ValueError, match="level must be a number between 0 and 1, not 1"):
        regressor.predict_interval(X, 1)


def with_gaps(y):
    return np.where(np.random.default_rng(0).random(len(y)) < 0.4, np.nan, y)


def test_several_targets_are_refused_with_the_cure(diabetes):
    X, y = diabetes
    targets = np.column_stack([y, X[:, 0]])
    with pytest.raises(ValueError, match=r"y has 2 targets.*sklearn.multioutput.MultiOutputRegr"):
        SomRegressor().fit(X, targets)
    with pytest.raises(ValueError, match=r"y has 2 targets.*sklearn.multioutput.MultiOutputClass"):
        SomClassifier().fit(X, targets > 0)
    each = MultiOutputRegressor(SomRegressor(epochs=5)).fit(X, targets)
    assert each.predict(X).shape == targets.shape
    assert SomRegressor(epochs=5).fit(X, y).predict(X).ndim == 1


@pytest.mark.parametrize("labeller", ["local_linear", "mean"])
@pytest.mark.parametrize("calibration", [None, 0.25])
def test_samples_without_a_target_train_the_map_alone(diabetes, labeller, calibration):
    X, y = diabetes
    new = np.arange(len(X)) % 4 == 0
    gaps = with_gaps(y)
    regressor = SomRegressor(calibration=calibration, labeller=labeller).fit(X[~new], gaps[~new])
    everywhere = SomRegressor(calibration=calibration, labeller=labeller).fit(X[~new], y[~new])
    np.testing.assert_array_equal(regressor.weights_, everywhere.weights_)
    np.testing.assert_array_equal(regressor.hit_counts_, everywhere.hit_counts_)
    assert regressor.score(X[new], y[new]) > 0.2
    known = np.isfinite(gaps[new])
    expected = r2_score(y[new][known], regressor.predict(X[new])[known])
    assert regressor.score(X[new], gaps[new]) == pytest.approx(expected)
    if calibration:
        low, high = regressor.predict_interval(X[new], 0.9).T
        assert np.mean((low <= y[new]) & (y[new] <= high)) > 0.8


def test_a_mean_is_of_the_known_targets(diabetes):
    X, y = diabetes
    gaps = with_gaps(y)
    regressor = SomRegressor(**MEAN, epochs=10).fit(X, gaps)
    units = regressor.bmu(X)
    means = {}
    for neuron in np.unique(units[np.isfinite(gaps)]):
        means[neuron] = np.nanmean(gaps[units == neuron])
        assert regressor.neuron_labels_[neuron] == pytest.approx(means[neuron])
    assert np.isfinite(regressor.neuron_labels_).all()


def test_gaps_are_saved(diabetes, tmp_path):
    X, y = diabetes
    regressor = SomRegressor(calibration=0.2).fit(X, with_gaps(y))
    regressor.save(tmp_path / "m.npz")
    again = SomRegressor.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    np.testing.assert_array_equal(again.predict_interval(X), regressor.predict_interval(X))
    np.testing.assert_array_equal(again.score_samples(X), regressor.score_samples(X))


def test_training_goes_on_with_gaps(diabetes, tmp_path):
    X, y = diabetes
    gaps = with_gaps(y)
    regressor = SomRegressor(epochs=20).fit(X[:300], gaps[:300])
    regressor.save(tmp_path / "m.npz")
    again = SomRegressor.load(tmp_path / "m.npz").partial_fit(X[300:400], gaps[300:400])
    regressor.partial_fit(X[300:400], gaps[300:400])
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    assert regressor.score(X[400:], y[400:]) > 0.2
    regressor.partial_fit(X[:2], [np.nan, np.nan])
    assert np.isfinite(regressor.predict(X)).all()


def test_a_target_that_is_unknown_everywhere_is_refused(diabetes):
    X, y = diabetes
    with pytest.raises(ValueError, match="y is nan for all samples"):
        SomRegressor().fit(X, np.full_like(y, np.nan))


def far_away(X):
    return np.vstack([60 * X, -60 * X, 1e6 * X])


@pytest.mark.parametrize("case", ["one", "gaps", "calibrated", "loaded", "continued"])
def test_answers_stay_near_the_range_of_the_training_targets(diabetes, case, tmp_path):
    X, y = diabetes
    if case == "gaps":
        y = with_gaps(y)
    calibration = 0.3 if case == "calibrated" else None
    regressor = SomRegressor(epochs=10, calibration=calibration).fit(X, y)
    if case == "loaded":
        regressor.save(tmp_path / "map.npz")
        regressor = persistence.load(tmp_path / "map.npz")
    if case == "continued":
        regressor.partial_fit(X[:20], np.full(20, y.mean()))
    low, high = np.nanmin(y), np.nanmax(y)
    beyond = 0.05 * (high - low)
    answers = regressor.predict(far_away(X))
    if case != "calibrated":  # whose range is that of the samples that it was trained on
        np.testing.assert_allclose(answers.min(), low - beyond)
        np.testing.assert_allclose(answers.max(), high + beyond)
    assert ((answers >= low - beyond - 1e-9) & (answers <= high + beyond + 1e-9)).all()
    assert (regressor.answers(far_away(X)).label == answers).all()
    if case == "calibrated":
        ends = regressor.predict_interval(far_away(X), 0.8)
        width = np.diff(regressor.predict_interval(X, 0.8), axis=1)[0, 0]
        np.testing.assert_allclose(ends.mean(axis=1), answers)
        np.testing.assert_allclose(np.diff(ends, axis=1)[:, 0], width)


def test_a_constant_target_is_answered_everywhere(diabetes):
    X, _ = diabetes
    regressor = SomRegressor(epochs=5).fit(X, np.full(len(X), 0.1))
    assert (regressor.predict(far_away(X)) == 0.1).all()


def test_what_a_few_rows_far_away_cost_is_bounded():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = X[:, 0] + 0.3 * rng.normal(size=300)
    X[-5:] *= 1000  # wrong units, say
    regressor = SomRegressor(calibration=0.2).fit(X[:200], y[:200])
    assert regressor.score(X[200:], y[200:]) > 0.5
