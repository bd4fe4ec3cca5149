"""The training loop of a growing batch map; it reads like the paper's pseudo-code."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import Birth, GrowthState, GrowthStrategy, Kernel
from dbgsom_core.engine.found import Found, Search
from dbgsom_core.engine.local import DataPass
from dbgsom_core.events import EpochRecord, GrowthEvent
from dbgsom_core.fine_tuning import (
    ClassLeads,
    count_classes,
    is_fast,
    linked_runners_up,
    linked_totals,
    trained_by_class,
    updated_fast,
)
from dbgsom_core.forming import formed
from dbgsom_core.prototype_smoothing import smoothed_over_links
from dbgsom_core.robust import smoothed_weights
from dbgsom_core.schedule import Schedule
from dbgsom_core.som_map import SomMap


@dataclass(frozen=True)
class Task:
    """Everything that stays the same during one training.

    Attributes
    ----------
    data : DataPass
        The prepared training samples.
    kernel : Kernel
    growth : GrowthStrategy
    epochs : int
        Upper bound.
    tol : float
        The map has converged when, at the final width, the prototypes move less than this share
        of the data's deviation. 0 runs all epochs: nor is what growth leaves of them cut short.
    deviation : float
        ‖std(X)‖ of the prepared samples.
    threshold : float
        The growing threshold, or nan.
    max_neurons : int or None
    cap_is_automatic : bool
        Warn when the cap binds, since nobody chose it.
    class_codes : int64 array (n,) or None
        Classes 0..C-1 of the samples; negative for a sample without a class.
    n_classes : int
    robust : float or None
        γ of `smoothed_weights`, in the inverse of the squared distance's units; None: off.
    continues : bool
        The map is trained already: the kernel stays at its final width.
    """

    data: DataPass
    kernel: Kernel
    growth: GrowthStrategy
    epochs: int
    tol: float
    deviation: float
    threshold: float = float("nan")
    max_neurons: int | None = None
    cap_is_automatic: bool = False
    class_codes: NDArray[np.int64] | None = None
    n_classes: int = 0
    robust: float | None = None
    continues: bool = False

    @cached_property
    def centre(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
        """How the metric forms a prototype from a mean, where it has a way of its own."""
        return getattr(self.data.metric, "centre", None)

    @cached_property
    def forms_below(self) -> float | None:
        """The weight of linked neighbours up to which the metric forms prototypes; None: never."""
        if getattr(self.data.metric, "form", None) is None:
            return None
        return float(getattr(self.data.metric, "forms_below", math.inf))

    @cached_property
    def tunes_classes(self) -> bool:
        """Whether samples train neurons of their class in fine-tuning."""
        return self.class_codes is not None and getattr(self.growth, "class_tuning", False)


@dataclass(frozen=True)
class Training:
    """What training leaves: the map, its epochs, what its last search found."""

    som_map: SomMap
    history: tuple[EpochRecord, ...]
    converged: bool
    found: Found
    search: Search


def train(task: Task, som_map: SomMap, notify: Callable[[EpochRecord], None]) -> Training:
    """Train ``som_map`` in place, epoch by epoch, and let it grow.

    Every epoch runs Kohonen's batch update (Kohonen 2001, eq. 3.34) with the best-matching units
    of the prototypes so far; the errors that steer growth are those of the updated prototypes
    (Vasighi & Amini 2017). The same search serves the next epoch: newborns are compared alone.
    """
    from dbgsom_core.engine.smoothing import step_length  # numba is slow to import

    started = time.perf_counter()
    schedule = Schedule.of(task.kernel, task.growth, task.epochs, task.continues)
    history: list[EpochRecord] = []
    converged = capped = full = False
    search = task.data.search()
    positions = som_map.positions
    found = search.assign(som_map.prototypes, positions)
    for epoch in range(1, task.epochs + 1):
        width = schedule.width(epoch, som_map)
        before = som_map.prototypes
        som_map.prototypes = _updated(som_map, task, found, schedule, epoch, width)
        movement = step_length(before, som_map.prototypes) / task.deviation
        found = search.assign(som_map.prototypes, positions)
        births: tuple[GrowthEvent, ...] = ()
        if schedule.may_grow(epoch) and not full:
            known = len(som_map)
            state = _growth_state(task, som_map, found, epoch, schedule.growing_epochs, movement)
            wanted = list(task.growth.grow(som_map, state))
            if wanted and getattr(task.growth, "smooth_before_growth", False):
                som_map.prototypes = _smoothed_before_growth(som_map, task, state, width)
                found = search.assign(som_map.prototypes, positions)
                state = _growth_state(
                    task, som_map, found, epoch, schedule.growing_epochs, movement
                )
                wanted = list(task.growth.grow(som_map, state))
            births = _give_birth(som_map, wanted[: state.room], task.centre, epoch)
            capped = capped or len(births) < len(wanted)
            if births:
                positions = som_map.positions
                found = search.admit(found, som_map.prototypes, positions, known)
            full = capped and len(som_map) == task.max_neurons
            if full and task.tol > 0:
                schedule = schedule.full_after(epoch)
        record = EpochRecord(
            epoch=epoch,
            epochs=schedule.epochs,
            phase=schedule.phase(epoch),
            width=width,
            neurons=len(som_map),
            births=births,
            quantization_error=_mean_distance(task, som_map, found),
            movement=movement,
            seconds=time.perf_counter() - started,
        )
        history.append(record)
        notify(record)
        converged = schedule.is_final(epoch) and movement < task.tol
        if converged or epoch == schedule.epochs:
            break
    if capped and task.cap_is_automatic:
        warnings.warn(
            f"growth stopped at max_neurons='auto', {task.max_neurons} neurons for "
            f"{task.data.n} samples; give max_neurons a number, or lower spreading_factor",
            stacklevel=3,
        )
    return Training(som_map, tuple(history), converged, found, search)


def batch_update(
    som_map: SomMap,
    task: Task,
    found: Found,
    width: float,
    pull: float = 0.0,
    classes: ClassLeads | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron that nothing reaches keeps its prototype. With a ``pull``
    each sample also weighs that much, besides its h, in the linked neighbour of its BMU that lies
    nearest to it (`linked_totals`). A metric with ``form`` makes its prototypes itself.
    """
    data, n_neurons = _weighed(task, found), len(som_map)
    weights = np.asarray(
        task.kernel.weight(np.arange(som_map.diameter + 1, dtype=np.float64), width), np.float64
    )
    pull = pull if n_neurons > 1 else 0.0
    if _forms(task, weights):
        runners_up = linked_runners_up(data, found.bmu, som_map, classes) if pull > 0 else None
        influence = weights[som_map.hops]
        return formed(data, som_map.prototypes, influence, found.bmu, pull, runners_up)
    if is_fast(data, found) and task.centre is None:
        return updated_fast(found, som_map, weights, pull, classes)
    from dbgsom_core.engine.smoothing import reach_of, smoothed

    won = data.totals(found, n_neurons)
    reach = reach_of(weights, float(won.hits.sum()))

    def over_map(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return smoothed(som_map.hops, weights, reach, won.hits, sums, data.threads)

    sums, reached = over_map(won.sums)
    seen = None if won.seen is None else over_map(won.seen)[0]
    if pull > 0:
        pulled_hits, pulled_sums, pulled_seen = linked_totals(data, found, som_map, classes)
        reached = reached + pull * pulled_hits
        sums = sums + pull * pulled_sums
        seen = None if seen is None or pulled_seen is None else seen + pull * pulled_seen
    return _means(som_map.prototypes, sums, reached, seen, task.centre)


def _forms(task: Task, weights: NDArray[np.float64]) -> bool:
    # Whether the metric makes the prototypes at a kernel with these weights by hops.
    if task.forms_below is None:
        return False
    neighbours = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
    return neighbours <= task.forms_below


def _means(
    before: NDArray[np.float64],
    sums: NDArray[np.float64],
    reached: NDArray[np.float64],
    seen: NDArray[np.float64] | None,
    centre: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None,
) -> NDArray[np.float64]:
    # A feature that nothing observed reaches keeps its value, as a neuron without samples does.
    if seen is None:
        from dbgsom_core.engine.smoothing import means

        after = means(before, sums, reached)
    else:
        observed = (seen > 0) & (reached[:, None] > 0)
        after = np.divide(sums, seen, out=before.copy(), where=observed)
    if centre is not None:
        alive = reached > 0
        after[alive] = centre(after[alive])
    return after


def _weighed(task: Task, found: Found) -> DataPass:
    """Return the data with the weights of this epoch."""
    if task.robust is None:
        return task.data
    own = task.data.sample_weights
    return replace(task.data, weights=smoothed_weights(found.distance, own, task.robust))


def _updated(
    som_map: SomMap, task: Task, found: Found, schedule: Schedule, epoch: int, width: float
) -> NDArray[np.float64]:
    # In fine-tuning a sample may train another neuron than its best-matching unit, and a second.
    pull, tunes = schedule.pull(epoch), schedule.phase(epoch) == "fine" and task.tunes_classes
    if not tunes or task.class_codes is None:
        return batch_update(som_map, task, found, width, pull)
    classes = ClassLeads.of(
        found.bmu, task.class_codes, len(som_map), task.n_classes, task.data.weights
    )
    own = trained_by_class(task.data, found, som_map, classes)
    return batch_update(som_map, task, own, width, pull, classes)


def _growth_state(
    task: Task, som_map: SomMap, found: Found, epoch: int, epochs: int, movement: float
) -> GrowthState:
    data, n_neurons = _weighed(task, found), len(som_map)
    hits, errors = data.hits_and_errors(found, n_neurons)
    counts = None
    if task.class_codes is not None:
        counts = count_classes(found.bmu, task.class_codes, n_neurons, task.n_classes, data.weights)
    return GrowthState(
        epoch=epoch,
        epochs=epochs,
        threshold=task.threshold,
        errors=errors,
        hits=hits,
        class_counts=counts,
        movement=movement,
        room=None if task.max_neurons is None else max(0, task.max_neurons - n_neurons),
    )


def _smoothed_before_growth(
    som_map: SomMap, task: Task, state: GrowthState, width: float
) -> NDArray[np.float64]:
    weights = np.asarray(task.kernel.weight(np.arange(2.0), width), np.float64)
    return smoothed_over_links(som_map, state.hits, weights, task.centre)


def _give_birth(
    som_map: SomMap,
    births: list[Any],
    centre: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None,
    epoch: int,
) -> tuple[GrowthEvent, ...]:
    if not births:
        return ()
    births = [birth if isinstance(birth, Birth) else Birth(*birth) for birth in births]
    if centre is not None:  # a strategy adds and subtracts prototypes, which leaves the space
        births = [
            b._replace(prototype=centre(np.asarray(b.prototype, float)[None])[0]) for b in births
        ]
    som_map.add(births, epoch)
    return tuple(
        GrowthEvent(epoch, int(b.parent), (int(b.position[0]), int(b.position[1]))) for b in births
    )


def _mean_distance(task: Task, som_map: SomMap, found: Found) -> float:
    return task.data.total_error(found, len(som_map)) / task.data.total_weight
