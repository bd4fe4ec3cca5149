"""Time and memory of a fit to a table that stays in its file: make one, then fit to it.

python tests/benchmarks/beyond_memory.py make big.npy 5000000 16
python tests/benchmarks/beyond_memory.py fit big.npy [dask|local [fixed|growing [EPOCHS [WORKERS]]]]
"""

import resource
import sys
import time

import numpy as np

from dbgsom_core import SomVQ, presets

GROWTH = {
    "fixed": {"name": "fixed", "rows": 10, "columns": 10},
    "growing": {"name": "directed", "spreading_factor": 0.5, "max_neurons": 100},
}
_BLOCK = 1 << 20  # rows that are written together


def make(path, n, d):
    """Write n rows around thirty centres."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(30, d)).astype(np.float32)
    table = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for start in range(0, n, _BLOCK):
        m = min(_BLOCK, n - start)
        noise = rng.standard_normal((m, d), dtype=np.float32)
        table[start : start + m] = centres[rng.integers(0, 30, m)] + noise
    table.flush()


def fit(path, engine="dask", growth="fixed", epochs=20, workers=None):
    """Print seconds, peak memory and quantization error of a fit; loops are compiled before.

    CPU and memory are those of this process alone, not of workers.
    """
    X = np.load(path, mmap_mode=None if engine == "local" else "r")
    if workers is not None:
        engine = {"name": engine, "workers": int(workers)}
    params = {**presets.square(), "engine": engine, "growth": GROWTH[growth]}
    SomVQ(**params, epochs=2, tol=0).fit(X[:200_000])
    clock, cpu = time.perf_counter(), time.process_time()
    som = SomVQ(**params, epochs=int(epochs), tol=0, random_state=0).fit(X)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    error = som.quantization_error_
    print(f"{clock:.1f} s, CPU {cpu:.1f} s, peak {peak:.2f} GB, QE {error:.6f}")


if __name__ == "__main__":
    command, path, *rest = sys.argv[1:]
    if command == "make":
        make(path, *map(int, rest))
    else:
        fit(path, *rest)
