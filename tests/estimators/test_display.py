"""`SomDisplay`: every figure from Python, as scikit-learn's displays."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import MinMaxScaler

from dbgsom_core import SomClassifier, SomDisplay, SomVQ
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.plugins.registry import get_registry
from dbgsom_plugins.figures.neuron_values import HitMap

X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
NEED_SAMPLES = {
    "confusion_matrix",
    "roc_curve",
    "class_pies", "data_projection", "child_maps",
}  # fmt: skip
OF_SWEEPS = {"sweep_heatmap"}
# All that show a classifier without a run.
KINDS = sorted({*get_registry().names("figure")} - OF_SWEEPS - {"predicted_actual", "group_shares"})


@pytest.fixture(scope="module")
def model():
    return SomClassifier(max_neurons=20, epochs=10).fit(X, Y)


@pytest.fixture(scope="module")
def stability(model):
    return model.stability(X, Y, n=2)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_drawn_with_samples_and_most_without(model, stability, kind):
    more = {"stability": stability} if kind == "trust_map" else {}
    more["image_shape"] = (8, 8)
    with_samples = SomDisplay.from_estimator(model, X, kind=kind, y=Y, **more)
    assert with_samples.kind == kind
    if isinstance(with_samples.figure_, Html):
        assert with_samples._repr_html_().startswith("<iframe")
    else:
        assert with_samples._repr_png_()[:4] == b"\x89PNG"
    if kind in NEED_SAMPLES:
        with pytest.raises(ValueError, match=f"{kind} needs samples here: give X"):
            SomDisplay.from_estimator(model, kind=kind)
    else:
        SomDisplay.from_estimator(model, kind=kind, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_drawn_into_axes_beside_others(model, stability, kind):
    figure, (ax, other) = plt.subplots(ncols=2, layout="constrained")
    more = {"stability": stability} if kind == "trust_map" else {}
    give = {"kind": kind, "y": Y, "image_shape": (8, 8), "ax": ax, **more}
    if kind in ("explorer", "component_planes", "growth_curve"):  # pages and several panels
        with pytest.raises(
            ValueError,
            match="axes cannot hold" if kind == "explorer" else "cannot be drawn into axes",
        ):
            SomDisplay.from_estimator(model, X, **give)
        return
    display = SomDisplay.from_estimator(model, X, **give)
    assert (display.figure_, display.ax_) == (figure, ax)
    assert ax.get_title()
    assert ax.has_data()
    assert not ax.images or kind in ("prototype_images", "confusion_matrix")  # no picture of a page
    assert not other.has_data()
    figure.canvas.draw()


def test_a_display_in_axes_is_plotted_as_a_page_as_well(model):
    figure, ax = plt.subplots()
    display = SomDisplay.from_estimator(model, X, kind="hit_map", ax=ax)
    page = display.plot().figure_
    assert page is not figure
    assert display.ax_ is None


def test_pages_are_saved_as_vectors(model, tmp_path):
    display = SomDisplay.from_estimator(model)
    for ending, start in ((".svg", b"<?xml"), (".pdf", b"%PDF"), (".png", b"\x89PNG")):
        display.savefig(tmp_path / f"map{ending}")
        assert (tmp_path / f"map{ending}").read_bytes().startswith(start)
    assert repr(display) == "<SomDisplay of u_matrix>"


def test_style_are_the_fields_of_the_figure(model):
    display = SomDisplay.from_estimator(model, X, kind="component_planes", most=3)
    assert "3 of 64 variables" in " ".join(text.get_text() for text in display.figure_.texts)
    extra = {"age": np.arange(300.0)}
    stars = {"kind": "variable_stars", "extra": extra, "variables": ["age", "feature 5"]}
    legend = SomDisplay.from_estimator(model, X, **stars).figure_.legends[0]
    assert legend.get_texts()[0].get_text().startswith("age: ")


def test_figures_see_texts_and_dates_beside_the_samples(model, monkeypatch):
    views = []
    monkeypatch.setattr(HitMap, "draw", lambda self, view: views.append(view) or Figure())
    days = np.arange("2020-01-01", 300, dtype="datetime64[D]")
    beside = {"file": np.array(["a.fcs", "b.fcs"] * 150), "day": days}
    SomDisplay.from_estimator(model, X, kind="hit_map", annotations=beside)
    assert {name: one.tolist() for name, one in views[0].annotations.items()} == {
        name: one.tolist() for name, one in beside.items()
    }
    with pytest.raises(ValueError, match=r"annotation 'day' has shape \(2,\), not \(300,\)"):
        SomDisplay.from_estimator(model, X, kind="hit_map", annotations={"day": days[:2]})


def test_what_cannot_be_drawn_is_an_error(model):
    with pytest.raises(UnknownNameError, match="did you mean 'hit_map'"):
        SomDisplay.from_estimator(model, kind="hit_mop")
    with pytest.raises(ValueError, match="moist"):
        SomDisplay.from_estimator(model, kind="component_planes", moist=3)
    with pytest.raises(ValueError, match="nobody asked how sure"):
        SomDisplay.from_estimator(model, X, kind="trust_map")
    with pytest.raises(ValueError, match="draws what 'report: "):
        SomDisplay.from_estimator(model, X, kind="group_shares")
    with pytest.raises(ValueError, match="sweep_heatmap is a figure of sweeps"):
        SomDisplay.from_estimator(model, kind="sweep_heatmap")
    with pytest.raises(NotFittedError):
        SomDisplay.from_estimator(SomVQ())
    with pytest.raises(ValueError, match="y has 3 values for 300 samples"):
        SomDisplay.from_estimator(model, X, y=Y[:3])
    with pytest.raises(ValueError, match=r"'age' has shape \(2,\), not \(300,\)"):
        SomDisplay.from_estimator(model, X, extra={"age": [1, 2]})
    with pytest.raises(ValueError, match="needs the shape of images"):
        SomDisplay.from_estimator(model, kind="prototype_images")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": 3}, "a fitted SomVQ, .* or the model of a run, not a int"),
        ({"model": KMeans()}, "not a KMeans"),
        ({"feature_names": ["a"]}, "1 names of features, and the map has 64 features"),
        ({"X": X, "extra": {"age": ["x"] * 300}}, "could not convert"),
        ({"cmap": "x"}, "u_matrix.cmap unknown key"),
    ],
)
def test_a_wrong_argument_is_named(model, given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SomDisplay.from_estimator(**{"model": model, **given})
    assert plt.get_fignums() == []


def test_the_model_of_a_run_is_drawn_with_raw_samples_in_their_units(model):
    from dbgsom_core.persistence import FittedModel

    steps = [("scale", MinMaxScaler().fit(X))]
    fitted = FittedModel(steps, SomVQ(max_neurons=9, epochs=5).fit(steps[0][1].transform(X)))
    page = SomDisplay.from_estimator(fitted, X, kind="explorer")
    assert page.figure_.text == fitted.explore(X).text
    hits = SomDisplay.from_estimator(fitted, X, kind="hit_map").figure_
    alone = SomDisplay.from_estimator(fitted.estimator, kind="hit_map").figure_
    assert [one.get_text() for one in hits.axes[0].texts] == [
        one.get_text() for one in alone.axes[0].texts
    ]
    with pytest.raises(ValueError, match=r"must end in \.html"):
        page.savefig("map.png")


def test_what_notebooks_show_is_shown_once_and_told_in_short(model):
    page = model.explore(X, Y)
    assert repr(page).startswith("<Html 'SomClassifier · explorer', ")
    assert len(repr(page)) < 100
    assert page._repr_html_().startswith('<iframe title="SomClassifier · explorer" sandbox=')
    assert repr(Html("<p>")) == "<Html 'figure', 0 kB: save(path) writes it>"
    ax = plt.subplots()[1]
    display = SomDisplay.from_estimator(model, ax=ax)
    assert display._repr_png_() is None  # the notebook shows the figure
    plt.close(ax.figure)
    assert display._repr_png_()[:4] == b"\x89PNG"
    alone = SomDisplay.from_estimator(model, ax=plt.Figure().add_subplot())
    assert alone._repr_png_()[:4] == b"\x89PNG"
    assert type(model.plot(color="label")).__name__ == "Axes"
    assert len(plt.get_fignums()) == 1  # which the notebook shows
