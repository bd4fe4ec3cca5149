"""What must cost little: bounds that do not pay, all that is no pass, memory, start, measures."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from contestants import ours
from timing import paired, table
from workloads import clusters

FRESH = {
    "import": "import dbgsom_core",
    "fit of digits, 80 neurons": (
        "from sklearn.datasets import load_digits; from dbgsom_core import SomVQ\n"
        "import numba, sklearn.cluster\nX = load_digits().data\n"
        "# START\nSomVQ(max_neurons=80).fit(X)"
    ),
}
START_TARGETS = {"import": 150, "fit of digits, 80 neurons": 300}
WARM = """
import time
from sklearn.datasets import load_digits
from dbgsom_core import SomVQ
X = load_digits().data
for turn in range(120):
    started = time.perf_counter()
    SomVQ(max_neurons=80).fit(X)
    print(1000 * (time.perf_counter() - started))
"""
COLD = 20  # fits until a process is warm
PEAK = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
from contestants import ours
from workloads import clusters
ours(clusters(20_000, 16), 10, 10, 5)
X = clusters(1_000_000, 16)
def now():
    line = next(l for l in open("/proc/self/status") if l.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = now()
ours(X, 10, 10, 50)
line = next(l for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(int(line.split()[1]) / 1024 - before)
"""


def pruning(options):
    """Bounds on data where they pay little or nothing: decided by the engine, against never."""
    X, rows = np.random.default_rng(0).normal(size=(100_000, 16)).astype(np.float32), []
    for name, restless in (("settle", 0.0), ("never settle", 0.3)):
        functions = {
            name: _epochs(X, 100, prunes, restless)
            for name, prunes in (("auto", None), ("never", False))
        }
        times = paired(functions, max(options.rounds, 5))
        ratio = np.median(times["auto"] / times["never"])
        least = times["auto"].min() / times["never"].min()
        told = (f"{least:.3f}", f"{ratio:.3f}", "≤ 1.05")
        rows.append((f"noise 100k x 16, K=100; prototypes {name}", *told))
    header = ("data", "auto / never, least", "median", "target")
    return table("Bounds where they do not pay, 50 searches", header, rows)


def _epochs(X, k, prunes, restless):
    from dbgsom_core.plugins.registry import get_registry
    from dbgsom_plugins.engines.local import LocalEngine

    metric = get_registry().build("metric", "euclidean")
    cells = np.column_stack(np.divmod(np.arange(k), int(k**0.5)))

    def run():
        generator = np.random.default_rng(1)
        steps = generator.normal(size=(50, k, X.shape[1]))
        search = LocalEngine().over(X, metric).search()
        search.parts.parts[0].pruning._always = prunes
        for epoch, step in enumerate(steps):
            search.assign(X[:k] + 0.8**epoch * steps[0] + restless * step, cells)

    return run


def outside(options):
    """The share of a fit's epochs that is no search, at 2000 neurons."""
    from dbgsom_core.engine.search import PartitionedSearch

    X = clusters(100_000, 64)
    inside, search = [0.0], PartitionedSearch.assign

    def timed(self, *arguments, **named):
        started = time.perf_counter()
        try:
            return search(self, *arguments, **named)
        finally:
            inside[0] += time.perf_counter() - started

    shares = []
    PartitionedSearch.assign = timed
    try:
        for _ in range(options.rounds):
            spent = []
            for epochs in (10, 30):  # their difference is epochs alone
                inside[0] = 0.0
                started = time.perf_counter()
                ours(X, 50, 40, epochs)
                spent.append((time.perf_counter() - started, inside[0]))
            whole, searched = np.subtract(spent[1], spent[0])
            shares.append(1 - searched / whole)
    finally:
        PartitionedSearch.assign = search
    row = ("100k x 64, K=2000", f"{min(shares):.3f}", f"{np.median(shares):.3f}", "< 0.10")
    return table(
        "Share of an epoch outside the search", ("fit", "least", "median", "target"), [row]
    )


def memory(options):
    """Peak memory of a fit over the data and what was there before."""
    code = PEAK.format(folder=str(Path(__file__).parent))
    megabytes = _output(code)[-1]
    row = ("1M x 16, K=100", f"{megabytes:.0f}", "< 150")
    return table("Peak memory over the data", ("fit", "MB", "target"), [row])


def startup(options):
    """Fresh processes, after one that compiled."""
    rows = []
    for name, code in FRESH.items():
        prepare, _, timed = code.rpartition("# START\n")
        program = f"import time\n{prepare}\nt = time.perf_counter()\n{timed}\n"
        program += "print(1000 * (time.perf_counter() - t))"
        _output(program)
        values = np.array([_output(program)[-1] for _ in range(max(options.rounds, 3))])
        told = (f"{values.min():.0f}", f"{np.median(values):.0f}")
        rows.append((name, *told, f"≤ {START_TARGETS[name]}"))
    for turn in range(options.rounds):
        values = np.array(_output(WARM))
        rows.append((f"second fit of process {turn + 1}", f"{values[1]:.1f}", "", ""))
        warm = values[COLD:]
        told = (f"{warm.min():.1f}", f"{np.median(warm):.1f}", "≤ 15")
        rows.append((f"a hundred after {COLD}", *told))
    return table("Start in a second process", ("what", "least ms", "median ms", "target"), rows)


def measures(options):
    """Predicting, distances and the measures of a run, in passes over the same data."""
    X = clusters(100_000, 64)
    som = ours(X, 20, 20, 5)
    search, labels = som._samples(X).search(), som.predict(X)
    search.parts.parts[0].pruning._always = False  # one pass of a training, its samples packed
    prototypes, chosen = som.weights_.astype(float), _default_measures()

    def measure(names):
        evaluation = som.evaluate(X, predictions=labels)
        for name in names:
            chosen[name].compute(evaluation)

    functions = {
        "one pass": lambda: search.assign(prototypes),
        "predict": lambda: som.predict(X),
        'transform(X, "distances")': lambda: som.transform(X, "distances"),
        "memory for its result, filled": lambda: np.empty((len(X), 400), X.dtype).fill(1),
        **{name: lambda name=name: measure([name]) for name in chosen},
        "all measures together": lambda: measure(chosen),
    }
    times = paired(functions, options.rounds)
    base = times["one pass"]
    rows = [
        (name, f"{1e3 * v.min():.0f}", f"{1e3 * np.median(v):.0f}", f"{np.median(v / base):.2f}")
        for name, v in times.items()
    ]
    header = ("what", "least ms", "median ms", "in passes")
    return table("After a fit, 100k x 64, K=400", header, rows)


def _default_measures():
    """Return what a run of estimator vq without targets measures, by name."""
    from dbgsom_core.interfaces.measures import MeasureAbilities
    from dbgsom_core.plugins.registry import get_registry

    measures = {one.name: one.load()() for one in get_registry().offered("measure")}
    asked = {name: MeasureAbilities.of(measure) for name, measure in measures.items()}
    return {
        name: measures[name]
        for name, asks in asked.items()
        if "vq" in (asks.estimators or ("vq",)) and not asks.needs_target
    }


def _output(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]
