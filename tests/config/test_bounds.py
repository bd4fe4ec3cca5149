"""Files that never end, or are far too much, are refused at once and with their place."""

import os
from pathlib import Path
from threading import Thread

import pytest

from dbgsom_core.config import load_experiment
from dbgsom_core.errors import ConfigError


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
    assert told.endswith("the package 'nobody' is not installed here; did you mean 'euclid'?")
    assert "install " not in told
