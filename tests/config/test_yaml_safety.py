"""YAML that is broken, ambiguous, unsafe or without end is refused with its place."""

import os
from pathlib import Path
from threading import Thread

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.plugins.registry import Registry

EMPTY = "run.yaml:1:1: the file must hold 'key: value' lines, at least 'experiment'"
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
    "two documents": (
        "a: 1\n---\nb: 2\n",
        "run.yaml:2:1: no YAML: expected a single document in the stream, but found another "
        "document",
    ),
    "an alias of itself": ("a: &x\n  b: *x\n", "run.yaml:1:4: nested deeper than 50 levels"),
    "an unknown alias": ("a: *x\n", "run.yaml:1:4: no YAML: found undefined alias 'x'"),
    "an open bracket": (
        "a: [1, 2\nb: 3\n",
        "run.yaml:2:2: no YAML: while parsing a flow sequence, expected ',' or ']', but got ':'",
    ),
    "a tab": (
        "a:\n\tb: 1\n",
        "run.yaml:2:1: no YAML: while scanning for the next token, found character '\\t' that "
        "cannot start any token",
    ),
    "a control character": (
        "a: 1\nb: x\x07\n",
        "run.yaml: no YAML: unacceptable character #x0007: special characters are not allowed",
    ),
    "a large number": (
        f"a: {'9' * 50}\n",
        "run.yaml:1:4: a: cannot be read: it is too large",
    ),
    "an empty file": ("", EMPTY),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_is_refused_with_its_place_when_it_holds(what, bench):
    text, expected = REFUSED[what]
    assert any(line.startswith(expected) for line in bench.problems(text))


def test_an_alias_bomb_is_refused_at_once(bench):
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    assert "more than 50000 values" in bench.problem("\n".join(levels))


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
    assert str(caught.value) == "none.yaml cannot be read: there is no such file"
    Path("none.yaml").touch()
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
    assert refused("pipe") == "pipe cannot be read: it is no regular file"
    Path("run.yaml").write_text("extends: pipe\n")
    assert refused("run.yaml").startswith("run.yaml:1:10: extends: pipe cannot be read: it is no")


def test_links_in_a_circle_and_unusable_paths_are_refused(refused):
    Path("loop").symlink_to("loop")
    assert refused("loop").startswith("loop cannot be read")
    assert "null" in refused("a\0b")
    long = refused("a" * 5000)
    assert "File name too long" in long
    assert len(long) < 500


def test_a_large_file_is_refused_unread(refused):
    with Path("holes.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert refused("holes.yaml").endswith("it has more than 1048576 bytes")


def test_many_values_are_refused_where_they_become_too_many(bench):
    told = bench.problem("a: [" + "1," * 50_001 + "]")
    assert told.startswith("run.yaml:1:100001: more than 50000 values")


def test_deep_dotted_keys_and_long_chains_of_files_are_refused(bench, small):
    assert "an override is written key=value" in bench.problem(small, "a." * 10_000 + "a=1")
    for number in range(400):
        bench.write(f"extends: {number + 1}.yaml\n", f"{number}.yaml")
    assert bench.problem("extends: 0.yaml\n").endswith("more than 50 files, or in a circle")


def test_what_steers_a_terminal_is_shown_as_text(bench, small):
    told = bench.problem(small + 'measures: "q\\e[31m\\u202e"\n')
    assert r"'q\x1b[31m\u202e'" in told
    assert "\x1b" not in told
