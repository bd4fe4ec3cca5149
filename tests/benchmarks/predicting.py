"""How fast ``dbgsom predict`` goes through a CSV file, beside its reader alone.

    python tests/benchmarks/predicting.py [--data clusters] [--rows 10_000_000] [--rounds 3]
                                          [--folder DIR]

A model answers a file of new rows, whole commands in turns: start, model, reading, answering and
writing. ``--data`` is one of

* clusters: a classifier of 20,000 rows of 13 columns and five classes;
* skewed: one of 8,000 rows of 16 columns without clusters, which remembers ten times the groups;
* mixed: a regressor of 30,000 rows of 10 columns, factors, counts, heavy tails and shares;
* narrow: a classifier of 3,000 rows of 4 columns with one decimal, as of iris.

``reader`` is `pandas.read_csv` of the whole file, ``reader, chunks`` of 100,000 rows at a time,
both with the start of Python. Answers go to a new file each time. Needs a gigabyte for the rows,
and two for all columns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from timing import paired, table

ASKED = {
    "label": ["--columns", "label"],
    "unit,distance": ["--columns", "unit,distance"],
    "all columns": [],
}
READERS = {
    "reader": "import pandas; pandas.read_csv('new.csv')",
    "reader, chunks": "import pandas\nfor _ in pandas.read_csv('new.csv', chunksize=100_000): pass",
}
RUN = """\
experiment: asked
dataset: {name: csv, path: train.csv, target: y}
prepare: [standardize]
model: {estimator: ESTIMATOR}
tracking: [{name: run_folder, path: runs}]
figures: []
"""
PIECE = 1_000_000  # rows that are made at a time


def clusters(n, seed):
    """Return rows (n, 13) about five centres, in four decimals, and whose they are (n,)."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 5, n)
    centres = 2 * np.random.default_rng(0).normal(size=(5, 13))
    return (centres[kind] + rng.normal(size=(n, 13))).round(4), named(kind)


def skewed(n, seed):
    """Return rows (n, 16) without clusters, in three decimals, and one of three classes each."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, 3.0, (n, 16)).round(3)
    X[:, 3] = rng.integers(0, 500, n)
    X[:, 7] = (X[:, 0] / 2 + rng.normal(size=n)).round(2)
    return X, named(np.digitize(X[:, 0] + X[:, 5] - X[:, 7] + 2 * rng.normal(size=n), [4, 9]))


def mixed(n, seed):
    """Return rows (n, 10) of several kinds, and numbers (n,)."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 2))
    slopes = np.random.default_rng(0).normal(size=(2, 4))
    X = np.empty((n, 10))
    X[:, :4] = (factors @ slopes + 0.3 * rng.normal(size=(n, 4))).round(5)
    X[:, 4:6] = rng.poisson(np.exp(factors / 2 + 1))
    X[:, 6:8] = np.exp(2 * rng.normal(size=(n, 2))).round(2)
    X[:, 8] = rng.random(n).round(6)
    X[:, 9] = rng.random(n) < 0.3
    y = factors[:, 0] * X[:, 8] + np.log1p(X[:, 6]) + rng.normal(size=n)
    return X, y.round(4)


def narrow(n, seed):
    """Return rows (n, 4) of three clusters that touch, in one decimal, and whose they are (n,)."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.5, 2.0]])
    spreads = np.array([[0.35, 0.4, 0.2, 0.1], [0.5, 0.3, 0.5, 0.2], [0.6, 0.3, 0.5, 0.3]])
    return (centres[kind] + spreads[kind] * rng.normal(size=(n, 4))).round(1), named(kind)


def named(kind):
    """Return whole numbers (n,) as names of classes."""
    return np.array([f"k{one}" for one in range(5)])[kind]


DATA = {  # how rows are made, of how many a model learns, and which
    "clusters": (clusters, 20_000, "classifier"),
    "skewed": (skewed, 8000, "classifier"),
    "mixed": (mixed, 30_000, "regressor"),
    "narrow": (narrow, 3000, "classifier"),
}


def main():
    """Make the files, train, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--data", choices=[*DATA], default="clusters")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        print(measured(options.folder or Path(made), options.data, options.rows, options.rounds))


def measured(folder, data, n, rounds):
    """Return the table of seconds."""
    make, trained, estimator = DATA[data]
    X, y = make(trained, 1)
    names = [f"x{i}" for i in range(X.shape[1])]
    pd.DataFrame(X, columns=names).assign(y=y).to_csv(folder / "train.csv", index=False)
    for start in range(0, n, PIECE):
        X = make(min(PIECE, n - start), 10 + start)[0]
        mode = {"header": not start, "mode": "a" if start else "w"}
        pd.DataFrame(X, columns=names).to_csv(folder / "new.csv", index=False, **mode)
    (folder / "run.yaml").write_text(RUN.replace("ESTIMATOR", estimator), encoding="utf-8")

    def call(*words):
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)

    def command(*words):
        call("-c", "from dbgsom_core.cli import main; main()", *words)

    command("run", "run.yaml")
    functions = {name: lambda code=code: call("-c", code) for name, code in READERS.items()}
    for name, columns in ASKED.items():
        given = ("predict", "asked", "new.csv", "-o", "out.csv", *columns)
        functions[name] = lambda given=given: command(*given)
    out = folder / "out.csv"
    times = paired(functions, rounds, before=lambda: out.unlink(missing_ok=True))
    found = []
    for name, one in times.items():
        shares = (f"{np.median(times[reader] / one):.2f}" for reader in READERS)
        found.append([name, f"{one.min():.1f}", f"{np.median(one):.1f}", *shares])
    header = ["what", "least s", "median s", "of the reader's speed", "of that in chunks"]
    return table(f"predict: {n:,} rows of {len(names)} columns", header, found)


if __name__ == "__main__":
    main()
