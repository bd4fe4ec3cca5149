"""A metric's function runs for many prototypes at once with the same bits, and stays on disk."""

import json
import math
import subprocess
import sys

import numba
import numpy as np
import pytest

from dbgsom_core.api import Component
from dbgsom_core.engine.pairwise.fingerprint import fingerprint
from dbgsom_core.engine.pairwise.scalar import scalar_assign, scalar_pairwise
from dbgsom_core.engine.pairwise.scalar_loops import loops_around
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.metrics import MetricAbilities

BEND = 0.75


def manhattan(x, w, params):
    total = 0
    for k in range(x.size):
        total += abs(x[k] - w[k])
    return total


def euclidean(x, w, params):
    total = 0.0
    for k in range(len(w)):
        total += (x[k] - w[k]) ** 2
    return math.sqrt(total)


def chebyshev(x, w, params):
    largest = 0.0
    for k in range(w.shape[0]):
        largest = max(largest, abs(w[k] - x[k]))
    return largest


def canberra(x, w, params):
    total = 0.0
    for k in range(w.size):
        total += np.abs(x[k] - w[k]) / (math.fabs(x[k]) + abs(w[-1]) + 1)
    return 1 - (-total)


def minkowski(x, w, params):
    total = 0.0
    for k in range(x.size):
        total += abs(x[k] - w[k]) ** params[0]
    return total ** (1.0 / params[0])


def cubic(x, w, params):
    total = min(1.0, np.exp(-((x[0] - w[0]) ** 3)))
    for k in range(1, x.size):
        total = np.hypot(total, 2 ** (x[k] - w[k]))
    return np.sqrt(total)


def constant(x, w, params):
    return 1.0


MANY = [manhattan, euclidean, chebyshev, canberra, minkowski, cubic, constant]


def huber(x, w, params):
    gap = 0.0
    for k in range(x.size):
        gap += (x[k] - w[k]) ** 2
    gap = gap**0.5
    return gap if gap <= BEND else (BEND * (2 * gap - BEND)) ** 0.5


def sliced(x, w, params):
    return np.abs(x[1:] - w[1:]).sum()


def metric_of(function, **options):
    """Return a metric with two parameters around a function."""

    class Metric(Component):
        """Made for a test."""

        scalar = staticmethod(numba.njit(**options)(function))

        def scalar_params(self):
            return [3.0, 0.5]

    return MetricAbilities.of(Metric())


def by_pairs(function, X, W):
    jitted = numba.njit(function)
    params = np.array([3.0, 0.5])
    return np.array([[jitted(x, w, params) for w in W] for x in X], dtype=float)


@pytest.mark.parametrize("function", [*MANY, huber, sliced])
def test_distances_have_the_bits_of_single_pairs(function, rng):
    X, W = rng.normal(size=(9, 5)), rng.normal(size=(37, 5))
    W[33] = W[4]  # ties go to the lower row, also where the last block is filled up
    X[0], X[1] = W[4], W[36]
    metric = metric_of(function)
    expected = by_pairs(function, X, W)
    np.testing.assert_array_equal(scalar_pairwise(metric, X, W), expected)
    for data in (X, np.asfortranarray(X)):
        data.flags.writeable = False
        bmu, distance = scalar_assign(metric, data, W)
        np.testing.assert_array_equal(bmu, expected.argmin(axis=1))
        np.testing.assert_array_equal(distance, expected.min(axis=1))


def test_functions_that_decide_by_a_distance_run_pair_by_pair():
    for function in MANY:
        assert loops_around(metric_of(function).scalar).many, function
    for function in (huber, sliced):
        assert not loops_around(metric_of(function).scalar).many, function


def test_given_signatures_are_obeyed(rng):
    scalar = numba.njit("float64(float64[::1], float64[::1], float64[::1])")(manhattan)
    metric = type("Given", (Component,), {"__doc__": "x.", "scalar": staticmethod(scalar)})()
    metric = MetricAbilities.of(metric)
    X, W = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    np.testing.assert_array_equal(scalar_pairwise(metric, X, W), by_pairs(manhattan, X, W))


def test_a_division_by_zero_is_told_as_the_function_wants(rng):
    def shares(x, w, params):
        total = 0.0
        for k in range(x.size):
            total += abs(x[k] - w[k]) / w[k]
        return total

    X, W = rng.normal(size=(3, 2)), np.ones((20, 2))
    W[18, 1] = 0.0
    with pytest.raises(ComponentError, match="ZeroDivisionError"):
        scalar_pairwise(metric_of(shares, error_model="python"), X, W)
    with pytest.raises(ComponentError, match="not finite"):
        scalar_pairwise(metric_of(shares), X, W)


# -------------------------------------------------------------------------------- names and files


def made(text, **known):
    """Return the function ``f`` of a source that no file holds."""
    namespace = {"numba": numba, "math": math, "np": np, **known}
    exec(text, namespace)
    return numba.njit(namespace["f"])


def test_a_fingerprint_changes_with_everything_that_is_compiled():
    text = "def f(x, w, params):\n    return abs(x[0] - w[0]) * SCALE"
    base = fingerprint(made(text, SCALE=2.0))
    assert base == fingerprint(made(text, SCALE=2.0))
    assert base == fingerprint(made("\n\n" + text, SCALE=2.0))
    inner = "def f(x):\n    return x + 1"
    call = "def f(x, w, params):\n    return g(x[0])"
    table = "def f(x, w, params):\n    return T[0]"
    names = [
        base,
        fingerprint(made(text, SCALE=2)),
        fingerprint(made(text, SCALE=3.0)),
        fingerprint(made(text.replace("abs", "math.fabs"), SCALE=2.0)),
        fingerprint(made(text.replace("w[0]", "w[1]"), SCALE=2.0)),
        fingerprint(made(call, g=made(inner))),
        fingerprint(made(call, g=made(inner.replace("1", "2")))),
        fingerprint(made(table, T=np.zeros(2))),
        fingerprint(made(table, T=np.ones(2))),
        fingerprint(numba.njit(fastmath=True)(made(text, SCALE=2.0).py_func)),
        fingerprint(made("import numpy.linalg as l\ndef f(x, w, p):\n    return l.norm(x - w)")),
    ]
    assert None not in names
    assert len(set(names)) == len(names)


def test_closures_count_and_what_cannot_be_known_has_no_name(rng):
    def scaled(factor):
        return numba.njit(lambda x, w, params: factor * abs(x[0] - w[0]))

    assert fingerprint(scaled(2.0)) == fingerprint(scaled(2.0)) != fingerprint(scaled(3.0))
    doubled = numba.vectorize(lambda a: 2 * a)
    text = "def f(x, w, params):\n    return g(abs(x[0] - w[0]))"
    assert fingerprint(made(text, g=doubled)) is None
    X, W = rng.normal(size=(4, 1)), rng.normal(size=(3, 1))
    for g, factor in ((doubled, 2), (numba.vectorize(lambda a: 3 * a), 3)):
        metric = metric_of(made(text, g=g).py_func)  # no loops of another such function are found
        np.testing.assert_array_equal(scalar_pairwise(metric, X, W), factor * np.abs(X - W.T))


PLUGIN = """
import numba
def _gaps(x, w, params):
    total = 0.0
    for k in range(x.size):
        total += abs(x[k] - w[k])
    return {factor} * total
"""
USE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numba, numpy as np
from plugin import _gaps
from dbgsom_core.api import Component
from dbgsom_core.engine.pairwise.scalar import scalar_pairwise
from dbgsom_core.engine.pairwise.scalar_loops import loops_around
from dbgsom_core.interfaces.metrics import MetricAbilities
class Gaps(Component):
    '''Gaps.'''
    scalar = staticmethod(numba.njit(_gaps))
out = scalar_pairwise(MetricAbilities.of(Gaps()), np.zeros((1, 2)), np.ones((3, 2)))
stats = loops_around(Gaps.scalar).pairwise.stats
print(json.dumps([out.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


def use(folder, cache):
    done = subprocess.run(
        [sys.executable, "-c", USE, str(folder)],
        env={"PATH": "", "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_second_process_loads_and_a_changed_function_is_compiled_anew(tmp_path):
    cache, plugin = tmp_path / "cache", tmp_path / "plugin.py"
    plugin.write_text(PLUGIN.format(factor=2.0))
    assert use(tmp_path, cache) == [[[4.0] * 3], 0, 1]
    assert use(tmp_path, cache) == [[[4.0] * 3], 1, 0]
    plugin.write_text(PLUGIN.format(factor=3.0))
    assert use(tmp_path, cache) == [[[6.0] * 3], 0, 1]
    names = [path.name for path in cache.rglob("scalar_*_many")]
    assert len(names) == 2  # what was found out about each of the functions


def test_without_a_folder_to_write_it_is_compiled_in_the_process(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN.format(factor=2.0))
    (tmp_path / "file").write_text("no folder")
    assert use(tmp_path, tmp_path / "file" / "below")[0] == [[4.0] * 3]
