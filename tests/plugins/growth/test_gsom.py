"""GSOM against cases worked out by hand from Alahakoon, Halgamuge & Srinivasan (2000)."""

import math

import numpy as np
import pytest

from dbgsom_core.api import DataSummary
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.classical import Gsom, distributed, newborn_prototype

PLUS = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]  # an interior neuron and its four neighbours


def test_the_growing_threshold():
    summary = DataSummary(n_samples=400, n_features=7, deviation=2.5, spread=2.0)
    assert Gsom(spreading_factor=0.1).growing_threshold(summary) == pytest.approx(
        -7 * math.log(0.1)
    )


def test_a_boundary_neuron_over_the_threshold_fills_all_its_free_cells(state_of):
    som_map = SomMap.rectangle(2, 2, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    births = Gsom().grow(som_map, state_of([0.0, 2.0, 0.0, 1.0]))
    assert [(birth.position, birth.parent) for birth in births] == [
        ((1, -1), 1), ((2, 0), 1), ((1, 2), 3), ((2, 1), 3),
    ]  # fmt: skip
    # Each lies in line with its parent and the neuron behind it.
    np.testing.assert_allclose(
        [birth.prototype for birth in births], [[1, -1], [2, 0], [1, 2], [2, 1]]
    )


def test_the_largest_error_is_served_first_and_a_shared_cell_is_taken_once(state_of):
    som_map = SomMap([(0, 0), (1, 0), (1, 1)], [[0.0], [1.0], [3.0]])
    births = Gsom().grow(som_map, state_of([1.5, 0.5, 3.0]))
    assert [(birth.position, birth.parent) for birth in births] == [
        ((1, 2), 2), ((2, 1), 2), ((0, 1), 2), ((0, -1), 0), ((-1, 0), 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({(2, 0): 7.0, (-1, 0): 100.0}, (5.0 + 7.0) / 2),  # between two neurons
        ({(-1, 0): 2.0, (0, 1): 100.0}, 5.0 + (5.0 - 2.0)),  # in line
        ({(0, -1): 6.5, (0, 1): 4.0}, 5.0 - 1.5),  # at a corner: the older neighbour
    ],
)
def test_a_newborns_prototype_in_the_cases_of_the_paper(others, expected):
    """The parent sits in (0, 0) with prototype 5; the newborn comes to (1, 0)."""
    som_map = SomMap([(0, 0), *others], [[5.0], *([w] for w in others.values())])
    assert newborn_prototype(som_map, 0, (1, 0)).tolist() == [expected]


def test_a_neuron_alone_bears_the_middle_of_the_range():
    # Its neighbours are gone: the others are not linked to it.
    som_map = SomMap([(0, 0), (5, 5), (5, 6)], [[5.0, 1.0], [0.0, 3.0], [2.0, 2.0]])
    assert newborn_prototype(som_map, 0, (1, 0)).tolist() == [2.5, 2.0]


def test_an_interior_neuron_spreads_error_instead_of_growing(state_of):
    som_map = SomMap(PLUS, np.arange(5.0)[:, None])
    errors = [3.0, 0.8, 0.6, 0.5, 0.0]
    spread = distributed(som_map, errors, 1.0, 0.3)
    np.testing.assert_allclose(spread, [0.5, 0.8 * 1.3, 0.6 * 1.3, 0.5 * 1.3, 0.0])
    births = Gsom(distribution_factor=0.3).grow(som_map, state_of(errors))
    assert {birth.parent for birth in births} == {1}
    assert len(births) == 3
    assert list(Gsom(distribution_factor=0.2).grow(som_map, state_of(errors))) == []
    np.testing.assert_array_equal(
        distributed(som_map, [0.9, 5, 5, 5, 5], 1.0, 0.3), [0.9, 5, 5, 5, 5]
    )
