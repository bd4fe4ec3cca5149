"""What a model would measure that always answers the most frequent class, or the mean."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.runs.data.loading import Fold
from dbgsom_core.runs.data.splitting import Rows
from dbgsom_core.runs.data.usable import with_a_class


def baselines(
    fold: Fold, divided: Sequence[tuple[Rows, Rows]], y: NDArray[Any], classes: bool
) -> dict[str, float]:
    """Return measures, by logged names, of the most frequent class or, without classes, the mean.

    It is that of the training part, the first of equals; samples without a target do not count.

    Parameters
    ----------
    fold : Fold
        What the model that is kept learns from, and is tested on.
    divided : sequence of (rows, rows)
        The rows to train and to test on of each fold; their mean is that of the test part.
    y : array (n,)
        Targets of all samples of the data set.
    classes : bool
        Whether targets are classes: accuracy, balanced_accuracy and macro_f1; else rmse and mae.
    """
    assert fold.train.y is not None
    measured = _of_classes if classes else _of_numbers
    found = {"train": [measured(fold.train.y, fold.train.y)]}
    if divided:
        found["test"] = [measured(y[train], y[test]) for train, test in divided]
    elif fold.test is not None and fold.test.y is not None:
        found["test"] = [measured(fold.train.y, fold.test.y)]
    return {
        f"{part}/{name}": statistics.fmean(one[name] for one in several)
        for part, several in found.items()
        if all(several)
        for name in several[0]
    }


def _of_classes(train: NDArray[Any], test: NDArray[Any]) -> dict[str, float]:
    # Nothing where no sample is to be tested.
    import pandas as pd

    train, test = train[with_a_class(train)], test[with_a_class(test)]
    if not len(test):
        return {}
    codes, _ = pd.factorize(np.concatenate([train, test]))
    tested = np.bincount(codes[len(train) :], minlength=codes.max() + 1)
    answer = np.bincount(codes[: len(train)]).argmax()
    hits, there = float(tested[answer]), np.count_nonzero(tested)
    answered = there + (hits == 0)  # F1 is of the classes that occur or are answered
    return {
        "accuracy": hits / len(test),
        "balanced_accuracy": float((hits > 0) / there),
        "macro_f1": float(2 * hits / (len(test) + hits) / answered),
    }


def _of_numbers(train: NDArray[Any], test: NDArray[Any]) -> dict[str, float]:
    train, test = (np.asarray(part[with_a_class(part)], np.float64) for part in (train, test))
    if not len(test) or not len(train):
        return {}
    errors = test - train.mean()
    return {"rmse": math.sqrt(np.square(errors).mean()), "mae": float(np.abs(errors).mean())}
