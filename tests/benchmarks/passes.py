"""The search of a first epoch, against a matrix product and faiss' exact search."""

from __future__ import annotations

import os
import time

import numpy as np
from threadpoolctl import threadpool_limits
from timing import table

SHAPES = [(d, k) for d in (16, 64, 784) for k in (100, 400, 2000)]
SIDE = 1024  # of the matrices whose product is the measure of what the machine can do


def passes(options):
    """One pass over all pairs without any memory of earlier ones, sums and errors included.

    A pass is short, and what else the machine does only adds to it: the least of many turns tells
    what the code needs. With one thread it does so on a busy machine too.
    """
    from dbgsom_core.plugins.registry import get_registry
    from dbgsom_plugins.engines.local import LocalEngine

    threads = options.threads or len(os.sched_getaffinity(0))
    metric, engine = get_registry().build("metric", "euclidean"), LocalEngine(threads=threads)
    rows = []
    with threadpool_limits(threads):
        for dtype in (np.float32, np.float64):
            for d, k in SHAPES:
                rows.append(_compare(engine, metric, np.dtype(dtype), d, k, options))
    header = ("dtype", "D", "K", "GFLOP/s", "product", "share", "median", "times faiss", "median")
    title = f"One pass over all pairs, {threads} threads"
    return table(title, header, rows)


def _compare(engine, metric, dtype, d, k, options):
    n = int(np.clip(4e8 / (d * k), 4096, 60_000))
    rng = np.random.default_rng(0)
    X, prototypes = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d))
    data = engine.over(X, metric)
    cells = np.column_stack(np.divmod(np.arange(k), 10))
    square = rng.normal(size=(SIDE, SIDE)).astype(dtype)
    functions = {
        "ours": lambda: _first_pass(data, prototypes, cells),
        "product": lambda: square @ square,
    }
    index = faiss_index(prototypes) if dtype == np.float32 else None
    if index is not None:
        import faiss

        faiss.omp_set_num_threads(engine.threads)
        functions["faiss"] = lambda: index.search(X, 1)
    times = in_turns(functions, 0.4 * options.rounds)
    work = {who: 2e-9 * (SIDE**3 if who == "product" else n * d * k) for who in times}
    least = {who: work[who] / values.min() for who, values in times.items()}
    usual = {who: work[who] / np.median(values) for who, values in times.items()}
    beside = ("", "")
    if index is not None:
        beside = tuple(f"{speed['ours'] / speed['faiss']:.2f}" for speed in (least, usual))
    shares = [speed["ours"] / speed["product"] for speed in (least, usual)]
    told = (f"{least['ours']:.0f}", f"{least['product']:.0f}", *(f"{s:.2f}" for s in shares))
    return (dtype.name, d, k, *told, *beside)


def _first_pass(data, prototypes, cells):
    """Find units anew: the packed samples stay with the data, all else is forgotten."""
    data.search().assign(prototypes, cells)


def in_turns(functions, seconds):
    """Time functions in turns for so many seconds, at least five times each."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["ours"]) < 5:
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in times.items()}


def faiss_index(prototypes):
    """Return faiss' exact index of prototypes, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatL2(prototypes.shape[1])
    index.add(prototypes.astype(np.float32))
    return index
