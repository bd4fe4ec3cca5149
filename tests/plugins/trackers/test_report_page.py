"""The report as a page: whole, readable, and text whatever names hold."""

import re
from base64 import b64decode
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dbgsom_core import SomClassifier
from dbgsom_core.cli.tables import cell
from dbgsom_core.estimators.exploring import view_of
from dbgsom_core.interfaces.trackers import Ranking, Run, RunResult, Variant
from dbgsom_plugins import dbgsom_measures
from dbgsom_plugins.trackers.page import page
from dbgsom_plugins.trackers.readings import number, reading, remarks
from dbgsom_plugins.trackers.report import report

HOSTILE = "</title></script><img src=x onerror=alert(1)>|`*[a](javascript:x)"


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:500], y[:500]
    model = SomClassifier(growth={"name": "fixed", "rows": 8, "columns": 9}, epochs=5).fit(X, y)
    return X, y, model


@pytest.fixture
def run(tmp_path):
    environment = {"versions": {"numpy": "2.0"}, "git": {"commit": "abc", "dirty": True}}
    return Run("1", HOSTILE, HOSTILE, "run", tmp_path, {}, {HOSTILE: HOSTILE}, environment, {})


def test_names_are_text_and_nothing_is_fetched(run):
    result = RunResult(measures={f"test/{HOSTILE}": 1.0, "test/accuracy": 0.5}, notes=[HOSTILE])
    told = report(run, result, ["a&b.png"], [], [HOSTILE], f"name: {HOSTILE}\n```\n<script>")
    text = page(run.name, told, {"a&b.png": b"\x89PNG"})
    assert "<img src=x" not in text
    assert "<script" not in text
    assert not re.findall(r'href="(?!figures/)', text)
    assert text.count("<img ") == 1
    assert unescape(text).count("onerror=alert(1)") >= 6
    assert "default-src 'none'" in text


def test_figures_are_in_the_page(run):
    inner = '<!doctype html><p title="a&amp;b">größer</p><script>1 < 2</script>'
    files = {"hit map.png": b"\x89PNG picture", "explorer.html": inner.encode()}
    text = page("x", report(run, RunResult({}), list(files), []), files)
    (picture,) = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="hit map">', text)
    assert b64decode(picture) == files["hit map.png"]
    (frame,) = re.findall(r'<iframe title="explorer" [^>]*srcdoc="([^"]*)"', text)
    assert unescape(frame) == inner
    assert text.index("<iframe") < text.index("<img")


def test_the_report_says_how_to_reproduce_the_run(run):
    told = report(run, RunResult({}), [], [], (), "seed: 7\n")
    assert "```yaml\nseed: 7\n```" in told
    assert "| numpy | `2.0` |" in told
    assert "`abc, with changes that are not in it`" in told


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("topographic_error", 0.124, "12 % of the samples sit where the map folds"),
        ("test/accuracy", 1.0, "100 % of the samples"),
        ("topographic_error", 0.0001, "Less than 0.1 %"),
        ("topographic_error", 0.0061, "0.6 %"),
        ("roc_auc", 0.9988, "in more than 99 % of all pairs"),
        ("accuracy", 0.996, "More than 99 % of"),
        ("accuracy", 1.0, "100 % of"),
        ("dead_neurons", 0.0, "Every neuron has samples."),
        ("dead_neurons", 1.0, "1 neuron wins no sample"),
        ("r2", -0.5, "Worse than always answering the mean."),
        ("topographic_product", -0.2, "too flat"),
        ("map_entropy", 3.0, "as if over 8 neurons"),
    ],
)
def test_measures_are_read_in_plain_words(name, value, said):
    assert said in reading(name, value)


def test_every_measure_that_comes_with_dbgsom_is_read():
    assert [name for name in dbgsom_measures() if not reading(name, 0.5)] == []


def test_unknown_and_missing_values_are_not_read():
    assert reading("somebody's", 1.0) == reading("accuracy", float("nan")) == ""


def test_means_are_told_to_the_place_of_their_deviation(run):
    variant = Variant("v", {"kernel": "k"}, {"test/accuracy": 0.1}, {"test/accuracy": 0.0123}, "12")
    ranking = Ranking("iris", ["test/accuracy"], "maximize", [variant])
    told = report(replace(run, kind="sweep"), RunResult({}, rankings=[ranking]), [], [])
    assert "| 0.100 ± 0.012 |" in told
    assert "`test/accuracy` 0.100 ± 0.012, the mean of 2 runs" in told
    told = report(run, RunResult({"test/accuracy": 0.25, "test_std/accuracy": 0.5}), [], [])
    assert "| 0.25 ± 0.50 |" in told


def test_what_stands_out_is_so(digits):
    X, y, model = digits
    answers = np.where(np.arange(len(X)) % 7 == 0, 3, model.predict(X))
    view = view_of(model, model.evaluate(X, y=y, predictions=answers))
    told = remarks(view)
    apart = np.linalg.norm(X[:, None] - model.som_map_.prototypes, axis=2)
    first, second = np.argsort(apart, axis=1)[:, :2].T
    torn = model.som_map_.hops[first, second] > 1
    assert told[0].startswith(f"{100 * torn.mean():.0f} % of the training samples")
    worst = np.bincount(first, torn).argmax()
    assert f" {worst} at " in told[0]
    dead = np.count_nonzero(np.bincount(first, minlength=len(model.som_map_)) == 0)
    assert any(one.startswith(f"{dead} neurons have no training sample") for one in told)
    wrong = [(a, b) for a, b in zip(y, answers, strict=True) if a != b]
    a, b = max(sorted(set(wrong)), key=wrong.count)
    assert f"{a} taken for {b}, {wrong.count((a, b))} times" in told[-1]


def test_one_answer_to_everything_stands_out_first(digits):
    X, y, model = digits
    one = np.full(len(y), 3)
    view = view_of(model, model.evaluate(X, y=y, predictions=one))
    told = remarks(replace(view, label_names={3: "three"}))
    share = f"{100 * np.mean(y == 3):.0f} %"
    assert told[0].startswith(f"Every training sample is answered with three, the class of {share}")
    assert "taken for three" in told[-1]
    for answers, classes in ((np.where(y == 4, 4, 3), y), (one, one)):
        view = view_of(model, model.evaluate(X, y=classes, predictions=answers))
        assert not any(said.startswith("Every training sample") for said in remarks(view))


def test_accuracies_stand_beside_what_one_answer_is_worth(digits):
    X, y, model = digits
    often = np.where(y < 4, 3, y)
    view = view_of(model, model.evaluate(X, y=often, predictions=y))
    view = replace(view, label_names={3: "three"})
    one = "always answering three, the most frequent one, would be right for "
    one += f"{100 * np.mean(y < 4):.0f} % in training."
    told = remarks(view, {"train/accuracy": 0.7, "test/accuracy": 0.561})[0]
    given = "56 % of the test samples get the right class, 70 % of those in training; "
    assert told == given + one
    told = remarks(view, {"train/accuracy": 0.7, "test/accuracy": float("nan")})[0]
    assert told == f"70 % of the training samples get the right class; {one}"
    for other in (remarks(view), remarks(replace(view, estimator="vq"), {"train/accuracy": 0.7})):
        assert not any("always answering" in said for said in other)


def test_large_ratios_are_read_without_exponents():
    assert "lie 3,098 times" in reading("train/calinski_harabasz", 3098.3)
    assert "lie 1,000 times" in reading("calinski_harabasz", 999.7)
    assert "by 1 bit;" in reading("entropy", 0.9956)
    assert "lie 107 times" in reading("train/calinski_harabasz", 106.9)
    assert "lies 1495231 from" in reading("quantization_error", 1495231.2)
    assert "off by 10000 on" in reading("mae", 9999.9)
    assert "off by 2e+15." in reading("rmse", 2e15)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (12345.6, "12346"), (999949.0, "999949"), (1e6, "1000000"), (-0.0, "0"), (3.0, "3"),
        (0.123456, "0.1235"), (2.5e-7, "2.5e-07"), (-23456.7, "-23457"), (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_numbers_of_a_report_are_as_those_of_the_terminal(value, told):
    assert number(value) == told
    assert told.startswith("-") or cell(abs(value)) == told


def test_a_map_of_one_neuron_has_little_to_say(digits):
    X, y, _ = digits
    model = SomClassifier(growth={"name": "fixed", "rows": 1, "columns": 1}, epochs=2).fit(X, y)
    view = view_of(model, model.evaluate(X))
    assert remarks(view) == []
    assert remarks(replace(view, estimator="vq")) == []
