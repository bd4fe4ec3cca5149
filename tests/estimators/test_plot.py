"""The estimators' quick look."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dbgsom_core import SomClassifier, SomVQ


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    "options",
    [
        {"color": "hit_count", "pointsize": "error"},
        {"color": "density", "layout": "pca", "palette": "magma_r"},
        {"color": "pca_rgb"},
        {"color": "label"},
        {"color": "epoch_created", "pointsize": "average_distance"},
        {},
    ],
)
def test_the_plots_of_the_seed_readme_draw_every_neuron(options, iris):
    X, y = iris
    clf = SomClassifier(spreading_factor=0.5, max_neurons=80).fit(X, y)
    ax = clf.plot(**options)
    dots = sum(len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes"))
    assert dots == len(clf.neurons_)
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"color": "densty"}, "did you mean 'density'"),
        ({"layout": "circle"}, "must be 'grid' or 'pca'"),
        ({"palette": "virids", "color": "error"}, "did you mean 'viridis'"),
        ({"pointsize": "nothing"}, "known: label"),
    ],
)
def test_a_wrong_plot_option_names_the_nearest(options, hint, iris):
    with pytest.raises((TypeError, ValueError), match=hint):
        SomVQ(epochs=3).fit(iris[0]).plot(**options)
    assert plt.get_fignums() == []


def test_names_of_classes_are_plain_text(iris):
    X, y = iris
    names = np.array(["_hidden", r"$\frac{", "\x1b[31mred\n" + "c" * 50])
    ax = SomClassifier(epochs=3).fit(X, names[y]).plot(color="label")
    texts = ax.get_legend().get_texts()
    assert [text.get_text().replace("\n", " ") for text in texts] == [
        r"\x1b[31mred " + "c" * (39 - 12) + "…",
        r"$\frac{",
        "_hidden",
    ]
    assert not any(text.get_parse_math() or text.get_usetex() for text in texts)
    ax.figure.canvas.draw()


def test_links_across_the_sides_of_a_torus_stand_out_at_both(iris):
    fixed = {"name": "fixed", "rows": 4, "columns": 5, "wrap": True}
    som = SomVQ(grid="hexagonal", growth=fixed, epochs=2).fit(iris[0])
    cells = som.som_map_.plane_positions
    ends = np.array(som.plot().collections[0].get_segments())[:, 1]
    is_outside = (ends < cells.min(axis=0) - 1e-9) | (ends > cells.max(axis=0) + 1e-9)
    assert is_outside.any(axis=1).sum() >= 2 * (4 + 5)


def test_features_are_drawn_by_their_names(iris):
    frame = pd.DataFrame(iris[0], columns=["a", "b", "petal $x$", "d"])
    vq = SomVQ(epochs=3).fit(frame)
    ax = vq.plot(color="petal $x$")
    np.testing.assert_array_equal(ax.collections[-1].get_array(), vq.weights_[:, 2])
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="did you mean 'petal"):
        vq.plot(color="petal x")
