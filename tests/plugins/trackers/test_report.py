"""The report of a run: what it says, and text whatever names hold."""

import re
from base64 import b64decode
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from markdown_it import MarkdownIt
from sklearn.datasets import load_digits

from dbgsom_core import SomClassifier
from dbgsom_core.estimators.display import view_of
from dbgsom_core.experiments.trackers import FoldMeasures, Ranking, RunResult, Variant
from dbgsom_core.runs.text import as_markdown
from dbgsom_plugins import dbgsom_measures
from dbgsom_plugins.trackers.report import (
    as_code,
    interpretation,
    remarks,
    render,
    report_content,
)

HOSTILE = "</title></script><img src=x onerror=alert(1)>|`*[a](javascript:x)\x1b\n# b"


@pytest.fixture
def run(make_run):
    return replace(make_run(), environment={"versions": {"numpy": "2.0"}, "git": {"dirty": True}})


@pytest.fixture
def write(run):
    def both(result, *content, **changes):
        said = report_content(replace(run, **changes), result, *content)
        return render("report.md", said), render("report.html", said)

    return both


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:500], y[:500]
    model = SomClassifier(growth={"name": "fixed", "rows": 8, "columns": 9}, epochs=5).fit(X, y)
    return X, y, model


@pytest.mark.parametrize(
    ("text", "shown", "code"),
    [
        ("plain name, seed=1 test_size", "plain name, seed=1 test_size", None),
        ("<b>&", "&lt;b&gt;&amp;", None),
        ("a|b", "a\\|b", "`a\\|b`"),
        ("*a* _b_ [d](e)", "\\*a\\* \\_b\\_ \\[d\\](e)", None),
        ("a``b", "a\\`\\`b", "a\\`\\`b"),
        ("a\n# b\x1b\u202e", r"a # b\\x1b\\u202e", r"`a # b\x1b\u202e`"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown, code):
    assert as_markdown(text) == shown
    assert as_code(text) == (code or f"`{text}`")


def test_names_are_text_and_nothing_is_fetched(write):
    variant = Variant(HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: 0.5}, {}, [HOSTILE])
    ranking = Ranking(HOSTILE, [HOSTILE], "maximize", [variant], HOSTILE)
    measures = {f"test/{HOSTILE}": 1.0, "test/accuracy": 0.5}
    names = {"name": HOSTILE, "experiment": HOSTILE, "data": {"name": HOSTILE}}
    content = [HOSTILE], {"a&b.png": b"\x89PNG"}, f"name: {HOSTILE}\n```\n<script>", [HOSTILE]
    for rankings in ([], [ranking, ranking]):
        result = RunResult(
            measures,
            notes=[HOSTILE],
            folds=[FoldMeasures(1, 8, 4, "1", measures)],
            rankings=rankings,
        )
        text, page = write(result, *content, **names)
        rendered = MarkdownIt("commonmark").enable("table").render(text)
        assert page.count("<img ") == rendered.count("<img ") == 1
        assert page.count("<h1>") == rendered.count("<h1>") == 1
        assert page.count("<table>") == rendered.count("<table>") == 3 + bool(rankings)
        assert page.count("<td") == rendered.count("<td")
        for shown in (page, rendered):
            assert not re.search(r"<script|</script|<b>code|<em>|<strong>a|javascript:x\)\"", shown)
            assert not re.search(r'(?:href|src)="(?!figures/|data:|%3C)', shown)
            assert unescape(shown).count("onerror=alert(1)>|`*[a](javascript:x)") >= 8
            assert shown.count("\x1b") <= 1  # of the configuration, which is as it is
    assert "default-src 'none'" in page


def test_figures_are_in_the_page_and_open_their_files(write):
    inner = '<!doctype html><p title="a&amp;b">größer</p><script>1 < 2</script>'
    files = {
        "hit_map.png": b"\x89PNG picture",
        "class_pies.png": b"x",
        "explorer.html": inner.encode(),
    }
    text, page = write(RunResult({"train/r2": 0.5}), ["a map"], files)
    order = [
        "figures/hit_map.png",
        "a map",
        "50 % of the variance",
        "explorer.html",
        "class_pies.png",
        "All measures",
    ]
    for report in (text, page):
        assert sorted(order, key=report.index) == order
    link, picture = re.findall(r'<a href="(.*?)"><img src="data:image/png;base64,(.*?)"', page)[0]
    assert (link, b64decode(picture)) == ("figures/hit_map.png", files["hit_map.png"])
    (frame,) = re.findall(r'<iframe title="explorer" [^>]*srcdoc="([^"]*)"', page)
    assert unescape(frame) == inner
    assert page.index("</details>") < page.index("How to reproduce")
    assert "![hit map](figures/hit_map.png)" in text
    assert "\n[explorer](figures/explorer.html)" in text


def test_the_report_says_how_to_reproduce_the_run(write):
    text, page = write(RunResult({}), (), {}, "seed: 7\nmodel:\n  epochs: 3\n")
    assert "\n    seed: 7\n    model:\n      epochs: 3\n" in text
    assert "<pre>seed: 7\nmodel:\n  epochs: 3\n</pre>" in page
    assert "| `versions numpy` | 2.0 |" in text
    assert "| `git dirty` | True |" in text


@pytest.mark.parametrize(
    ("estimator", "measures", "judged"),
    [
        ("regressor", ["r2", "mae", "rmse"], ["r2", "rmse", "mae"]),
        ("vq", ["continuity", "quantization_error"], ["quantization_error", "continuity"]),
        ("classifier", ["mine", "topographic_error", "purity", "accuracy", "roc_auc"],
         ["accuracy", "roc_auc", "topographic_error", "mine", "purity"]),
    ],
)  # fmt: skip
def test_the_measures_that_matter_are_those_of_the_headline(write, estimator, measures, judged):
    config = {"model": {"estimator": estimator}, "measures": "default"}
    result = RunResult({f"train/{name}": 0.52 for name in measures})
    text, page = write(result, config=config)
    assert re.findall(r"\* (?:\*\*)?(\w+) 0.52", text) == judged
    assert f"<dt>{judged[0]}</dt><dd>0.52</dd>" in page
    if "continuity" in judged:
        assert "**continuity 0.52**: neighbours of the data are often apart" in text


def test_shares_of_few_samples_are_counts_beside_training_and_baseline(write):
    data = {"parts": {"train": 200, "test": 8}, "baseline": {"test/accuracy": 0.5}}
    measures = {"train/accuracy": 0.9, "test/accuracy": 0.625, "test/log_loss": 0.7}
    config = {"model": {"estimator": "classifier"}, "measures": "default"}
    text, _ = write(RunResult(measures), data=data, config=config)
    said = "5 of 8 samples get the right class (training 0.9, baseline 0.5)"
    assert f"**test accuracy 0.625**: {said}\n" in text
    assert "| `accuracy` | 0.9 | 0.625 | 5 of 8 samples get the right class |" in text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("topographic_error", 0.124, "for 12 % of the samples"),
        ("test/accuracy", 1.0, "100 % of the samples"),
        ("topographic_error", 0.0001, "less than 0.1 %"),
        ("topographic_error", 0.0061, "0.6 %"),
        ("accuracy", 0.996, "more than 99 % of"),
        ("dead_neurons", 0.0, "every neuron has samples"),
        ("dead_neurons", 3.0, "without a sample: 3"),
        ("r2", -0.5, "worse than always answering the mean"),
        ("topographic_product", -0.2, "too few dimensions"),
        ("topographic_product", 0.2, "more dimensions"),
        ("map_entropy", 3.0, "as if over 8 neurons"),
        ("log_loss", 0.693147, "a probability of 50 %"),
        ("continuity", 0.97, "nearly always close"),
        ("trustworthiness", 0.9, "mostly close"),
        ("trustworthiness", 0.5, "often apart"),
        ("train/calinski_harabasz", 30983.3, "are 30983 times"),
        ("somebody's", 1.0, ""),
        ("accuracy", float("nan"), ""),
    ],
)
def test_measures_are_read_in_plain_words(name, value, said):
    assert said in interpretation(name, value)
    assert bool(said) == bool(interpretation(name, value))


def test_every_measure_that_comes_with_dbgsom_is_read_by_its_value():
    values = (-0.5, 0.0, 0.05, 0.5, 0.99)
    for name in dbgsom_measures():
        bounds = [value for value in values if value >= 0 or name == "topographic_product"]
        assert len({interpretation(name, value) for value in bounds} - {""}) > 1, name


def test_what_stands_out_is_so(digits):
    X, y, model = digits
    answers = np.where(np.arange(len(X)) % 7 == 0, 3, model.predict(X))
    view = view_of(model, model.evaluate(X, y=y, predictions=answers))
    said = remarks(view, {"train/accuracy": 0.85, "test/accuracy": 0.6}, {}, {"test": 5})
    assert said.pop(0).startswith("3 of 5 test samples and 85 % of the training samples get the")
    apart = np.linalg.norm(X[:, None] - model.som_map_.prototypes, axis=2)
    first, second = np.argsort(apart, axis=1)[:, :2].T
    folded = model.som_map_.hops[first, second] > 1
    assert said[0].startswith(f"{100 * folded.mean():.0f} % of the training samples")
    folds = np.bincount(first, folded)
    assert f" {folds.argmax()} at " in said[0]
    most = np.sort(folds)[::-1].cumsum() / folds.sum()
    assert ("most of them in" in said[0]) == bool((most[:3] > 0.5).any())
    dead = np.count_nonzero(np.bincount(first, minlength=len(model.som_map_)) == 0)
    assert said[1].startswith(f"{dead} neurons have no training sample")
    wrong = [(a, b) for a, b in zip(y, answers, strict=True) if a != b]
    a, b = max(dict.fromkeys(wrong), key=wrong.count)
    of_class = np.count_nonzero(y == a)
    mistake = f"{a} taken for {b}, {wrong.count((a, b))} of {of_class}."
    assert said[-1] == f"The most frequent mistake in training: {mistake}"


def test_the_mistake_is_that_of_the_rows_that_answers_are_scored_by(digits):
    X, y, model = digits
    trained = model.evaluate(X, y=y, predictions=y)
    others = model.evaluate(
        X[:9], y=[1, 1, 1, 1, 2, 2, 2, 2, 2], predictions=[1, 5, 5, 5, *[2] * 5]
    )
    for part, where in (("test", "in the test part"), ("held-out", "of held-out samples")):
        view = replace(view_of(model, trained), scored=(part, others))
        assert remarks(view, {})[-1] == f"The most frequent mistake {where}: 1 taken for 5, 3 of 4."


@pytest.mark.parametrize(
    ("accuracy", "constant", "said"),
    [
        (0.623, 0.618, ["62.3 % of the test", "61.8 % of the test"]),
        (0.9981, 0.9972, ["99.8 % of the test", "99.7 % of the test"]),
        (0.62, 0.62, ["62 % of the test samples and", "62 % of the test"]),
        (0.63, 0.618, ["63 % of the test samples and", "62 % of the test"]),
    ],
)
def test_shares_that_round_to_the_same_have_a_digit_more(digits, accuracy, constant, said):
    X, y, model = digits
    view = view_of(model, model.evaluate(X, y=y, predictions=y))
    measures = {"train/accuracy": 1.0, "test/accuracy": accuracy}
    told = remarks(view, measures, {"test/accuracy": constant})[0]
    assert [told.startswith(said[0]), f"right for {said[1]}" in told] == [True, True], told
