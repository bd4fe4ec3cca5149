"""Reports and notes show what names hold as text."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbgsom_core.api import RunResult
from dbgsom_plugins.trackers.markdown import as_code, as_markdown
from dbgsom_plugins.trackers.report import report

EVIL = "\x1b[31m<script>alert(1)</script>|*a*`b`\n# c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name, seed=1 test_size", "plain name, seed=1 test_size"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("a|b", "a\\|b"),
        ("*a* _b_ `c` [d](e)", "\\*a\\* \\_b\\_ \\`c\\` \\[d\\](e)"),
        ("a\n# b\x1b", r"a\\n# b\\x1b"),  # a backslash that markdown shows
        ("\u202e", r"\\u202e"),
    ],
)
def test_text_is_shown_as_it_is(text, shown):
    assert as_markdown(text) == shown


def test_code_is_fenced_by_more_than_it_holds():
    assert as_code("a|b") == "`a\\|b`"
    assert as_code("a``b") == "``` a``b ```"
    assert as_code("a\nb") == "`a\\nb`"


def check(page):
    outside = "".join(part for at, part in enumerate(page.split("`")) if at % 2 == 0)
    assert "<script" not in outside
    assert "\x1b" not in page
    assert "\n# c" not in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    columns = {line.replace("\\|", "").count("|") for line in rows}
    assert len(columns) == 1


def test_a_report_shows_names_as_text(make_run, tmp_path: Path):
    run = replace(
        make_run("1"),
        name=EVIL,
        params={EVIL.replace("`", ""): EVIL},
        data={"name": EVIL, "samples": 3, "features": 2},
    )
    check(report(run, RunResult(measures={}, notes=(EVIL,)), (), ()))
