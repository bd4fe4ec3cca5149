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
from dbgsom_plugins.trackers.report import (
    as_code,
    remark,
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
        "What matters most",
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


def test_shares_of_few_samples_are_counts_beside_training_and_baseline(write):
    data = {"parts": {"train": 200, "test": 8}, "baseline": {"test/accuracy": 0.5}}
    measures = {"train/accuracy": 0.9, "test/accuracy": 0.625, "test/log_loss": 0.7}
    config = {"model": {"estimator": "classifier"}, "measures": "default"}
    text, _ = write(RunResult(measures), data=data, config=config)
    assert "**test accuracy 0.625**: training 0.9, baseline 0.5\n" in text
    assert "| `accuracy` | 0.9 | 0.625 |  |" in text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("r2", -0.5, "worse than always answering the mean"),
        ("r2", 0.5, ""),
        ("topographic_product", -0.2, "too few dimensions"),
        ("topographic_product", 0.2, "more dimensions"),
        ("map_entropy", 3.0, "in bits"),
        ("test/log_loss", 0.693147, "a probability of 50 %"),
        ("somebody's", 1.0, ""),
        ("log_loss", float("nan"), ""),
    ],
)
def test_numbers_that_mislead_have_a_remark(name, value, said):
    assert said in remark(name, value)
    assert bool(said) == bool(remark(name, value))


def test_what_stands_out_is_so(digits):
    X, y, model = digits
    answers = np.where(np.arange(len(X)) % 7 == 0, 3, model.predict(X))
    view = view_of(model, model.evaluate(X, y=y, predictions=answers))
    said = remarks(view)
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
        assert remarks(view)[-1] == f"The most frequent mistake {where}: 1 taken for 5, 3 of 4."
