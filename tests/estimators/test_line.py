"""Data of one column lie on a line: in order, as near to them as a chain of that size."""

import numpy as np
import pytest
from sklearn.base import clone

from dbgsom_core import SomClassifier, SomVQ, persistence, presets
from dbgsom_core.som_map.grid import LINE

FIXED_ROW = {"name": "fixed", "rows": 1, "columns": 9}
HIERARCHICAL = {"name": "hierarchical", "base": {"name": "directed", "max_neurons": 4}}
GROWTH = ["directed", "gsom", "growing_grid", HIERARCHICAL]


@pytest.fixture(scope="module")
def column():
    """Two separate groups of numbers, 200 in all."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-3, 0.5, 60), rng.normal(2, 1, 140)])[:, None]


@pytest.fixture(scope="module")
def grown(column):
    """The default's map of them."""
    return SomVQ(random_state=0).fit(column)


def test_one_column_is_in_order_and_no_farther_than_from_a_chain(grown, column):
    assert grown.get_params()["grid"] == "adaptive"
    assert grown.som_map_.grid is LINE
    along = grown.weights_[np.argsort(grown.som_map_.positions[:, 0]), 0]
    assert (np.diff(along) > 0).all() or (np.diff(along) < 0).all()
    assert grown.topographic_error_ == 0
    chain = {"name": "fixed", "rows": 1, "columns": len(along)}
    errors = [
        SomVQ(growth=chain, kernel={"name": "gaussian", "end": end}).fit(column).quantization_error_
        for end in (0.3, 0.5)
    ]
    assert grown.quantization_error_ < 1.1 * min(errors)
    folded = SomVQ(grid="square").fit(column)
    assert grown.quantization_error_ < folded.quantization_error_


@pytest.mark.parametrize("growth", GROWTH, ids=str)
def test_every_strategy_that_grows_has_a_line_that_comes_back_from_files(growth, column, tmp_path):
    y = column[:, 0] > 0
    som = SomClassifier(growth=growth, epochs=12).fit(column, y)
    maps = [som.som_map_, *som.som_map_.children.values()]
    assert len(maps) > 1 or growth != HIERARCHICAL
    assert all(one.grid is LINE and one.shape == (1, len(one)) for one in maps)
    assert len(som.som_map_) > 4 or growth == HIERARCHICAL
    som.save(tmp_path / "line.npz")
    again = persistence.load(tmp_path / "line.npz")
    assert again.som_map_.grid is LINE
    np.testing.assert_array_equal(som.predict_proba(column), again.predict_proba(column))
    again.partial_fit(column[:50], y[:50])
    assert again.som_map_.grid is LINE


@pytest.mark.parametrize(
    "growth",
    [
        FIXED_ROW,
        {"name": "directed", "reference": True},
        {"name": "hierarchical", "base": FIXED_ROW},
    ],
    ids=str,
)
def test_growth_that_has_rows_or_needs_them_lies_on_no_line(growth, column):
    som = SomVQ(growth=growth, epochs=4).fit(column)
    needs_rows = growth["name"] == "directed"
    assert som.som_map_.grid.name == ("square" if needs_rows else "hexagonal")
    som.partial_fit(column[:20])  # and goes on upon them


def test_the_papers_map_is_square_whatever_the_data(column):
    paper = presets.paper(0.7, 8)
    assert paper.grid == "square"
    assert min(paper.fit(column).som_map_.shape) > 1


@pytest.mark.parametrize(
    ("growth", "grid"),
    [
        ("directed", "hexagonal"),
        ("growing_grid", "square"),
        ({"name": "hierarchical", "base": {"name": "growing_grid"}}, "square"),
        ({"name": "fixed", "rows": 4, "columns": 5, "wrap": True}, "hexagonal"),
        ({"name": "fixed", "rows": 5, "columns": 4, "wrap": True}, "square"),
        ({"name": "fixed", "rows": 5, "columns": 4}, "hexagonal"),
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
    bent = SomVQ(grid="line", epochs=30, growth={"name": "directed", "link_pull": 0.7}).fit(plane)
    assert bent.som_map_.shape == (1, len(bent.weights_))
    weaker = clone(bent).set_params(growth__link_pull=0.2).fit(plane)
    assert not np.array_equal(bent.weights_, weaker.weights_)  # where there is something to gain


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
