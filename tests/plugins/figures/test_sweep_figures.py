"""Figures of sweeps: variants beside each other, the best one plain to see."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dbgsom_core.experiments.trackers import Ranking, SweepView, Variant
from dbgsom_plugins.figures.sweeps import SweepHeatmap


def variant(varies, accuracy):
    return Variant("v", varies, {"test/accuracy": accuracy, "test/quantization_error": 2.0}, {}, ())


def sweep(variants, data="iris", more=()):
    variants = sorted(variants, key=lambda one: -one.measures["test/accuracy"])
    one = Ranking(data, ["test/accuracy", "test/quantization_error"], "maximize", variants)
    return SweepView([one, *more], "a sweep")


def grid():
    return sweep(
        variant({"width": width, "kernel": kernel, "pull": pull}, width / 10 + 0.1 * pull)
        for width in (0.5, 1.0, 10)
        for kernel in ("gaussian", "bubble")
        for pull in (True, False)
    )


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02
    return figure


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_heatmap_shows_the_best_of_the_variants_that_share_a_cell():
    axes = drawn(SweepHeatmap().draw(grid())).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("width", "kernel")
    assert [one.get_text() for one in axes.get_xticklabels()] == ["0.5", "1.0", "10"]
    assert sorted(texts(axes)) == sorted(["0.15", "0.20", "1.10"] * 2)


def test_the_sides_of_the_heatmap_may_be_given():
    axes = drawn(SweepHeatmap(x="pull", y="width").draw(grid())).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("pull", "width")
    assert [one.get_text() for one in axes.get_xticklabels()] == ["false", "true"]
    with pytest.raises(ValueError, match="nothing varies as 'hight'; what does: width, kernel"):
        SweepHeatmap(y="hight").draw(grid())


def test_what_a_heatmap_cannot_show_is_told(rng):
    many = sweep(variant({"rate": float(rate)}, 0.5) for rate in range(30))
    with pytest.raises(ValueError, match="2 to 24 values"):
        SweepHeatmap().draw(many)
    with pytest.raises(ValueError, match="'rate' has 30"):
        SweepHeatmap(x="rate").draw(many)
    alone = sweep([variant({}, 0.5)])
    with pytest.raises(ValueError, match=r"varies|one"):
        SweepHeatmap().draw(alone)


def test_several_data_sets_have_a_panel_each_and_names_are_plain_text():
    other = sweep([variant({r"$\frac{": "_a\n\x1b[0m" * 9}, 0.3), variant({r"$\frac{": "b"}, 0.2)])
    both = sweep(grid().rankings[0].variants, more=other.rankings)
    figure = drawn(SweepHeatmap().draw(both))
    assert len([axes for axes in figure.axes if axes.texts]) == 2
    shown = " ".join(text for axes in figure.axes for text in texts(axes))
    assert "\x1b" not in shown


def test_variants_without_the_measure_are_left_out():
    lacking = Variant("v", {"width": 7.0}, {}, {}, ())
    ranking = grid().rankings[0]
    some = Ranking("iris", ranking.measures, "maximize", [*ranking.variants, lacking])
    drawn(SweepHeatmap().draw(SweepView([some])))
    with pytest.raises(ValueError, match="no variant has test/accuracy"):
        SweepHeatmap().draw(
            SweepView([Ranking("iris", ranking.measures, "maximize", [lacking] * 2)])
        )


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_cell_is_the_darkest(direction):
    ranking = grid().rankings[0]
    variants = ranking.variants if direction == "maximize" else ranking.variants[::-1]
    view = SweepView([Ranking("iris", ranking.measures, direction, variants)])
    axes = SweepHeatmap().draw(view).axes[0]
    cells = axes.images[0].get_array().sum(axis=2)
    row, column = np.unravel_index(np.argmin(cells), cells.shape)
    best = "1.10" if direction == "maximize" else "0.05"
    assert best in [t.get_text() for t in axes.texts if t.get_position() == (column, row)]
