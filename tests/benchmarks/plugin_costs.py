"""What plugins cost: a start beside a hundred of them, and a metric in plain numpy.

``python tests/benchmarks/plugin_costs.py`` prints both and exits with 1 when one is over its limit:
60 ms of CPU more at a start, and 20 % over numpy itself. Never part of the plain test run.
"""

import os
import resource
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

PLUGINS, REPEATS, MOST = 100, 15, 60  # milliseconds that they may add
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
DBGSOM = "from dbgsom_core.cli import main; main()"
CONFIG = "experiment: starts\ndataset: iris\nmodel: {kernel: gaussian}\ntracking: []\n"
STARTS = {"--help": ("--help",), "validate": ("validate", "starts.yaml")}


class Gaps(Component):
    """Manhattan distance in plain numpy."""

    def pairwise(self, X, prototypes):
        distances = np.zeros((len(X), len(prototypes)))
        for column in range(X.shape[1]):
            distances += np.abs(X[:, column, None] - prototypes[:, column])
        return distances


def starts():
    """Return the CPU milliseconds that the installed plugins add to each command's start.

    The least of some starts, those with and those without plugins in turns.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "site")
        folder.mkdir()
        Path(name, "starts.yaml").write_text(CONFIG)
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
        subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
        found = {}
        for command, words in STARTS.items():
            alone, crowded = [], []
            for _ in range(REPEATS):
                alone.append(_start(name, words, ""))
                crowded.append(_start(name, words, str(folder)))
            found[command] = 1000 * min(alone), 1000 * min(crowded)
        return found


def _start(work, words, folder):
    paths = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", DBGSOM, *words],
        cwd=work,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
    ratio, over = numpy_metric(), False
    for command, (alone, crowded) in starts().items():
        added, over = crowded - alone, over or crowded - alone > MOST
        print(
            f"dbgsom {command}: {alone:.0f} ms of CPU, {PLUGINS} plugins add {added:.1f} ms "
            f"(limit {MOST})"
        )
    print(f"a numpy metric takes {ratio:.2f} of numpy's own time, one thread (limit 1.20)")
    return 1 if over or ratio > 1.2 else 0


if __name__ == "__main__":
    sys.exit(main())
