"""Regressors that learn a function of the target answer in its units."""

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor

from dbgsom_core import SomRegressor

FEW = {"max_neurons": 15, "epochs": 10}


def square_of_root(root):
    return np.square(np.maximum(root, 0))  # no square has a root below 0


INVERSE = {"log": (np.log, np.exp), "sqrt": (np.sqrt, square_of_root)}


@pytest.fixture
def prices(rng):
    X = rng.normal(size=(400, 4))
    return X[:300], np.exp(X[:300, 0] + 0.1 * rng.normal(size=300)), X[300:]


@pytest.mark.parametrize("name", ["log", "sqrt"])
def test_answers_are_those_of_a_regressor_of_the_transformed_target(name, prices):
    X, y, new = prices
    ours = SomRegressor(target_transform=name, **FEW).fit(X, y)
    forth, back = INVERSE[name]
    twin = TransformedTargetRegressor(
        SomRegressor(**FEW), func=forth, inverse_func=back, check_inverse=False
    )
    np.testing.assert_allclose(ours.predict(new), twin.fit(X, y).predict(new), rtol=1e-12)


def test_a_power_is_found_where_targets_are_below_zero(prices):
    X, y, new = prices
    y = np.where(y > 1, y, -y)
    ours = SomRegressor(target_transform="yeo-johnson", **FEW).fit(X, y)
    answers = ours.predict(new)
    assert np.isfinite(answers).all()
    assert answers.min() < 0 < answers.max()


def test_intervals_and_neurons_are_in_units_of_the_target(prices):
    X, y, new = prices
    ours = SomRegressor(target_transform="log", calibration=0.3, **FEW).fit(X, y)
    low, high = ours.predict_interval(new, level=0.9).T
    assert (low > 0).all()
    is_in = (low <= np.exp(new[:, 0])) & (np.exp(new[:, 0]) <= high)
    assert is_in.mean() > 0.8
    assert y.min() * 0.8 < ours.neuron_labels_.min() < ours.neuron_labels_.max() < y.max() * 1.2


def test_a_model_file_keeps_the_transform(prices, tmp_path):
    X, y, new = prices
    ours = SomRegressor(target_transform="yeo-johnson", **FEW).fit(X, y)
    ours.save(tmp_path / "model.npz")
    again = SomRegressor.load(tmp_path / "model.npz")
    assert again.target_transform == "yeo-johnson"
    np.testing.assert_array_equal(again.predict(new), ours.predict(new))


@pytest.mark.parametrize(("name", "value"), [("log", 0.0), ("sqrt", -1.0)])
def test_targets_without_a_value_are_refused(name, value, prices):
    X, y, _ = prices
    y[7] = value
    with pytest.raises(ValueError, match=rf"like {value:g}, in row 7 of y .* take 'yeo-johnson'"):
        SomRegressor(target_transform=name).fit(X, y)


def test_partial_fit_goes_on_with_the_same_transform(prices):
    X, y, new = prices
    ours = SomRegressor(target_transform="log", **FEW)
    ours.partial_fit(X[:150], y[:150]).partial_fit(X[150:], y[150:])
    assert np.corrcoef(np.log(ours.predict(new)), new[:, 0])[0, 1] > 0.9
    with pytest.raises(ValueError, match="cannot go on with None"):
        ours.set_params(target_transform=None).partial_fit(X, y)
