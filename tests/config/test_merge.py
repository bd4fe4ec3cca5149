"""Extending files and overriding keys: later wins, sections merge, another name replaces."""

import pytest

from dbgsom_core.config.load import Document, Problems, merge

BASE = """\
experiment: base
dataset: {name: toy, word: base, flag: true}
model:
  kernel: {name: gauss, start: 2, end: 1}
  growth: {name: grow, spreading_factor: 0.3}
  epochs: 7
prepare: [range_scale, standardize]
"""


def merged(base, over):
    problems = Problems()
    result = merge(Document(base), Document(over), problems)
    problems.raise_any()
    return result.values


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"name": "u", "x": 1}}, {"a": {"name": "v"}}, {"a": {"name": "v"}}),
        (
            {"a": {"name": "u", "x": 1}},
            {"a": {"name": "u", "y": 2}},
            {"a": {"name": "u", "x": 1, "y": 2}},
        ),
        ({"name": "u", "x": 1}, {"name": "v"}, {"name": "v", "x": 1}),
        ({"engine": "u"}, {"engine": {"x": 1}}, {"engine": {"name": "u", "x": 1}}),
        ({"engine": {"name": "u", "x": 1}}, {"engine": "v"}, {"engine": {"name": "v"}}),
        (
            {"model": {"growth": {"name": "u", "inner": "w"}}},
            {"model": {"growth": {"inner": {"x": 1}}}},
            {"model": {"growth": {"name": "u", "inner": {"name": "w", "x": 1}}}},
        ),
    ],
)
def test_merging(base, over, result):
    assert merged(base, over) == result


def test_the_later_of_several_bases_wins(bench):
    bench.write(BASE, "a.yaml")
    bench.write("experiment: second\nseed: 5\n", "b.yaml")
    made = bench.load("extends: [a.yaml, b.yaml]\n")
    assert (made.experiment, made.seed, made.dataset.word) == ("second", 5, "base")


def test_extends_is_relative_to_the_file_that_says_it(bench):
    bench.write(BASE, "deep/base.yaml")
    bench.write("extends: base.yaml\n", "deep/middle.yaml")
    assert bench.load("extends: deep/middle.yaml\n").experiment == "base"


def test_extending_in_a_circle_is_refused(bench):
    bench.write("extends: run.yaml\n", "b.yaml")
    assert bench.problem("extends: b.yaml\n") == (
        "b.yaml:1:10: extends: goes through more than 50 files, or in a circle"
    )
    assert "circle" in bench.problem("extends: run.yaml\n")


def test_a_missing_base_is_told_where_it_is_named(bench):
    line = bench.problem("experiment: e\nextends: [nowhere.yaml]\n")
    start = "run.yaml:2:11: extends: nowhere.yaml cannot be read: there is no such file"
    assert line.startswith(start)


@pytest.mark.parametrize("value", ["3", "[3]", "''"])
def test_extends_takes_paths_only(bench, value):
    line = bench.problems(f"extends: {value}\nexperiment: e\ndataset: toy\n")[0]
    assert line.endswith("extends: must be the path of a file, or a list of paths")


def test_a_wrong_value_is_told_in_the_file_that_holds_it(bench):
    bench.write(BASE.replace("epochs: 7", "epochs: x"), "sub/base.yaml")
    assert bench.problem("extends: sub/base.yaml\nseed: 3\n") == (
        "sub/base.yaml:6:11: model.epochs: must be an integer, not 'x'"
    )


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("model.epochs=20", lambda made: made.model.params["epochs"] == 20),
        ("name=a=b", lambda made: made.resolved["name"] == "a=b"),
        ("dataset.columns=[1, 2]", lambda made: made.dataset.columns == (1, 2)),
        (
            "model.growth.spreading_factor=0.9",
            lambda made: made.model.params["growth"].spreading_factor == 0.9,
        ),
        ("model.metric.name=power", lambda made: made.model.params["metric"].p == 2.0),
        (
            "prepare.1=range_scale",
            lambda made: [s.name for s in made.prepare] == ["range_scale"] * 2,
        ),
    ],
)
def test_an_override_is_written_over_the_file(bench, override, read):
    assert read(bench.load(BASE, override))


def test_overrides_of_one_section_belong_together_in_any_order(bench):
    for overrides in (["name=fixed", "rows=2"], ["rows=2", "name=fixed"]):
        made = bench.load(BASE, *(f"model.growth.{one}" for one in overrides))
        assert made.model.params["growth"].rows == 2


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "model.growth.spreading_factor=2",
            "model.growth.spreading_factor: must be less than 1, not 2",
        ),
        ("prepare.2.name=x", "prepare.2: there is no such item in this list; its items are 0 to 1"),
        ("extends=b.yaml", "extends: can only be written in a file"),
        ("seed", "an override is written key=value, such as model.epochs=20"),
        ("seed=[1", "expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_a_wrong_override_is_told_as_it_was_given(bench, override, line):
    told = bench.problems(BASE, override)
    start = f"--set {override}"[:200]
    assert any(one.startswith(start) and one.endswith(line) for one in told), told
