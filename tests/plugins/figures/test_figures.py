"""What the figures promise: everything is there, nothing is changed, no global state."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent
from dbgsom_core.interfaces.figures import MapView
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.figures.cell_pictures import PrototypeImages, mosaic
from dbgsom_plugins.figures.child_maps import ChildMaps
from dbgsom_plugins.figures.curves import GrowthCurve
from dbgsom_plugins.figures.label_map import LabelMap
from dbgsom_plugins.figures.neuron_values import DensityMap, ErrorMap, HitMap
from dbgsom_plugins.figures.u_matrix import UMatrix, u_matrix
from dbgsom_plugins.metrics.norms import Euclidean

MAPS = [LabelMap, HitMap, UMatrix, ErrorMap, DensityMap, PrototypeImages]
ALL = [*MAPS, GrowthCurve]


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


@pytest.mark.parametrize(
    ("kind", "estimator"),
    [(kind, "classifier") for kind in ALL] + [(LabelMap, "vq"), (LabelMap, "regressor")],
)
@pytest.mark.parametrize("n_neurons", [1, 2, 4, 40, 400])
def test_a_map_of_any_size_is_drawn(kind, estimator, n_neurons, drawn):
    if kind in (UMatrix, DensityMap):  # what they say of one neuron is tested elsewhere
        n_neurons = max(2, n_neurons)
    figure = drawn(kind().draw(view(n_neurons, estimator)))
    width, height = figure.get_size_inches()
    assert 3 < width < 11
    assert 2 < height < 11
    for axes in figure.axes:
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("shape", [(1, 100), (60, 1), (3, 40)])
def test_long_maps_keep_to_the_page(kind, shape, drawn):
    rng = np.random.default_rng(0)
    som_map = SomMap.rectangle(*shape, rng.normal(size=(shape[0] * shape[1], 3)))
    data = LocalEngine().over(rng.normal(size=(90, 3)), Euclidean())
    labels = rng.integers(20, size=len(som_map))
    shown = MapView(Evaluation(som_map, data), labels, (), "classifier", image_shape=(1, 3))
    figure = drawn(kind().draw(shown))
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


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
        "from dbgsom_plugins.figures import cell_pictures, child_maps, curves, dots\n"
        "from dbgsom_plugins.figures import label_map, neuron_values, u_matrix\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib.figure, matplotlib.colorbar, matplotlib.collections\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, *sys.path], check=True)


@pytest.mark.parametrize("kind", [LabelMap, HitMap, ErrorMap, DensityMap, PrototypeImages])
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
    assert figure.texts[1].get_text().endswith("…")
    cell = np.ptp(figure.axes[0].transData.transform([(0, 0), (1, 1)])[:, 0])
    widest = figure.axes[0].bbox.width if kind is LabelMap else cell  # names of whole regions
    for text in figure.axes[0].texts:
        assert text.get_window_extent().width <= widest


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


def test_the_error_map_writes_mean_distances():
    figure = ErrorMap().draw(four_neurons())
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == ["0.200", "0.100", "0.133"]  # (0 + 0.4)/2, 0.1, (0.2 + 0 + 0.2)/3


def test_the_density_map_writes_hits_per_mean_distance_to_linked_neurons():
    figure = DensityMap().draw(four_neurons())
    written = [float(text.get_text()) for text in figure.axes[0].texts]
    assert written == pytest.approx([2 / 2, 1 / 3.5, 3 / 3.5], abs=5e-3)


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
    assert {"growing", "fine-tuning"} <= set(told(figure))


def test_the_growth_curve_without_history_says_so(told, drawn):
    shown = view()
    figure = GrowthCurve().draw(MapView(shown.evaluation, shown.neuron_labels, ()))
    assert "No epochs were recorded." in told(drawn(figure))


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
