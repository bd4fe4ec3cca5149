"""The heatmap of a sweep: two parameters that vary, the best variant plain to see."""

import numpy as np
import pytest

from dbgsom_core.experiments.trackers import Ranking, SweepView, Variant
from dbgsom_plugins.figures.sweeps import SweepHeatmap

ACCURACY = "test/accuracy"


def ranking(values, direction="maximize"):
    """Return a ranking of variants, the best one first; ``values`` are parameters and accuracy."""
    variants = [
        Variant("v", varies, {} if accuracy is None else {ACCURACY: accuracy}, {}, ())
        for varies, accuracy in values
    ]
    return Ranking("iris", [ACCURACY], direction, variants)


GRID = [
    ({"width": width, "kernel": kernel, "pull": pull}, width / 10 + 0.1 * pull)
    for width in (10, 1.0, 0.5)
    for kernel in ("gaussian", "bubble")
    for pull in (True, False)
]


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("sides", "labels", "ticks", "values"),
    [
        ({}, ("width", "kernel"), ["0.5", "1.0", "10"], ["0.15", "0.20", "1.10"] * 2),
        (
            {"x": "pull", "y": "width"},
            ("pull", "width"),
            ["false", "true"],
            ["0.1", "0.1", "0.2", "0.2", "1.0", "1.1"],
        ),
    ],
)
def test_cells_show_the_best_of_the_variants_that_share_them(sides, labels, ticks, values, drawn):
    # A variant that was not measured is left out.
    view = SweepView([ranking([*GRID, ({"width": 0.5, "kernel": "bubble", "pull": True}, None)])])
    axes = drawn(SweepHeatmap(**sides).draw(view)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == labels
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks
    assert sorted(texts(axes)) == sorted(values)


@pytest.mark.parametrize(
    ("sides", "values", "words"),
    [
        ({"y": "hight"}, GRID, "nothing varies as 'hight'; what does: width, kernel"),
        ({}, [({"rate": float(rate)}, 0.5) for rate in range(30)], "2 to 24 values"),
        ({"x": "rate"}, [({"rate": float(rate)}, 0.5) for rate in range(30)], "'rate' has 30"),
        ({}, [({}, 0.5)], "varies|one"),
        ({}, [({"width": 1.0}, None), ({"width": 2.0}, None)], f"no variant has {ACCURACY}"),
    ],
)
def test_what_a_heatmap_cannot_show_is_refused(sides, values, words):
    with pytest.raises(ValueError, match=words):
        SweepHeatmap(**sides).draw(SweepView([ranking(values)]))


def test_several_data_sets_have_a_panel_each_and_names_are_plain_text(drawn):
    other = ranking([({r"$\frac{": "_a\n\x1b[0m" * 9}, 0.3), ({r"$\frac{": 3.0}, 0.2)])
    figure = drawn(SweepHeatmap().draw(SweepView([ranking(GRID), other])))
    panels = [axes for axes in figure.axes if axes.texts]
    assert len(panels) == 2
    assert "\x1b" not in " ".join(text for axes in panels for text in texts(axes))


@pytest.mark.parametrize(("direction", "best"), [("maximize", "1.10"), ("minimize", "0.05")])
def test_the_best_cell_is_the_darkest(direction, best):
    values = GRID if direction == "maximize" else GRID[::-1]
    axes = SweepHeatmap().draw(SweepView([ranking(values, direction)])).axes[0]
    cells = axes.images[0].get_array().sum(axis=2)
    row, column = np.unravel_index(np.argmin(cells), cells.shape)
    assert best in [text.get_text() for text in axes.texts if text.get_position() == (column, row)]
