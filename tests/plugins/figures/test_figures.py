"""What figures promise: all of it is there, readable, on every grid; nothing is changed."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures._drawing import cell_centres, map_sheet
from dbgsom_plugins.figures._names import Region, regions, write_names
from dbgsom_plugins.figures._texts import numbers, shortened, text_width
from dbgsom_plugins.figures.cell_pictures import ClassPies, PrototypeImages, VariableStars, mosaic
from dbgsom_plugins.figures.component_planes import ComponentPlanes, by_likeness
from dbgsom_plugins.figures.curves import GrowthCurve
from dbgsom_plugins.figures.label_map import ChildMaps, LabelMap, PcaRgb
from dbgsom_plugins.figures.neuron_values import (
    DensityMap,
    HitMap,
    UMatrix,
    u_matrix,
)
from dbgsom_plugins.figures.projections import DataProjection
from dbgsom_plugins.metrics.norms import Euclidean

MAPS = [LabelMap, HitMap, UMatrix, DensityMap, PrototypeImages]
ALL = [*MAPS, GrowthCurve]
CELLS = [(-3, 2), (-2, 2), (-3, 3), (-2, 3), (-1, 3), (-1, 4), (-1, 5)]
OTHERS = [
    ComponentPlanes, VariableStars, ClassPies, PcaRgb, DataProjection,
]  # fmt: skip
LONG = "od280/od315_of_diluted_wines"


def small(n_neurons=7, d=3, estimator="classifier", **more):
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


def view_of(som_map):
    X = np.repeat(som_map.prototypes, 2, axis=0)
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    labels = np.arange(len(som_map)) % 3
    return MapView(evaluation, labels, (), "vq", None, {}, title="t", image_shape=(1, 3))


def ragged(n_neurons, rng):
    positions = [(-3, 2), (-2, 2), (-3, 3), (-2, 3)]
    taken = set(positions)
    while len(positions) < n_neurons:
        x, y = positions[rng.integers(len(positions))]
        dx, dy = ((0, 1), (0, -1), (1, 0), (-1, 0))[rng.integers(4)]
        if (x + dx, y + dy) not in taken:
            positions.append((x + dx, y + dy))
            taken.add(positions[-1])
    return positions[:n_neurons]


def history(fine=True):
    births = (GrowthEvent(2, 0, (0, 2)), GrowthEvent(2, 1, (1, 2)))
    return [
        EpochRecord(
            epoch, 6, "fine" if fine and epoch > 4 else "growing", 1.0, 4 if epoch < 2 else 6,
            births if epoch == 2 else (), 2.0 / epoch, 0.1, 0.1,
        )
        for epoch in range(1, 7)
    ]  # fmt: skip


def view(n_neurons=12, estimator="classifier", n_classes=3, names=None, **more):
    rng = np.random.default_rng(n_neurons)
    prototypes = rng.normal(size=(n_neurons, 3))
    prototypes[-1] = 100.0  # wins nothing
    som_map = SomMap(ragged(n_neurons, rng), prototypes)
    X = np.repeat(prototypes[:-1], 3, axis=0) if n_neurons > 1 else prototypes - 1
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    labels = rng.integers(n_classes, size=n_neurons)
    probabilities = None
    if estimator == "vq":
        labels = np.arange(n_neurons)
    elif estimator == "regressor":
        labels = rng.normal(size=n_neurons)
    else:
        probabilities = rng.dirichlet(np.ones(n_classes), size=n_neurons)
    return MapView(
        evaluation,
        labels,
        history(),
        estimator,
        probabilities,
        names or {},
        **{"title": "a run", "image_shape": (1, 3), **more},
    )


def on_the_page(figure):
    width, height = figure.get_size_inches()
    assert 3 < width < 11
    assert 2 < height < 11
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@pytest.mark.parametrize("n_neurons", [1, 2, 7, 400])
@pytest.mark.parametrize("kind", [*ALL, *OTHERS])
def test_a_page_holds_all_that_is_drawn(kind, n_neurons, drawn):
    if kind in (UMatrix, DensityMap):
        n_neurons = max(2, n_neurons)  # what they say of one neuron is tested elsewhere
    make = view if kind in ALL else small
    on_the_page(drawn(kind().draw(make(n_neurons, title="word " * 60))))


@pytest.mark.parametrize("estimator", ["vq", "regressor"])
def test_labels_of_any_kind_are_drawn(estimator, drawn):
    on_the_page(drawn(LabelMap().draw(view(40, estimator))))


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("shape", [(1, 100), (60, 1), (3, 40)])
def test_long_maps_keep_to_the_page(kind, shape, drawn):
    rng = np.random.default_rng(0)
    som_map = SomMap.rectangle(*shape, rng.normal(size=(shape[0] * shape[1], 3)))
    on_the_page(drawn(kind().draw(view_of(som_map))))


@pytest.mark.parametrize("kind", ALL)
def test_title_and_caption_name_the_run_its_neurons_and_its_error(kind, told):
    shown = " ".join(told(kind().draw(view(12))))
    assert "a run" in shown
    assert "12 neurons" in shown
    assert "1 without hits" in shown
    assert "quantization error 0" in shown


@pytest.mark.parametrize("kind", ALL)
def test_drawing_changes_nothing(kind, drawn):
    shown = view(12)
    som_map = shown.evaluation.som_map
    before = [
        a.copy() for a in (som_map.prototypes, shown.neuron_labels, shown.neuron_probabilities)
    ]
    drawn(kind().draw(shown))
    after = (som_map.prototypes, shown.neuron_labels, shown.neuron_probabilities)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_pyplot_is_never_imported():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from dbgsom_plugins.figures import cell_pictures, curves, projections\n"
        "from dbgsom_plugins.figures import label_map, neuron_values\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib.figure, matplotlib.colorbar, matplotlib.collections\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, *sys.path], check=True)


@pytest.mark.parametrize("kind", [LabelMap, HitMap, DensityMap, PrototypeImages])
def test_only_existing_cells_are_filled_and_they_are_square(kind, drawn):
    figure = drawn(kind().draw(view(12)))
    cells = next(c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    assert len(cells.get_paths()) == 12
    assert np.isfinite(cells.get_facecolors()).all()
    corners = figure.axes[0].transData.transform([(0, 0), (1, 1)])
    assert np.ptp(corners[:, 0]) == pytest.approx(np.ptp(corners[:, 1]), rel=1e-6)
    low, high = figure.axes[0].get_ylim()
    assert low < high  # y goes up


NAMES = {
    "an escape": ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
    "a broken formula": (r"$\frac{", r"$\frac{"),
    "a formula": ("$x_1$", "$x_1$"),
    "reading backwards": ("txt\u202egnp.exe", r"txt\u202egnp.exe"),
    "lines": ("a\nb\r\n\tc\u2028d", "a b c d"),
    "an underscore first": ("_nolegend_", "_nolegend_"),
    "a LaTeX command": (r"\input{/etc/x}", r"\input{/etc/x}"),
    "a braced field": ("{x:{y}} %s", "{x:{y}} %s"),
}


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize("kind", [LabelMap, ChildMaps])
def test_names_of_data_are_plain_text(kind, what, drawn):
    name, shown = NAMES[what]
    figure = kind().draw(view(4, n_classes=1, names={0: name}, title=f"{name} run"))
    key = figure.legends[0].get_texts()[0].get_text()
    cells = [text for text in figure.axes[0].texts if text.get_text()]
    assert (key, cells[0].get_text(), figure.texts[1].get_text()) == (shown, shown, f"{shown} run")
    plain = [*figure.texts, *figure.legends[0].get_texts(), *cells]
    assert not any(text.get_parse_math() or text.get_usetex() for text in plain)
    drawn(figure)


@pytest.mark.parametrize("letter", ["W", "i", "@", "é", "\u0301", "\x00"])
@pytest.mark.parametrize("kind", [LabelMap, ChildMaps])
def test_names_of_any_length_keep_to_the_page_and_to_their_cells(kind, letter, drawn):
    names = {0: letter * 300, 1: letter * 8, 2: "a"}
    figure = drawn(kind().draw(view(30, names=names, title=letter * 300)))
    page = figure.bbox
    lines = [*figure.texts, *figure.legends[0].get_texts()]
    for text in lines:
        assert text.get_window_extent().x1 <= page.x1
    assert "…" in figure.texts[1].get_text()
    cell = np.ptp(figure.axes[0].transData.transform([(0, 0), (1, 1)])[:, 0])
    widest = figure.axes[0].bbox.width if kind is LabelMap else cell  # names of whole regions
    for text in figure.axes[0].texts:
        assert text.get_window_extent().width <= widest


FORTY = "a name of a class as long as forty: {:04d}"


@pytest.mark.parametrize("n_classes", [3, 12, 20, 60])
@pytest.mark.parametrize("shape", [(14, 12), (6, 6), (40, 1)])
def test_long_names_are_neither_cut_nor_overlap(n_classes, shape, rng, drawn):
    k = shape[0] * shape[1]
    som_map = SomMap.rectangle(*shape, rng.normal(size=(k, 3)))
    X = np.repeat(som_map.prototypes, 2, axis=0)
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    labels = np.arange(k) * n_classes // k
    names = {i: FORTY.format(i) for i in range(n_classes)}
    shown = MapView(evaluation, labels, (), "classifier", label_names=names, title="t")
    figure = drawn(LabelMap().draw(shown))
    used = [names[i] for i in np.unique(labels)]
    assert len(used[0]) == 40
    key = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert key == [f"{i} · {name}" for i, name in enumerate(used, 1)] or key == used
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    texts = [text.get_window_extent(renderer) for text in figure.legends[0].get_texts()]
    assert max(box.x1 for box in texts) <= figure.bbox.x1
    assert legend.y0 >= 0
    written = figure.axes[0].texts
    if key != used:
        places = {str(i) for i in range(1, len(used) + 1)}
        assert {text.get_text() for text in written} == places
    boxes = [*texts, *(text.get_window_extent(renderer) for text in written)]
    for i, box in enumerate(boxes):
        assert not any(box.shrunk(0.9, 0.9).overlaps(other) for other in boxes[:i])


def test_dead_neurons_are_hatched_and_carry_no_text():
    figure = LabelMap().draw(view(12))
    hatched = [c for c in figure.axes[0].collections if c.get_hatch()]
    assert len(hatched) == 1
    assert len(hatched[0].get_paths()) == 1
    assert len(figure.axes[0].texts) == 11


def test_the_hit_map_writes_the_counts():
    shown = view(12)
    written = [int(text.get_text()) for text in HitMap().draw(shown).axes[0].texts]
    assert written == [count for count in shown.evaluation.hits.tolist() if count]


def four_neurons():
    """Neurons at 0, 1, 3 and 7 on a square; the last one wins nothing."""
    som_map = SomMap.rectangle(2, 2, [[0.0], [1.0], [3.0], [7.0]])
    X = np.array([[0.0], [0.4], [1.1], [2.8], [3.0], [3.2]])
    return MapView(Evaluation(som_map, LocalEngine().over(X, Euclidean())), np.arange(4), ())


def test_the_density_map_writes_hits_per_mean_distance_to_linked_neurons():
    figure = DensityMap().draw(four_neurons())
    written = [float(text.get_text()) for text in figure.axes[0].texts]
    assert written == pytest.approx([2 / 2, 1 / 3.5, 3 / 3.5], abs=5e-3)


@pytest.mark.parametrize("kind", [HitMap, UMatrix, LabelMap, ComponentPlanes])
def test_an_extreme_corner_leaves_the_colours_to_the_others(kind, rng, told, drawn):
    corner = np.append(np.zeros(35), 1.0)
    som_map = SomMap.rectangle(6, 6, rng.normal(size=(36, 2)) + 60 * corner[:, None])
    X = np.repeat(som_map.prototypes, np.where(corner, 400, rng.integers(5, 15, 36)), axis=0)
    X = X + rng.normal(size=X.shape) * np.where(X[:, :1] > 30, 8, 0.3)
    answers = rng.normal(size=36) + 60 * corner
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    shown = MapView(evaluation, answers, (), "regressor", feature_names=("a", "b"))
    figure = drawn(kind().draw(shown))
    texts = " ".join(told(figure))
    if kind is ComponentPlanes:
        greatest = som_map.prototypes.max(axis=0)
        assert all(f"({one:.1f})" in texts for one in greatest)
        assert "stand in brackets" in texts
    else:
        assert re.search(r"Cells beyond the colour scale: \d+. Values go from \S+ to \d", texts)
    cells = next(one for one in figure.axes[0].collections if isinstance(one, PolyCollection))
    light = cells.get_facecolors()[:35, :3].sum(axis=1)
    assert np.ptp(light) > 1  # of 3


def test_images_stand_upright_at_the_cells_of_their_neurons():
    prototypes = np.arange(18.0).reshape(3, 6)
    som_map = SomMap([(5, 5), (6, 5), (5, 6)], prototypes)
    canvas = mosaic(som_map, (2, 3), som_map.prototypes)
    assert canvas.shape == (2 * 5, 2 * 5)  # a side of 3 and a margin of 1
    upper, lower = canvas[:5], canvas[5:]
    for cell, image in ((lower[:, :5], 0), (lower[:, 5:], 1), (upper[:, :5], 2)):
        np.testing.assert_array_equal(cell[1:3, 1:4], prototypes[image].reshape(2, 3))
        assert np.isfinite(cell).sum() == 6
    assert np.isnan(upper[:, 5:]).all()


def test_the_u_matrix_shows_link_lengths_between_and_their_means_on_neurons():
    som_map = SomMap([(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)], [[0.0], [1.0], [3.0], [6.0], [7.0]])
    distances = np.abs(som_map.prototypes - som_map.prototypes.T)
    matrix = u_matrix(som_map, distances)
    squares = {tuple(c): v for c, v in zip(matrix.centres.tolist(), matrix.values, strict=True)}
    assert squares[0.5, 0.0] == 1
    assert squares[0.0, 0.5] == 3
    assert squares[1.5, 1.0] == 1
    assert squares[0.0, 0.0] == pytest.approx((1 + 3) / 2)
    assert squares[1.0, 1.0] == pytest.approx((5 + 3 + 1) / 3)
    assert squares[0.5, 0.5] == pytest.approx((1 + 3 + 5 + 3) / 4)
    assert len(squares) == 5 + 5 + 1


def test_the_growth_curve_shows_errors_neurons_births_and_the_fine_phase(told, drawn):
    figure = drawn(GrowthCurve().draw(view()))
    errors, neurons, births = figure.axes
    assert errors.lines[0].get_ydata().tolist() == [2.0 / epoch for epoch in range(1, 7)]
    assert neurons.lines[0].get_ydata().tolist() == [4, 6, 6, 6, 6, 6]
    assert [bar.get_height() for bar in births.patches[:6]] == [0, 2, 0, 0, 0, 0]
    assert errors.get_title("right") == "shaded: fine-tuning"


@pytest.mark.parametrize("kind", [*MAPS, ChildMaps])
def test_maps_of_hexagons_are_drawn_as_hexagons(kind, hexagonal, drawn):
    shown = view(12)
    flat = shown.evaluation.som_map
    som_map = SomMap(flat.positions, flat.prototypes, hexagonal)
    evaluation = Evaluation(som_map, shown.evaluation.data)
    figure = drawn(kind().draw(replace(shown, evaluation=evaluation)))
    cells = next(c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    corners = [path.vertices[:-1] for path in cells.get_paths()]
    assert {len(ends) for ends in corners} == {6}
    size = 0.5 if kind is UMatrix else 1.0
    middles = np.array([ends.mean(axis=0) for ends in corners[:12]])
    if kind is not ChildMaps:  # which moves maps about
        np.testing.assert_allclose(middles, som_map.plane_positions, atol=1e-9)
    apart = np.linalg.norm(corners[0] - middles[0], axis=1)
    np.testing.assert_allclose(apart, size / 3**0.5)
    (left, right), (low, high) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    ends = np.vstack(corners)
    assert (ends.min(axis=0) >= (left - 1e-9, low - 1e-9)).all()
    assert (ends.max(axis=0) <= (right + 1e-9, high + 1e-9)).all()


@pytest.mark.parametrize("kind", OTHERS)
def test_odd_data_are_drawn(kind, rng, drawn):
    shown = small(4)
    X = np.array(shown.evaluation.X)
    X[::3, 1] = np.nan
    gaps = replace(shown.evaluation, data=LocalEngine().over(X, Euclidean()))
    drawn(kind().draw(replace(shown, evaluation=gaps)))
    same = SomMap(CELLS[:4], np.ones((4, 3)))
    flat = Evaluation(same, LocalEngine().over(np.ones((6, 3)), Euclidean()), y=np.zeros(6, int))
    drawn(kind().draw(replace(shown, evaluation=flat)))


def test_a_figure_that_cannot_be_drawn_says_why():
    for kind in (UMatrix, DensityMap):
        with pytest.raises(ValueError, match="one"):
            kind().draw(small(1))
    with pytest.raises(ValueError, match="have one"):
        DataProjection().draw(small(4, d=1))
    with pytest.raises(ValueError, match="these data have none"):
        ClassPies().draw(replace(small(), evaluation=replace(small().evaluation, y=None)))
    many = replace(small(30).evaluation, y=np.arange(116))
    with pytest.raises(ValueError, match="up to 20 classes"):
        ClassPies().draw(replace(small(), evaluation=many))
    with pytest.raises(ValueError, match="unknown variable 'lenght'; did you mean 'length'"):
        ComponentPlanes(variables=("lenght",)).draw(small(feature_names=["length", "a", "b"]))
    with pytest.raises(ValueError, match="1 to 12 variables"):
        VariableStars(variables=("a",) * 13).draw(small())


def test_planes_show_the_prototypes_in_an_order_of_likeness(drawn):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 50))
    columns = np.column_stack([one, other, one + 0.1, 2 * other, one**3])
    order = by_likeness(columns)
    assert sorted(order) == list(range(5))
    assert abs(order.index(1) - order.index(3)) == 1
    assert {order.index(0), order.index(2), order.index(4)} in ({0, 1, 2}, {2, 3, 4})
    figure = drawn(ComponentPlanes().draw(small(feature_names=["a", "b", "c"])))
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
    shown = small(4, feature_names=["a", "b", "c"])
    extra = np.where(shown.evaluation.bmu == 0, np.nan, shown.evaluation.bmu.astype(float))
    shown = replace(shown, variables={"age": extra})
    figure = drawn(VariableStars(variables=("age", "b")).draw(shown))
    wedges = figure.axes[0].collections[-1]
    live = shown.evaluation.hits > 0
    assert len(wedges.get_paths()) == 2 * live.sum() - 1  # the first neuron has no age
    assert any(text.startswith("age: 1 … 2") for text in told(figure))


def test_pies_hold_the_classes_that_were_won(drawn):
    shown = small(3)
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
    shown = small(4, d=2, feature_names=["width", "height"])
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
    shown = small(5, d=6)
    figure = drawn(DataProjection(most=7).draw(shown))
    assert "7 of 16 samples" in " ".join(told(figure))
    assert "1st component" in figure.axes[0].get_xlabel()
    X = shown.evaluation.X
    values = np.linalg.svd(X - X.mean(axis=0))[1] ** 2
    assert f"{100 * values[0] / values.sum():.0f} %" in figure.axes[0].get_xlabel()


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
    assert written == {"low price of a bottle,\nhigh hue", "high price of a bottle,\nlow hue"}
    assert "in which a cluster of neurons differs most" in " ".join(told(figure))
    for other in (replace(shown, feature_names=()), replace(shown, image_shape=(1, 3))):
        figure = PcaRgb().draw(other)
        assert not figure.axes[0].texts
        assert "differs most" not in " ".join(told(figure))


def test_names_never_overlap_and_stay_on_the_map(rng, drawn):
    sheet = map_sheet(small(900), "names")
    places = rng.uniform(0, 44, size=(300, 2)) * (1, 19 / 44)
    named = [
        Region("to " * int(rng.integers(1, 6)), (float(x), float(y)), 30.0, float(rng.integers(90)))
        for x, y in places
    ]
    written = write_names(sheet, named)
    figure = drawn(sheet.page.figure)
    assert 10 < len(written) < 300
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in sheet.axes.texts]
    panel = sheet.axes.get_window_extent(renderer)
    for i, box in enumerate(boxes):
        assert panel.x0 - 1 <= box.x0 < box.x1 <= panel.x1 + 1
        assert panel.y0 - 3 <= box.y0 < box.y1 <= panel.y1 + 3
        assert not any(box.shrunk(0.98, 0.98).overlaps(other) for other in boxes[:i])


def outlines(figure):
    return [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]


@pytest.mark.parametrize("kind", [LabelMap, HitMap, UMatrix, DensityMap])
def test_a_line_is_a_row_of_squares_that_can_be_told_apart(kind, drawn):
    row = SomMap.rectangle(1, 24, np.random.default_rng(0).normal(size=(24, 1)), LINE)
    figure = drawn(kind().draw(view_of(row)))
    figure.canvas.draw()
    (line,) = outlines(figure)
    ends = np.concatenate(line.get_segments())
    (left, low), (right, high) = figure.axes[0].transData.transform([ends.min(0), ends.max(0)])
    assert right - left > 20 * 24  # pixels
    across = np.ptp(ends, axis=0)
    assert (right - left) / (high - low) == pytest.approx(across[0] / across[1])


@pytest.mark.parametrize("kind", [*MAPS, ChildMaps])
@pytest.mark.parametrize("flat", [SQUARE, HEXAGONAL], ids=lambda grid: grid.name)
def test_joined_sides_of_a_torus_are_dashed_and_told(kind, flat, told, drawn):
    prototypes = np.random.default_rng(0).normal(size=(24, 3))
    for grid in (flat, flat.closed(4, 6)):
        figure = drawn(kind().draw(view_of(SomMap.rectangle(4, 6, prototypes, grid))))
        joined = [text for text in told(figure) if text.startswith("A torus: dashed sides")]
        assert len(joined) == (grid.torus is not None)
        (line,) = outlines(figure)
        assert (line.get_linestyle()[0][1] is not None) == (grid.torus is not None)


def inside(points, corners):
    """Which points (n, 2) lie in a convex polygon whose corners go against the clock."""
    to, away = np.roll(corners, -1, axis=0) - corners, points[:, None] - corners
    return (to[:, 0] * away[..., 1] - to[:, 1] * away[..., 0] > 0).all(axis=1)


@pytest.mark.parametrize("grid", [SQUARE, HEXAGONAL], ids=lambda grid: grid.name)
def test_marks_and_images_stay_inside_of_their_cells(grid, drawn):
    som_map = SomMap.rectangle(3, 4, np.random.default_rng(0).normal(size=(12, 9)), grid)
    som_map.children[5] = SomMap.rectangle(2, 2, np.zeros((4, 9)), grid)
    view = replace(view_of(som_map), image_shape=(3, 3))
    figure = drawn(HitMap().draw(view))
    marks = [one for one in figure.axes[0].collections if isinstance(one, PolyCollection)][-1]
    (place,) = som_map.plane_positions[[5]]
    for path in marks.get_paths():
        assert inside(path.vertices[:4] - place, np.array(grid.corners)).all()
    canvas = mosaic(som_map, (3, 3), som_map.prototypes)
    (image,) = PrototypeImages().draw(view).axes[0].images
    left, right, bottom, top = image.get_extent()
    row, column = np.nonzero(~np.isnan(canvas))
    x = left + (right - left) * (column + 0.5) / canvas.shape[1]
    y = top - (top - bottom) * (row + 0.5) / canvas.shape[0]
    points = np.column_stack([x, y])
    shown = sum(
        inside(points - place, np.array(grid.corners)).sum() for place in som_map.plane_positions
    )
    assert shown == len(points) == 12 * 9


@pytest.fixture(scope="module")
def flat():
    """A map of one row, with a neuron that wins nothing."""
    rng = np.random.default_rng(0)
    prototypes = np.array([[0.0, 5], [1, 3], [2, 2], [3, 1], [99, 99]])
    som_map = SomMap.rectangle(1, 5, prototypes)
    X = np.repeat(prototypes[:4], 5, axis=0) + 0.1 * rng.normal(size=(20, 2))
    evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
    return MapView(evaluation, np.arange(5), (), feature_names=[LONG, "hue"], title="flat")


@pytest.mark.parametrize(
    "name", ["a name of a variable as long as this, {}", "{} of all of the variables", LONG + "{}"]
)
@pytest.mark.parametrize("kind", [ComponentPlanes, VariableStars])
def test_long_names_are_told_apart_by_either_end(kind, name, flat, told):
    names = [name.format(which) for which in ("first", "other")]
    texts = " ".join(told(kind().draw(replace(flat, feature_names=names))))
    assert "first" in texts
    assert "other" in texts
    for room in (0.0, 9.0, 60.0, 120.0):
        assert 8 * text_width(shortened(names[0], room, 8)) <= max(room, 8 * text_width("…"))
    assert shortened("Region=Nord", 120, 8) == "Region=Nord"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 20.0], ["1", "20"]),
        ([-1e-17, 15.81], ["0.0", "15.8"]),
        ([0.0012, 0.0034], ["0.00120", "0.00340"]),
        ([0.5, 0.5], ["0.500", "0.500"]),
        ([1.5e9, 2.5e9 + 0.5], ["1.5e+09", "2.5e+09"]),
        ([1.5e-9, 2.5e-9], ["1.5e-09", "2.5e-09"]),
    ],
)
def test_numbers_have_as_many_decimals_each(values, words):
    assert numbers(values, 3) == words


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
