"""Compiled loops are kept in numba's cache and loaded without the compiler."""

import os
import subprocess
import sys

import numpy as np
import pytest

from dbgsom_core import SomClassifier
from dbgsom_core.engine.runtime import compile_clock

COUNT = """
import sys
import numpy as np
from dbgsom_core.engine.runtime import compile_clock
with compile_clock() as clock:
    """
LOOPS = (
    COUNT
    + """from dbgsom_core.engine.loops import add_squares
    total = np.zeros(2)
    for dtype in (np.float32, np.float64):
        add_squares(np.ones((3, 2), dtype), np.zeros(2), total)
loaded = "numba.typed.typeddict" in sys.modules
print(clock.seconds > 0, loaded, sum(add_squares.stats.cache_hits.values()), total.sum())
"""
)


def started(code, cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def answer(process):
    out, _ = process.communicate()
    assert process.returncode == 0
    return out.split()


def test_where_nothing_can_be_written_loops_are_compiled_in_each_process(tmp_path):
    unwritable = """
import tempfile
def refuse(**given):
    raise PermissionError(given)
tempfile.TemporaryFile = refuse
"""
    assert answer(started(unwritable + LOOPS, tmp_path)) == ["True", "True", "0", "12.0"]


@pytest.mark.slow
def test_compiled_code_of_other_sources_of_the_engine_is_not_used(tmp_path):
    """A loop calls others across files: numba looks at the file of the loop alone."""
    answer(started(LOOPS, tmp_path))
    other_sources = """
from pathlib import Path

import pytest
read = Path.read_bytes
Path.read_bytes = lambda path: read(path) + b"#"
"""
    assert answer(started(other_sources + LOOPS, tmp_path))[0] == "True"


@pytest.mark.slow
def test_cached_loops_load_without_the_compiler(tmp_path):
    at_once = [started(LOOPS, tmp_path) for _ in range(2)]
    assert {answer(process)[-1] for process in at_once} == {"12.0"}
    answer(started(LOOPS, tmp_path))  # what was lost in between
    assert answer(started(LOOPS, tmp_path)) == ["False", "False", "2", "12.0"]


def test_read_only_samples_are_no_other_kind_of_array():
    """As joblib hands them out: no loop is compiled once more, and the map is the same."""
    X, y = np.random.default_rng(0).normal(size=(1000, 40)), np.arange(1000) % 3
    expected = SomClassifier(max_neurons=12, epochs=12).fit(X, y)
    answers = expected.predict(X), expected.transform(X), expected.transform(X, "distances")
    X.flags.writeable = False
    with compile_clock() as clock:
        found = SomClassifier(max_neurons=12, epochs=12).fit(X, y)
        again = found.predict(X), found.transform(X), found.transform(X, "distances")
    assert clock.seconds == 0
    for answer, other in zip(again, answers, strict=True):
        np.testing.assert_array_equal(answer, other)
