"""SomRegressor: its map, its answers, and the intervals around them."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomRegressor, SomVQ, persistence
from dbgsom_core.errors import ModelFileError


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


@pytest.mark.parametrize("y", [["a", "b"] * 75, np.array(["1", "2", "3"] * 50, dtype=object)])
def test_text_is_refused_with_the_cure(y, iris):
    with pytest.raises(ValueError, match=r"needs numbers as targets.*SomClassifier"):
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


@pytest.fixture(scope="module")
def several(diabetes):
    X, y = diabetes
    return X, np.column_stack([y, X[:, 2] - 2 * y, 3 * X[:, 0]])


def with_gaps(Y):
    gaps = Y.copy()
    gaps[np.random.default_rng(0).random(Y.shape) < 0.4] = np.nan
    return gaps


@pytest.mark.parametrize("labeller", ["local_linear", "mean"])
def test_several_targets_are_learnt_each_for_itself(several, labeller):
    X, Y = several
    regressor = SomRegressor(labeller=labeller).fit(X, Y)
    assert regressor.predict(X).shape == regressor.labels_.shape == Y.shape
    for output in range(3):
        alone = SomRegressor(labeller=labeller).fit(X, Y[:, output])
        np.testing.assert_array_equal(regressor.weights_, alone.weights_)
        np.testing.assert_array_equal(regressor.predict(X)[:, output], alone.predict(X))
        np.testing.assert_array_equal(regressor.neuron_labels_[:, output], alone.neuron_labels_)
    assert regressor.score(X, Y) == pytest.approx(r2_score(Y, regressor.predict(X)))


@pytest.mark.parametrize("calibration", [None, 0.25])
def test_partly_missing_targets_teach_where_they_are_known(several, calibration):
    X, Y = several
    new = np.arange(len(X)) % 4 == 0
    gaps = with_gaps(Y)
    regressor = SomRegressor(calibration=calibration).fit(X[~new], gaps[~new])
    assert regressor.score(X[new], Y[new]) > 0.5
    each = [
        r2_score(gaps[new, t][there], regressor.predict(X[new])[there, t])
        for t in range(3)
        for there in [np.isfinite(gaps[new, t])]
    ]
    assert regressor.score(X[new], gaps[new]) == pytest.approx(np.mean(each))
    if calibration:
        low, high = np.moveaxis(regressor.predict_interval(X[new], 0.9), 2, 0)
        inside = np.mean((low <= Y[new]) & (Y[new] <= high), axis=0)
        assert (inside > 0.8).all()


@pytest.mark.parametrize("shape", ["several", "one"])
def test_gaps_and_several_targets_are_saved(several, shape, tmp_path):
    X, Y = several
    y = with_gaps(Y) if shape == "several" else with_gaps(Y)[:, 0]
    regressor = SomRegressor(calibration=0.2).fit(X, y)
    regressor.save(tmp_path / "m.npz")
    again = SomRegressor.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(X), regressor.predict(X))
    np.testing.assert_array_equal(again.predict_interval(X), regressor.predict_interval(X))
    again._outputs = again._outputs[:1] * (len(again._outputs) + 1)
    with pytest.raises(ModelFileError, match="another map"):  # saving looks whether it loads
        again.save(tmp_path / "forged.npz")


def test_what_is_not_known_of_any_sample_is_told(several):
    X, Y = several
    Y = Y.copy()
    Y[:, 1] = np.nan
    with pytest.raises(ValueError, match="target 1 of y is nan for all samples"):
        SomRegressor().fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit takes one target without gaps"):
        SomRegressor().fit(X, Y[:, [0, 2]]).partial_fit(X, Y[:, [0, 2]])


def far_away(X):
    return np.vstack([60 * X, -60 * X, 1e6 * X])


@pytest.mark.parametrize("case", ["one", "several", "gaps", "calibrated", "loaded", "continued"])
def test_answers_stay_near_the_range_of_the_training_targets(several, case, tmp_path):
    X, Y = several
    y = {"several": Y, "gaps": with_gaps(Y)}.get(case, Y[:, 0])
    calibration = 0.3 if case == "calibrated" else None
    regressor = SomRegressor(epochs=10, calibration=calibration).fit(X, y)
    if case == "loaded":
        regressor.save(tmp_path / "map.npz")
        regressor = persistence.load(tmp_path / "map.npz")
    if case == "continued":
        regressor.partial_fit(X[:20], np.full(20, y.mean()))
    low, high = np.nanmin(y, axis=0), np.nanmax(y, axis=0)
    beyond = 0.05 * (high - low)
    answers = regressor.predict(far_away(X))
    if case != "calibrated":  # whose range is that of the samples that it was trained on
        np.testing.assert_allclose(answers.min(axis=0), low - beyond)
        np.testing.assert_allclose(answers.max(axis=0), high + beyond)
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
