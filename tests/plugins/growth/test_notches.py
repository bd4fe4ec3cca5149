"""Filling the free cells between neurons keeps a grown map compact."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomVQ
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.growth.births import filled
from dbgsom_plugins.growth.directed import Directed

CORNER = SomMap([(0, 0), (1, 0), (0, 1)], np.array([[0.0, 0.0], [1.0, 0.2], [0.1, 1.0]]))


def test_a_corner_completes_the_parallelogram():
    (birth,) = filled(CORNER, np.array([0.0, 2.0, 4.0]), 6.0, (), 9)
    assert birth.position == (1, 1)
    assert birth.parent == 2
    np.testing.assert_allclose(birth.prototype, [1.1, 1.2])


def test_errors_of_the_touching_neurons_have_to_add_up():
    assert filled(CORNER, np.array([9.0, 2.0, 4.0]), 6.1, (), 9) == []


def test_a_cell_that_a_newborn_takes_is_left_alone():
    assert filled(CORNER, np.ones(3), 0.1, [(1, 1)], 9) == []


def test_a_hole_gets_the_mean_of_its_corners_and_a_channel_that_of_its_sides():
    ring = [(x, y) for x in range(3) for y in range(3) if (x, y) != (1, 1)]
    plane = SomMap(ring, np.array(ring, dtype=float))
    births = {b.position: b.prototype for b in filled(plane, np.ones(8), 1.0, (), 9)}
    np.testing.assert_allclose(births[1, 1], [1.0, 1.0])
    lane = SomMap([(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0)], np.eye(7))
    births = {b.position: b.prototype for b in filled(lane, np.ones(7), 1.0, (), 9)}
    np.testing.assert_allclose(births[1, 0], (np.eye(7)[0] + np.eye(7)[6]) / 2)


@pytest.mark.parametrize("cap", [7, 20])
def test_filled_notches_never_exceed_the_cap(cap):
    X = StandardScaler().fit_transform(load_breast_cancer(return_X_y=True)[0])
    assert len(SomVQ(max_neurons=cap).fit(X).neurons_) == cap


def test_a_map_with_filled_notches_has_more_links_for_each_neuron():
    X = StandardScaler().fit_transform(load_breast_cancer(return_X_y=True)[0])

    def links(growth):
        som_map = SomVQ(growth=growth).fit(X).som_map_
        return len(som_map.edges()) / len(som_map)

    assert links(Directed()) > links(Directed(notches=None, spreading_factor=0.6)) + 0.05


def test_the_papers_program_fills_no_notches():
    assert Directed(reference=True).notches is None
