"""What is known before the first epoch: a summary of the data and the start prototypes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from dbgsom_core.engine.contract import Moments, Samples
from dbgsom_core.interfaces.growth import DataSummary
from dbgsom_core.som_map.grid import SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.parts import Parts


def summarize(data: Samples, moments: Moments, n_classes: int | None) -> DataSummary:
    """Return what a growth strategy may know of the data before training."""
    centre = moments.mean[None]
    deviation = spread = float(np.linalg.norm(moments.deviation))
    if not data.metric.is_euclidean:
        spread = data.root_mean_square_distance(data.metric.centred(centre))
    return DataSummary(
        n_samples=data.total_weight if data.weights is not None else data.n,
        n_features=data.X.shape[1],
        deviation=deviation,
        spread=spread,
        n_classes=n_classes,
    )


def principal_start(
    data: Samples, moments: Moments, rows: int, columns: int, grid: Grid = SQUARE
) -> NDArray[np.float64]:
    """Spread a grid untwisted over the plane of the first two principal axes.

    The longer side of the grid, as it lies in the plane, lies along the first axis; the grid
    reaches one standard deviation to either side of the mean. The sign of an axis is that of its
    largest entry. Where the covariance of all samples would take long, the axes are those of 8192
    of them, evenly spaced. A missing value counts as the mean of its column.

    Returns
    -------
    float64 array (rows*columns, D), row-major.
    """
    (first, second) = data.principal_axes(moments)
    x, y = grid.plane(grid.rectangle(rows, columns)).T
    along_x, along_y = (first, second) if np.ptp(x) >= np.ptp(y) else (second, first)
    offsets = np.outer(_centred(x), along_x) + np.outer(_centred(y), along_y)
    return np.asarray(moments.mean + offsets)


def random_start(
    data: Samples, moments: Moments, n_neurons: int, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """Return column means + 0.1*column range*N(0, 1), float64 (n_neurons, D).

    On range-scaled data this is the start of Vasighi & Amini (2017).
    """
    low, high = data.extremes()
    noise = rng.standard_normal((n_neurons, data.X.shape[1]))
    return np.asarray(moments.mean + 0.1 * (high - low) * noise)


def _centred(places: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = places.min(), places.max()
    return np.asarray((2.0 * places - (low + high)) / ((high - low) or 1.0))


def start_map(
    parts: Parts,
    samples: Samples,
    moments: Moments,
    init: Any,
    random_state: Any,
    grid: Grid = SQUARE,
) -> SomMap:
    """Return the map with which training begins.

    Raises
    ------
    ValueError
        ``init`` is no way to start, or an array of another shape than the start's.
    """
    growing = parts.growing
    (rows, columns), cap = growing.shape, growing.max_neurons
    if isinstance(cap, int) and rows * columns > cap:
        raise ValueError(
            f"the map starts with {rows} × {columns} neurons, more than max_neurons={cap}"
        )
    if isinstance(init, str) and init == "pca":
        prototypes = principal_start(samples, moments, rows, columns, grid)
    elif isinstance(init, str) and init == "random":
        rng = check_random_state(random_state)
        prototypes = random_start(samples, moments, rows * columns, rng)
    elif isinstance(init, str) or init is None:
        raise ValueError(
            f"init must be 'pca', 'random' or an array of start prototypes, not {init!r}"
        )
    else:
        prototypes = np.asarray(init, dtype=np.float64)
        wanted = (rows * columns, samples.X.shape[1])
        if prototypes.shape != wanted:
            raise ValueError(
                f"init has shape {prototypes.shape}, but the map starts with "
                f"{rows} × {columns} neurons in {wanted[1]} dimensions: shape {wanted}"
            )
        if not np.isfinite(prototypes).all():
            raise ValueError("init must hold finite numbers")
    return SomMap.rectangle(rows, columns, samples.metric.centred(prototypes), grid)
