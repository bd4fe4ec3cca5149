"""Planes, stars, pies, meshes and curves: what they show is what the map and the data hold."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures._drawing import map_sheet
from dbgsom_plugins.figures.cell_pictures import ClassPies, VariableStars
from dbgsom_plugins.figures.component_planes import ComponentPlanes, by_likeness
from dbgsom_plugins.figures.curves import TopographicFunctionCurve
from dbgsom_plugins.figures.data_projection import DataProjection
from dbgsom_plugins.figures.label_map import PcaRgb, Region, regions, write_names
from dbgsom_plugins.figures.neuron_values import UStarMatrix, densities, u_star
from dbgsom_plugins.metrics.norms import Euclidean

CELLS = [(-3, 2), (-2, 2), (-3, 3), (-2, 3), (-1, 3), (-1, 4), (-1, 5)]
ALL = [
    ComponentPlanes, VariableStars, ClassPies, PcaRgb, DataProjection, UStarMatrix,
    TopographicFunctionCurve,
]  # fmt: skip


def view(n_neurons=7, d=3, estimator="classifier", **more):
    rng = np.random.default_rng(n_neurons)
    cells = CELLS[:n_neurons] if n_neurons <= 7 else [(i % 45, i // 45) for i in range(n_neurons)]
    prototypes = rng.normal(size=(n_neurons, d))
    if n_neurons > 2:
        prototypes[-1] = 100.0  # wins nothing
    som_map = SomMap(cells, prototypes)
    X = np.repeat(prototypes[: max(1, n_neurons - 1)], 4, axis=0)
    X = X + 0.01 * rng.normal(size=X.shape)
    y = np.arange(len(X)) % 3
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()), y=y)
    labels = np.arange(n_neurons) if estimator == "vq" else np.arange(n_neurons) % 3
    names = {0: "oak", 1: r"$\frac{", 2: "_elm" * 20}
    return MapView(
        evaluation, labels, (), estimator, label_names=names, **{"title": "a run", **more}
    )


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("n_neurons", [2, 7, 900])
def test_a_page_holds_all_that_is_drawn(kind, n_neurons, drawn):
    figure = drawn(kind().draw(view(n_neurons, title="word " * 60)))
    width, height = figure.get_size_inches()
    assert 3 < width < 11
    assert 2 < height < 11
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@pytest.mark.parametrize("kind", ALL)
def test_odd_data_are_drawn(kind, rng, drawn):
    shown = view(4)
    X = np.array(shown.evaluation.X)
    X[::3, 1] = np.nan
    gaps = replace(shown.evaluation, data=LocalEngine().over(X, Euclidean()))
    drawn(kind().draw(replace(shown, evaluation=gaps)))
    same = SomMap(CELLS[:4], np.ones((4, 3)))
    flat = Evaluation(same, LocalEngine().over(np.ones((6, 3)), Euclidean()), y=np.zeros(6, int))
    drawn(kind().draw(replace(shown, evaluation=flat)))


def test_a_figure_that_cannot_be_drawn_says_why():
    for kind in (UStarMatrix, TopographicFunctionCurve):
        with pytest.raises(ValueError, match="one"):
            kind().draw(view(1))
    with pytest.raises(ValueError, match="have one"):
        DataProjection().draw(view(4, d=1))
    with pytest.raises(ValueError, match="these data have none"):
        ClassPies().draw(replace(view(), evaluation=replace(view().evaluation, y=None)))
    many = replace(view(30).evaluation, y=np.arange(116))
    with pytest.raises(ValueError, match="up to 20 classes"):
        ClassPies().draw(replace(view(), evaluation=many))
    with pytest.raises(ValueError, match="unknown variable 'lenght'; did you mean 'length'"):
        ComponentPlanes(variables=("lenght",)).draw(view(feature_names=["length", "a", "b"]))
    with pytest.raises(ValueError, match="1 to 12 variables"):
        VariableStars(variables=("a",) * 13).draw(view())


def test_planes_show_the_prototypes_in_an_order_of_likeness(drawn):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 50))
    columns = np.column_stack([one, other, one + 0.1, 2 * other, one**3])
    order = by_likeness(columns)
    assert sorted(order) == list(range(5))
    assert abs(order.index(1) - order.index(3)) == 1
    assert {order.index(0), order.index(2), order.index(4)} in ({0, 1, 2}, {2, 3, 4})
    figure = drawn(ComponentPlanes().draw(view(feature_names=["a", "b", "c"])))
    panels = [axes for axes in figure.axes if axes.collections and len(axes.texts)]
    assert sorted(axes.texts[0].get_text() for axes in panels) == ["a", "b", "c"]


def test_the_most_telling_of_many_variables_are_shown_with_a_note(told, drawn):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 40))
    X[:, 7] = np.repeat([0.0, 50.0], 100)
    prototypes = np.vstack([X[:100].mean(axis=0), X[100:].mean(axis=0)])
    evaluation = Evaluation(SomMap(CELLS[:2], prototypes), LocalEngine().over(X, Euclidean()))
    shown = MapView(evaluation, np.arange(2), ())
    figure = drawn(ComponentPlanes(most=4).draw(shown))
    assert "4 of 40 variables" in " ".join(told(figure))
    assert "feature 7" in told(figure)
    assert "6 of 40 variables" in " ".join(told(VariableStars().draw(shown)))


def test_stars_show_variables_that_the_map_was_not_trained_on(told, drawn):
    shown = view(4, feature_names=["a", "b", "c"])
    extra = np.where(shown.evaluation.bmu == 0, np.nan, shown.evaluation.bmu.astype(float))
    shown = replace(shown, variables={"age": extra})
    figure = drawn(VariableStars(variables=("age", "b")).draw(shown))
    wedges = figure.axes[0].collections[-1]
    live = shown.evaluation.hits > 0
    assert len(wedges.get_paths()) == 2 * live.sum() - 1  # the first neuron has no age
    assert any(text.startswith("age: 1 … 2") for text in told(figure))


def test_pies_hold_the_classes_that_were_won(drawn):
    shown = view(3)
    counts = [np.bincount(shown.evaluation.y[shown.evaluation.bmu == k]) for k in range(2)]
    figure = drawn(ClassPies().draw(shown))
    slices = next(c for c in figure.axes[0].collections[::-1] if isinstance(c, PolyCollection))
    assert len(slices.get_paths()) == sum(np.count_nonzero(one) for one in counts)
    areas = [abs(_area(path.vertices)) for path in slices.get_paths()]
    shares = np.concatenate([one[one > 0] for one in counts]) / shown.evaluation.hits.max()
    np.testing.assert_allclose(areas, shares * np.pi * 0.44**2, rtol=0.05)


def _area(corners):
    x, y = corners.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def test_the_mesh_lies_over_the_data(drawn):
    shown = view(4, d=2, feature_names=["width", "height"])
    figure = drawn(DataProjection().draw(shown))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "height")
    mesh = next(c for c in axes.collections if isinstance(c, LineCollection))
    ends = np.array([path.vertices for path in mesh.get_paths()])
    prototypes = shown.evaluation.som_map.prototypes
    np.testing.assert_allclose(ends, prototypes[shown.evaluation.som_map.edges()])
    dots = np.vstack(
        [c.get_offsets() for c in axes.collections if not isinstance(c, LineCollection)]
    )
    np.testing.assert_allclose(
        np.unique(dots, axis=0), np.unique(np.vstack([shown.evaluation.X, prototypes]), axis=0)
    )


def test_the_mesh_of_many_features_is_that_of_two_components(told, drawn):
    shown = view(5, d=6)
    figure = drawn(DataProjection(most=7).draw(shown))
    assert "7 of 16 samples" in " ".join(told(figure))
    assert "1st component" in figure.axes[0].get_xlabel()
    X = shown.evaluation.X
    values = np.linalg.svd(X - X.mean(axis=0))[1] ** 2
    assert f"{100 * values[0] / values.sum():.0f} %" in figure.axes[0].get_xlabel()


def test_dense_neurons_are_low_in_the_u_star_matrix():
    """Ultsch (2003): the mean density leaves a height as it is, the greatest makes it 0."""
    evaluation = view(7).evaluation
    heights = evaluation.som_map.mean_over_links(evaluation.prototype_distances)
    density, found = densities(evaluation), u_star(evaluation)
    assert found[density.argmax()] == pytest.approx(0, abs=1e-12)
    assert (found >= -1e-12).all()
    sparse, dense = density < density.mean(), density > density.mean()
    assert (found[sparse] > heights[sparse]).all()
    assert (found[dense] < heights[dense]).all()


def test_regions_are_linked_neurons_of_one_label_that_won_something():
    som_map = SomMap.rectangle(1, 6, np.zeros((6, 1)))
    labels, hits = np.array([0, 0, 1, 0, 0, 0]), np.array([3, 1, 2, 4, 0, 5])
    found = regions(som_map, labels, ["a", "b"], hits)
    assert sorted((one.name, one.weight) for one in found) == [
        ("a", 4.0), ("a", 4.0), ("a", 5.0), ("b", 2.0),
    ]  # fmt: skip
    assert all(one.place in {(float(x), 0.0) for x in range(6)} for one in found)


def test_clusters_of_a_map_without_labels_are_called_by_what_they_stand_out_in(told, drawn):
    grid = np.stack(np.meshgrid(np.arange(9), np.arange(6)), axis=-1).reshape(-1, 2)
    left = grid[:, 0] < 4
    X = np.column_stack([np.where(left, 0.0, 9.0), np.where(left, 2.0, 0.0), np.arange(54) / 99])
    beside = np.array([0.4, 0.4, 0.0])
    data = LocalEngine().over(np.vstack([X + beside, X - beside]), Euclidean())
    evaluation = Evaluation(SomMap(grid, X), data)
    names = ("price of a bottle", "hue", "_$x$")
    shown = MapView(evaluation, np.arange(len(X)), (), feature_names=names)
    figure = drawn(PcaRgb().draw(shown))
    written = {text.get_text() for text in figure.axes[0].texts}
    assert written == {"low price of a\nbottle,\nhigh hue", "high price of a\nbottle,\nlow hue"}
    assert "in which a cluster of neurons differs most" in " ".join(told(figure))
    for other in (replace(shown, feature_names=()), replace(shown, image_shape=(1, 3))):
        figure = PcaRgb().draw(other)
        assert not figure.axes[0].texts
        assert "differs most" not in " ".join(told(figure))


def test_names_never_overlap_and_stay_on_the_map(rng, drawn):
    sheet = map_sheet(view(900), "names")
    places = rng.uniform(0, 44, size=(300, 2)) * (1, 19 / 44)
    named = [
        Region("to " * int(rng.integers(1, 6)), (float(x), float(y)), 30.0, float(rng.integers(90)))
        for x, y in places
    ]
    written = write_names(sheet, named)
    drawn(sheet.figure)
    assert 10 < len(written) < 300
    renderer = sheet.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in sheet.axes.texts]
    panel = sheet.axes.get_window_extent(renderer)
    for i, box in enumerate(boxes):
        assert panel.x0 - 1 <= box.x0 < box.x1 <= panel.x1 + 1
        assert panel.y0 - 3 <= box.y0 < box.y1 <= panel.y1 + 3
        assert not any(box.shrunk(0.98, 0.98).overlaps(other) for other in boxes[:i])
