"""Running the command line inside this process."""

import sys
from dataclasses import dataclass

import pytest

from dbgsom_core.cli import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def dbgsom(monkeypatch, tmp_path, capsys):
    """Call ``dbgsom …`` in an empty folder and return exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    for told in ("DBGSOM_NO_PLUGINS", "DBGSOM_DISABLE_PLUGINS", "DBGSOM_SKLEARN_ONLY"):
        monkeypatch.setenv(told, "")  # what options put there goes with the test

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["dbgsom", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Answer(ended.value.code or 0, told.out, told.err)

    return call


@pytest.fixture
def write(tmp_path):
    """Write a file in the empty folder and return its name."""

    def write(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write
