"""Nothing of ours warns in a normal fit but that it has not converged."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from dbgsom_core import SomClassifier, SomRegressor, SomVQ

X, Y = load_iris(return_X_y=True)
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)


@pytest.mark.parametrize(
    ("estimator", "data", "y"),
    [
        (SomVQ(), X, None),
        (SomVQ(spreading_factor="auto"), X, None),
        (SomVQ(calibration=0.2), X, None),
        (SomVQ(growth="hierarchical"), X, None),
        (SomVQ(), GAPS, None),
        (SomVQ(), X.astype(np.float32)[:, [2]], None),
        (SomClassifier(), X, Y),
        (SomClassifier(class_weight="balanced"), X, np.array(["a", "b", "c"])[Y]),
        (SomRegressor(), X[:, :3], X[:, 3]),
    ],
    ids=str,
)
def test_no_warning_of_a_fit_and_its_answers(estimator, data, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = estimator.fit(data, y)
        fitted.predict(data)
        fitted.score_samples(data)
        fitted.explain(data[0])
        fitted.plot()
        fitted.explore(data)
