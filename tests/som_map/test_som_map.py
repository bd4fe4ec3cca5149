"""SomMap: hops are graph distances, positions are distinct, rows fit together."""

import numpy as np
import pytest

from dbgsom_core.som_map.som_map import SomMap


def test_a_rectangle_is_row_major_with_x_as_the_column():
    som_map = SomMap.rectangle(2, 3, np.zeros((6, 1)))
    assert som_map.positions.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert som_map.shape == (2, 3)
    assert som_map.diameter == 3


@pytest.mark.parametrize(
    ("birth", "reason"),
    [
        (((0, 0), [0.0], 0), "taken"),
        (((5, 5), [0.0], 0), "beside"),
        (((2, 0), [0.0, 1.0], 0), "shape"),
        (((2, 0), [0.0], 9), "parent"),
    ],
)
def test_an_impossible_birth_is_refused_and_changes_nothing(birth, reason):
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))
    with pytest.raises(ValueError, match=reason):
        som_map.add([((-1, 0), [0.0], 0), birth], epoch=1)
    assert len(som_map) == 4
    assert som_map.prototypes.shape == (4, 1)


def test_two_neurons_cannot_start_in_one_cell():
    with pytest.raises(ValueError, match="share the cell"):
        SomMap([(0, 0), (0, 0)], np.zeros((2, 1)))
