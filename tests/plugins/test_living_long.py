"""Functions serve as metrics, and nested keys are known."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from dbgsom_core import SomVQ
from dbgsom_core.errors import ComponentError, PluginError

FIXED = {"name": "fixed", "rows": 2, "columns": 3}


def manhattan(one, other):
    """Return the sum of the gaps."""
    return np.abs(one - other).sum()


def test_a_function_is_a_metric_that_no_file_can_name(iris, tmp_path):
    X = iris[0][::3]
    named = {"name": "manhattan", "prototype": "mean"}
    fit, same = (SomVQ(metric=one, growth=FIXED, epochs=3).fit(X) for one in (manhattan, named))
    np.testing.assert_allclose(fit.weights_, same.weights_, rtol=1e-9)
    assert clone(fit).metric is manhattan
    assert np.array_equal(pickle.loads(pickle.dumps(fit)).predict(X), fit.predict(X))
    with pytest.raises(PluginError, match=r"manhattan cannot be saved.*plugins new"):
        fit.save(tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda one, other: -1.0, "distances from -1 to -1; expected"),
        (lambda one, other: np.nan, "expected finite numbers"),
        (lambda one: 0.0, "TypeError"),
    ],
)
def test_what_a_function_does_wrong_names_it(function, words, iris):
    with pytest.raises(ComponentError, match=rf"metric, the function .*lambda.*{words}"):
        SomVQ(metric=function, growth=FIXED, epochs=2).fit(iris[0])


def test_nested_keys_are_known_and_checked(iris):
    with pytest.raises(ValueError, match=r"growth\.base\.row unknown key; did you mean 'rows'"):
        SomVQ(growth={"name": "hierarchical", "base": {"name": "fixed", "row": 2}}).fit(iris[0])
    with pytest.raises(ValueError, match=r"init\.values must be a list, not 3"):
        SomVQ(init={"name": "array", "values": 3}).fit(iris[0])
