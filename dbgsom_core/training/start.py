"""What is known before the first epoch: a summary of the data, and the map at the start."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dbgsom_core.engine.contract import Moments
from dbgsom_core.engine.local import Samples
from dbgsom_core.interfaces.growth import DataSummary
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.som_map.grid import SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.compatibility import start_told
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


def start_map(
    parts: Parts,
    samples: Samples,
    moments: Moments,
    random_state: Any,
    grid: Grid = SQUARE,
) -> SomMap:
    """Return the map with which training begins.

    Raises
    ------
    ValueError
        The start's prototypes are of another shape than its cells.
    """
    growing = parts.growing
    (rows, columns), cap = growing.start(grid), growing.max_neurons
    if isinstance(cap, int) and rows * columns > cap:
        raise ValueError(
            f"the map starts with {rows} × {columns} neurons, more than max_neurons={cap}"
        )
    rng = check_random_state(random_state)
    start = Start(rows, columns, grid, samples, moments, rng)
    init = parts.init
    if hasattr(init, "prototypes"):
        init = guarded("initialisation", init, "prototypes")(start)
    try:
        prototypes = np.asarray(init, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"init holds no numbers, or rows of different lengths: {error}") from None
    wanted = (rows * columns, start.n_features)
    if prototypes.shape != wanted:
        raise ValueError(start_told(prototypes.shape, rows, columns, wanted[1]))
    if not np.isfinite(prototypes).all():
        raise ValueError("init must hold finite numbers")
    som_map = SomMap.rectangle(rows, columns, samples.metric.centred(prototypes), grid)
    if som_map.is_apart:
        raise ValueError(
            f"the {rows} × {columns} neurons of the start do not hang together on the grid "
            f"'{grid.name}'"
        )
    return som_map
