"""The training loop of a growing batch map; it reads like the paper's pseudo-code."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbgsom_core.engine.results import Search, SearchResult
from dbgsom_core.errors import callers_level
from dbgsom_core.interfaces.epochs import EpochRecord, ignore_epoch
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.checkpoint import Checkpointer, Path, TrainingState
from dbgsom_core.training.config import TrainingConfig
from dbgsom_core.training.growing import Growth, GrowthResult
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.stopping import StoppingRules
from dbgsom_core.training.update import updated

_HALF = 2  # epochs: some maps swing between two states
_DRIFT = 0.02


@dataclass(frozen=True)
class Training:
    """What a training leaves.

    ``kept`` is the epoch whose map it is: the last one, unless a stopping rule keeps the best.
    """

    som_map: SomMap
    history: tuple[EpochRecord, ...]
    converged: bool
    threshold: float
    stopped: str = ""
    kept: int = 0


def train(
    config: TrainingConfig,
    state: TrainingState,
    notify: Callable[[EpochRecord], Any] = ignore_epoch,
    checkpointer: Checkpointer | None = None,
    path: Path = (),
) -> tuple[Training, SearchResult, Search]:
    """Train the map of ``state``, in place unless neurons die or move, and let it grow.

    Every epoch runs Kohonen's batch update (Kohonen 2001, eq. 3.34) with the best-matching units
    of the prototypes so far; the errors that steer growth are those of the updated prototypes
    (Vasighi & Amini 2017). The same search serves the next epoch: new neurons are compared alone.
    A state in the middle of a training goes on to the same bits as without an interruption.

    Returns
    -------
    Training, and what its last search found, and that search
    """
    from dbgsom_core.engine.smoothing import step_length  # numba is slow to import

    schedule = Schedule.of(
        config.kernel, config.growing, config.epochs, config.continues, config.course
    ).ending_at(state.epochs or config.epochs)
    rules = StoppingRules.of(config, state)
    started = time.perf_counter() - (state.history[-1].seconds if state.history else 0.0)
    search = config.data.search()
    if config.growing.remember is not None:  # nothing of the training before this one
        config.growing.remember(state.growth)
    checkpointer = checkpointer or Checkpointer()

    growth = Growth(config)
    full = growth.is_full(state)
    found = search.assign(state.som_map.prototypes, state.som_map.positions)
    while not (state.converged or state.stopped) and len(state.history) < schedule.epochs:
        epoch, before = len(state.history) + 1, state.som_map.prototypes
        width = schedule.width(epoch, state.som_map)
        state.som_map.prototypes = updated(config, schedule, state, found, width)
        movement = step_length(before, state.som_map.prototypes) / config.deviation
        found = search.assign(state.som_map.prototypes, state.som_map.positions)
        grown: GrowthResult | None = None
        if schedule.may_grow(epoch) and not full:
            grown, search, found = growth.step(state, schedule, search, found, width, movement)
            full = growth.is_full(state)
            if full and config.tol > 0:
                schedule = schedule.full_after(epoch)
        record = EpochRecord(
            epoch=epoch,
            epochs=schedule.epochs,
            phase=schedule.phase(epoch),
            width=width,
            neurons=len(state.som_map),
            births=() if grown is None else grown.births,
            quantization_error=found.total_error / config.data.total_weight,
            movement=movement,
            seconds=time.perf_counter() - started,
            changes=() if grown is None else grown.changes,
        )
        state.history.append(record)
        state.epochs = schedule.epochs
        answer = None
        if notify is not ignore_epoch:
            record.show(state.som_map)
            answer = notify(record)
            record.show(None)
        rules.ask(answer, config, state, found, schedule)
        state.converged = schedule.is_final(epoch) and movement < config.tol
        due = checkpointer.is_due(schedule.epochs)
        if due and not (state.converged or state.stopped) and epoch < schedule.epochs:
            checkpointer.save(path, _written(config, state))
    if checkpointer.write is not None:  # to be written together with what comes next
        checkpointer.states[path] = _written(config, state)
    if state.capped and config.cap_is_automatic:
        factor = config.growing.spreading_factor
        smaller = "" if factor is None else f", or spreading_factor one below {factor:g}"
        warnings.warn(
            f"growth stopped at max_neurons='auto', {config.max_neurons} neurons for "
            f"{config.data.n} samples; give max_neurons a number{smaller}",
            stacklevel=callers_level(),
        )
    return _finished(config, state, schedule, search, found)


def _written(config: TrainingConfig, state: TrainingState) -> TrainingState:
    # The state with what growth keeps.
    growth = config.growing.remembered
    state.growth = None if growth is None else growth()
    return state


def _finished(
    config: TrainingConfig,
    state: TrainingState,
    schedule: Schedule,
    search: Search,
    found: SearchResult,
) -> tuple[Training, SearchResult, Search]:
    # The map as users get it, and what finds its units.
    som_map, kept = state.som_map, len(state.history)
    if state.best is not None and state.best[0] < kept:
        kept, som_map = state.best
        search = config.data.search()
        found = search.assign(som_map.prototypes, som_map.positions)
    if config.data.X.dtype == np.float32:  # what users get is what finds the units
        som_map.prototypes = som_map.prototypes.astype(np.float32).astype(np.float64)
        found = search.assign(som_map.prototypes, som_map.positions)
    converged = state.converged or is_stationary(state.history, schedule)
    history = tuple(state.history)
    training = Training(som_map, history, converged, config.threshold, state.stopped, kept)
    return training, found, search


def is_stationary(history: Sequence[EpochRecord], schedule: Schedule) -> bool:
    """Return whether the quantization error no longer goes anywhere at the final width.

    Of the last four epochs at the final width the mean quantization errors of the first and of the
    last two differ by less than a fiftieth. Single steps say less: a map may swing for ever between
    states that are equally good.
    """
    errors = np.array(
        [r.quantization_error for r in history if schedule.is_final(r.epoch)], dtype=np.float64
    )
    if schedule.fine_epochs == 0 or len(errors) < 2 * _HALF:
        return False
    before, after = errors[-2 * _HALF : -_HALF].mean(), errors[-_HALF:].mean()
    return bool(abs(after - before) <= _DRIFT * before)
