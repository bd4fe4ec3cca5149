"""What readers stumbled over: keys, words and numbers that could not be read."""

from dataclasses import replace

import numpy as np
import pytest

from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures._drawing import cell_centres, fold_note, text_width
from dbgsom_plugins.figures._variables import fitting_name
from dbgsom_plugins.figures.cell_pictures import PrototypeImages, VariableStars
from dbgsom_plugins.figures.component_planes import ComponentPlanes
from dbgsom_plugins.figures.label_map import LabelMap
from dbgsom_plugins.figures.neuron_values import DensityMap, HitMap, UStarMatrix
from dbgsom_plugins.figures.u_matrix import UMatrix
from dbgsom_plugins.metrics.norms import Euclidean

LONG = "od280/od315_of_diluted_wines"


@pytest.fixture(scope="module")
def flat():
    """A map of one row, with a neuron that wins nothing."""
    rng = np.random.default_rng(0)
    prototypes = np.array([[0.0, 5], [1, 3], [2, 2], [3, 1], [99, 99]])
    som_map = SomMap.rectangle(1, 5, prototypes)
    X = np.repeat(prototypes[:4], 5, axis=0) + 0.1 * rng.normal(size=(20, 2))
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    return MapView(evaluation, np.arange(5), (), feature_names=[LONG, "hue"], title="flat")


def test_categories_of_one_column_are_told_apart_where_names_are_cut(flat, told, drawn):
    column = "Zufriedenheit mit allem und jedem, was es gibt"
    names = [f"{column}=teils/teils", f"{column}=unzufrieden"]
    planes = told(ComponentPlanes().draw(replace(flat, feature_names=names)))
    stars = drawn(VariableStars().draw(replace(flat, feature_names=names)))
    for words in (planes, [text.get_text() for text in stars.legends[0].get_texts()]):
        shown = [word for word in words if word.startswith("Zuf")]
        assert ["…=teils" in word for word in shown] == [True, False]
        assert ["…=unzuf" in word for word in shown] == [False, True]
    for name in (*names, "a=b", "=b", "a=", LONG, "x" * 90 + "=" + "y" * 90):
        for room in (60.0, 120.0):
            assert 8 * text_width(fitting_name(name, room, 8)) <= room
    assert fitting_name("Region=Nord", 120, 8) == "Region=Nord"


def test_a_map_of_few_samples_has_their_names(flat, told):
    names = np.array([f"animal {i}" for i in range(20)])
    texts = told(LabelMap().draw(replace(flat, sample_ids=names)))
    first = np.argsort(flat.evaluation.distance[:5], kind="stable")[:3]
    assert "\n".join([*names[first], "and 2 more"]) in texts
    assert any("Names are those of the samples" in text for text in texts)
    for ids in (np.arange(20), None, np.array(["x" * 200] * 20)):
        texts = told(LabelMap().draw(replace(flat, sample_ids=ids)))
        written = ids is not None and ids.dtype.kind == "U"
        assert ("0" in texts) is not written
        assert any("Names are those" in text for text in texts) is written


def test_values_are_those_of_the_data_where_they_are_known(flat, told):
    own = replace(flat, undo=lambda X: 10 * X + 7, image_shape=(1, 2))
    planes = told(ComponentPlanes().draw(own))
    assert "7 … 997" in planes
    shared = ComponentPlanes(scale="shared").draw(own)
    assert shared.axes[-1].get_ylim() == pytest.approx((0, 99))  # as the map sees them
    (picture,) = PrototypeImages().draw(own).axes[0].images
    assert np.nanmax(picture.get_array()) == 997


@pytest.mark.parametrize(("rows", "columns"), [(1, 60), (60, 1), (1, 300)])
def test_a_long_row_is_drawn_in_lines(rows, columns, told, drawn):
    n = rows * columns
    values = np.arange(n, dtype=float)[:, None]
    som_map = SomMap.rectangle(rows, columns, values)
    places = cell_centres(som_map)
    order = np.lexsort([places[:, 0], -places[:, 1]])  # as one reads
    assert len(np.unique(places, axis=0)) == n
    x, y = som_map.plane_positions.T
    assert (order == np.lexsort([x, -y])).all()
    lines, counts = np.unique(places[:, 1], return_counts=True)
    assert max(counts) <= 22
    assert (np.diff(lines) == 1.5).all()
    step = np.diff(places[order], axis=0)
    assert np.count_nonzero((step == [1, 0]).all(axis=1)) == n - len(lines)
    X = np.repeat(values, 2, axis=0)
    view = MapView(Evaluation(som_map, LocalEngine().over(X, Euclidean())), np.arange(n), ())
    note = f"The map is one {'row' if rows == 1 else 'column'} of {n}, drawn in {len(lines)} lines"
    for figure in (HitMap(), UMatrix(), ComponentPlanes()):
        made = drawn(figure.draw(view))
        assert any(text.startswith(note) for text in told(made))
        box = made.axes[0].get_position()
        assert box.height * made.get_figheight() > 0.1 * box.width * made.get_figwidth()
    boxes = [path.get_extents() for path in made.axes[0].collections[0].get_paths()]
    assert all(box.width == pytest.approx(box.height) for box in boxes)


def test_short_and_broad_maps_are_drawn_as_they_lie():
    for rows, columns in ((1, 22), (22, 1), (2, 60), (1, 1)):
        som_map = SomMap.rectangle(rows, columns, np.zeros((rows * columns, 1)))
        assert np.array_equal(cell_centres(som_map), som_map.plane_positions)
        assert fold_note(som_map) == []


@pytest.mark.parametrize("figure", [UMatrix(), UStarMatrix(), DensityMap()])
def test_what_needs_two_neurons_says_so(figure):
    som_map = SomMap.rectangle(1, 1, np.zeros((1, 2)))
    evaluation = Evaluation(som_map, LocalEngine().over(np.ones((5, 2)), Euclidean()))
    with pytest.raises(ValueError, match="distances between neurons, and there is one"):
        figure.draw(MapView(evaluation, np.zeros(1, int), ()))
