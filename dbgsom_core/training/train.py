"""The training of one map: the paper's loop (Vasighi & Amini 2017), epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dbgsom_core.engine.results import Search, SearchResult
from dbgsom_core.engine.smoothing import step_length
from dbgsom_core.interfaces.context import EpochRecord, GrowthEvent, ignore_epoch
from dbgsom_core.interfaces.stopping import STOP
from dbgsom_core.som_map.som_map import Change
from dbgsom_core.training.growth import grow_map, is_full
from dbgsom_core.training.state import TrainingConfig, TrainingState
from dbgsom_core.training.stopping import apply_rules
from dbgsom_core.training.update import update_prototypes

BY_CALLBACK = "a callback"


def train(
    config: TrainingConfig,
    state: TrainingState,
    notify: Callable[[EpochRecord], Any] = ignore_epoch,
    save: Callable[[TrainingState], None] = lambda state: None,
) -> tuple[Search, SearchResult]:
    """Train the map of ``state`` to its last epoch; return the last search and its result.

    All that changes from epoch to epoch is in ``state``, or follows from it as the schedule does:
    a training that goes on from a stored one gives the same bits. ``notify`` gets the record of
    each epoch, ``save`` the state after it.
    """
    begin = time.perf_counter()
    if state.history:
        begin -= state.history[-1].seconds
    config.growth.remember(state.growth)  # None resets what the strategy keeps
    search = config.data.search()
    result = search.assign(state.som_map.prototypes, state.som_map.positions)

    schedule = config.schedule.ending_at(state.epochs)
    while not state.is_finished:
        epoch, som_map = state.next_epoch, state.som_map

        # Each prototype becomes the mean of all samples, weighted by the kernel of the hops from
        # their best-matching units. Then the samples look for their units again.
        width = schedule.width(epoch, som_map)
        before = som_map.prototypes
        som_map.prototypes = update_prototypes(config, schedule, state, result, width)
        movement = step_length(before, som_map.prototypes) / config.deviation
        result = search.assign(som_map.prototypes, som_map.positions)

        # The errors of the updated prototypes steer growth; newborns are compared at once, so that
        # the result is that of the grown map, and serves the next epoch.
        births: tuple[GrowthEvent, ...] = ()
        changes: tuple[Change, ...] = ()
        if schedule.may_grow(epoch) and not is_full(config, state):
            grown, search, result = grow_map(config, schedule, state, search, result, movement)
            births, changes = grown.births, grown.changes
            if config.tol > 0 and is_full(config, state):
                schedule = schedule.full_after(epoch)  # fine-tuning may begin at once
                state.epochs = schedule.epochs

        record = EpochRecord(
            epoch=epoch,
            epochs=schedule.epochs,
            phase=schedule.phase(epoch),
            width=width,
            neurons=len(state.som_map),
            births=births,
            quantization_error=result.total_error / config.data.total_weight,
            movement=movement,
            seconds=time.perf_counter() - begin,
            changes=changes,
        )
        state.history.append(record)

        if notify is not ignore_epoch:
            record.show(state.som_map)  # callbacks may read the map while they run
            if notify(record) is STOP:
                state.stopped = BY_CALLBACK
            record.show(None)
        apply_rules(config, schedule, state, result)
        state.converged = schedule.is_final(epoch) and movement < config.tol
        state.growth = config.growth.remembered()
        save(state)
    return search, result
