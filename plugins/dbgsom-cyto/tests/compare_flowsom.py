"""Compare maps with FlowSOM (Van Gassen et al. 2015, package flowsom) on simulated cells.

Run by hand where both are installed::

    python plugins/dbgsom-cyto/tests/compare_flowsom.py quality        # tables of markdown
    python plugins/dbgsom-cyto/tests/compare_flowsom.py speed --cells 1000000

Both get the same arcsinh-transformed float32 data. FlowSOM is its estimator, map and metaclusters
without the tables and the tree that its class FlowSOM makes afterwards. Measures are those of
Weber & Robinson (2016): populations are matched to clusters one to one so that the sum of F1 is
largest, and F1 averaged over populations; doublets have no population and are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from simulated import Simulation, simulate
from sklearn.metrics import adjusted_rand_score

# cofactor 150 throughout; 50 000 cells of four files
VARIANTS = {
    "blood, 20 markers": {},
    "blood, compensated": {"spillover": True},
    "10 populations, 8 markers": {"populations": 10, "markers": 8},
    "16 populations, 20 markers, batch shift 0.3": {"populations": 16, "batch_shift": 0.3},
    "24 populations, 32 markers": {"populations": 24, "markers": 32},
}
METHODS = ("flowsom 10 x 10", "flowsom 15 x 15", "core", "cyto")
MODEL = {
    "growth": {"name": "directed", "spreading_factor": 0.9, "max_neurons": 225},
    "kernel": {"name": "gaussian", "end": 0.3},
}


def transform(data: Simulation) -> np.ndarray:
    """Return the compensated and arcsinh-transformed intensities, float32 (n, D)."""
    compensated = data.intensities @ np.linalg.inv(data.spillover)
    return np.arcsinh(compensated / 150).astype(np.float32)


def score(data: Simulation, labels: np.ndarray) -> tuple[float, float, float]:
    """Return adjusted Rand index, mean F1 and mean F1 of rare populations."""
    known = data.population >= 0
    truth, found = data.population[known], np.unique(labels[known], return_inverse=True)[1]
    counts = np.zeros((len(data.names), found.max() + 1))
    np.add.at(counts, (truth, found), 1)
    f1 = 2 * counts / (counts.sum(axis=1, keepdims=True) + counts.sum(axis=0))
    rows, columns = linear_sum_assignment(f1, maximize=True)
    best = np.zeros(len(data.names))
    best[rows] = f1[rows, columns]
    return adjusted_rand_score(truth, found), float(best.mean()), float(best[data.rare].mean())


def fit(method: str, X: np.ndarray, numbers: list, seed: int) -> list[np.ndarray]:
    """Return the cluster of each cell (n,) for each number of clusters, or "auto"."""
    if method.startswith("flowsom"):
        from flowsom.models import FlowSOMEstimator

        side = int(method.split()[1])
        model = FlowSOMEstimator(xdim=side, ydim=side, seed=seed, n_clusters=numbers[0])
        found = [model.fit_predict(X)]
        for k in numbers[1:]:  # of the same map
            model.set_n_clusters(k)
            found.append(model.metacluster_model.fit_predict(model.codes)[model.cluster_labels])
        return found
    from dbgsom_core import SomVQ
    from dbgsom_cyto.populations import Populations

    if method == "cyto":
        return [SomVQ(**MODEL, labeller=Populations(n_clusters=k)).fit(X).labels_ for k in numbers]
    return [SomVQ(labeller={"name": "clusters", "n_clusters": k}).fit(X).labels_ for k in numbers]


def show(name: str, found: dict[tuple[str, str], list[tuple[float, float, float]]]) -> None:
    """Print a row for each method and number of clusters: medians and quartiles, wins by F1."""
    for (number, method), values in found.items():
        low, middle, high = np.percentile(values, (25, 50, 75), axis=0)
        cells = [f"{m:.3f} ({a:.3f} … {b:.3f})" for a, m, b in zip(low, middle, high, strict=True)]
        for rival in METHODS[:2]:
            other = np.array(found["30" if number == "auto" else number, rival])
            gain = np.array(values)[:, 1] - other[:, 1]
            cells.append(f"{(gain > 0).sum()} : {(gain < 0).sum()}, {np.median(gain):+.3f}")
        print(f"| {name} | {number} | {method} | {' | '.join(cells)} |", flush=True)


def try_out(variant: str, seed: int) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return the scores of each number of clusters and method on one data set."""
    data = simulate(cells=12_500, seed=seed, **VARIANTS[variant])
    X, numbers, found = transform(data), {"true": len(data.names), "30": 30, "auto": "auto"}, {}
    for method in METHODS:
        names = [n for n in numbers if n != "auto" or not method.startswith("flowsom")]
        answers = fit(method, X, [numbers[name] for name in names], seed)
        for name, labels in zip(names, answers, strict=True):
            found[name, method] = score(data, labels)
    return found


def quality(first: int, seeds: int, jobs: int) -> None:
    """Print a table of each kind of data and one of all."""
    head = "data clusters method ARI F1 F1-rare F1-over-10x10 F1-over-15x15"
    print("|", " | ".join(head.split()), "|")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    total: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for variant in VARIANTS:
            found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
            for each in pool.map(try_out, [variant] * seeds, range(first, first + seeds)):
                for key, values in each.items():
                    found.setdefault(key, []).append(values)
                    total.setdefault(key, []).append(values)
            show(variant, found)
    show("all", total)


def measure(method: str, path: str) -> None:
    """Print seconds, CPU seconds and MiB of one fit; compilers are done after a small one."""
    X = np.load(path)
    fit(method, X[:5000], [20], 0)
    before, busy = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    start = time.perf_counter()
    fit(method, X, [20], 0)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([seconds, busy, peak / 1024, (peak - before.ru_maxrss) / 1024]))


def speed(cells: int, repeats: int) -> None:
    """Print a table of seconds and memory; methods take turns, each in a process of its own."""
    free = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    found: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.npy"
        np.save(path, transform(simulate(cells=cells // 4)))
        for method in METHODS * repeats:
            command = [sys.executable, __file__, "measure", "--method", method, "--path", str(path)]
            answer = subprocess.run(command, env=free, check=True, capture_output=True, text=True)
            found[method].append(json.loads(answer.stdout.splitlines()[-1]))
    print(f"| {cells:,} cells | seconds | each | CPU seconds | peak MiB | of it by the fit |")
    print("|---|---|---|---|---|---|")
    for method, values in found.items():
        seconds, busy, peak, extra = np.median(values, axis=0)
        each = " ".join(f"{value[0]:.2f}" for value in values)
        print(f"| {method} | {seconds:.2f} | {each} | {busy:.2f} | {peak:.0f} | {extra:.0f} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["quality", "speed", "measure"])
    for option, default in {
        "first": 0,
        "seeds": 10,
        "jobs": 2,
        "cells": 50_000,
        "repeats": 3,
    }.items():
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--method")
    parser.add_argument("--path")
    args = parser.parse_args()
    if args.what == "quality":
        quality(args.first, args.seeds, args.jobs)
    elif args.what == "speed":
        speed(args.cells, args.repeats)
    else:
        measure(args.method, args.path)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
