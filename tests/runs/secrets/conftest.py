"""Runs whose configuration holds secrets, and where those would show."""

import contextlib
import html
import io
import json
import logging
import re
import sqlite3
import sys
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import pytest

from dbgsom_core.cli import main
from dbgsom_core.config import parse_experiment
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import make_callbacks
from dbgsom_core.runs.pipeline import run_experiment

_TABLE = "a,b,hidden-column,class-of-alice\n" + "".join(
    f"{i % 7},{i % 5},{i},{'xy'[i % 2]}\n" for i in range(40)
)
_SMALL = """
experiment: x
dataset: {name: blobs, samples: 40}
model: {epochs: 2}
figures: []
measures: [quantization_error]
tracking: []
"""


def _dbgsom(folder, *arguments):
    """Return the exit code and all that was said."""
    said = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        mock.patch.object(sys, "argv", ["dbgsom", *map(str, arguments)]),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return ended.value.code or 0, said.getvalue()


def _written(folder, but=()):
    """Return by name what every file below a folder holds, but for maps and what was there."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.suffix == ".npz" or name in but:
            continue
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as store:
                found[path.name] = "\n".join(store.iterdump())
        else:
            found[name] = path.read_bytes().decode(errors="replace")
    return found


def _leaks(places, held):
    forms = {held, quote(held), html.escape(held), json.dumps(held)[1:-1], held.replace("|", "\\|")}
    word = r"(?<![\w.]){}(?![\w.])" if len(held) < 4 else "{}"
    return [
        place
        for place, text in places.items()
        for form in forms
        if re.search(word.format(re.escape(form)), text)
    ]


@pytest.fixture(scope="session")
def dbgsom():
    return _dbgsom


@pytest.fixture(scope="session")
def written():
    return _written


@pytest.fixture(scope="session")
def leaks():
    return _leaks


@pytest.fixture(scope="session")
def table():
    """The text of a CSV file."""
    return _TABLE


@pytest.fixture(scope="session")
def small():
    """The text of a configuration."""
    return _SMALL


@pytest.fixture
def secret(monkeypatch, tmp_path):
    monkeypatch.setenv("T", "hunter-of-alice")
    monkeypatch.chdir(tmp_path)
    return "hunter-of-alice"


@pytest.fixture
def made(secret):
    values = {"experiment": "x", "name": "of ${env:T}", "dataset": {"name": "blobs", "samples": 40},
              "model": {"epochs": 2}, "figures": [], "tracking": [], "measures": []}  # fmt: skip
    return parse_experiment(values, Registry.discover(own_only=True))


@pytest.fixture
def run_of():
    def run_of(made, *observers):
        registry = Registry.discover(own_only=True)
        return run_experiment(made, make_callbacks(made.tracking, registry, observers), registry)

    return run_of


class Telling:
    """A third party that says what it knows."""

    def __init__(self, secret):
        self.secret = secret

    def dbgsom_run_started(self, run):
        self.run = run
        logging.getLogger("dbgsom.third").warning("begins: %s", self.secret)
        raise ValueError(f"no {self.secret}")

    def dbgsom_run_failed(self, run, error):
        self.error = error


@pytest.fixture
def telling(secret):
    return Telling(secret)
