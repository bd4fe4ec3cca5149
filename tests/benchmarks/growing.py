"""A growing fit to 150 neurons beside dbgsom's and beside a fixed grid of the same size."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
from contestants import ours
from timing import paired, table
from workloads import many_digits

NEURONS = 150
LAMBDA = 15  # with which dbgsom comes near to as many neurons on these data
SAMPLE = 5000  # rows on which the two errors are measured


def growing(options):
    """Quantization error and topographic error come from one function for all."""
    X, rows = many_digits(), []
    found = {}

    def keep(name, fit):
        def call():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = fit(X)

        return call

    functions = {
        "dbgsom-core, growing": keep("dbgsom-core, growing", _ours),
        "dbgsom-core, fixed 10 x 15": keep(
            "dbgsom-core, fixed 10 x 15", lambda X: ours(X, 10, 15, 100)
        ),
    }
    if importlib.util.find_spec("dbgsom"):
        functions["dbgsom"] = keep("dbgsom", _theirs)
    times = paired(functions, options.rounds)
    base = times["dbgsom-core, growing"]
    targets = {"dbgsom-core, fixed 10 x 15": "≤ 1", "dbgsom": "≤ 0.2"}
    for name, values in times.items():
        weights, cells = _map_of(found[name])
        error, topographic = errors(X[:SAMPLE].astype(float), weights, cells)
        rows.append(
            (
                name,
                len(weights),
                f"{error:.2f}",
                f"{topographic:.3f}",
                f"{values.min():.2f}",
                f"{np.median(values):.2f}",
                f"{np.median(base / values):.2f}",
                targets.get(name, ""),
            )
        )
    header = ("who", "neurons", "QE", "TE4", "least s", "median s", "ours / theirs", "target")
    return table("Growing on digits, 60k x 64", header, rows)


def _ours(X):
    from dbgsom_core import SomVQ

    return SomVQ(max_neurons=NEURONS).fit(X)


def _theirs(X):
    from dbgsom import SomVQ

    return SomVQ(lambda_=LAMBDA, max_neurons=NEURONS, random_state=0).fit(X)


def _map_of(som):
    return np.asarray(som.weights_, dtype=float), np.array([tuple(cell) for cell in som.neurons_])


def errors(X, weights, cells):
    """Return (QE, TE4): TE4 counts samples whose two nearest neurons are not one step apart."""
    squares = np.einsum("ij,ij->i", X, X)[:, None] + np.einsum("ij,ij->i", weights, weights)
    nearest = np.argpartition(squares - 2 * X @ weights.T, 1, axis=1)[:, :2]
    lengths = np.linalg.norm(X[:, None] - weights[nearest], axis=2)
    steps = np.abs(cells[nearest[:, 0]] - cells[nearest[:, 1]]).sum(axis=1)
    return lengths.min(axis=1).mean(), np.mean(steps != 1)
