"""Growth: thresholds by hand, rules as the paper means them, knobs that fit."""

import math

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from dbgsom_core import SomVQ
from dbgsom_core.api import DataSummary
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.directed import Directed, GrowthStep

SUMMARY = DataSummary(n_samples=400, n_features=3, deviation=2.5, spread=2.0, n_classes=2)


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        (Directed(threshold="classical", spreading_factor=0.3), -3 * math.log(0.3)),
        (Directed(spreading_factor=0.3), -4 / 3 * math.log(0.3) * 20 * 2.0),
        (Directed(threshold="statistics_enhanced", lambda_=110), 275.0),
        (Directed(threshold="statistics_enhanced"), -150 * math.log(0.5) * 2.5),
        (
            Directed(
                threshold="statistics_enhanced", scale="spreading_factor", spreading_factor=0.9
            ),
            -150 * math.log(0.9) * 2.5,
        ),
        (Directed(threshold="entropy", entropy_threshold=0.8), 0.8),
    ],
)
def test_growing_thresholds_by_hand(growth, expected):
    assert growth.growing_threshold(SUMMARY) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold": "entropy", "spreading_factor": 0.5},
        {"threshold": "classical", "lambda_": 110.0},
        {"threshold": "auto", "entropy_threshold": 1.0},
        {"threshold": "statistics_enhanced", "lambda_": 110.0, "spreading_factor": 0.5},
        {"threshold": "statistics_enhanced", "scale": "spreading_factor", "lambda_": 110.0},
    ],
)
def test_a_knob_that_the_rule_does_not_use_is_an_error(fields):
    with pytest.raises(ValueError, match="no effect"):
        Directed(**fields)


def test_reference_sets_what_is_not_given_and_keeps_what_is():
    growth = Directed(reference=True, max_neurons=50)
    assert growth.threshold == "classical"
    assert growth.when == "every_epoch"
    assert growth.fine_tuning == 0.0
    assert growth.max_neurons == 50
    assert Directed(reference=True).max_neurons is None


def test_entropy_grows_where_classes_mix(state_of):
    som_map = SomMap.rectangle(2, 2, np.arange(4.0)[:, None])
    counts = np.array([[10, 0], [5, 5], [0, 9], [1, 0]])
    growth = Directed(threshold="entropy", entropy_threshold=0.5)
    births = growth.grow(som_map, state_of(np.zeros(4), 0.5, class_counts=counts))
    assert [birth.parent for birth in births] == [1]


def test_the_size_does_not_depend_on_epochs_beyond_a_hundred():
    X = make_blobs(600, 4, centers=6, random_state=0)[0]
    hundred, longer = SomVQ().fit(X), SomVQ(epochs=400).fit(X)
    assert longer.growth_events_ == hundred.growth_events_
    assert longer.n_iter_ > 100  # fine-tuning goes on


def test_settled_growth_does_not_wait_for_ever(state_of):
    """A sixteenth of the growing phase, here 3 of 50 epochs, is the longest wait."""
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))

    def grows(epoch):
        state = state_of([5.0] * len(som_map), movement=9.0, epoch=epoch)
        return bool(Directed().grow(som_map, state))

    assert [grows(epoch) for epoch in (2, 3)] == [False, True]
    assert Directed(when="settled").grow(som_map, state_of([5.0] * 4, movement=1e-4))
    som_map.add([((2, 0), [0.0], 1)], epoch=3)
    assert [grows(epoch) for epoch in (5, 6)] == [False, True]


def test_a_candidate_whose_cell_was_taken_uses_its_next_free_one(state_of):
    """Two neighbours of a notch want the same cell; the paper's program skips the second."""
    cells = [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1)]
    som_map = SomMap(cells, np.arange(5.0)[:, None])
    errors = np.array([1.0, 9.0, 1.0, 8.0, 7.0])
    ours = Directed(notches=None).grow(som_map, state_of(errors, 0.5))
    theirs = GrowthStep(som_map, errors, reference=True).grow_boundary(0.5, 99)
    assert sorted(birth.parent for birth in ours) == [0, 1, 2, 3, 4]
    assert len(theirs) < len(ours)
    placed = {birth.position for birth in ours}
    assert len(placed - set(cells)) == len(ours)
