"""What all tests share."""

import contextlib
import functools
import gc
import io
import logging
import os
import signal
import sys
from typing import NamedTuple
from unittest import mock

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from dbgsom_core.som_map.grid import HEXAGONAL, SQUARE

mpl.use("Agg")

# A shell that starts the tests in the background, or nohup, has them and their children ignore
# these; with a handler of ours they are again what they are at a terminal.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler)

# Compiled loops make the first example slow; examples stay the same from run to run.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def hexagonal():
    return HEXAGONAL


@pytest.fixture(scope="session", params=[SQUARE, HEXAGONAL], ids=["square", "hexagonal"])
def grid(request):
    return request.param


@pytest.fixture(autouse=True)
def logs_are_heard():
    """The command line keeps its warnings to itself: not in a test that comes after it."""
    logger = logging.getLogger("dbgsom")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


class Answer(NamedTuple):
    """What a command leaves at the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def called():
    """Call ``dbgsom …`` in a folder, in this process, whose imports are done."""
    from dbgsom_core.cli import main

    def call(folder, *words, stdin=b""):
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict(os.environ),  # what options put there goes with the test
            mock.patch.object(sys, "argv", ["dbgsom", *map(str, words)]),
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)))),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return Answer(ended.value.code or 0, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Return an MLflow store without runs, made once: that takes seconds."""
    from filelock import FileLock

    from dbgsom_plugins.trackers.mlflow.store import quiet

    store = tmp_path_factory.getbasetemp() / "empty.db"
    if "PYTEST_XDIST_WORKER" in os.environ:
        store = store.parents[1] / "empty.db"
    with FileLock(store.with_suffix(".lock")):
        if not store.exists():
            with quiet():
                from mlflow import MlflowClient

                MlflowClient(f"sqlite:///{store}").search_experiments()
    return store


@pytest.fixture(scope="session")
def read_csv():
    """Read a table as pandas does, and numbers as Python does, in every version of pandas."""
    import pandas as pd

    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    exact = {"float_precision": "round_trip"} if version < (3, 1) else {}
    return functools.partial(pd.read_csv, **exact)


@pytest.fixture
def rng():
    return np.random.default_rng(20170215)


@pytest.fixture(scope="session")
def digits():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


@pytest.fixture(scope="session")
def iris():
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)


def pytest_collection_finish():
    """Leave what was imported and collected out of every later search for garbage."""
    gc.collect()
    gc.freeze()
