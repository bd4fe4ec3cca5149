"""Running the command line in an empty folder."""

from functools import partial

import pytest


@pytest.fixture
def dbgsom(called, monkeypatch, tmp_path):
    """Call ``dbgsom …`` in an empty folder and return exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    return partial(called, tmp_path)


@pytest.fixture
def write(tmp_path):
    """Write a file in the empty folder and return its name."""

    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write
