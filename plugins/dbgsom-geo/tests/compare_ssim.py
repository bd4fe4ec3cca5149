"""Compare metrics on simulated weather types that move and change in strength.

``python tests/compare_ssim.py`` prints a table of medians over ten seeds; ``--seconds`` times fits
of 40 years of daily fields by this package and by MiniSom. Measures are those of Doan et al. 2021,
silhouette and topographic error, the silhouette under both distances, and the pattern correlation
of days with the mean of their type; and, since the types are known, the adjusted Rand index.
"""

import sys
import time

import numpy as np
import simulated
from simulated import TYPES, simulate
from sklearn.metrics import adjusted_rand_score, silhouette_score

from dbgsom_core import SomVQ
from dbgsom_geo.ssim import Ssim

SEEDS, DAYS = range(10), 1500
CASES = {  # how patterns move in degrees, change in strength, and the noise in hPa
    "calm": (1.0, 0.1, 4.0),
    "moving": (9.0, 0.1, 4.0),
    "strength": (1.0, 0.9, 4.0),
    "both": (7.0, 0.8, 5.0),
    "noise": (3.0, 0.3, 9.0),
}
METRICS = {
    "euclidean": "euclidean",
    "correlation": "correlation",
    "ssim": {"name": "ssim"},
    "ssim, its update": {"name": "ssim", "update": "similarity"},
}


def fitted(X, metric, seed):
    growth = {"name": "fixed", "rows": 2, "columns": len(TYPES) // 2}
    return SomVQ(
        growth=growth, grid="square", metric=metric, labeller="index", random_state=seed
    ).fit(X)


def measures(X, types, metric, seed, similar, euclidean):
    som = fitted(X, metric, seed)
    _, units = np.unique(som.bmu(X).ravel(), return_inverse=True)
    means = np.stack([X[units == one].mean(axis=0) for one in range(units.max() + 1)])
    fields, shapes = (rows - rows.mean(axis=1, keepdims=True) for rows in (X, means[units]))
    products = (fields * shapes).sum(axis=1)
    correlation = products / np.linalg.norm(fields, axis=1) / np.linalg.norm(shapes, axis=1)
    return [
        adjusted_rand_score(types, units),
        silhouette_score(similar, units, metric="precomputed"),
        silhouette_score(euclidean, units, metric="precomputed"),
        som.topographic_error_,
        np.nanmean(correlation),
    ]


def compare():
    head = ("case", "metric", "adj. Rand", "silh. S-SIM", "silh. ED", "topogr. error", "pattern r")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for case, (shift, strength, noise) in CASES.items():
        found = {name: [] for name in METRICS}
        for seed in SEEDS:
            fields, types = simulate(DAYS, seed, shift=shift, strength=strength, noise=noise)
            X = fields.reshape(DAYS, -1)
            similar = Ssim().pairwise(X, X)
            np.fill_diagonal(similar, 0.0)
            squares = (X**2).sum(axis=1)
            euclidean = np.sqrt(np.maximum(0, squares[:, None] + squares - 2 * X @ X.T))
            np.fill_diagonal(euclidean, 0.0)
            for name, metric in METRICS.items():
                found[name].append(measures(X, types, metric, seed, similar, euclidean))
        rand = {name: np.array(rows)[:, 0] for name, rows in found.items()}
        for name, rows in found.items():
            wins = (rand[name] > rand["euclidean"]).sum()
            values = [f"{value:.2f}" for value in np.median(rows, axis=0)]
            values[0] += "" if name == "euclidean" else f" ({wins}/{len(SEEDS)})"
            print(f"| {case} | {name} | " + " | ".join(values) + " |", flush=True)


def seconds():
    from minisom import MiniSom

    simulated.LATITUDES, simulated.LONGITUDES = np.linspace(72, 27, 26), np.linspace(-50, 40, 53)
    X = simulate(14600)[0].reshape(14600, -1)
    X -= X.mean(axis=0)
    growth = {"name": "fixed", "rows": 4, "columns": 5}

    def error(W):
        squares = (X**2).sum(axis=1)[:, None] - 2 * X @ W.T + (W**2).sum(axis=1)
        return f"mean distance {np.sqrt(squares.min(axis=1)).mean():.2f}"

    for metric in ("euclidean", {"name": "ssim", "luminance": False}):
        SomVQ(growth=growth, metric=metric).fit(X[:100])  # compiles
        start = time.perf_counter()
        som = SomVQ(growth=growth, metric=metric, random_state=0).fit(X)
        print(
            metric,
            f"{time.perf_counter() - start:.1f} s, {som.n_iter_} passes",
            error(som.weights_),
        )
    for steps in (14600, 146000):
        start = time.perf_counter()
        mini = MiniSom(4, 5, 1378, sigma=1.5, random_seed=0)
        mini.pca_weights_init(X)
        ready = time.perf_counter()
        mini.train(X, steps, random_order=True)
        taken, begun = time.perf_counter() - start, ready - start
        weights = mini.get_weights().reshape(20, -1)
        print(
            f"MiniSom, {steps} steps: {taken:.1f} s, {begun:.1f} of them to start", error(weights)
        )


if __name__ == "__main__":
    seconds() if "--seconds" in sys.argv else compare()
