"""The training of one map: the paper's loop (Vasighi & Amini 2017), epoch by epoch.

The formula of the batch update stands in `engine.smoothing`; its width, pull and classes here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dbgsom_core.engine.results import Flags, Floats, Search, SearchResult, majority_classes
from dbgsom_core.engine.smoothing import Neighbourhood, step_length
from dbgsom_core.interfaces.context import EpochRecord, GrowthEvent, ignore_epoch
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.interfaces.stopping import STOP
from dbgsom_core.som_map.som_map import Change, SomMap
from dbgsom_core.training.growth import grow_map, is_full
from dbgsom_core.training.schedule import Schedule, kernel_weights
from dbgsom_core.training.state import TrainingConfig, TrainingState
from dbgsom_core.training.stopping import apply_rules

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
        epoch = state.next_epoch
        som_map = state.som_map

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
            births = grown.births
            changes = grown.changes
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


# ------------------------------------------------------------------------------- the update


def update_prototypes(
    config: TrainingConfig,
    schedule: Schedule,
    state: TrainingState,
    result: SearchResult,
    width: float,
) -> Floats:
    """Return the prototypes (K, D) after the update of the next epoch.

    ``result`` is that of the search among the prototypes so far. In fine-tuning by classes a sample
    with a class trains the nearest neuron with its class in the majority. Majorities are fixed once
    width and pull are final, so that training converges.
    """
    som_map = state.som_map
    epoch = state.next_epoch
    kernel = config.kernel
    metric = config.data.metric
    if schedule.phase(epoch) == "growing":
        return batch_update(som_map, kernel, metric, result, width)
    if config.growth.class_tuning and result.class_counts is not None:
        is_fixed = state.majority is not None and schedule.is_final(epoch)
        if not is_fixed:
            state.majority = majority_classes(result.class_counts)
    if state.majority is not None:
        result = result.reassign_to_own_class(state.majority)
    pull = schedule.pull(epoch)
    if som_map.grid.is_line and som_map.prototypes.shape[1] == 1:
        pull = 0.0  # such a line is in order: a pull would only pair neurons
    return batch_update(som_map, kernel, metric, result, width, pull, state.majority)


def batch_update(
    som_map: SomMap,
    kernel: Any,
    metric: MetricComponent,
    result: SearchResult,
    width: float,
    pull: float = 0.0,
    majority: Flags | None = None,
) -> Floats:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron without weight keeps its prototype. With a ``pull`` each
    sample also has this weight in the nearest linked neighbour of its BMU, neighbours with its
    class in the ``majority`` (K, C) first. A metric with ``form`` makes its prototypes itself.
    """
    weights, index = kernel_weights(som_map, kernel, width)
    if len(som_map) == 1:
        pull = 0.0  # there is no neighbour
    neighbourhood = Neighbourhood(weights, index, som_map.links_or_self, pull, majority)
    if metric.form is not None:
        neighbour_weight = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
        if neighbour_weight <= metric.forms_below:
            return result.fit_prototypes(neighbourhood)
    return result.update_prototypes(neighbourhood, metric.centre)
