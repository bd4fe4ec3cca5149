"""Training a map on samples: what is made of them before the first epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dbgsom_core.engine.contract import Found, Moments, Search
from dbgsom_core.engine.local import Samples
from dbgsom_core.interfaces.context import seed_of
from dbgsom_core.interfaces.epochs import EpochRecord, ignore_epoch
from dbgsom_core.interfaces.growth import DataSummary
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.initialisations import Start
from dbgsom_core.interfaces.stopping import judges_targets
from dbgsom_core.som_map.grid import SQUARE, Grid
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.checkpoint import Checkpointer, Path, TrainingState
from dbgsom_core.training.compatibility import start_shape_error
from dbgsom_core.training.config import Held, Settings, TrainingConfig
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.stopping import ValidationMonitor
from dbgsom_core.training.targets import Target
from dbgsom_core.training.train import Training, train

_SHARE_OF_A_CALL = 5  # training that goes on with new samples runs a fifth of the epochs


@dataclass(frozen=True)
class Trainer:
    """Trains the first map of a fit, and its child maps, in the same way.

    Attributes
    ----------
    parts : Parts
        With the strategy that grows a single map.
    settings : Settings
    checkpointer : Checkpointer
        Knows where the fit was interrupted, and writes how far it comes.
    """

    parts: Parts
    settings: Settings
    checkpointer: Checkpointer = field(default_factory=Checkpointer)

    def train(
        self,
        samples: Samples,
        target: Target | None,
        path: Path = (),
        notify: Callable[[EpochRecord], Any] = ignore_epoch,
        moments: Moments | None = None,
        start: SomMap | None = None,
        goes_on: bool = False,
        validation: Held | None = None,
    ) -> tuple[Training, Found, Search]:
        """Train one map, that at the end of the ``path`` of neurons from the first one.

        It ``goes_on`` with a few samples besides what ``start`` has seen. Other parameters, and
        errors, are those of `fit_map`.
        """
        parts, settings, growing = self.parts, self.settings, self.parts.growing
        usual, gamma = samples, None
        moments = samples.moments() if moments is None else moments
        samples.check_varies(moments)
        if settings.robust is not None:
            gamma = None if isinstance(settings.robust, str) else settings.robust
            usual, gamma = samples.robust(gamma)
            moments = usual.moments()
        n_classes = 0
        if target is not None:
            n_classes = 0 if target.classes is None else len(target.classes)
            samples = samples.with_classes(target.codes, n_classes)
        monitor = None
        if target is not None and any(map(judges_targets, parts.stopping)):
            held = None
            if validation is not None and validation.target is not None:
                held = validation.samples, validation.target
            measured = target if held is None else held[1]
            if measured.known.any() or not goes_on:  # a few samples need not say anything of it
                monitor = ValidationMonitor(parts.labeller, samples, target, held)
        summary, epochs = summarize(usual, moments, n_classes or None), int(settings.epochs)
        config = TrainingConfig(
            data=samples,
            kernel=parts.kernel,
            growth=parts.growth,
            epochs=-(-epochs // _SHARE_OF_A_CALL) if goes_on else epochs,
            tol=float(settings.tol),
            deviation=summary.deviation,
            threshold=growing.threshold(summary),
            max_neurons=growing.cap(samples.total_weight),
            cap_is_automatic=growing.max_neurons == "auto",
            robust=gamma,
            continues=start is not None,
            course=parts.schedule,
            stopping=parts.stopping,
            validation=None if validation is None else validation.samples,
            monitor=monitor,
            seed=seed_of(settings.random_state),
        )
        state = self.checkpointer.states.get(path)
        if state is None and start is not None:
            state = TrainingState(SomMap(start.positions, start.prototypes, start.grid))
        elif state is None:
            grid = growing.grid(parts.grid, samples.X.shape[1])
            state = TrainingState(start_map(parts, usual, moments, settings.random_state, grid))
        return train(config, state, notify, self.checkpointer, path)


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
        raise ValueError(start_shape_error(prototypes.shape, rows, columns, wanted[1]))
    if not np.isfinite(prototypes).all():
        raise ValueError("init must hold finite numbers")
    som_map = SomMap.rectangle(rows, columns, samples.metric.centred(prototypes), grid)
    if som_map.is_apart:
        raise ValueError(
            f"the {rows} × {columns} neurons of the start do not hang together on the grid "
            f"'{grid.name}'"
        )
    return som_map
