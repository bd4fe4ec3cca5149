"""The estimators' quick look."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomVQ


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    "options",
    [
        {"color": "density"},
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


@pytest.mark.parametrize("grid", ["square", "hexagonal"])
def test_links_across_the_sides_of_a_torus_stand_out_at_both(grid, iris):
    fixed = {"name": "fixed", "rows": 4, "columns": 5, "wrap": True}
    som = SomVQ(grid=grid, growth=fixed, epochs=2).fit(iris[0])
    at = som.som_map_.plane_positions
    lines = np.array(som.plot().collections[0].get_segments())
    np.testing.assert_allclose(np.linalg.norm(lines[:, 0] - lines[:, 1], axis=1), 0.5)
    beyond = ((lines[:, 1] < at.min(axis=0) - 1e-9) | (lines[:, 1] > at.max(axis=0) + 1e-9)).any(1)
    assert beyond.sum() >= 2 * (4 + 5)
    across = som.plot(layout="pca").collections[0].get_segments()
    assert len(across) == len(som.som_map_.edges())


def test_features_are_drawn_by_their_names(iris):
    X, _ = iris
    vq = SomVQ(epochs=3).fit(X)
    dots = vq.plot(color="feature 2").collections[-1]
    np.testing.assert_array_equal(dots.get_array(), vq.som_map_.prototypes[:, 2])
    frame = pytest.importorskip("pandas").DataFrame(X, columns=["a", "b", "petal $x$", "d"])
    ax = SomVQ(epochs=3).fit(frame).plot(color="petal $x$")
    ax.figure.canvas.draw()
    with pytest.raises(ValueError, match="did you mean 'petal"):
        SomVQ(epochs=3).fit(frame).plot(color="petal x")


def test_what_is_not_finite_has_no_value(iris):
    vq = SomVQ(epochs=3).fit(iris[0])
    vq.errors_[:2] = np.nan, np.inf
    ax = vq.plot(color="error", pointsize="error")
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no value"]
    assert np.isfinite(ax.collections[1].get_array()).sum() == len(vq.neurons_) - 2
