"""Fine-tuning: the pull on linked neighbours, and neurons that keep to one side of a border."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dbgsom_core.engine.results import (
    linked_runners_up,
)
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.train import batch_update
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.growth.classical import Fixed
from dbgsom_plugins.metrics.norms import Euclidean
from dbgsom_plugins.training import Gaussian


def fine(growth):
    return guarded(growth)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(0)
    som_map = SomMap.rectangle(3, 4, rng.normal(size=(12, 3)))
    return LocalEngine().over(rng.normal(size=(60, 3)), Euclidean()), som_map


def searched(data, som_map):
    return data.found(som_map.prototypes, data.assign(som_map.prototypes))


def test_the_pulled_update_is_the_weighted_mean_of_its_definition(small):
    data, som_map = small
    found = searched(data, som_map)
    runners_up = linked_runners_up(data, found.bmu, som_map.prototypes, som_map.links)
    weights = Gaussian().weight(som_map.hops[found.bmu].astype(float), 0.6)
    weights[np.arange(len(data.X)), runners_up] += 0.5
    expected = weights.T @ data.X / weights.sum(axis=0)[:, None]
    updated = batch_update(som_map, Gaussian(), data.metric, found, 0.6, 0.5)
    np.testing.assert_allclose(updated, expected, rtol=1e-12)


def test_a_pull_without_fine_tuning_is_refused():
    with pytest.raises(ValueError, match="link_pull has no effect without fine_tuning"):
        Fixed(link_pull=0.5)
