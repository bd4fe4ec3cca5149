"""Where groups of training samples lie, and which of them are nearest to others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import Samples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.interfaces.arrays import FloatArray
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import UNLABELLED, Target

_ROWS = 1 << 13  # samples that are asked about at a time
_ROUNDING = 1e-9  # of what a group holds: less is nothing


Near = tuple[NDArray[np.int64], NDArray[np.float64]]  # rows of places (n, k) and how far away


def each_block(data: Samples, use: Callable[[slice, Samples], None]) -> None:
    """Do ``use(rows, part)`` for blocks of samples: what is made of each stays in the cache."""
    data.in_parts(_ROWS, use)


class Places:
    """Where groups lie, X (M, D)."""

    def __init__(self, X: NDArray[np.float64]) -> None:
        self.X = X

    def nearest(self, data: Samples, k: int) -> Near:
        """Return the ``k`` nearest places (n, k) of each sample, all where there are fewer, and
        their distances.
        """
        k = min(k, len(self.X))
        rows, distances = data.nearest_units(self.X, k)
        if distances is None:
            columns = [data.distances_to(self.X, rows[:, j]) for j in range(rows.shape[1])]
            distances = np.column_stack(columns)
        return rows, distances


def without_themselves(
    distances: FloatArray,
    weights: FloatArray,
    mine: NDArray[np.bool_],
    sample_weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return distances to groups and what they hold, (m, k), without the samples themselves.

    Of a group of n samples without one of them, at distance d from their mean, the mean lies at
    distance d n/(n - 1). A sample that stands for several leaves one of them out.

    Parameters
    ----------
    distances, weights : float64 arrays (m, k)
    mine : bool array (m, k)
        Which group is a sample's own.
    sample_weights : float64 array (m,) or None

    Returns
    -------
    distances, weights, order : arrays (m, k)
        In the new order, nearest first and empty groups last, and which entries came where.
    """
    sample, column = np.nonzero(mine)
    held = weights[sample, column]
    taken = 1.0 if sample_weights is None else np.minimum(sample_weights[sample], 1.0)
    left = np.maximum(held - taken, 0.0)
    left[left <= _ROUNDING * held] = 0.0
    away, holds = distances.astype(np.float64), weights.astype(np.float64)
    away[sample, column] *= np.divide(held, left, out=np.ones_like(held), where=left > 0)
    holds[sample, column] = left
    order = np.argsort(np.where(holds > 0, away, np.inf), axis=1, kind="stable")
    return np.take_along_axis(away, order, 1), np.take_along_axis(holds, order, 1), order


def summary_of_samples(
    summaries: Summaries, units: NDArray[np.int64], target: Target | None
) -> NDArray[np.int64]:
    """Return which of its summaries each sample is in, (n,), by the leaf that it ended in."""
    assert summaries.units is not None
    keys, wanted = summaries.units, units
    if target is not None and target.codes is not None and summaries.labelled is not None:
        assert target.classes is not None
        assert summaries.labels is not None
        codes = np.searchsorted(target.classes, summaries.labels)
        codes[~summaries.labelled] = UNLABELLED
        n_kinds = len(target.classes) + 1
        keys, wanted = keys * n_kinds + codes, units * n_kinds + target.codes
    return np.searchsorted(keys, wanted)


def places_of(
    summaries: Summaries,
    prototypes: NDArray[np.float64],
    metric: MetricCalls,
) -> NDArray[np.float64]:
    """Return where summaries lie among prototypes (L, D) of leaves, (m, D).

    At their means, a value that nobody observed as that of the leaf. A metric that forms
    prototypes in a way of its own (medians, modes) knows no place of a mean: the prototype stands
    for it.
    """
    assert summaries.units is not None
    places = prototypes[summaries.units]
    if metric.form is not None:
        return places
    places = np.where(np.isnan(summaries.X), places, summaries.X)
    return places if metric.centre is None else np.asarray(metric.centre(places), np.float64)
