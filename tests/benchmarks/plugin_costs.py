"""What plugins cost: discovering fifty of them, and a metric in plain numpy.

``python tests/benchmarks/plugin_costs.py`` prints both and exits with 1 when one is over its limit:
50 ms more at the start, and 20 % over numpy itself. Never part of the plain test run.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dbgsom_core.api import Component
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.interfaces.metrics import MetricAbilities

PLUGINS, REPEATS = 50, 15
MODULE = """
from dbgsom_core.api import hookimpl
from dbgsom_core.interfaces.metrics import MetricAbilities
DBGSOM_API_VERSION = 1
@hookimpl
def dbgsom_metrics():
    return {{"metric_{0}": "plugin_{0}_metric:Metric"}}
@hookimpl
def dbgsom_kernels():
    return {{"kernel_{0}": "plugin_{0}_kernel:Kernel"}}
"""
PROBE = """
import sys, time
import dbgsom_core.plugins.registry as plugins
sys.path[:0] = sys.argv[1:]
started = time.perf_counter()
registry = plugins.Registry.discover()
seconds = time.perf_counter() - started
assert not registry.broken, registry.broken
print(len(registry.records), seconds)
"""


class Gaps(Component):
    """Manhattan distance in plain numpy."""

    def pairwise(self, X, prototypes):
        distances = np.zeros((len(X), len(prototypes)))
        for column in range(X.shape[1]):
            distances += np.abs(X[:, column, None] - prototypes[:, column])
        return distances


def discovery():
    """Return the median milliseconds that fifty installed plugins add to discovery."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(PLUGINS):
            (folder / f"plugin_{number}.py").write_text(MODULE.format(number))
            info = folder / f"dbgsom_plugin_{number}-1.0.dist-info"
            info.mkdir()
            words = "What this plugin does, at length. " * 100
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: dbgsom-plugin-{number}\nVersion: 1.0\n\n{words}"
            )
            (info / "entry_points.txt").write_text(
                f"[dbgsom.plugins]\nplugin_{number} = plugin_{number}\n"
            )
        subprocess.run([sys.executable, "-m", "compileall", "-q", name], check=True)
        _once()
        alone, crowded = [], []
        for _ in range(REPEATS):
            alone.append(_once())
            crowded.append(_once(name))
        return 1000 * (statistics.median(crowded) - statistics.median(alone))


def _once(*folders):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *folders], capture_output=True, text=True, check=True
    )
    found, seconds = done.stdout.split()
    assert int(found) >= PLUGINS * bool(folders)
    return float(seconds)


def numpy_metric():
    """Return the engine's time for a ``pairwise`` metric over numpy's for the same chunks."""
    rng = np.random.default_rng(0)
    X, prototypes = rng.normal(size=(20_000, 16)), rng.normal(size=(400, 16))
    metric = Gaps()
    data = LocalSamples(X, MetricAbilities.of(metric), threads=1)
    size = (1 << 20) // len(prototypes)
    ratios = []
    for _ in range(7):
        started = time.perf_counter()
        for start in range(0, len(X), size):
            distances = metric.pairwise(X[start : start + size], prototypes)
            bmu = distances.argmin(axis=1)
            distances[np.arange(len(bmu)), bmu]
        alone = time.perf_counter() - started
        started = time.perf_counter()
        data.assign(prototypes)
        ratios.append((time.perf_counter() - started) / alone)
    return statistics.median(ratios)


def main():
    """Measure, print, and say whether the limits hold."""
    added, ratio = discovery(), numpy_metric()
    print(f"discovery of {PLUGINS} plugins adds {added:.1f} ms (limit 50)")
    print(f"a numpy metric takes {ratio:.2f} of numpy's own time, one thread (limit 1.20)")
    return 0 if added < 50 and ratio <= 1.2 else 1


if __name__ == "__main__":
    sys.exit(main())
