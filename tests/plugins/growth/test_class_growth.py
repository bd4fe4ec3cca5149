"""Growth goes on where classes meet, and not where labels are drawn by lot."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from dbgsom_core import SomClassifier, SomVQ, presets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.directed import (
    LEAST_NEURONS,
    mixing_neurons,
    significant_entropy,
)

PLAIN = {"name": "directed", "class_growth": False}


def line(counts):
    counts = np.asarray(counts)
    return SomMap.rectangle(1, len(counts), np.arange(float(len(counts)))[:, None]), counts


@pytest.mark.parametrize(
    ("counts", "mixing"),
    [
        ([[40, 0], [40, 0], [20, 20], [0, 40], [0, 40]], [2]),
        ([[20, 20]] * 5, []),  # equal shares everywhere are no border
        ([[40, 0], [4, 3], [0, 40]], []),  # few samples are none
    ],
)
def test_a_neuron_on_the_border_of_classes_mixes_and_those_beside_it_do_not(counts, mixing):
    assert np.flatnonzero(mixing_neurons(*line(counts))).tolist() == mixing


def test_the_statistic_is_pearsons(rng):
    for _ in range(20):
        counts = rng.integers(1, 30, (5, 3)) + rng.integers(0, 20) * np.eye(5, 3, dtype=int)
        som_map, counts = line(counts)
        near = counts[:5][np.abs(np.arange(5) - 2) <= 2]
        statistic, _, freedom, _ = chi2_contingency(near, correction=False)
        grows = statistic > freedom + 4 * np.sqrt(2 * freedom)
        shares = counts[2] / counts[2].sum()
        mixes = counts[2].sum() >= 8 and -(shares * np.log2(shares)).sum() >= 0.5
        assert mixing_neurons(som_map, counts)[2] == (grows and mixes)


def test_maps_grow_with_classes_and_not_with_labels_by_lot(digits):
    X, y = digits[0][:600], digits[1][:600]
    plain = SomClassifier(growth=PLAIN).fit(X, y)
    grown = SomClassifier(max_neurons=200).fit(X, y)
    assert len(grown.weights_) > 1.2 * len(plain.weights_)
    by_lot = np.random.default_rng(1).permutation(y)
    lottery, without = (
        SomClassifier(growth=growth, max_neurons=200).fit(X, by_lot)
        for growth in ("directed", PLAIN)
    )
    assert len(lottery.weights_) <= 1.1 * len(without.weights_)


def test_maps_without_classes_and_the_papers_program_do_not_change(iris):
    X, y = iris
    np.testing.assert_array_equal(SomVQ().fit(X).weights_, SomVQ(growth=PLAIN).fit(X, y).weights_)
    assert presets.paper(0.5, 5).parts().growth.class_growth is False


def test_entropy_counts_at_borders_alone_once_the_map_is_not_small():
    border = [[40, 0]] * 8 + [[20, 20]] + [[0, 40]] * 8
    assert significant_entropy(*line(border)).nonzero()[0].tolist() == [8]
    alike = [[20, 20]] * LEAST_NEURONS
    assert not significant_entropy(*line(alike)).any()
    assert significant_entropy(*line(alike[1:])).tolist() == [1.0] * (LEAST_NEURONS - 1)


def test_entropy_growth_ends_with_labels_by_lot_and_separates_classes_that_can_be(digits):
    X, y = digits[0][:600], digits[1][:600]
    entropy = {"name": "directed", "threshold": "entropy"}
    by_lot = np.random.default_rng(1).permutation(y)
    grown, lottery = (SomClassifier(growth=entropy).fit(X, one) for one in (y, by_lot))
    assert len(lottery.weights_) <= 2 * LEAST_NEURONS
    assert len(grown.weights_) > 3 * LEAST_NEURONS
    assert grown.score(X, y) > 0.95
