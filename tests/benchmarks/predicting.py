"""How fast ``dbgsom predict`` goes through a CSV file, beside its reader alone.

    python tests/benchmarks/predicting.py [--skewed] [--rows 10_000_000] [--rounds 3] [--folder DIR]

A classifier of 20,000 rows of 13 columns and five classes, or ``--skewed``: of 8,000 rows of 16
columns without clusters, of which it remembers ten times the groups, answers a file of new rows,
whole commands in turns: start, model, reading, answering and writing. ``reader`` is
`pandas.read_csv` of the file, with the start of Python. Needs a gigabyte for the rows, and two for
all columns.
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
RUN = """\
experiment: asked
dataset: {name: csv, path: train.csv, target: kind}
prepare: [standardize]
model: {estimator: classifier}
tracking: [{name: run_folder, path: runs}]
figures: []
"""
PIECE = 1_000_000  # rows that are made at a time


def rows_of(n, seed):
    """Return rows (n, 13) about five centres, in four decimals, and whose they are (n,)."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 5, n)
    centres = 2 * np.random.default_rng(0).normal(size=(5, 13))
    return (centres[kind] + rng.normal(size=(n, 13))).round(4), kind


def skewed(n, seed):
    """Return rows (n, 16) without clusters, in three decimals, and one of three classes each."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, 3.0, (n, 16)).round(3)
    X[:, 3] = rng.integers(0, 500, n)
    X[:, 7] = (X[:, 0] / 2 + rng.normal(size=n)).round(2)
    return X, np.digitize(X[:, 0] + X[:, 5] - X[:, 7] + 2 * rng.normal(size=n), [4, 9])


def main():
    """Make the files, train, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--skewed", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        make, trained = (skewed, 8000) if options.skewed else (rows_of, 20_000)
        folder = options.folder or Path(made)
        print(measured(folder, make, trained, options.rows, options.rounds))


def measured(folder, make, trained, n, rounds):
    """Return the table of seconds."""
    X, kind = make(trained, 1)
    names = [f"x{i}" for i in range(X.shape[1])]
    train = pd.DataFrame(X, columns=names).assign(kind=[f"k{one}" for one in kind])
    train.to_csv(folder / "train.csv", index=False)
    for start in range(0, n, PIECE):
        X = make(min(PIECE, n - start), 10 + start)[0]
        mode = {"header": not start, "mode": "a" if start else "w"}
        pd.DataFrame(X, columns=names).to_csv(folder / "new.csv", index=False, **mode)
    (folder / "run.yaml").write_text(RUN, encoding="utf-8")

    def call(*words):
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)

    def command(*words):
        call("-c", "from dbgsom_core.cli import main; main()", *words)

    command("run", "run.yaml")
    functions = {"reader": lambda: call("-c", "import pandas; pandas.read_csv('new.csv')")}
    for name, columns in ASKED.items():
        given = ("predict", "asked", "new.csv", "-o", "out.csv", *columns)
        functions[name] = lambda given=given: command(*given)
    times = paired(functions, rounds)
    found = []
    for name, one in times.items():
        share = np.median(times["reader"] / one)
        found.append([name, f"{one.min():.1f}", f"{np.median(one):.1f}", f"{share:.2f}"])
    header = ["what", "least s", "median s", "of the reader's speed"]
    return table(f"predict: {n:,} rows of {len(names)} columns", header, found)


if __name__ == "__main__":
    main()
