"""The batch update of metrics that form their prototypes themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import DataPass


def formed(
    data: DataPass,
    so_far: NDArray[np.float64],
    influence: NDArray[np.float64],
    bmu: NDArray[np.int64],
    pull: float = 0.0,
    runners_up: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) that the metric's ``form`` makes of the samples.

    Parameters
    ----------
    data : DataPass
    so_far : float64 array (K, D)
        Kept where nothing reaches a neuron.
    influence : float64 array (K, K)
        The kernel's weight of one neuron's samples in another.
    bmu : int array (n,)
    pull : float
        What a sample weighs besides in its runner-up.
    runners_up : int array (n,), optional
        Samples that share best-matching unit and runner-up form a group: there are few, so the
        samples need not be held twice.
    """
    units = bmu
    if runners_up is not None:
        pairs, units = np.unique(bmu * len(so_far) + runners_up, return_inverse=True)
        winners, seconds = np.divmod(pairs, len(so_far))
        influence = influence[winners]
        influence[np.arange(len(pairs)), seconds] += pull
    metric: Any = data.metric
    prototypes = np.asarray(metric.form(data.X, units, influence, data.weights, so_far), np.float64)
    if prototypes.shape != so_far.shape:
        raise ValueError(
            f"form of metric {type(metric).__name__} returned shape {prototypes.shape}, "
            f"not {so_far.shape}"
        )
    return prototypes
