"""YAML that is broken, ambiguous or unsafe is refused with its place."""

from pathlib import Path

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

REFUSED = {
    "a duplicate key": (
        "a: 1\nb: 2\na: 3\n",
        "run.yaml:3:1: a: the key appears twice (first in line 1)",
    ),
    "a tag": (
        "a: !!python/object/apply:os.system ['x']\n",
        "run.yaml:1:4: a: tags such as '!!python/object/apply:os.system' are not supported",
    ),
    "a merge key": (
        "a: &x {b: 1}\nc:\n  <<: *x\n",
        "run.yaml:3:3: c.<<: merge keys are not supported; use 'extends' or repeat",
    ),
    "a number as key": ("a: {1: 2}\n", "run.yaml:1:5: a: 1 is no key; quote it"),
    "a list as key": ("a: {[1]: 2}\n", "run.yaml:1:5: a: a list is no key; quote it"),
    "a section as key": ("? {a: 1}\n: 2\n", "run.yaml:1:3: a section is no key; quote it"),
    "two documents": ("a: 1\n---\nb: 2\n", "run.yaml:2:1: one file holds one document, not two"),
    "an alias of itself": ("a: &x\n  b: *x\n", "run.yaml:2:6: '*x' contains itself"),
    "a list in itself": ("a: &x [1, *x]\n", "run.yaml:1:11: '*x' contains itself"),
    "an unknown alias": ("a: *x\n", "run.yaml:1:4: '*x' has no '&x' before it"),
    "an open bracket": (
        "a: [1, 2\nb: 3\n",
        "run.yaml:2:2: no YAML: expected ',' or ']', but got ':'",
    ),
    "an open quote": ("a: 'x\n", "run.yaml:2:1: a quote or bracket is not closed"),
    "a tab": ("a:\n\tb: 1\n", "run.yaml:2:1: tabs cannot indent YAML; use spaces"),
    "wrong indentation": ("a:\n    b: 1\n   c: 2\n", "run.yaml:3:4: wrong indentation"),
    "a second colon": (
        "a: b: c\n",
        "run.yaml:1:5: a second ': ' on this line, or wrong indentation; "
        "quote text that holds ': '",
    ),
    "a control character": (
        "a: 1\nb: x\x07\n",
        "run.yaml:2:5: the character '\\x07' is not allowed",
    ),
    "half a character": (
        'a: "\\ud800"\n',
        "run.yaml:1:4: a: holds half a character (a lone surrogate)",
    ),
    "thousands of digits": (
        f"a: {'9' * 5000}\n",
        "run.yaml:1:4: a: is a number that is too large",
    ),
    "an empty file": ("", "run.yaml:1:1: the file is empty; it needs at least 'experiment'"),
    "a bare document mark": (
        "---\n",
        "run.yaml:1:1: the file is empty; it needs at least 'experiment'",
    ),
    "a list": ("- a\n- b\n", "run.yaml:1:1: the file must hold 'key: value' lines, not a list"),
    "a word": (
        "digits\n",
        "run.yaml:1:1: the file must hold 'key: value' lines, not a single value",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_is_refused_with_its_place_when_it_holds(what, bench):
    text, expected = REFUSED[what]
    assert expected in bench.problems(text)


def test_an_alias_bomb_is_refused_at_once(bench):
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    assert "make more than 20000 values" in bench.problem("\n".join(levels))


def test_deep_nesting_is_refused(bench):
    assert bench.problem("a: " + "[" * 3000 + "]" * 3000).endswith("nested deeper than 50 levels")


def test_an_alias_is_welcome(bench, small):
    text = (
        small
        + "model:\n  kernel: &k {name: gauss, start: 2}\n"
        + "  growth: {name: nested, inner: {start: 1}}\n"
    )
    assert bench.load(text).model.params["kernel"].start == 2
    twice = "experiment: &e here\ndataset: {name: toy, word: *e}\n"
    assert bench.load(twice).dataset.word == "here"


def test_every_problem_of_the_text_is_told_at_once(bench, small):
    text = small + "seed: !!int 3\nseed: 4\nmodel: {1: 2}\n"
    assert [line.split(": ")[0] for line in bench.problems(text)] == [
        "run.yaml:3:7",
        "run.yaml:4:1",
        "run.yaml:5:9",
    ]


def test_a_missing_file_tells_where_it_was_sought(bench, registry: Registry):
    with pytest.raises(ConfigError) as caught:
        load_experiment("none.yaml", registry=registry)
    assert str(caught.value) == f"none.yaml: there is no file 'none.yaml' (looked in {Path.cwd()})"
    for name in ("none.yaml", "notes.yaml.bak"):
        Path(name).touch()
    for name in ("nonne.yml", "none"):
        with pytest.raises(ConfigError, match=r"did you mean 'none\.yaml'\?$"):
            load_experiment(name, registry=registry)
