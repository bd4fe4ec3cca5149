"""What is still compiled after ``dbgsom doctor --warm``: nothing should be.

    python tests/benchmarks/warmed.py

Loops are compiled into an empty cache folder, which takes a minute; a second process fits each
estimator to tables of 150 to 30,000 rows of both dtypes, asks all that a map can be asked and
measures by default. Each loop that it compiles is told with what needed it, and is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numba.core import event
from sklearn import datasets

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.measures import evaluate

ASKED = ("predict", "score_samples", "novelty_pvalue", "predict_proba", "bmu_path")


class Heard(event.Listener):
    """Notes each loop that is compiled."""

    def __init__(self) -> None:
        self.loops: list[str] = []
        event.register("numba:compile", self)

    def on_start(self, event: Any) -> None:
        """Note it, but for what numba compiles of its own."""
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("dbgsom"):
            self.loops.append(f"{function.__module__}.{function.__name__}{event.data['args']}")

    def on_end(self, event: Any) -> None:
        """Nothing more is to be noted."""


def tables() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield samples with targets, which are classes where they are integers."""
    for name in ("iris", "wine", "digits", "diabetes"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True)
    rng = np.random.default_rng(0)
    for d in (8, 64):
        yield f"30000 × {d}", rng.normal(size=(30_000, d)), rng.integers(0, 3, 30_000)


def uses() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what people do with tables, in the order in which they do it."""
    for name, X, y in tables():
        for dtype, made in [(t, c) for t in "df" for c in (SomVQ, SomClassifier, SomRegressor)]:
            if made is SomClassifier and y.dtype.kind == "f":
                continue
            rows, model = X.astype(dtype), made(max_neurons=150, random_state=0)
            target = y.astype(np.float64) if made is SomRegressor else y
            told = f"{name}, {rows.dtype}, {made.__name__}"
            yield f"{told}: fit", partial(model.fit, rows, target)
            for method in ASKED:
                if hasattr(model, method):
                    yield f"{told}: {method}", partial(getattr(model, method), rows)
            yield f"{told}: transform", partial(model.transform, rows[:50])
            yield f"{told}: bmu", partial(model.bmu, rows, k=3)
            yield f"{told}: evaluate", partial(evaluate, model, rows, target)


def main() -> int:
    """Warm and use, each in a process of its own; or use, in this one."""
    if sys.argv[1:] != ["use"]:
        with tempfile.TemporaryDirectory() as folder:
            own = {**os.environ, "NUMBA_CACHE_DIR": folder}
            warm = [sys.executable, "-m", "dbgsom_core.cli", "doctor", "--warm", "--runs", folder]
            subprocess.run(warm, env=own, cwd=folder, check=False)
            return subprocess.run([sys.executable, __file__, "use"], env=own).returncode
    heard, asked = Heard(), 0
    for name, use in uses():
        known, asked = len(heard.loops), asked + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use()
        for loop in heard.loops[known:]:
            print(f"{name}: {loop}")
    print(f"{len(heard.loops)} loops were compiled in {asked} uses")
    return 1 if heard.loops else 0


if __name__ == "__main__":
    sys.exit(main())
