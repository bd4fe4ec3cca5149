"""Compare with the peers that are installed: one command.

    python tests/benchmarks/run.py [--rounds 3] [SECTION ...]

Sections: fits, growing, memory, startup, measures; all by default. Contestants take turns within
a round, so that what else runs on the machine hits them alike; medians are over rounds, ratios
are medians of the ratios within a round. Unset OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE: they slow the matrix products of peers. A machine with AVX2 alone is shown by
``NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma,+bmi OPENBLAS_CORETYPE=Haswell``; without
the features numba keeps those of the host.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from quality import measure

# ---------------------------------------------------------------------------------- the data


def clusters(n, d, seed=0):
    """Return n samples of 50 clusters on a 10-dimensional plane with noise, float32 (n, d)."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(50, 10))[rng.integers(50, size=n)] + 0.5 * rng.normal(size=(n, 10))
    return (plane @ rng.normal(size=(10, d)) + 0.5 * rng.normal(size=(n, d))).astype(np.float32)


def many_digits(n=60_000, seed=0):
    """Return scikit-learn's digits, repeated with noise and shifts, float32 (n, 64)."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    images = load_digits().images[rng.integers(1797, size=n)]
    for axis in (1, 2):
        moved = rng.random(n) < 0.3
        images[moved] = np.roll(images[moved], 1, axis=axis)
    return (images + rng.normal(size=images.shape)).reshape(n, 64).astype(np.float32)


# ------------------------------------------------------------------------------ who takes part


def ours(X, rows, columns, epochs):
    """Fit the public estimator with everything that its fit does: checks, measures, labels."""
    from dbgsom_core import SomVQ

    growth = {"name": "fixed", "rows": rows, "columns": columns}
    kernel = {"name": "gaussian", "start": 5.0, "end": 0.5, "decay": "exponential"}
    return SomVQ(growth=growth, kernel=kernel, epochs=epochs, tol=0.0).fit(X)


def faiss_k_means(X, rows, columns, epochs):
    """K-means without a map: the speed of an exact search with a library's own kernels."""
    import faiss

    points = {"max_points_per_centroid": len(X), "min_points_per_centroid": 1}
    k_means = faiss.Kmeans(X.shape[1], rows * columns, niter=epochs, **points)
    k_means.train(X)
    return k_means


def fastersom(X, rows, columns, epochs):
    """A batch SOM on PyTorch, here on the CPU."""
    from fastersom import SOM

    return SOM(rows, columns, epochs, sigma_initial=5.0, sigma_final=0.5, device="cpu").fit(X)


CONTESTANTS = {  # name: (module, function)
    "dbgsom-core": ("dbgsom_core", ours),
    "faiss k-means": ("faiss", faiss_k_means),
    "fastersom": ("fastersom", fastersom),
}
FITS = {  # name: (data, rows, columns, epochs), and ours / theirs that is aimed at
    "clusters 100k x 64, K=400": (
        (lambda: clusters(100_000, 64), 20, 20, 50), {"faiss k-means": 0.25, "fastersom": 0.2}
    ),
    "digits 60k x 64, K=400": ((many_digits, 20, 20, 50), {"faiss k-means": 0.35}),
    "clusters 1M x 16, K=100": (
        (lambda: clusters(1_000_000, 16), 10, 10, 50), {"faiss k-means": 0.28}
    ),
}  # fmt: skip

# ------------------------------------------------------------------------------------- timing


def paired(functions, rounds):
    """Time functions in turns; return {name: array (rounds,) of seconds}."""
    times = {name: [] for name in functions}
    for turn in range(rounds + 1):  # the first compiles, and warms the caches
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in times.items()}


def table(title, header, rows):
    """Return a Markdown table."""
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""])


def run_code(code):
    """Run a program in a fresh process; return the numbers that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


# ----------------------------------------------------------------------------------- sections


def fits(options):
    """Whole fits of equal size against peers, validation, measures and labels included."""
    rows = []
    for name, ((make, *shape), targets) in FITS.items():
        X = make()
        functions = {
            peer: lambda fit=fit, X=X, shape=shape: fit(X, *shape)
            for peer, (module, fit) in CONTESTANTS.items()
            if importlib.util.find_spec(module)
        }
        times = paired(functions, options.rounds)
        for peer, values in times.items():
            ratio = np.median(times["dbgsom-core"] / values)
            told = (f"{values.min():.3f}", f"{np.median(values):.3f}", f"{ratio:.2f}")
            rows.append((name, peer, *told, f"≤ {targets[peer]}" if peer in targets else ""))
    header = ("data", "who", "least s", "median s", "ours / theirs", "target")
    return table("Whole fits, 50 epochs", header, rows)


def growing(options):
    """A fit that grows to 150 neurons beside dbgsom's and beside a fixed grid of the same size."""
    from dbgsom_core import SomVQ

    X, found, rows = many_digits(), {}, []
    makers = {
        "dbgsom-core, growing": lambda: SomVQ(max_neurons=150).fit(X),
        "dbgsom-core, fixed 10 x 15": lambda: ours(X, 10, 15, 100),
    }
    if importlib.util.find_spec("dbgsom"):
        import dbgsom

        # With this lambda it comes near to as many neurons on these data.
        theirs = {"lambda_": 15, "max_neurons": 150, "random_state": 0}
        makers["dbgsom"] = lambda: dbgsom.SomVQ(**theirs).fit(X)

    def keep(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = makers[name]()

    times = paired({name: lambda name=name: keep(name) for name in makers}, options.rounds)
    targets = {"dbgsom-core, fixed 10 x 15": "≤ 1", "dbgsom": "≤ 0.2"}
    for name, values in times.items():
        weights = np.asarray(found[name].weights_, dtype=float)
        cells = np.array([tuple(cell) for cell in found[name].neurons_])
        hops = np.abs(cells[:, None] - cells).sum(axis=2)
        error, topographic = measure(X[:5000].astype(float), weights, hops)
        ratio = np.median(times["dbgsom-core, growing"] / values)
        told = (f"{error:.2f}", f"{topographic:.3f}", f"{values.min():.2f}")
        told += (f"{np.median(values):.2f}", f"{ratio:.2f}", targets.get(name, ""))
        rows.append((name, len(weights), *told))
    header = ("who", "neurons", "QE", "TE4", "least s", "median s", "ours / theirs", "target")
    return table("Growing on digits, 60k x 64", header, rows)


PEAK = """
import sys
sys.path.insert(0, {folder!r})
from run import clusters, ours
def memory(key):
    line = next(l for l in open("/proc/self/status") if l.startswith(key))
    return int(line.split()[1]) / 1024
ours(clusters(20_000, 16), 10, 10, 5)
X = clusters(1_000_000, 16)
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = memory("VmRSS")
ours(X, 10, 10, 50)
print(memory("VmHWM") - before)
"""
FRESH = {  # what is timed in a second process, in ms at most, after what is not
    "import": ("", "import dbgsom_core", 150),
    "fit of digits, 80 neurons": (
        "from sklearn.datasets import load_digits; from dbgsom_core import SomVQ\n"
        "import numba, sklearn.cluster\nX = load_digits().data\n",
        "SomVQ(max_neurons=80).fit(X)",
        300,
    ),
}
TIMED = "import time\n{}\nt = time.perf_counter()\n{}\nprint(1000 * (time.perf_counter() - t))"
WARM = f"{FRESH['fit of digits, 80 neurons'][0]}import time\nfor turn in range(120):\n" + (
    "    t = time.perf_counter()\n    SomVQ(max_neurons=80).fit(X)\n"
    "    print(1000 * (time.perf_counter() - t))\n"
)
COLD = 20  # fits until a process is warm


def memory(options):
    """Peak memory of a fit over the data and what was there before."""
    megabytes = run_code(PEAK.format(folder=str(Path(__file__).parent)))[-1]
    row = ("1M x 16, K=100", f"{megabytes:.0f}", "< 150")
    return table("Peak memory over the data", ("fit", "MB", "target"), [row])


def startup(options):
    """Fresh processes, after one that compiled."""
    rows = []
    for name, (prepare, timed, target) in FRESH.items():
        program = TIMED.format(prepare, timed)
        run_code(program)
        values = np.array([run_code(program)[-1] for _ in range(max(options.rounds, 3))])
        rows.append((name, f"{values.min():.0f}", f"{np.median(values):.0f}", f"≤ {target}"))
    for turn in range(options.rounds):
        values = np.array(run_code(WARM))
        rows.append((f"second fit of process {turn + 1}", f"{values[1]:.1f}", "", ""))
        warm = values[COLD:]
        told = (f"{warm.min():.1f}", f"{np.median(warm):.1f}", "≤ 15")
        rows.append((f"a hundred after {COLD}", *told))
    return table("Start in a second process", ("what", "least ms", "median ms", "target"), rows)


def measures(options):
    """Predicting, distances and the default measures, in passes over the same data."""
    from dbgsom_core.measures import evaluate

    X = clusters(100_000, 64)
    som = ours(X, 20, 20, 5)
    prototypes = som.weights_.astype(float)

    def one_pass():
        search = som._samples(X).search()
        search.assign(prototypes, som.som_map_.positions)

    functions = {
        "one pass, samples packed": one_pass,
        "predict": lambda: som.predict(X),
        'transform(X, "distances")': lambda: som.transform(X, "distances"),
        "all measures together": lambda: evaluate(som, X),
    }
    times = paired(functions, options.rounds)
    base = times["one pass, samples packed"]
    rows = [
        (name, f"{1e3 * v.min():.0f}", f"{1e3 * np.median(v):.0f}", f"{np.median(v / base):.2f}")
        for name, v in times.items()
    ]
    header = ("what", "least ms", "median ms", "in passes")
    return table("After a fit, 100k x 64, K=400", header, rows)


SECTIONS = {section.__name__: section for section in (fits, growing, memory, startup, measures)}


def main():
    """Run the sections that were named and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    for name in options.sections or SECTIONS:
        print(SECTIONS[name](options), flush=True)


if __name__ == "__main__":
    main()
