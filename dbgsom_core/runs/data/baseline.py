"""What a classifier would measure that always answers the most frequent class."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.runs.data.loading import Fold
from dbgsom_core.runs.data.splitting import Rows
from dbgsom_core.runs.data.usable import with_a_class


def baselines(
    fold: Fold, divided: Sequence[tuple[Rows, Rows]], y: NDArray[Any]
) -> dict[str, float]:
    """Return accuracy and balanced accuracy, by logged names, of the most frequent class.

    It is that of the training part, the first of equals; samples without a class do not count.

    Parameters
    ----------
    fold : Fold
        What the model that is kept learns from, and is tested on.
    divided : sequence of (rows, rows)
        The rows to train and to test on of each fold; their mean is that of the test part.
    y : array (n,)
        Classes of all samples of the data set.
    """
    assert fold.train.y is not None
    found = {"train": [_of(fold.train.y, fold.train.y)]}
    if divided:
        found["test"] = [_of(y[train], y[test]) for train, test in divided]
    elif fold.test is not None and fold.test.y is not None:
        found["test"] = [_of(fold.train.y, fold.test.y)]
    names = ("accuracy", "balanced_accuracy")
    return {
        f"{part}/{name}": statistics.fmean(values)
        for part, several in found.items()
        if None not in several
        for name, values in zip(names, zip(*filter(None, several), strict=True), strict=True)
    }


def _of(train: NDArray[Any], test: NDArray[Any]) -> tuple[float, float] | None:
    import pandas as pd

    train, test = train[with_a_class(train)], test[with_a_class(test)]
    if not len(test):
        return None
    codes, _ = pd.factorize(np.concatenate([train, test]))
    tested = np.bincount(codes[len(train) :], minlength=codes.max() + 1)
    hits = tested[np.bincount(codes[: len(train)]).argmax()]
    return float(hits / len(test)), float((hits > 0) / np.count_nonzero(tested))
