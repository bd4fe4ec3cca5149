"""Data of one column lie on a line: in order, as near to them as a chain of that size."""

import numpy as np
import pytest

from dbgsom_core import SomVQ
from dbgsom_core.som_map.grid import LINE

FIXED_ROW = {"name": "fixed", "rows": 1, "columns": 9}


@pytest.fixture(scope="module")
def column():
    """Two separate groups of numbers, 200 in all."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-3, 0.5, 60), rng.normal(2, 1, 140)])[:, None]


def test_one_column_is_in_order_and_no_farther_than_from_a_chain(column):
    grown = SomVQ(random_state=0).fit(column)
    assert grown.som_map_.grid is LINE
    steps = np.diff(grown.weights_[np.argsort(grown.som_map_.positions[:, 0]), 0])
    assert (steps > 0).all() or (steps < 0).all()
    assert grown.topographic_error_ == 0
    growth = {"name": "fixed", "rows": 1, "columns": len(grown.weights_)}
    chain = SomVQ(growth=growth, kernel={"name": "gaussian", "end": 0.3}).fit(column)
    assert grown.quantization_error_ < 1.1 * chain.quantization_error_


@pytest.mark.parametrize(
    ("growth", "grid"),
    [(FIXED_ROW, "hexagonal"), ({"name": "directed", "reference": True}, "square")],
    ids=str,
)
def test_growth_that_has_rows_or_needs_them_lies_on_no_line(growth, grid, column):
    som = SomVQ(growth=growth, epochs=4).fit(column)
    assert som.som_map_.grid.name == grid
    som.partial_fit(column[:20])  # and goes on upon them


@pytest.mark.parametrize(
    ("growth", "grid"),
    [
        ("directed", "hexagonal"),
        ("growing_grid", "square"),
        ({"name": "hierarchical", "base": {"name": "growing_grid"}}, "square"),
        ({"name": "fixed", "rows": 5, "columns": 4, "wrap": True}, "square"),
    ],
    ids=str,
)
def test_more_columns_have_hexagons_where_these_can_be(growth, grid, column):
    plane = np.column_stack([column, np.abs(column)])
    som_map = SomVQ(growth=growth, epochs=4).fit(plane).som_map_
    assert som_map.grid.name == grid
    assert (som_map.grid.torus is None) == ("wrap" not in growth)


def test_more_columns_have_a_line_by_name_alone(column):
    plane = np.column_stack([column, np.abs(column)])
    som = SomVQ(grid="line", epochs=10).fit(plane)
    assert som.som_map_.shape == (1, len(som.weights_))


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        ("fixed", "a line has one row, and the map starts with 8 × 10 neurons: take rows 1"),
        ({**FIXED_ROW, "wrap": True}, "a line cannot be closed to a torus"),
    ],
    ids=["rows", "torus"],
)
def test_what_cannot_lie_on_a_line_is_refused_before_training(growth, told, column):
    with pytest.raises(ValueError, match=told):
        SomVQ(grid="line", growth=growth).fit(column)
