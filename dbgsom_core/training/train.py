"""The training loop of a growing batch map; it reads like the paper's pseudo-code."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Found, Search
from dbgsom_core.errors import ComponentError, callers_level
from dbgsom_core.interfaces.births import most_births
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent, nobody
from dbgsom_core.interfaces.growth import GrowthState, automatic_cap
from dbgsom_core.interfaces.guard import who
from dbgsom_core.som_map.changes import Change
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.convergence import is_stationary
from dbgsom_core.training.fine_tuning import FineTuning
from dbgsom_core.training.growing import Grown, carry_out, parted
from dbgsom_core.training.progress import Progress, TrainingState
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.stopping import Best, Stopping
from dbgsom_core.training.task import Task
from dbgsom_core.training.update import batch_update, kernel_weights, smoothed_over_links

NOT_WRITTEN = Progress()


@dataclass(frozen=True)
class Training:
    """What training leaves: the map, its epochs, what its last search found.

    ``kept`` is the epoch whose map it is: the last one, unless a stopping rule keeps the best.
    """

    som_map: SomMap
    history: tuple[EpochRecord, ...]
    converged: bool
    threshold: float
    found: Found
    search: Search
    stopped: str = ""
    kept: int = 0


def train(
    task: Task,
    som_map: SomMap,
    notify: Callable[[EpochRecord], Any],
    progress: Progress = NOT_WRITTEN,
) -> Training:
    """Train ``som_map``, in place unless neurons die or move, epoch by epoch, and let it grow.

    Every epoch runs Kohonen's batch update (Kohonen 2001, eq. 3.34) with the best-matching units
    of the prototypes so far; the errors that steer growth are those of the updated prototypes
    (Vasighi & Amini 2017). The same search serves the next epoch: newborns are compared alone.
    Where ``progress`` knows a state, ``som_map`` is that state's, and what follows is the same to
    the bit as without the interruption.
    """
    from dbgsom_core.engine.smoothing import step_length  # numba is slow to import

    started = time.perf_counter()
    fine = FineTuning.of(task.growing)
    schedule = Schedule.of(task.kernel, fine, task.epochs, task.continues, task.course)
    stopping = Stopping.of(task)
    history: list[EpochRecord] = []
    converged = capped = False
    leads: NDArray[np.bool_] | None = None
    search, before_that = task.data.search(), progress.state
    if before_that is not None:
        history, schedule = list(before_that.history), schedule.ending_at(before_that.epochs)
        capped, converged, leads = before_that.capped, before_that.converged, before_that.leads
        best = before_that.kept(som_map.grid)
        stopping = Stopping.of(
            task, before_that.watched, before_that.stopped, None if best is None else Best(*best)
        )
        started -= history[-1].seconds
    _remind(task, search, before_that)
    full = _is_full(task, som_map, capped)
    positions = som_map.positions
    found = search.assign(som_map.prototypes, positions)
    while not (converged or stopping.stopped) and len(history) < schedule.epochs:
        epoch = len(history) + 1
        width = schedule.width(epoch, som_map)
        before = som_map.prototypes
        if schedule.phase(epoch) == "fine":
            leads = fine.leads(found, leads if schedule.is_final(epoch) else None)
            pull = schedule.pull(epoch)
            som_map.prototypes = fine.updated(som_map, task, found, width, pull, leads)
        else:
            som_map.prototypes = batch_update(som_map, task, found, width)
        movement = step_length(before, som_map.prototypes) / task.deviation
        found = search.assign(som_map.prototypes, positions)
        births: tuple[GrowthEvent, ...] = ()
        changes: tuple[Change, ...] = ()
        if schedule.may_grow(epoch) and not full:
            known = len(som_map)
            growing = schedule.growing_epochs
            state = _growth_state(task, som_map, found, growing, movement, history)
            wanted = list(task.growing.grow(som_map, state))
            if task.growing.smooth_before_growth and parted(wanted)[1]:
                som_map.prototypes = _smoothed_before_growth(som_map, task, state, width)
                found = search.assign(som_map.prototypes, positions)
                state = _growth_state(task, som_map, found, growing, movement, history)
                wanted = list(task.growing.grow(som_map, state))
            if state.room is None and len(wanted) > most_births(som_map):
                task = _capped(task, known)
                state = replace(state, room=_room(task, known))
            if wanted:
                grown = _carried_out(task, som_map, wanted, epoch, state.room)
                capped = capped or grown.is_cut
                births, changes = grown.births, grown.changes
                if births or changes:
                    som_map, positions = grown.som_map, grown.som_map.positions
                    if grown.renumbers:  # what the search remembers is of other rows
                        search = _search_anew(task, search)
                        found = search.assign(som_map.prototypes, positions)
                    else:
                        found = search.admit(found, som_map.prototypes, positions, known)
            full = _is_full(task, som_map, capped)
            if full and task.tol > 0:
                schedule = schedule.full_after(epoch)
        record = EpochRecord(
            epoch=epoch,
            epochs=schedule.epochs,
            phase=schedule.phase(epoch),
            width=width,
            neurons=len(som_map),
            births=births,
            quantization_error=found.total_error / task.data.total_weight,
            movement=movement,
            seconds=time.perf_counter() - started,
            changes=changes,
        )
        history.append(record)
        answer = None
        if notify is not nobody:
            record.show(som_map)
            answer = notify(record)
            record.show(None)
        stopping.ask(answer, task, som_map, found, history, schedule)
        converged = schedule.is_final(epoch) and movement < task.tol
        due = progress.is_due(schedule.epochs)
        if due and not (converged or stopping.stopped) and epoch < schedule.epochs:
            progress.note(
                _state(task, search, som_map, history, schedule, capped, converged, stopping, leads)
            )
    if progress.is_written:
        progress.ended(
            _state(task, search, som_map, history, schedule, capped, converged, stopping, leads)
        )
    if capped and task.cap_is_automatic:
        factor = task.growing.spreading_factor
        smaller = "" if factor is None else f", or spreading_factor one below {factor:g}"
        warnings.warn(
            f"growth stopped at max_neurons='auto', {task.max_neurons} neurons for "
            f"{task.data.n} samples; give max_neurons a number{smaller}",
            stacklevel=callers_level(),
        )
    converged = converged or is_stationary(history, schedule)
    kept = len(history)
    if stopping.best is not None and stopping.best.epoch < kept:
        kept, som_map = stopping.best.epoch, stopping.best.som_map
        search = _search_anew(task, search)
        found = search.assign(som_map.prototypes, som_map.positions)
    return Training(
        som_map, tuple(history), converged, task.threshold, found, search, stopping.stopped, kept
    )


def _state(
    task: Task,
    search: Search,
    som_map: SomMap,
    history: list[EpochRecord],
    schedule: Schedule,
    capped: bool,
    converged: bool,
    stopping: Stopping,
    leads: NDArray[np.bool_] | None,
) -> TrainingState:
    growth = task.growing.remembered
    return TrainingState(
        som_map.positions,
        som_map.prototypes,
        som_map.parents,
        som_map.birth_epochs,
        tuple(history),
        schedule.epochs,
        capped,
        converged,
        None if growth is None else growth(),
        search.remembered(),
        stopping.stopped,
        tuple(map(tuple, stopping.watched)),
        leads,
        None if stopping.best is None else _plain(stopping.best),
    )


def _plain(best: Best) -> dict[str, Any]:
    one = best.som_map
    return {
        "epoch": best.epoch,
        "positions": one.positions,
        "prototypes": one.prototypes,
        "parents": one.parents,
        "birth_epochs": one.birth_epochs,
    }


def _remind(task: Task, search: Search, state: TrainingState | None) -> None:
    if task.growing.remember is not None:  # nothing of the training before this one
        task.growing.remember(None if state is None else state.growth)
    if state is not None:
        search.remember(state.search)


def _growth_state(
    task: Task,
    som_map: SomMap,
    found: Found,
    epochs: int,
    movement: float,
    history: list[EpochRecord],
) -> GrowthState:
    counted = found if task.robust is None else found.reweighed(task.robust)
    n_neurons = len(som_map)
    return GrowthState(
        epoch=len(history) + 1,
        epochs=epochs,
        threshold=task.threshold,
        errors=counted.errors,
        hits=counted.hits,
        class_counts=counted.class_counts,
        movement=movement,
        room=_room(task, n_neurons),
        context=Context(task.data, found, task.seed, history),
    )


def _room(task: Task, n_neurons: int) -> int | None:
    return None if task.max_neurons is None else max(0, task.max_neurons - n_neurons)


def _capped(task: Task, n_neurons: int) -> Task:
    """Return the task with the cap that a strategy without one lacks: its births have no end."""
    cap = max(automatic_cap(task.data.total_weight), n_neurons)
    warnings.warn(
        f"{who('growth', task.growth)} gives births without end and has no max_neurons: its map is "
        f"cut at {cap} neurons, as with max_neurons='auto'",
        stacklevel=callers_level(),
    )
    return replace(task, max_neurons=cap)


def _smoothed_before_growth(
    som_map: SomMap, task: Task, state: GrowthState, width: float
) -> NDArray[np.float64]:
    if task.weighing.reads == "hops":
        weights, table = np.asarray(task.weight(np.arange(2.0), width), np.float64), None
    else:
        weights, table = kernel_weights(som_map, task, width)
    return smoothed_over_links(som_map, state.hits, weights, task.centre, table)


def _is_full(task: Task, som_map: SomMap, capped: bool) -> bool:
    # Nothing more can come of growth. A strategy that removes neurons makes room itself.
    return capped and len(som_map) == task.max_neurons and not task.growing.removes


def _carried_out(
    task: Task, som_map: SomMap, wanted: list[Any], epoch: int, room: int | None
) -> Grown:
    growing = task.growing
    try:
        grown = carry_out(som_map, wanted, epoch, room, task.centre, growing.may_disconnect)
    except ValueError as error:
        raise ComponentError(f"{who('growth', task.growth)}: {error}") from error
    if growing.renumber is not None and (grown.births or grown.changes):
        growing.renumber(grown.rows)
    return grown


def _search_anew(task: Task, before: Search) -> Search:
    search = task.data.search()
    search.remember(before.remembered())
    return search
