"""Figures of answers beside targets: confusion matrix, ROC curves, predictions over targets."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import auc, confusion_matrix, roc_auc_score

from dbgsom_core import SomClassifier, SomDisplay, SomRegressor, SomVQ
from dbgsom_core.config import load_experiment
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.pipeline import run_experiment

SMALL = {"max_neurons": 12, "epochs": 6}


def blobs(names, n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(names), n)
    return 1.5 * rng.normal(size=(len(names), 4))[y] + rng.normal(size=(n, 4)), np.array(names)[y]


def shown(kind, model, X, y, **options):
    return SomDisplay.from_estimator(model, X, y=y, kind=kind, **options).figure_


@pytest.mark.parametrize("count", [2, 10, 26, 70])
def test_the_matrix_holds_counts_and_shares_of_the_classes_in_order(count, told, drawn):
    names = [
        f"_class $x_{{{i:02d}}}$ with a name that is too long for its cell" for i in range(count)
    ]
    X, y = blobs(names, 1500)
    model = SomClassifier(**SMALL).fit(X, y)
    figure = drawn(shown("confusion_matrix", model, X, y))
    axes, bar = figure.axes
    counts = confusion_matrix(y, model.predict(X), labels=names)
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(axes.images[0].get_array(), shares)
    texts = [text.get_text() for text in axes.texts]
    many = count > 30  # too small to be read: colours alone
    assert len(texts) == (0 if many else count**2 if count < 7 else (counts > 0).sum())
    if not many:
        assert texts[0].startswith(f"{counts[0, 0]:,}" + ("\n" if count <= 10 else ""))
    assert len(axes.get_yticklabels()) == (0 if many else count)
    assert any(
        f"1,500 rows, {(y == model.predict(X)).mean():.1%} of them" in one for one in told(figure)
    )
    tight = figure.bbox.padded(1)
    assert all(
        tight.contains(*corner) for part in (axes, bar) for corner in part.get_tightbbox().corners()
    )


def test_no_share_is_rounded_to_nothing_or_all(told, drawn):
    X, y = blobs(["a", "b"], 2000)
    X[:, 0] += 20 * (y == "b")
    model = SomClassifier(**SMALL).fit(X, y)
    y[np.flatnonzero(y == "a")[0]] = "b"
    texts = told(drawn(shown("confusion_matrix", model, X, y)))
    assert any(text.startswith("1\n<1%") for text in texts)
    assert any(text.endswith("\n>99%") for text in texts)


def test_roc_curves_have_the_areas_of_scikit_learn(told, drawn):
    X, y = blobs(["no", "yes"])
    model = SomClassifier(**SMALL).fit(X, y)
    few = np.flatnonzero((y == "no") | (np.arange(len(y)) % 3 > 0))
    X, y = X[few], y[few]  # the curve is that of the rarer class
    figure = drawn(shown("roc_curve", model, X, y))
    area = roc_auc_score(y == "yes", model.predict_proba(X)[:, 1])
    assert f"{len(y)} rows, class yes against no. Area under the curve {area:.3f}." in told(figure)
    false, true = figure.axes[0].lines[0].get_data()
    assert auc(false, true) == pytest.approx(area)
    fewer = np.flatnonzero((y == "yes") | (np.arange(len(y)) % 2 == 0))
    rare = drawn(shown("roc_curve", model, X[fewer], y[fewer]))
    assert any("class no against yes. " in text for text in told(rare))
    X, y = blobs(["a", "b", "c"])
    model = SomClassifier(**SMALL).fit(X, y)
    figure = drawn(shown("roc_curve", model, X, y))
    areas = [
        roc_auc_score(y == one, p) for one, p in zip("abc", model.predict_proba(X).T, strict=True)
    ]
    assert [f"{area:.3f} {one}" for one, area in zip("abc", areas, strict=True)] == told(figure)[
        -3:
    ]
    with pytest.raises(ValueError, match="all samples are of one class"):
        shown("roc_curve", model, X[y == "a"], y[y == "a"])


@pytest.mark.parametrize("n", [300, 4000])
def test_predictions_stand_over_targets_as_points_or_as_density(n, told, drawn):
    X = np.random.default_rng(0).normal(size=(n, 3))
    y = 100 * X[:, 0] + 7
    model = SomRegressor(**SMALL).fit(X, y)
    figure = drawn(shown("predicted_actual", model, X, y))
    axes, answers = figure.axes[0], model.predict(X)
    assert f"{n:,} rows: R² {model.score(X, y):.3f}, RMSE" in " ".join(told(figure))
    np.testing.assert_array_equal(*axes.lines[0].get_data())
    assert axes.get_xlim() == axes.get_ylim()
    if n == 300:
        np.testing.assert_allclose(axes.collections[0].get_offsets(), np.column_stack([y, answers]))
    else:
        assert axes.collections[0].get_array().sum() == n


def test_what_a_map_does_not_answer_is_refused():
    X, y = blobs(["a", "b"])
    for kind in ("confusion_matrix", "roc_curve", "predicted_actual"):
        with pytest.raises(ValueError, match=r"shows the answers of a (classifier|regressor)"):
            shown(kind, SomVQ(**SMALL).fit(X), X, y)
    with pytest.raises(ValueError, match="needs samples here: give X"):
        SomDisplay.from_estimator(SomClassifier(**SMALL).fit(X, y), kind="confusion_matrix")


@pytest.mark.parametrize(
    ("dataset", "estimator", "split", "rows", "drawn_by_default"),
    [
        (
            "iris",
            "classifier",
            "{test_size: 50}",
            "50 test rows",
            ["confusion_matrix", "roc_curve"],
        ),
        ("iris", "classifier", "null", "150 training rows", ["confusion_matrix", "roc_curve"]),
        (
            "iris",
            "classifier",
            "{folds: 3}",
            "150 held-out rows",
            ["confusion_matrix", "roc_curve"],
        ),
        ("diabetes", "regressor", "{folds: 3}", "442 held-out rows", ["predicted_actual"]),
        (
            "iris",
            "classifier",
            "{name: ShuffleSplit, n_splits: 2}",
            "150 training rows",
            ["confusion_matrix", "roc_curve"],
        ),
        ("diabetes", "regressor", "{test_size: 100}", "100 test rows", ["predicted_actual"]),
        ("iris", "vq", "null", "", []),
    ],
)
def test_runs_draw_them_by_default_and_say_of_which_rows(
    dataset, estimator, split, rows, drawn_by_default, tmp_path, monkeypatch, told
):
    monkeypatch.chdir(tmp_path)
    model = f"{{estimator: {estimator}, max_neurons: 9, epochs: 4}}"
    text = f"experiment: e\ndataset: {dataset}\nsplit: {split}\nmodel: {model}\ntracking: []\n"
    Path("run.yaml").write_text(text, encoding="utf-8")
    experiment, registry = load_experiment("run.yaml"), get_registry()
    outcome = run_experiment(experiment, make_callbacks((), registry), registry)
    figures = outcome.figures
    every = {"confusion_matrix", "roc_curve", "predicted_actual"}
    assert [name for name in figures if name in every] == drawn_by_default
    assert not any("failed" in note for note in outcome.notes)
    for name in drawn_by_default:
        assert any(text.startswith(rows) for text in told(figures[name]))
        titled = " ".join(rows.split()[1:]) if "test" not in rows else ""
        assert any(text.endswith(f" of {titled}") for text in told(figures[name])) == bool(titled)
