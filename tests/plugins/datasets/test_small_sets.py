"""Bundled and generated data sets."""

import numpy as np
import pytest

from dbgsom_plugins.datasets.small_sets import (
    Blobs,
    BreastCancer,
    Diabetes,
    Digits,
    Flows,
    Iris,
    Moons,
    Wine,
)


@pytest.mark.parametrize(
    ("dataset", "shape", "classes"),
    [
        (Digits(), (1797, 64), 10),
        (Iris(), (150, 4), 3),
        (Wine(), (178, 13), 3),
        (BreastCancer(), (569, 30), 2),
        (Blobs(samples=90, features=3, centers=4), (90, 3), 4),
        (Moons(samples=50), (50, 2), 2),
        (Flows(samples=300), (300, 6), 9),
    ],
)
def test_a_data_set_has_named_columns_and_named_classes(dataset, shape, classes):
    data = dataset.load()
    assert data.X.shape == shape
    assert data.X.dtype == np.float64
    assert len(np.unique(data.y)) == classes == len(data.target_names)
    assert len(data.feature_names) == shape[1]


def test_diabetes_has_columns_in_their_own_units_and_numbers_as_targets():
    data = Diabetes().load()
    assert data.feature_names[:2] == ("age", "sex")
    assert (data.X[:, 0].min(), data.X[:, 0].max()) == (19, 79)
    assert (data.y.min(), data.y.max()) == (25, 346)
    assert data.target_names is None


@pytest.mark.parametrize("kind", [Blobs, Flows, Moons])
def test_the_seed_decides_generated_samples(kind):
    first, again, other = kind(seed=3).load(), kind(seed=3).load(), kind(seed=4).load()
    assert np.array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
