"""`SomDisplay`: every figure from Python, as scikit-learn's displays."""

import matplotlib.pyplot as plt
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.preprocessing import MinMaxScaler

from dbgsom_core import SomClassifier, SomDisplay, SomVQ
from dbgsom_core.errors import UnknownNameError
from dbgsom_core.interfaces.figures import Html
from dbgsom_core.persistence import FittedModel
from dbgsom_core.plugins.registry import get_registry

X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
NEED_SAMPLES = {
    "confusion_matrix",
    "roc_curve",
    "precision_recall", "lift", "doubtful_labels",
    "class_pies", "data_projection", "names", "child_maps",
}  # fmt: skip
# All that show a classifier without a run.
KINDS = sorted(
    {*get_registry().names("figure")}
    - {"sweep_heatmap", "predicted_actual", "group_shares", "changes"}
)


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
    options = {"kind": kind, "image_shape": (8, 8)}
    if kind == "trust_map":
        options["stability"] = stability
    if kind == "stability":
        model = SomVQ(max_neurons=20, epochs=10).fit(X)
        model.cluster_stability(X, halves=1)
    display = SomDisplay.from_estimator(model, X, y=Y, extra={"age": Y}, **options)
    if isinstance(display.figure_, Html):
        assert display._repr_html_().startswith("<iframe")
    else:
        assert display._repr_png_()[:4] == b"\x89PNG"
    if kind in NEED_SAMPLES:
        with pytest.raises(ValueError, match=f"{kind} needs samples here: give X"):
            SomDisplay.from_estimator(model, kind=kind)
    else:
        SomDisplay.from_estimator(model, **options)


@pytest.mark.parametrize("kind", ["hit_map", "class_pies", "confusion_matrix", "prototype_images"])
def test_figures_are_drawn_into_axes_beside_others(model, kind):
    figure, (ax, other) = plt.subplots(ncols=2, layout="constrained")
    display = SomDisplay.from_estimator(model, X, kind=kind, y=Y, image_shape=(8, 8), ax=ax)
    assert (display.figure_, display.ax_) == (figure, ax)
    assert ax.get_title()
    assert ax.has_data()
    assert not other.has_data()
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("kind", "told"), [("explorer", "axes cannot hold"), ("growth_curve", "cannot be drawn into")]
)
def test_pages_and_several_panels_are_not_drawn_into_axes(model, kind, told):
    with pytest.raises(ValueError, match=told):
        SomDisplay.from_estimator(model, X, kind=kind, y=Y, ax=plt.subplots()[1])


def test_pages_are_saved_as_vectors(model, tmp_path):
    SomDisplay.from_estimator(model).savefig(tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "hit_mop"}, "did you mean 'hit_map'"),
        ({"kind": "trust_map", "X": X}, "nobody asked how sure"),
        ({"kind": "stability", "X": X}, "nobody asked how sure"),
        ({"kind": "group_shares", "X": X}, "draws what 'report: "),
        ({"kind": "sweep_heatmap"}, "sweep_heatmap is a figure of sweeps"),
        ({"kind": "prototype_images"}, "needs the shape of images"),
        ({"model": SomVQ()}, "not fitted"),
        ({"model": KMeans()}, "a fitted SomVQ, .* or the model of a run, not a KMeans"),
        ({"X": X, "y": Y[:3]}, "y has 3 values for 300 samples"),
        ({"X": X, "extra": {"age": [1, 2]}}, r"'age' has shape \(2,\), not \(300,\)"),
        ({"feature_names": ["a"]}, "1 names of features, and the map has 64 features"),
        ({"cmap": "x"}, "u_matrix.cmap unknown key"),
        ({"X": X, "annotations": {"day": [1]}}, r"'day' has shape \(1,\), not \(300,\)"),
    ],
)
def test_what_cannot_be_drawn_is_named(model, given, message):
    with pytest.raises((TypeError, ValueError, UnknownNameError), match=message):
        SomDisplay.from_estimator(**{"model": model, **given})
    assert plt.get_fignums() == []


def test_the_model_of_a_run_is_drawn_with_raw_samples_in_their_units(model):
    scaler = MinMaxScaler().fit(X)
    vq = SomVQ(max_neurons=9, epochs=5).fit(scaler.transform(X))
    fitted = FittedModel([("scale", scaler)], vq)
    page = SomDisplay.from_estimator(fitted, X, kind="explorer")
    assert page.figure_.text == fitted.explore(X).text
    with pytest.raises(ValueError, match=r"must end in \.html"):
        page.savefig("map.png")


def test_what_notebooks_show_is_shown_once_and_told_in_short(model):
    page = model.explore(X, Y)
    assert repr(page).startswith("<Html 'SomClassifier · explorer', ")
    assert page._repr_html_().startswith('<iframe title="SomClassifier · explorer" sandbox=')
    ax = plt.subplots()[1]
    display = SomDisplay.from_estimator(model, ax=ax)
    assert display._repr_png_() is None  # the notebook shows the figure
    plt.close(ax.figure)
    assert display._repr_png_()[:4] == b"\x89PNG"
