"""Compiled loops are loaded from the cache without what only compiling needs."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from dbgsom_core import SomClassifier
from dbgsom_core.engine import blas
from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.compiling import compile_clock

_CALL = """
import sys
import threading
import numpy as np
from dbgsom_core.engine.loops import add_columns
total = np.zeros(3)
add_columns(np.ones((2, 3)), total)
assert total.tolist() == [2.0, 2.0, 2.0]
print("numba.typed.typeddict" in sys.modules)
"""


def test_cached_loops_load_without_the_compiler(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def loads_the_compiler():
        done = subprocess.run(
            [sys.executable, "-c", _CALL],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert loads_the_compiler() == ["True"]  # compiles
    assert loads_the_compiler() == ["False"]


def test_what_is_not_cached_is_compiled_after_something_that_was(tmp_path):
    code = _CALL + (
        "from dbgsom_core.engine.loops import add_squares\n"
        "squares = np.zeros(3)\n"
        "add_squares(np.ones((2, 3)), np.zeros(3), squares)\n"
        "assert squares.tolist() == [2.0, 2.0, 2.0]\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for program in (_CALL, code):
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def _threads_of_blas():
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_one_thread_of_blas_within_and_as_many_as_before_after():
    before = _threads_of_blas()
    with one_blas_thread():
        assert set(_threads_of_blas()) <= {1}
    assert _threads_of_blas() == before


def test_blas_keeps_one_thread_while_another_fit_ends():
    before = _threads_of_blas()
    first, second = one_blas_thread(), one_blas_thread()  # as two threads of Python meet
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(_threads_of_blas()) <= {1}
    second.__exit__(None, None, None)
    assert _threads_of_blas() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_has_no_block_of_another_thread():
    begun, over = threading.Event(), threading.Event()

    def hold():
        with one_blas_thread():
            begun.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    try:
        child = os.fork()
        if child == 0:
            with one_blas_thread():
                within = blas._within
            os._exit(0 if (within, blas._within) == (1, 0) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        over.set()
        thread.join()


def test_a_file_that_another_process_wrote_for_other_types_is_not_used(tmp_path):
    code = (
        "import numpy as np\n"
        "from dbgsom_core.engine.loops import add_columns\n"
        "for dtype in (np.float32, np.float64):\n"
        "    total = np.zeros(3)\n"
        "    add_columns(np.ones((2, 3), dtype), total)\n"
        "    assert total.tolist() == [2.0, 2.0, 2.0], total\n"
        "print(sum(add_columns.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def hits():
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return int(done.stdout)

    assert hits() == 0
    assert hits() == 2
    one, other = sorted(tmp_path.rglob("*add_columns*.nbc"))
    one.write_bytes(other.read_bytes())
    assert hits() == 1  # and what was wrong is written anew
    assert hits() == 2


def test_without_a_compiler_the_reason_is_said():
    code = "from dbgsom_core import SomVQ; SomVQ().fit([[0, 0], [1, 0], [0, 2], [1, 3]])"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode != 0
    assert "unset NUMBA_DISABLE_JIT" in done.stderr


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_read_only_samples_are_no_other_kind_of_array(dtype):
    """As joblib hands them out: no loop is compiled once more, and the map is the same."""
    X = np.random.default_rng(0).normal(size=(1000, 40)).astype(dtype)
    y = np.arange(1000) % 3
    expected = SomClassifier(max_neurons=12, epochs=12).fit(X, y)
    answers = expected.predict(X), expected.transform(X), expected.transform(X, "distances")
    X.flags.writeable = False
    with compile_clock() as clock:
        found = SomClassifier(max_neurons=12, epochs=12).fit(X, y)
        again = found.predict(X), found.transform(X), found.transform(X, "distances")
    assert clock.seconds == 0
    np.testing.assert_array_equal(found.weights_, expected.weights_)
    for one, other in zip(again, answers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_generated_code_is_not_taken_for_other_code_of_the_same_text():
    for scale in (2.0, 3.0):
        namespace = {"SCALE": scale, "__name__": "made"}
        exec("def f(x):\n    return SCALE * x", namespace)
        assert compiled(namespace["f"])(1.0) == scale
