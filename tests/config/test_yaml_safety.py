"""YAML that is broken, ambiguous, unsafe or without end is refused with its place."""

import os
from pathlib import Path
from threading import Thread

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
    "an open quote": ("a: 'x\nb: 1\n", "run.yaml:1:4: the quote that begins here is not closed"),
    "a key without a colon": (
        "experiment: e\ndataset iris\nmodel: {}\n",
        "run.yaml:2:1: there is no ': ' after this key",
    ),
    "a non-breaking space": (
        "model:\n\xa0 epochs: 2\n",
        r"run.yaml:2:1: \xa0 before or after a key is no space: write a plain one",
    ),
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
    "thousands of digits": (f"a: {'9' * 5000}\n", "run.yaml:1:4: a: is a number that is too large"),
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


# ----------------------------------------------------- what never ends, or is far too much


@pytest.fixture
def refused(bench, registry):
    """Read a file that must be refused soon, and return the sentence."""

    def read(path):
        told = []

        def refuse():
            with pytest.raises(ConfigError) as caught:
                load_experiment(path, registry=registry)
            told.append(str(caught.value))

        reader = Thread(target=refuse, daemon=True)
        reader.start()
        reader.join(30)
        assert told, "it was not refused"
        return told[0]

    return read


def test_a_pipe_into_which_nobody_writes_is_refused(refused):
    os.mkfifo("pipe")
    assert refused("pipe") == "pipe: 'pipe' cannot be read: it is no regular file"
    Path("run.yaml").write_text("extends: pipe\n")
    assert refused("run.yaml").startswith("run.yaml:1:10: extends: 'pipe' cannot be read: it is no")


def test_a_device_is_refused(refused):
    assert refused("/dev/zero").endswith("it is no regular file")


def test_links_in_a_circle_and_unusable_paths_are_refused(refused):
    Path("loop").symlink_to("loop")
    assert refused("loop").startswith("loop: 'loop' cannot be read")
    assert "null" in refused("a\0b")
    long = refused("a" * 5000)
    assert "File name too long" in long
    assert len(long) < 500


def test_a_large_file_is_refused_unread(refused):
    with Path("holes.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert refused("holes.yaml").endswith("it has more than 4194304 bytes")


def test_many_values_are_refused_where_they_become_too_many(bench):
    told = bench.problem("a: [" + "1," * 60_000 + "]")
    assert told.startswith("run.yaml:1:99999: more than 50000 values")


def test_deep_dotted_keys_and_long_chains_of_files_are_refused(bench, small):
    assert "an override is written key=value" in bench.problem(small, "a." * 10_000 + "a=1")
    for number in range(400):
        bench.write(f"extends: {number + 1}.yaml\n", f"{number}.yaml")
    assert bench.problem("extends: 0.yaml\n").endswith("goes through more than 50 files")


def test_what_steers_a_terminal_is_shown_as_text(bench, small):
    told = bench.problem(small + 'measures: "q\\e[31m\\u202e"\n')
    assert r"'q\x1b[31m\u202e'" in told
    assert "\x1b" not in told


def test_a_plugin_that_a_file_names_is_not_recommended(bench, small):
    told = bench.problem(small + "model: {metric: 'nobody:euclit'}\n")
    assert told.endswith("no plugin of nobody is loaded here")
    assert "install " not in told
