"""Figures of one map: all of it is there, readable, on every grid; nothing is changed."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from dbgsom_core import SomVQ
from dbgsom_core.interfaces.context import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.grid import HEXAGONAL, LINE, SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures._drawing import cell_centres
from dbgsom_plugins.figures._style import numbers
from dbgsom_plugins.figures.curves import GrowthCurve
from dbgsom_plugins.figures.label_map import ChildMaps, LabelMap, Names, PcaRgb
from dbgsom_plugins.figures.neuron_values import DensityMap, HitMap, UMatrix, u_matrix
from dbgsom_plugins.figures.projections import DataProjection
from dbgsom_plugins.figures.variables import (
    ClassPies,
    ComponentPlanes,
    PrototypeImages,
    VariableStars,
    mosaic,
)
from dbgsom_plugins.metrics.norms import Euclidean

CELLS = [LabelMap, HitMap, UMatrix, DensityMap, PrototypeImages]
FIGURES = [
    *CELLS, GrowthCurve, ComponentPlanes, VariableStars, ClassPies, PcaRgb, DataProjection,
]  # fmt: skip
BIRTHS = (GrowthEvent(2, 0, (0, 2)), GrowthEvent(2, 1, (1, 2)))
HISTORY = [
    EpochRecord(
        epoch, 6, "fine" if epoch > 4 else "growing", 1.0, 4 if epoch < 2 else 6,
        BIRTHS if epoch == 2 else (), 2.0 / epoch, 0.1, 0.1,
    )
    for epoch in range(1, 7)
]  # fmt: skip


def random_map(rows, columns, grid=SQUARE, n_features=3):
    rng = np.random.default_rng(rows)
    return SomMap.rectangle(rows, columns, rng.normal(size=(rows * columns, n_features)), grid)


def ragged(n_neurons, grid=SQUARE):
    """Return a map of any shape whose last neuron wins nothing."""
    rng = np.random.default_rng(n_neurons)
    cells = [(-3, 2)]
    while len(cells) < n_neurons:
        beside = grid.beside(cells[rng.integers(len(cells))])
        cell = beside[rng.integers(len(beside))]
        if cell not in cells:
            cells.append(cell)
    prototypes = rng.normal(size=(n_neurons, 3))
    prototypes[-1] = 100.0
    return SomMap(cells, prototypes, grid)


def evaluate(som_map, X=None, **more):
    """Return an evaluation by three samples of each prototype, but for the far ones."""
    if X is None:
        near = som_map.prototypes[som_map.prototypes[:, 0] < 99]
        X = np.repeat(near, 3, axis=0) + 0.01 * np.arange(3 * len(near))[:, None] % 0.03
    return Evaluation(som_map, LocalEngine().over(X, Euclidean()), **more)


def view_of(som_map, labels=None, estimator="classifier", y=None, **more):
    evaluation = evaluate(som_map)
    y = np.arange(evaluation.data.n) % 3 if y is None else y
    labels = np.arange(len(som_map)) % 3 if labels is None else labels
    given = {"title": "a run", "image_shape": (1, som_map.prototypes.shape[1]), **more}
    return MapView(replace(evaluation, y=y), labels, HISTORY, estimator, **given)


def of_samples(som_map, X, **more):
    return MapView(evaluate(som_map, X), np.arange(len(som_map)), (), **more)


def cells_of(figure):
    return next(part for part in figure.axes[0].collections if isinstance(part, PolyCollection))


def extents(texts):
    return [text.get_window_extent() for text in texts]


def assert_apart(boxes):
    for i, box in enumerate(boxes):
        assert not any(box.shrunk(0.9, 0.9).overlaps(other) for other in boxes[:i])


MAPS = {
    "two neurons": SomMap([(0, 0), (1, 0)], [[0.0, 1, 2], [100.0, 1, 2]]),
    "ragged hexagons": ragged(12, HEXAGONAL),
    "many": ragged(300),
    "torus": random_map(4, 6, HEXAGONAL.closed(4, 6)),
    "row": random_map(1, 100),
    "line": random_map(1, 24, LINE),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("kind", FIGURES)
def test_every_figure_shows_every_map_on_its_page_and_changes_nothing(kind, name, texts_of, drawn):
    view = view_of(MAPS[name], title="word " * 60)
    before = MAPS[name].prototypes.copy(), view.neuron_labels.copy()
    figure = drawn(kind().draw(view))
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert max(width, height) < 11
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    texts = " ".join(texts_of(figure))
    assert "word word" in texts
    assert f"{len(MAPS[name])} neurons" in texts
    np.testing.assert_array_equal(MAPS[name].prototypes, before[0])
    np.testing.assert_array_equal(view.neuron_labels, before[1])


@pytest.mark.parametrize("estimator", ["vq", "regressor"])
def test_labels_that_are_no_classes_are_drawn(estimator, drawn):
    labels = np.arange(40) if estimator == "vq" else np.linspace(-1, 1, 40)
    drawn(LabelMap().draw(view_of(ragged(40), labels, estimator)))


@pytest.mark.parametrize("grid", [SQUARE, HEXAGONAL], ids=lambda grid: grid.name)
@pytest.mark.parametrize("kind", [*CELLS, ChildMaps])
def test_cells_have_the_corners_of_their_grid_and_lie_where_their_neurons_do(kind, grid, drawn):
    som_map = ragged(12, grid)
    axes = drawn(kind().draw(view_of(som_map))).axes[0]
    corners = [path.vertices[:-1] for path in cells_of(axes.figure).get_paths()]
    assert np.isfinite(cells_of(axes.figure).get_facecolors()).all()
    if kind is not ChildMaps:  # which moves maps about
        middles = np.array([ends.mean(axis=0) for ends in corners[:12]])
        np.testing.assert_allclose(middles, som_map.plane_positions, atol=1e-9)
    if kind is not UMatrix:  # which has smaller cells between them
        assert len(corners) == 12
        assert {len(ends) for ends in corners} == {grid.degree}
    right, up = np.diff(axes.transData.transform([(0, 0), (1, 1)]), axis=0)[0]
    assert right == pytest.approx(up)


NAMES = {
    "\x1b[31mred\x07": r"\x1b[31mred\x07",
    r"$\frac{": r"$\frac{",
    "txt\u202egnp.exe": r"txt\u202egnp.exe",
    "a\nb\r\n\tc\u2028d": "a b c d",
    "_nolegend_": "_nolegend_",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_data_are_plain_text(name, drawn):
    labels = np.zeros(4, int)
    view = view_of(ragged(4), labels, label_names={0: name}, title=f"{name} run")
    figure = drawn(LabelMap().draw(view))
    (key,) = figure.legends[0].get_texts()
    cell = next(text for text in figure.axes[0].texts if text.get_text())
    title = figure.texts[1]
    shown = NAMES[name]
    assert [text.get_text() for text in (key, cell, title)] == [shown, shown, f"{shown} run"]
    assert not any(text.get_parse_math() or text.get_usetex() for text in (key, cell, title))


@pytest.mark.parametrize("n_classes", [3, 20, 60])
@pytest.mark.parametrize("shape", [(14, 12), (40, 1)])
def test_long_names_are_neither_cut_nor_overlap(n_classes, shape, drawn):
    som_map = random_map(*shape)
    labels = np.arange(len(som_map)) * n_classes // len(som_map)
    names = [f"a name of a class as long as forty: {i:04d}" for i in range(n_classes)]
    view = view_of(som_map, labels, label_names=dict(enumerate(names)))
    figure = drawn(LabelMap().draw(view))
    used = [names[i] for i in np.unique(labels)]
    entries = figure.legends[0].get_texts()
    key = [text.get_text().replace("\n", " ") for text in entries]
    assert key in ([f"{i} · {name}" for i, name in enumerate(used, 1)], used)
    boxes = extents(entries)
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert figure.legends[0].get_window_extent().y0 >= 0
    assert_apart([*boxes, *extents(figure.axes[0].texts)])


def test_neurons_without_hits_are_hatched_and_carry_no_text():
    figure = LabelMap().draw(view_of(ragged(12)))
    (hatched,) = [part for part in figure.axes[0].collections if part.get_hatch()]
    assert len(hatched.get_paths()) == 1
    assert len(figure.axes[0].texts) == 11


@pytest.mark.parametrize(
    ("kind", "values"), [(HitMap, [2, 1, 3]), (DensityMap, [2 / 2, 1 / 3.5, 3 / 3.5])]
)
def test_cells_say_their_hits_or_these_over_the_mean_distance_to_linked_neurons(kind, values):
    som_map = SomMap.rectangle(2, 2, [[0.0], [1.0], [3.0], [7.0]])  # the last wins nothing
    X = np.array([[0.0], [0.4], [1.1], [2.8], [3.0], [3.2]])
    figure = kind().draw(of_samples(som_map, X))
    written = [float(text.get_text()) for text in figure.axes[0].texts]
    assert written == pytest.approx(values, abs=5e-3)


@pytest.mark.parametrize(
    ("kind", "words"), [(HitMap, "Cells beyond the colour"), (ComponentPlanes, "stand in brackets")]
)
def test_an_extreme_corner_leaves_the_colours_to_the_others(kind, words, rng, texts_of):
    som_map = SomMap.rectangle(6, 6, rng.normal(size=(36, 2)))
    som_map.prototypes[-1] += 60
    X = np.repeat(som_map.prototypes, [*rng.integers(2, 20, 35), 400], axis=0)
    figure = kind().draw(of_samples(som_map, X, feature_names=("a", "b")))
    assert words in " ".join(texts_of(figure))
    light = cells_of(figure).get_facecolors()[:35, :3].sum(axis=1)
    assert np.ptp(light) > 1  # of 3


def test_images_stand_upright_at_the_cells_of_their_neurons():
    prototypes = np.arange(18.0).reshape(3, 6)
    som_map = SomMap([(5, 5), (6, 5), (5, 6)], prototypes)
    canvas = mosaic(som_map, (2, 3), som_map.prototypes)
    assert canvas.shape == (2 * 5, 2 * 5)  # a side of 3 and a margin of 1
    upper, lower = canvas[:5], canvas[5:]
    for cell, image in ((lower[:, :5], 0), (lower[:, 5:], 1), (upper[:, :5], 2)):
        np.testing.assert_array_equal(cell[1:3, 1:4], prototypes[image].reshape(2, 3))
    assert np.isnan(upper[:, 5:]).all()


def test_the_u_matrix_shows_link_lengths_between_and_their_means_on_neurons():
    som_map = SomMap([(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)], [[0.0], [1.0], [3.0], [6.0], [7.0]])
    matrix = u_matrix(som_map, np.abs(som_map.prototypes - som_map.prototypes.T))
    squares = {tuple(c): v for c, v in zip(matrix.centres.tolist(), matrix.values, strict=True)}
    assert (squares[0.5, 0.0], squares[0.0, 0.5], squares[1.5, 1.0]) == (1, 3, 1)
    assert squares[0.0, 0.0] == pytest.approx((1 + 3) / 2)
    assert squares[1.0, 1.0] == pytest.approx((5 + 3 + 1) / 3)
    assert squares[0.5, 0.5] == pytest.approx((1 + 3 + 5 + 3) / 4)
    assert len(squares) == 5 + 5 + 1


def test_the_growth_curve_shows_errors_neurons_births_and_the_fine_phase():
    errors, neurons, births = GrowthCurve().draw(view_of(ragged(12))).axes
    assert errors.lines[0].get_ydata().tolist() == [2.0 / epoch for epoch in range(1, 7)]
    assert neurons.lines[0].get_ydata().tolist() == [4, 6, 6, 6, 6, 6]
    assert [bar.get_height() for bar in births.patches[:6]] == [0, 2, 0, 0, 0, 0]
    assert errors.get_title("right") == "shaded: fine-tuning"


@pytest.mark.parametrize("kind", FIGURES)
def test_missing_values_and_prototypes_that_are_all_alike_are_drawn(kind, drawn):
    view = view_of(ragged(4))
    X = np.array(view.evaluation.X)
    X[::3, 1] = np.nan
    gaps = replace(view.evaluation, data=LocalEngine().over(X, Euclidean()))
    drawn(kind().draw(replace(view, evaluation=gaps)))
    drawn(kind().draw(view_of(SomMap.rectangle(2, 2, np.ones((4, 3))))))


@pytest.mark.parametrize(
    ("figure", "view", "words"),
    [
        (UMatrix(), view_of(random_map(1, 1)), "one"),
        (DensityMap(), view_of(random_map(1, 1)), "one"),
        (DataProjection(), view_of(random_map(2, 2, n_features=1)), "have one"),
        (ClassPies(), view_of(ragged(12), y=np.arange(33)), "up to 20 classes"),
        (ClassPies(), of_samples(ragged(4), np.zeros((5, 3))), "these data have none"),
        (VariableStars(variables=("a",) * 13), view_of(ragged(4)), "1 to 12 variables"),
        (
            ComponentPlanes(variables=("lenght",)),
            view_of(ragged(4), feature_names=["length", "a", "b"]),
            "'lenght'; did you mean 'length'",
        ),
    ],
)
def test_a_figure_that_cannot_be_drawn_says_why(figure, view, words):
    with pytest.raises(ValueError, match=words):
        figure.draw(view)


def test_planes_of_like_variables_stand_beside_each_other():
    first, second = np.random.default_rng(0).normal(size=(2, 50))
    columns = np.column_stack([first, second, first + 0.1, 2 * second])
    view = view_of(SomMap.rectangle(5, 10, columns), feature_names=["a", "b", "c", "d"])
    panels = [axes for axes in ComponentPlanes().draw(view).axes if axes.texts]
    names = [axes.texts[0].get_text() for axes in panels]
    assert abs(names.index("a") - names.index("c")) == 1
    assert abs(names.index("b") - names.index("d")) == 1


def test_the_most_telling_of_many_variables_are_shown_with_a_note(texts_of):
    X = np.random.default_rng(1).normal(size=(200, 40))
    X[:, 7] = np.repeat([0.0, 50.0], 100)
    prototypes = np.vstack([X[:100].mean(axis=0), X[100:].mean(axis=0)])
    view = of_samples(SomMap([(0, 0), (1, 0)], prototypes), X)
    texts = texts_of(ComponentPlanes(most=4).draw(view))
    assert "4 of 40 variables" in " ".join(texts)
    assert "feature 7" in texts
    assert "6 of 40 variables" in " ".join(texts_of(VariableStars().draw(view)))


def test_stars_show_variables_that_the_map_was_not_trained_on(texts_of):
    view = view_of(ragged(4), feature_names=["a", "b", "c"])
    age = np.where(view.evaluation.bmu == 0, np.nan, view.evaluation.bmu.astype(float))
    figure = VariableStars(variables=("age", "b")).draw(replace(view, variables={"age": age}))
    wedges = figure.axes[0].collections[-1]
    assert len(wedges.get_paths()) == 2 * 3 - 1  # the first neuron has no age
    assert any(text.startswith("age: 1 … 2") for text in texts_of(figure))


def test_pies_hold_the_classes_that_were_won():
    view = view_of(ragged(3), y=np.array([0, 0, 1, 2, 2, 2]))
    figure = ClassPies().draw(view)
    slices = next(c for c in figure.axes[0].collections[::-1] if isinstance(c, PolyCollection))
    corners = [path.vertices.T for path in slices.get_paths()]
    areas = [abs(0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) for x, y in corners]
    shares = np.array([2, 1, 3]) / 3
    np.testing.assert_allclose(areas, shares * np.pi * 0.44**2, rtol=0.05)


def test_the_mesh_lies_over_the_data_of_two_features_or_components(texts_of):
    som_map = random_map(2, 2, n_features=2)
    axes = DataProjection().draw(view_of(som_map, feature_names=["width", "height"])).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "height")
    mesh = next(part for part in axes.collections if isinstance(part, LineCollection))
    ends = np.array([path.vertices for path in mesh.get_paths()])
    np.testing.assert_allclose(ends, som_map.prototypes[som_map.edges()])
    view = view_of(random_map(2, 2, n_features=6))
    figure = DataProjection(most=7).draw(view)
    assert "7 of 12 samples" in " ".join(texts_of(figure))
    X = view.evaluation.X
    values = np.linalg.svd(X - X.mean(axis=0))[1] ** 2
    label = figure.axes[0].get_xlabel()
    assert "1st component" in label
    assert f"{100 * values[0] / values.sum():.0f} %" in label


def test_clusters_of_a_map_without_labels_are_called_by_what_they_stand_out_in(texts_of):
    grid = np.stack(np.meshgrid(np.arange(9), np.arange(6)), axis=-1).reshape(-1, 2)
    left = grid[:, 0] < 4
    X = np.column_stack([np.where(left, 0.0, 9.0), np.where(left, 2.0, 0.0), np.arange(54) / 99])
    beside = np.array([0.4, 0.4, 0.0])
    names = ("price of a bottle", "hue", "_$x$")
    view = of_samples(SomMap(grid, X), np.vstack([X + beside, X - beside]), feature_names=names)
    figure = PcaRgb().draw(view)
    written = {text.get_text() for text in figure.axes[0].texts}
    assert written == {"low price of a bottle,\nhigh hue", "high price of a bottle,\nlow hue"}
    assert "in which a cluster of neurons differs most" in " ".join(texts_of(figure))
    assert not PcaRgb().draw(replace(view, feature_names=())).axes[0].texts


@pytest.mark.parametrize("flat", [SQUARE, HEXAGONAL], ids=lambda grid: grid.name)
def test_joined_sides_of_a_torus_are_dashed_and_explained(flat, texts_of):
    for grid in (flat, flat.closed(4, 6)):
        figure = HitMap().draw(view_of(random_map(4, 6, grid)))
        closed = grid.torus is not None
        explained = [text for text in texts_of(figure) if text.startswith("A torus: dashed sides")]
        assert len(explained) == closed
        (line,) = [part for part in figure.axes[0].collections if isinstance(part, LineCollection)]
        assert (line.get_linestyle()[0][1] is not None) == closed


@pytest.mark.parametrize("kind", [ComponentPlanes, VariableStars])
def test_long_names_can_be_told_apart_by_either_end(kind, texts_of):
    for name in ("a name of a variable as long as this, {}", "{} of all of the variables"):
        names = [name.format(end) for end in ("first", "second", "third")]
        texts = " ".join(texts_of(kind().draw(view_of(ragged(4), feature_names=names))))
        assert all(end in texts for end in ("first", "second", "third"))


@pytest.mark.parametrize(
    ("values", "words"),
    [([-1e-17, 15.81], ["0.0", "15.8"]), ([1.5e9, 2.5e9 + 0.5], ["1.5e+09", "2.5e+09"])],
)
def test_numbers_of_one_scale_have_as_many_decimals_each(values, words):
    assert numbers(values, 3) == words


def test_a_map_of_few_samples_has_their_names(texts_of):
    som_map = SomMap.rectangle(1, 2, [[0.0, 5], [9, 3]])
    X = np.repeat(som_map.prototypes, 5, axis=0) + np.arange(10)[:, None] % 5
    names = np.array([f"animal {i}" for i in range(10)])
    texts = texts_of(LabelMap().draw(of_samples(som_map, X, sample_ids=names)))
    assert "animal 0\nanimal 1\nanimal 2\n+2" in texts
    assert any("Names are those of the samples" in text for text in texts)
    assert "0" in texts_of(LabelMap().draw(of_samples(som_map, X, sample_ids=np.arange(10))))


@pytest.mark.parametrize("grid", ["square", "hexagonal", "torus"])
def test_names_are_those_of_the_samples_nearest_to_each_prototype(texts_of, rng, grid):
    growth = {"name": "fixed", "rows": 4, "columns": 4, "wrap": grid == "torus"}
    X = rng.normal(size=(90, 3))
    grid = "square" if grid == "torus" else grid
    model = SomVQ(growth=growth, grid=grid, epochs=5).fit(X)
    kinds = np.where(X[:, 0] > 0, "right", "left")
    more = {"annotations": {"kind": kinds}, "variables": {"first": X[:, 0]}}
    view = model._view(model.evaluate(X), **more)
    expected = {name: [] for name in ("row", "kind", "first")}
    distances = np.linalg.norm(X[:, None] - model.weights_, axis=2)
    for neuron in range(16):
        own = np.flatnonzero(distances.argmin(axis=1) == neuron)
        nearest = own[distances[own, neuron].argsort()][:2]
        rest = [f"+{len(own) - 2}"] if len(own) > 2 else []
        expected["row"].append([*map(str, nearest), *rest])
        expected["kind"].append([*dict.fromkeys(kinds[nearest]), *rest] if len(own) else [])
        expected["first"].append([*(f"{value:.4g}" for value in X[nearest, 0]), *rest])
    for name, cells in expected.items():
        texts = texts_of(Names(by=None if name == "row" else name, samples=2).draw(view))
        cells = ["\n".join(lines) for lines in cells if lines]
        assert sorted(text for text in texts if text in cells) == sorted(cells)
    with pytest.raises(ValueError, match="column 'kinds' beside the samples; did you mean 'kind'"):
        Names(by="kinds").draw(view)


def test_longer_texts_stand_as_their_words_and_long_names_are_cut(texts_of):
    som_map = SomMap.rectangle(1, 2, [[0.0, 5], [9, 3]])
    X = np.repeat(som_map.prototypes, 3, axis=0)
    said = ["The tea in this house is good"] * 3 + ["The soup in this house is hot"] * 3
    long = np.array([f"A name that no cell of a map can hold, {i}" for i in range(6)])
    view = of_samples(som_map, X, sample_ids=long, annotations={"said": np.array(said)})
    texts = texts_of(Names(by="said", samples=2).draw(view))
    assert {"good\ntea", "hot\nsoup"} <= {*texts}
    cells = [text.split("\n") for text in texts_of(Names(samples=2).draw(view)) if "…" in text]
    assert [(a[0], a[-1], b[-1], more) for a, b, more in cells] == [
        ("A", "0", "1", "+1"), ("A", "3", "4", "+1"),
    ]  # fmt: skip


def test_cells_that_are_too_small_name_the_neurons_with_most_hits(texts_of, rng):
    som_map = SomMap.rectangle(30, 30, rng.normal(size=(900, 2)))
    names = np.array([f"the sample {i}" for i in range(2000)])
    view = of_samples(som_map, rng.normal(size=(2000, 2)), sample_ids=names)
    texts = texts_of(Names().draw(view))
    written = {*texts} & {*names}
    assert 20 < len(written) < 900
    order = np.lexsort([view.evaluation.distance, view.evaluation.bmu])
    largest = view.evaluation.hits.argmax()
    assert names[order[view.evaluation.bmu[order] == largest][0]] in written
    assert any("Cells are too small" in text for text in texts)


def test_values_are_those_of_the_data_where_they_are_known(texts_of):
    som_map = SomMap.rectangle(1, 3, [[0.0, 5], [3, 1], [99, 99]])
    view = view_of(som_map, undo=lambda X: 10 * X + 7)
    assert "7 … 997" in texts_of(ComponentPlanes().draw(view))
    shared = ComponentPlanes(scale="shared").draw(view)
    assert shared.axes[-1].get_ylim() == pytest.approx((0, 99))  # as the map sees them
    (picture,) = PrototypeImages().draw(view).axes[0].images
    assert np.nanmax(picture.get_array()) == 997


@pytest.mark.parametrize(("rows", "columns", "word"), [(1, 60, "row"), (60, 1, "column")])
def test_a_long_row_is_drawn_in_lines_as_one_reads(rows, columns, word, texts_of):
    som_map = random_map(rows, columns)
    places = cell_centres(som_map)
    order = np.lexsort([places[:, 0], -places[:, 1]])
    x, y = som_map.plane_positions.T
    assert (order == np.lexsort([x, -y])).all()
    lines, counts = np.unique(places[:, 1], return_counts=True)
    assert counts.sum() == len(np.unique(places, axis=0)) == 60
    assert max(counts) <= 22
    note = f"The map is one {word} of 60, drawn in {len(lines)} lines"
    assert any(text.startswith(note) for text in texts_of(HitMap().draw(view_of(som_map))))
