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
import functools
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
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
FITS = {  # name: data, rows, columns, epochs; the README says what is aimed at
    "clusters 100k x 64, K=400": (lambda: clusters(100_000, 64), 20, 20, 50),
    "digits 60k x 64, K=400": (many_digits, 20, 20, 50),
    "clusters 1M x 16, K=100": (lambda: clusters(1_000_000, 16), 10, 10, 50),
}

# ------------------------------------------------------------------------------------- timing


def timed(functions, rounds, base):
    """Time functions in turns; return seconds, and the base's over those of each."""
    times = []
    for _ in range(rounds + 1):
        turn = {}
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            turn[name] = time.perf_counter() - started
        times.append(turn)
    times = pd.DataFrame(times[1:])  # the first turn compiles, and warms the caches
    ratio = times.rdiv(times[base], axis=0).median()
    return pd.DataFrame({"least s": times.min(), "median s": times.median(), f"{base} /": ratio})


def run_code(code):
    """Run a program in a fresh process; return the numbers that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), dtype=float)


# ----------------------------------------------------------------------------------- sections


def fits(options):
    """Whole fits of equal size against peers, validation, measures and labels included."""
    tables = {}
    for name, (make, *shape) in FITS.items():
        X = make()
        functions = {
            peer: functools.partial(fit, X, *shape)
            for peer, (module, fit) in CONTESTANTS.items()
            if importlib.util.find_spec(module)
        }
        tables[name] = timed(functions, options.rounds, "dbgsom-core")
    return pd.concat(tables)


def growing(options):
    """A fit that grows to 150 neurons beside dbgsom's and beside a fixed grid of the same size."""
    from dbgsom_core import SomVQ

    X, models = many_digits(), {}
    makers = {
        "dbgsom-core": lambda: SomVQ(max_neurons=150).fit(X),
        "dbgsom-core, fixed 10 x 15": lambda: ours(X, 10, 15, 100),
    }
    if importlib.util.find_spec("dbgsom"):
        import dbgsom

        # With this lambda it comes near to as many neurons on these data.
        peer = dbgsom.SomVQ(lambda_=15, max_neurons=150, random_state=0)
        makers["dbgsom"] = lambda: peer.fit(X)

    def keep(name):
        models[name] = makers[name]()

    functions = {name: functools.partial(keep, name) for name in makers}
    table = timed(functions, options.rounds, "dbgsom-core")
    for name, model in models.items():
        weights = np.asarray(model.weights_, dtype=float)
        if name == "dbgsom":
            cells = np.array([tuple(cell) for cell in model.neurons_])
            hops = np.abs(cells[:, None] - cells).sum(axis=2)
        else:
            hops = model.som_map_.hops
        quality = measure(X[:5000].astype(float), weights, hops)
        table.loc[name, ["neurons", "QE", "TE"]] = len(weights), *quality
    return table


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


def memory(options):
    """Peak memory (MB) of a fit of 1M x 16, K=100, over the data and what was there before."""
    return run_code(PEAK.format(folder=str(Path(__file__).parent)))


IMPORT = """
import time
started = time.perf_counter()
import dbgsom_core
print(1000 * (time.perf_counter() - started))
"""
DIGITS = """
import time
import numba, sklearn.cluster
from sklearn.datasets import load_digits
from dbgsom_core import SomVQ
X = load_digits().data
for turn in range(120):
    started = time.perf_counter()
    SomVQ(max_neurons=80).fit(X)
    print(1000 * (time.perf_counter() - started))
"""


def startup(options):
    """Milliseconds in fresh processes, after one that compiled."""
    run_code(DIGITS)
    imports = [run_code(IMPORT)[0] for _ in range(options.rounds)]
    digits = np.array([run_code(DIGITS) for _ in range(options.rounds)])
    columns = {"import": imports, "first fit of digits": digits[:, 0]}
    columns["median of a hundred after 20"] = np.median(digits[:, 20:], axis=1)
    return pd.DataFrame(columns)


def measures(options):
    """Predicting, distances and the default measures, in passes over the same data."""
    from dbgsom_core.measures import evaluate

    X = clusters(100_000, 64)
    som = ours(X, 20, 20, 5)
    prototypes = som.weights_.astype(float)
    functions = {
        "pass": lambda: som._samples(X).search().assign(prototypes, som.som_map_.positions),
        "predict": lambda: som.predict(X),
        'transform(X, "distances")': lambda: som.transform(X, "distances"),
        "all measures together": lambda: evaluate(som, X),
    }
    table = timed(functions, options.rounds, "pass")
    table["in passes"] = table["median s"] / table["median s"]["pass"]
    return table


SECTIONS = {section.__name__: section for section in (fits, growing, memory, startup, measures)}


def main():
    """Run the sections that were named and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pd.set_option("display.width", 120, "display.max_columns", None)
    for name in options.sections or SECTIONS:
        print(SECTIONS[name].__doc__, SECTIONS[name](options), "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
