"""Figures of sweeps: variants beside each other, the best one plain to see."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dbgsom_core.experiments.trackers import Ranking, SweepView, Variant
from dbgsom_plugins.figures.sweeps import ParallelCoordinates, SweepHeatmap


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
    with pytest.raises(ValueError, match="parallel_coordinates shows more"):
        SweepHeatmap().draw(many)
    with pytest.raises(ValueError, match="'rate' has 30"):
        SweepHeatmap(x="rate").draw(many)
    drawn(ParallelCoordinates().draw(many))
    alone = sweep([variant({}, 0.5)])
    for kind in (SweepHeatmap, ParallelCoordinates):
        with pytest.raises(ValueError, match=r"varies|one"):
            kind().draw(alone)


def test_every_variant_is_a_line_and_the_best_one_is_thick():
    axes = drawn(ParallelCoordinates().draw(grid())).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 5]  # 3 keys, 2 measures
    assert len(lines) == 12
    thick = [line for line in lines if line.get_linewidth() > 2]
    assert len(thick) == 1
    assert thick[0].get_ydata()[3] == 1  # the greatest accuracy
    assert {"width", "kernel", "pull", "accuracy"} <= set(texts(axes))
    assert {"gaussian", "bubble", "true", "false", "0.5", "10"} <= set(texts(axes))


@pytest.mark.parametrize("kind", [SweepHeatmap, ParallelCoordinates])
def test_several_data_sets_have_a_panel_each_and_names_are_plain_text(kind):
    other = sweep([variant({r"$\frac{": "_a\n\x1b[0m" * 9}, 0.3), variant({r"$\frac{": "b"}, 0.2)])
    both = sweep(grid().rankings[0].variants, more=other.rankings)
    figure = drawn(kind().draw(both))
    assert len([axes for axes in figure.axes if axes.texts]) == 2
    shown = " ".join(text for axes in figure.axes for text in texts(axes))
    assert "\x1b" not in shown


@pytest.mark.parametrize("kind", [SweepHeatmap, ParallelCoordinates])
def test_variants_without_the_measure_are_left_out(kind):
    lacking = Variant("v", {"width": 7.0}, {}, {}, ())
    ranking = grid().rankings[0]
    some = Ranking("iris", ranking.measures, "maximize", [*ranking.variants, lacking])
    drawn(kind().draw(SweepView([some])))
    with pytest.raises(ValueError, match="no variant has test/accuracy"):
        kind().draw(SweepView([Ranking("iris", ranking.measures, "maximize", [lacking] * 2)]))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_are_the_darkest_in_both_figures_of_a_sweep(direction):
    ranking = grid().rankings[0]
    variants = ranking.variants if direction == "maximize" else ranking.variants[::-1]
    view = SweepView([Ranking("iris", ranking.measures, direction, variants)])
    cells = SweepHeatmap().draw(view).axes[0].images[0].get_array()
    lines = ParallelCoordinates().draw(view).axes[0].lines
    colours = np.array([line.get_color()[:3] for line in lines if len(line.get_xdata()) == 5])
    darkest = cells.reshape(-1, 3)[np.argmin(cells.sum(axis=2))]
    thick = next(line for line in lines if line.get_linewidth() > 2).get_color()[:3]
    assert thick == pytest.approx(colours[np.argmin(colours.sum(axis=1))])
    assert thick == pytest.approx(darkest)


@pytest.mark.parametrize(
    ("end", "others", "place"),
    [("greater", (1.0, 3.0), 1), ("less", (1.0, 3.0), 0), ("0", (-3.0, -1.0), 1),
     ("0", (-1, 1), None), ("", (1.0, 3.0), None), ("less", (2.0, 2.0), None)],
)  # fmt: skip
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_good_end_of_a_measure_is_said(direction, end, others, place):
    names = ["test/accuracy", "test/other"]
    variants = [
        Variant("v", {"width": i}, dict(zip(names, (i / 10, other), strict=True)), {}, ())
        for i, other in enumerate(others)
    ]
    ranking = Ranking("iris", names, direction, variants, ends={"test/other": end})
    axes = drawn(ParallelCoordinates().draw(SweepView([ranking]))).axes[0]
    found = {
        round(text.get_position()[0]): text.get_position()[1] > 0.5
        for text in axes.texts
        if text.get_text() == "best"
    }
    expected = {1: direction == "maximize"} | ({} if place is None else {2: place == 1})
    assert found == expected


def test_variants_that_are_all_alike_have_no_colour_bar():
    figure = drawn(ParallelCoordinates().draw(sweep([variant({"a": i}, 0.7) for i in (1, 2)])))
    assert len(figure.axes) == 1
    assert "best" not in texts(figure.axes[0])
