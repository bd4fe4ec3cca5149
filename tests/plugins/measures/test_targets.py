"""The measures of regression, and those of the grid as a whole."""

import numpy as np
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

from dbgsom_core import SomVQ
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures.prototypes import TopographicFunction, TopographicProduct
from dbgsom_plugins.measures.targets import R2, RootMeanSquaredError
from dbgsom_plugins.metrics.norms import Euclidean


def evaluate(y, predictions, som_map=None):
    som_map = som_map or SomMap([(0, 0)], [[0.0]])
    data = LocalEngine().over(np.zeros((4, 1)), Euclidean())
    return Evaluation(som_map, data, y=y, predictions=predictions)


def test_they_equal_scikit_learns(rng):
    y = rng.normal(size=60)
    answers = y + rng.normal(size=60)
    evaluation = evaluate(y, answers)
    assert R2().compute(evaluation) == pytest.approx(r2_score(y, answers))
    assert RootMeanSquaredError().compute(evaluation) == pytest.approx(
        root_mean_squared_error(y, answers)
    )


@pytest.mark.parametrize(("answer", "value"), [(2.0, 1.0), (3.0, 0.0)])
def test_equal_targets_leave_nothing_to_explain(answer, value):
    assert R2().compute(evaluate(np.full(4, 2), np.full(4, answer))) == value


@pytest.mark.parametrize("measure", [R2, RootMeanSquaredError])
@pytest.mark.parametrize("y", [None, np.array(list("abcd"))])
def test_numbers_are_needed(measure, y):
    assert measure.estimators == ("regressor",)
    assert measure.needs_target
    with pytest.raises(ValueError, match="needs numbers as both"):
        measure().compute(evaluate(y, np.zeros(4)))


def test_the_measures_of_the_grid_are_those_of_the_estimator(digits):
    X = digits[0]
    vq = SomVQ(max_neurons=40).fit(X)
    evaluation = vq.evaluate(X)
    assert TopographicProduct().compute(evaluation) == vq.topographic_product_
    for neighbours in (4, 8):
        k, phi = vq.topographic_function(X, neighbours)
        for one in (-2, -1, 0, 1, 3):
            value = TopographicFunction(k=one, neighbours=neighbours).compute(evaluation)
            assert value == phi[k == one]
    with_hops = TopographicProduct(grid_distance="hops").compute(evaluation)
    assert with_hops != vq.topographic_product_


def test_a_single_neuron_has_no_neighbours_to_lose():
    evaluation = evaluate(None, None)
    assert TopographicProduct().compute(evaluation) == 0
    assert TopographicFunction().compute(evaluation) == 0
