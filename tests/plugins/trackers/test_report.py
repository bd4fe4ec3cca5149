"""The report of a run: what it says, and text whatever names hold."""

import re
from base64 import b64decode
from dataclasses import replace
from html import unescape

import pytest
from markdown_it import MarkdownIt

from dbgsom_core.experiments.trackers import FoldMeasures, Ranking, RunResult, Variant
from dbgsom_core.runs.describe import as_markdown
from dbgsom_plugins.trackers.run_folder import render, report_content

HOSTILE = "</title></script><img src=x onerror=alert(1)>|`*[a](javascript:x)\x1b\n# b"


@pytest.fixture
def run(make_run):
    return replace(make_run(), environment={"versions": {"numpy": "2.0"}, "git": {"dirty": True}})


@pytest.fixture
def write(run):
    def both(result, figures=None, artifacts=(), yaml="", **changes):
        content = report_content(replace(run, **changes), result, figures or {}, artifacts)
        return render(False, config=yaml, **content), render(True, config=yaml, **content)

    return both


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name, seed=1 test_size", "plain name, seed=1 test_size"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a|b", "a\\|b"),
        ("*a* _b_ [d](e)", "\\*a\\* \\_b\\_ \\[d\\](e)"),
        ("a``b", "a\\`\\`b"),
        ("a\n# b\x1b\u202e", r"a # b\\x1b\\u202e"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown):
    assert as_markdown(text) == shown


def test_names_are_text_and_nothing_is_fetched(write):
    variant = Variant(HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: 0.5}, {}, [HOSTILE])
    ranking = Ranking(HOSTILE, [HOSTILE], "maximize", [variant], HOSTILE)
    measures = {f"test/{HOSTILE}": 1.0, "test/accuracy": 0.5}
    names = {"name": HOSTILE, "experiment": HOSTILE, "data": {"name": HOSTILE}}
    folds = [FoldMeasures(1, 8, 4, "1", measures)]
    config = f"name: {HOSTILE}\n```\n<script>"
    for rankings in ([], [ranking, ranking]):
        result = RunResult(measures, notes=[HOSTILE], folds=folds, rankings=rankings)
        text, page = write(result, {"a&b.png": b"\x89PNG"}, [HOSTILE], config, **names)
        rendered = MarkdownIt("commonmark").enable("table").render(text)
        assert page.count("<img ") == rendered.count("<img ") == 1
        assert page.count("<h1>") == rendered.count("<h1>") == 1
        assert page.count("<table>") == rendered.count("<table>") == 2 + len(rankings)
        assert page.count("<td") == rendered.count("<td")
        assert page.count("<li>") == rendered.count("<li>")
        for shown in (page, rendered):
            assert not re.search(r"<script|</script|<b>code|<em>|<strong>a|javascript:x\)\"", shown)
            assert not re.search(r'(?:href|src)="(?!figures/|data:|%3C)', shown)
            assert unescape(shown).count("onerror=alert(1)>|`*[a](javascript:x)") >= 6
            assert shown.count("\x1b") <= 1  # of the configuration, which is as it is
    assert "default-src 'none'" in page


def test_figures_are_in_the_page_and_open_their_files(write):
    inner = '<!doctype html><p title="a&amp;b">größer</p><script>1 < 2</script>'
    files = {
        "hit_map.png": b"\x89PNG picture",
        "class_pies.png": b"x",
        "explorer.html": inner.encode(),
    }
    text, page = write(RunResult({"train/r2": 0.5}), files)
    order = [
        "figures/hit_map.png",
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
    text, page = write(RunResult({}), yaml="seed: 7\nmodel:\n  epochs: 3\n")
    assert "\n    seed: 7\n    model:\n      epochs: 3\n" in text
    assert "<pre>seed: 7\nmodel:\n  epochs: 3\n</pre>" in page
    assert "| versions numpy | 2.0 |" in text
    assert "| git dirty | True |" in text


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
    assert re.findall(r"\* \*\*(\w+) 0.52", text) == judged
    assert f"<dt>{judged[0]}</dt><dd>0.52</dd>" in page


def test_a_number_that_misleads_stands_beside_training_baseline_and_a_remark(write):
    data = {"parts": {"train": 200, "test": 8}, "baseline": {"test/accuracy": 0.5}}
    measures = {"train/accuracy": 0.9, "test/accuracy": 0.625, "test/roc_auc": 0.7}
    config = {"model": {"estimator": "classifier"}, "measures": "default"}
    text, _ = write(RunResult(measures), config=config, data=data)
    assert "**test accuracy 0.625**: training 0.9; baseline 0.5\n" in text
    assert "**test roc_auc 0.7**: 0.5 is chance\n" in text
    assert "| accuracy | 0.9 | 0.625 |" in text
