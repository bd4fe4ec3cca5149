"""Figures of answers beside targets: confusion matrix, ROC curves, predictions over targets."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, confusion_matrix, roc_auc_score

from dbgsom_core import SomClassifier, SomDisplay, SomRegressor, SomVQ
from dbgsom_core.config import load_experiment
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.pipeline import run_experiment
from dbgsom_core.runs.session import make_callbacks

SMALL = {"max_neurons": 12, "epochs": 6}
CLASSES = ["confusion_matrix", "roc_curve"]


def blobs(names, n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(names), n)
    return 1.5 * rng.normal(size=(len(names), 4))[y] + rng.normal(size=(n, 4)), np.array(names)[y]


def shown(kind, model, X, y):
    return SomDisplay.from_estimator(model, X, y=y, kind=kind).figure_


@pytest.mark.parametrize(("count", "written"), [(2, 4), (26, None), (70, 0)])
def test_the_matrix_holds_counts_and_shares_of_the_classes_in_order(
    count, written, texts_of, drawn
):
    names = [f"_class $x_{{{i:02d}}}$ of a name that is too long" for i in range(count)]
    X, y = blobs(names, 1500)
    model = SomClassifier(**SMALL).fit(X, y)
    answers = model.predict(X)
    figure = drawn(shown("confusion_matrix", model, X, y))
    axes, bar = figure.axes
    counts = confusion_matrix(y, answers, labels=names)
    np.testing.assert_allclose(
        axes.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True)
    )
    written = (counts > 0).sum() if written is None else written  # 70 are too small to be read
    assert len(axes.texts) == written
    if written:
        assert axes.texts[0].get_text().startswith(f"{counts[0, 0]:,}")
    share = f"1,500 rows, {(y == answers).mean():.1%} of them"
    assert any(share in text for text in texts_of(figure))
    page = figure.bbox.padded(1)
    for part in (axes, bar):
        assert all(page.contains(*corner) for corner in part.get_tightbbox().corners())


def test_no_share_is_rounded_to_nothing_or_all(texts_of):
    X, y = blobs(["a", "b"], 2000)
    X[:, 0] += 20 * (y == "b")
    model = SomClassifier(**SMALL).fit(X, y)
    y[np.flatnonzero(y == "a")[0]] = "b"
    texts = texts_of(shown("confusion_matrix", model, X, y))
    assert any(text.startswith("1\n<1%") for text in texts)
    assert any(text.endswith("\n>99%") for text in texts)


@pytest.mark.parametrize(("rare", "usual"), [("yes", "no"), ("no", "yes")])
def test_the_roc_curve_of_two_classes_is_that_of_the_rarer_one(rare, usual, texts_of):
    X, y = blobs(["no", "yes"])
    model = SomClassifier(**SMALL).fit(X, y)
    rows = (y == usual) | (np.arange(len(y)) % 3 > 0)
    X, y = X[rows], y[rows]
    figure = shown("roc_curve", model, X, y)
    column = model.classes_.tolist().index(rare)
    area = roc_auc_score(y == rare, model.predict_proba(X)[:, column])
    assert any(
        text.startswith(f"{len(y)} rows, class {rare} against {usual}. ") and f"{area:.3f}" in text
        for text in texts_of(figure)
    )
    false, true = figure.axes[0].lines[0].get_data()
    assert auc(false, true) == pytest.approx(area)


def test_precision_and_lift_are_those_of_the_rarer_class(texts_of):
    X, y = blobs(["no", "yes"])
    X += np.random.default_rng(1).normal(size=X.shape)
    model = SomClassifier(**SMALL).fit(X, y)
    rows = (y == "no") | (np.arange(len(y)) % 3 == 0)
    X, y = X[rows], y[rows]
    shares = model.predict_proba(X)[:, 1]
    precision = average_precision_score(y == "yes", shares)
    assert any(
        f"Average precision {precision:.3f}" in text
        for text in texts_of(shown("precision_recall", model, X, y))
    )
    first = len(y) // 10
    held = (y[np.argsort(-shares, kind="stable")[:first]] == "yes").sum() / (y == "yes").sum()
    text = f"The {first} most probable rows hold a share of {held:.3f}"
    assert any(text in written for written in texts_of(shown("lift", model, X, y)))


def test_the_label_map_of_a_rare_class_shows_its_shares():
    X, y = blobs(["no", "yes"])
    rows = (y == "no") | (np.arange(len(y)) % 5 == 0)
    titles = []
    for samples, classes in ((X[rows], y[rows]), (X, y)):
        model = SomClassifier(**SMALL).fit(samples, classes)
        figure = shown("label_map", model, samples, classes)
        titles.append([axes.get_title(loc="left") for axes in figure.axes])
    assert "Share of yes" in titles[0]
    assert "Share of yes" not in titles[1]


def test_several_classes_have_a_roc_curve_each(texts_of):
    X, y = blobs(["a", "b", "c"])
    model = SomClassifier(**SMALL).fit(X, y)
    shares = dict(zip("abc", model.predict_proba(X).T, strict=True))
    areas = [f"{roc_auc_score(y == name, share):.3f} {name}" for name, share in shares.items()]
    assert texts_of(shown("roc_curve", model, X, y))[-3:] == areas
    with pytest.raises(ValueError, match="all samples are of one class"):
        shown("roc_curve", model, X[y == "a"], y[y == "a"])


@pytest.mark.parametrize("n", [300, 4000])
def test_predictions_stand_over_targets_as_points_or_as_density(n, texts_of):
    X = np.random.default_rng(0).normal(size=(n, 3))
    y = 100 * X[:, 0] + 7
    model = SomRegressor(**SMALL).fit(X, y)
    figure = shown("predicted_actual", model, X, y)
    assert f"{n:,} rows: R² {model.score(X, y):.3f}, RMSE" in " ".join(texts_of(figure))
    points = figure.axes[0].collections[0]
    if n == 300:
        np.testing.assert_allclose(points.get_offsets(), np.column_stack([y, model.predict(X)]))
    else:
        assert points.get_array().sum() == n


def test_what_a_map_does_not_answer_is_refused():
    X, y = blobs(["a", "b"])
    for kind in (*CLASSES, "predicted_actual"):
        with pytest.raises(ValueError, match=r"shows the answers of a (classifier|regressor)"):
            shown(kind, SomVQ(**SMALL).fit(X), X, y)
    with pytest.raises(ValueError, match="needs samples here: give X"):
        SomDisplay.from_estimator(SomClassifier(**SMALL).fit(X, y), kind="confusion_matrix")


@pytest.mark.parametrize(
    ("dataset", "estimator", "split", "rows", "default"),
    [
        ("iris", "classifier", "{test_size: 50}", "50 test rows", CLASSES),
        ("iris", "classifier", "null", "150 training rows", CLASSES),
        ("iris", "classifier", "{name: ShuffleSplit, n_splits: 2}", "150 training rows", CLASSES),
        ("diabetes", "regressor", "{folds: 3}", "442 held-out rows", ["predicted_actual"]),
        ("iris", "vq", "null", "", []),
    ],
)
def test_runs_draw_them_by_default_and_say_of_which_rows(
    dataset, estimator, split, rows, default, tmp_path, monkeypatch, texts_of
):
    monkeypatch.chdir(tmp_path)
    model = f"{{estimator: {estimator}, max_neurons: 9, epochs: 4}}"
    text = f"experiment: e\ndataset: {dataset}\nsplit: {split}\nmodel: {model}\ntracking: []\n"
    Path("run.yaml").write_text(text, encoding="utf-8")
    registry = get_registry()
    outcome = run_experiment(load_experiment("run.yaml"), make_callbacks((), registry), registry)
    every = {*CLASSES, "predicted_actual"}
    assert [name for name in outcome.figures if name in every] == default
    assert not any("failed" in note for note in outcome.notes)
    for name in default:
        assert any(text.startswith(rows) for text in texts_of(outcome.figures[name]))
