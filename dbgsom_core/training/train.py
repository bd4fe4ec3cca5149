"""The training loop of a growing batch map: updates, schedule, growth, stopping."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import (
    Centre,
    Neighbourhood,
    PerSample,
    Search,
    SearchResult,
    majority_classes,
)
from dbgsom_core.errors import ComponentError, callers_level
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.current import active_registry
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent, ignore_epoch
from dbgsom_core.interfaces.growth import Birth, GrowthComponent, GrowthState
from dbgsom_core.interfaces.guard import guarded, who
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stopping import STOP, StoppingComponent, StopState, judges_targets
from dbgsom_core.som_map.som_map import CHANGES, Change, Death, SomMap, changed_map
from dbgsom_core.training.state import Checkpointer, Path, TrainingConfig, TrainingState

BY_CALLBACK = "a callback"
_WINDOW = 2  # epochs: some maps swing between two states
_STATIONARY_WITHIN = 0.02


class Training(NamedTuple):
    som_map: SomMap
    history: tuple[EpochRecord, ...]
    converged: bool
    threshold: float
    stopped: str
    kept: int  # the epoch whose map it is: the last one, unless a rule keeps the best


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
    Training resumed from a state gives the same bits as without an interruption. Returns also the
    last result and its search.
    """
    from dbgsom_core.engine.smoothing import step_length  # numba is slow to import

    growing, checkpointer = config.growing, checkpointer or Checkpointer()
    schedule = Schedule.of(
        config.kernel, growing, config.epochs, config.continues, config.width_schedule
    ).ending_at(state.epochs or config.epochs)
    rules = [
        (active_registry().name_of("stopping", rule), guarded(rule), needs)
        for rule in config.stopping
        # Without targets, as in child maps, rules that need them are skipped.
        if not (needs := judges_targets(rule)) or config.monitor is not None
    ]
    state.watched = state.watched or [[] for _ in rules]
    started = time.perf_counter() - (state.history[-1].seconds if state.history else 0.0)
    search = config.data.search()
    growing.remember(state.growth)  # reset the strategy's state, also to None
    full = _is_full(config, state)
    found = search.assign(state.som_map.prototypes, state.som_map.positions)
    while not (state.converged or state.stopped) and len(state.history) < schedule.epochs:
        epoch, before = len(state.history) + 1, state.som_map.prototypes
        width = schedule.width(epoch, state.som_map)
        state.som_map.prototypes = _update_prototypes(config, schedule, state, found, width)
        movement = step_length(before, state.som_map.prototypes) / config.deviation
        found = search.assign(state.som_map.prototypes, state.som_map.positions)
        grown: GrowthResult | None = None
        if schedule.may_grow(epoch) and not full:
            grown, search, found = _grow(config, state, schedule, search, found, width, movement)
            full = _is_full(config, state)
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
        if notify is not ignore_epoch:
            record.show(state.som_map)
            if notify(record) is STOP:
                state.stopped = BY_CALLBACK
            record.show(None)
        if rules:
            _apply_stopping_rules(rules, config, state, found, schedule)
        state.converged = schedule.is_final(epoch) and movement < config.tol
        due = checkpointer.is_due(schedule.epochs)
        if due and not (state.converged or state.stopped) and epoch < schedule.epochs:
            state.growth = growing.remembered()
            checkpointer.save(path, state)
    if checkpointer.write is not None:  # for the checkpoints of child maps
        state.growth = growing.remembered()
        checkpointer.states[path] = state
    if state.capped and config.cap_is_automatic:
        factor = growing.spreading_factor
        smaller = "" if factor is None else f", or spreading_factor one below {factor:g}"
        warnings.warn(
            f"growth stopped at max_neurons='auto', {config.max_neurons} neurons for "
            f"{config.data.n} samples; give max_neurons a number{smaller}",
            stacklevel=callers_level(),
        )
    som_map, kept = state.som_map, len(state.history)
    if state.best is not None and state.best[0] < kept:
        kept, som_map = state.best
        search = config.data.search()
        found = search.assign(som_map.prototypes, som_map.positions)
    if config.data.X.dtype == np.float32:  # units are those of the float32 prototypes of users
        som_map.prototypes = som_map.prototypes.astype(np.float32).astype(np.float64)
        found = search.assign(som_map.prototypes, som_map.positions)
    converged = state.converged or is_stationary(state.history, schedule)
    history = tuple(state.history)
    training = Training(som_map, history, converged, config.threshold, state.stopped, kept)
    return training, found, search


def is_stationary(history: Sequence[EpochRecord], schedule: Schedule) -> bool:
    """Return whether the quantization error is stationary at the final width.

    The mean quantization errors of the last two epochs and of the two before differ by at most 2 %.
    Single steps are no criterion: a map may oscillate between equally good states.
    """
    errors = np.array(
        [r.quantization_error for r in history if schedule.is_final(r.epoch)], dtype=np.float64
    )
    if schedule.fine_epochs == 0 or len(errors) < 2 * _WINDOW:
        return False
    before, after = errors[-2 * _WINDOW : -_WINDOW].mean(), errors[-_WINDOW:].mean()
    return bool(abs(after - before) <= _STATIONARY_WITHIN * before)


def _apply_stopping_rules(
    rules: list[tuple[str, StoppingComponent, bool]],
    config: TrainingConfig,
    state: TrainingState,
    found: PerSample,
    schedule: Schedule,
) -> None:
    """Evaluate the stopping ``rules`` (name, rule, needs targets); keep the first that stops."""
    som_map, epoch, epochs = state.som_map, state.history[-1].epoch, tuple(state.history)
    train, held = Evaluation(som_map, config.data), config.validation
    plain = with_targets = train, train if held is None else Evaluation(som_map, held)
    if any(needs for _, _, needs in rules):
        with_targets = config.monitor.evaluations(som_map, found, config.seed, epochs)
    final = schedule.is_final(epoch)
    for (name, rule, needs), watched in zip(rules, state.watched, strict=True):
        training, held_out = with_targets if needs else plain
        measured = held_out if rule.validation > 0 else training
        stop_state = StopState(
            epochs, schedule.growing_epochs, final, training, measured, tuple(watched)
        )
        if rule.watch is not None:
            watched.append(float(rule.watch(stop_state)))
            stop_state = replace(stop_state, watched=tuple(watched))
        if rule.is_best is not None and rule.is_best(stop_state):
            state.best = epoch, copy.deepcopy(som_map)
        if rule.stop(stop_state) and not state.stopped:
            state.stopped = name


# ------------------------------------------------------------------------------- the schedule

DEFAULT_END = 0.5  # hops; a gaussian then weighs the nearest neighbours with exp(-2) = 0.14
# With the pull on linked neighbours the kernel hardly matters at the end.
DEFAULT_FINE_END = 0.3  # hops; exp(-5.6) = 0.004
_WIDE = 3.0  # hops, where the kernel's start is auto; see tests/benchmarks/README.md
_EASING = 0.5  # share of the fine-tuning phase in which width and pull go to their final values


@dataclass(frozen=True)
class Schedule:
    """Phases and widths over at most ``epochs`` epochs.

    In the growing phase the width goes from the kernel's ``start`` to its ``end`` by the function
    ``width_schedule(start, end, remaining)``, ``remaining`` from 1 to 0; in the fine-tuning phase,
    the last ``fine_epochs``, it stays at ``end``. With a ``link_pull`` that phase begins by easing
    the pull in. Where the kernel has no ``end``, the width is then annealed again, from a quarter
    of the map's side, as the grown grid may have a fold, to ``fine_end``; such a phase begins as
    soon as the map is full. So does one of a kernel whose ``start`` is auto, and anneals then.
    """

    epochs: int
    fine_epochs: int
    start: float | Literal["auto"] | None
    end: float
    width_schedule: Callable[[float, float, float], float]
    fine_end: float = DEFAULT_END
    link_pull: float = 0.0
    anneals_again: bool = False
    anneals_once_full: bool = False

    @classmethod
    def of(
        cls,
        kernel: Any,
        growing: GrowthComponent,
        epochs: int,
        continues: bool = False,
        width_schedule: Any = None,
    ) -> Schedule:
        """Return the schedule of a kernel and a growth strategy.

        ``width_schedule`` is a component; None: the kernel's ``decay``. A map whose training
        ``continues`` is unfolded: the width is at its end from the start.
        """
        widths, pull = guarded(kernel), float(growing.link_pull)
        end, fine = widths.end, int(epochs * growing.fine_tuning)
        if growing.growing_epochs is not None and fine > 0:
            fine = max(fine, epochs - growing.growing_epochs)
        if width_schedule is None:
            width_schedule = active_registry().build("schedule", widths.decay)
        return cls(
            epochs=epochs,
            fine_epochs=min(fine, epochs - 1),  # at least one growing epoch
            start=(end or DEFAULT_END) if continues else widths.start,
            end=end or DEFAULT_END,
            width_schedule=guarded(width_schedule).width,
            fine_end=end or (DEFAULT_FINE_END if pull > 0 else DEFAULT_END),
            link_pull=pull,
            anneals_again=pull > 0 and not end and not continues,
            anneals_once_full=pull > 0 and (not end or widths.start == "auto") and not continues,
        )

    @cached_property
    def growing_epochs(self) -> int:
        return self.epochs - self.fine_epochs

    def full_after(self, epoch: int) -> Self:
        """Return the schedule for a map that is full after an epoch of the growing phase.

        Fine-tuning, of the same length, follows at once where it anneals.
        """
        if not self.anneals_once_full or self.fine_epochs == 0:
            return self
        return self.ending_at(epoch + self.fine_epochs)

    def ending_at(self, epochs: int) -> Self:
        """Return the schedule of a map that is full before; fine-tuning is of the same length."""
        if epochs == self.epochs:
            return self
        return replace(self, epochs=epochs, anneals_again=self.anneals_once_full)

    def phase(self, epoch: int) -> Literal["growing", "fine"]:
        return "growing" if epoch <= self.growing_epochs else "fine"

    def may_grow(self, epoch: int) -> bool:
        """Return whether neurons may be added: in growing epochs but the first and the last."""
        return 1 < epoch < self.growing_epochs

    def width(self, epoch: int, som_map: SomMap) -> float:
        # A quarter of the larger side, or of that of a square map of as many neurons: wide enough
        # to unfold the map, and it follows growth.
        (rows, columns), n_neurons = som_map.shape, len(som_map)
        side = max(rows, columns) if rows * columns == n_neurons else n_neurons**0.5
        least = min(_WIDE, side / 2) if self.start == "auto" else 1.0
        natural, start = max(least, side / 4), None if self.start == "auto" else self.start
        last = self.growing_epochs
        if epoch > last:
            again = self.end
            if self.anneals_again:
                again = natural if start is None else max(min(start, natural), self.fine_end)
            return float(again * (self.fine_end / again) ** self._easing_progress(epoch))
        remaining = (last - epoch) / (last - 1) if last > 1 else 0.0
        start = max(natural, self.end) if start is None else start
        return float(self.width_schedule(start, self.end, remaining))

    def pull(self, epoch: int) -> float:
        """Return the weight of a sample in its BMU's nearest linked neighbour, in an epoch."""
        return self.link_pull * self._easing_progress(epoch)

    def is_final(self, epoch: int) -> bool:
        """Return whether width and pull are at their final values."""
        return epoch >= self.growing_epochs + self._easing_epochs

    @cached_property
    def _easing_epochs(self) -> int:
        return int(_EASING * self.fine_epochs) if self.link_pull > 0 else 0

    def _easing_progress(self, epoch: int) -> float:
        # Progress of the fine-tuning phase towards its final width and pull, from 0 to 1.
        into = epoch - self.growing_epochs
        return 0.0 if into <= 0 else min(1.0, into / max(self._easing_epochs, 1))


# ------------------------------------------------------------------------------- the update


def _update_prototypes(
    config: TrainingConfig,
    schedule: Schedule,
    state: TrainingState,
    found: SearchResult,
    width: float,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) after the update of the next epoch.

    In fine-tuning by classes a sample with a class trains the nearest neuron with its class in the
    majority. Majorities are fixed once width and pull are final, so that training converges. On a
    line in one dimension, which is in order, a pull would only pair neurons: there is none.
    """
    som_map, epoch = state.som_map, len(state.history) + 1
    if schedule.phase(epoch) == "growing":
        return batch_update(som_map, config, found, width)
    counts = found.class_counts if config.growing.class_tuning else None
    if counts is not None and not (schedule.is_final(epoch) and state.majority is not None):
        state.majority = majority_classes(counts)
    if state.majority is not None:
        found = found.reassign_to_own_class(state.majority)
    in_order = som_map.grid.is_line and som_map.prototypes.shape[1] == 1
    pull = 0.0 if in_order else schedule.pull(epoch)
    return batch_update(som_map, config, found, width, pull, state.majority)


def batch_update(
    som_map: SomMap,
    config: TrainingConfig,
    found: SearchResult,
    width: float,
    pull: float = 0.0,
    majority: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron without weight keeps its prototype. With a ``pull`` each
    sample also has this weight in the nearest linked neighbour of its BMU, neighbours with its
    class in the ``majority`` (K, C) first. A metric with ``form`` makes its prototypes itself.
    """
    weighted = found if config.robust is None else found.with_robust_weights(config.robust)
    weights, table = _kernel_weights(som_map, config, width)
    neighbourhood = Neighbourhood(
        som_map.graph, weights, pull if len(som_map) > 1 else 0.0, majority, table
    )
    metric = config.data.metric
    neighbour_weight = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
    if metric.form is not None and neighbour_weight <= metric.forms_below:
        return weighted.fit_prototypes(neighbourhood)
    return weighted.update_prototypes(neighbourhood, config.centre)


def _kernel_weights(
    som_map: SomMap, config: TrainingConfig, width: float, max_hops: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.uint16] | None]:
    """Return the kernel's weights (H,), and the index of each pair of neurons' weight (K, K).

    The index is None for a kernel of hops, of at most ``max_hops``.
    """
    kernel = config.guarded_kernel
    if kernel.reads == "hops":
        table, values = None, np.arange((max_hops or som_map.diameter) + 1, dtype=np.float64)
    else:
        table, values = som_map.table(kernel.reads)
    return np.asarray(kernel.weight(values, width), np.float64), table


def smooth_over_links(
    som_map: SomMap,
    hits: NDArray[Any],
    weights: NDArray[np.float64],
    centre: Any = None,
    table: NDArray[np.uint16] | None = None,
) -> NDArray[np.float64]:
    """Return each prototype averaged with those of its linked neighbours, (K, D).

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the ``hits`` of j and h_ij the kernel's ``weights`` at 0 or 1 hops, or indexed by
    ``table``. It is the batch update with prototypes instead of the means of samples, cut off after
    one hop (after Kohonen 2001, eq. 3.80). A neuron without hits, also in its neighbours, keeps its
    prototype. ``centre`` makes prototypes of means.
    """
    hops = som_map.hops
    near = weights[0] * (hops == 0) + weights[1] * (hops == 1)
    if table is not None:
        near = np.maximum(weights[table] * (hops <= 1), 0.0)
    influence = near * np.asarray(hits, np.float64)
    reached = influence.sum(axis=1)
    means = influence @ som_map.prototypes
    prototypes = som_map.prototypes.copy()
    alive = reached > 0
    means = means[alive] / reached[alive, None]
    prototypes[alive] = means if centre is None else centre(means)
    return prototypes


# ------------------------------------------------------------------------------- growth


class GrowthResult(NamedTuple):
    som_map: SomMap  # the same object where there are only births
    rows: NDArray[np.int64]  # (K,): the former row of each neuron, -1 for new ones
    births: tuple[GrowthEvent, ...] = ()
    changes: tuple[Change, ...] = ()
    is_cut: bool = False  # ``max_neurons`` cut off births


def _is_full(config: TrainingConfig, state: TrainingState) -> bool:
    """Return whether the map can grow no more; a strategy that removes neurons always can."""
    full = state.capped and len(state.som_map) == config.max_neurons
    return full and not config.growing.removes


def _grow(
    config: TrainingConfig,
    state: TrainingState,
    schedule: Schedule,
    search: Search,
    found: SearchResult,
    width: float,
    movement: float,
) -> tuple[GrowthResult | None, Search, SearchResult]:
    """Grow the map of ``state`` after an epoch with result ``found``.

    Returns also a search and its result for the grown map; None where there are no requests.
    """
    growing, som_map, known = config.growing, state.som_map, len(state.som_map)
    room = None if config.max_neurons is None else max(0, config.max_neurons - known)

    def counted(found: SearchResult) -> SearchResult:
        return found if config.robust is None else found.with_robust_weights(config.robust)

    def request_growth(found: SearchResult) -> list[Any]:
        counts = counted(found)
        growth_state = GrowthState(
            epoch=len(state.history) + 1,
            epochs=schedule.growing_epochs,
            threshold=config.threshold,
            errors=counts.errors,
            hits=counts.hits,
            class_counts=counts.class_counts,
            movement=movement,
            room=room,
            context=Context(config.data, found, config.seed, state.history),
        )
        return list(growing.grow(state.som_map, growth_state))

    requests = request_growth(found)
    if growing.smooth_before_growth and split_changes(requests)[1]:
        weights, table = _kernel_weights(som_map, config, width, 1)
        hits = counted(found).hits
        som_map.prototypes = smooth_over_links(som_map, hits, weights, config.centre, table)
        found = search.assign(som_map.prototypes, som_map.positions)
        requests = request_growth(found)
    if not requests:
        return None, search, found
    epoch, may_part = len(state.history) + 1, growing.may_disconnect
    try:
        grown = apply_growth(som_map, requests, epoch, room, config.centre, may_part)
    except ValueError as error:
        raise ComponentError(f"{who(config.growth)}: {error}") from error
    state.capped = state.capped or grown.is_cut
    if not (grown.births or grown.changes):
        return grown, search, found
    growing.renumber(grown.rows)
    state.som_map = som_map = grown.som_map
    if any(isinstance(change, Death) for change in grown.changes):
        search = config.data.search()  # the rows of neurons changed
        found = search.assign(som_map.prototypes, som_map.positions)
    else:
        found = search.assign_new_neurons(found, som_map.prototypes, som_map.positions, known)
    return grown, search, found


def split_changes(requests: Sequence[Any]) -> tuple[tuple[Change, ...], list[Birth]]:
    """Return the changes and the births among a strategy's requests."""
    changes = tuple(r for r in requests if isinstance(r, CHANGES))
    births = [r for r in requests if not isinstance(r, CHANGES)] if changes else requests
    return changes, [r if isinstance(r, Birth) else Birth(*r) for r in births]


def apply_growth(
    som_map: SomMap,
    requests: Sequence[Any],
    epoch: int,
    room: int | None = None,
    centre: Centre | None = None,
    may_disconnect: bool = False,
) -> GrowthResult:
    """Apply requests to a map, with births up to ``room`` more neurons.

    ``centre`` makes valid prototypes of the strategies' sums. Raises ValueError for impossible
    requests, and for those that disconnect the map, which is then unchanged.
    """
    known = len(som_map)
    rows = np.arange(known)
    changes, births = split_changes(requests)
    if changes:
        changed, rows, inserted = changed_map(som_map, changes)
        room = None if room is None else room + known - len(rows)
        if room is not None and len(inserted) > room:  # no partial rows
            return GrowthResult(som_map, np.arange(known), is_cut=True)
        if changed.is_apart and not (may_disconnect or inserted):
            raise ValueError(
                "the deaths and moves disconnect the map; a strategy that may do so has "
                "may_disconnect = True"
            )
        number = {row: new for new, row in enumerate(rows.tolist())}
        births = [b._replace(parent=number.get(int(b.parent), -1)) for b in births]
        births = [*map(Birth._make, inserted), *births]
        som_map = changed
    n_births, births = len(births), births[:room]
    if births and centre is not None:
        births = [
            b._replace(prototype=centre(np.asarray(b.prototype, float)[None])[0]) for b in births
        ]
    som_map.add(births, epoch)
    rows = np.concatenate([rows, np.full(len(births), -1)])
    events = tuple(
        GrowthEvent(epoch, int(b.parent), (int(b.position[0]), int(b.position[1]))) for b in births
    )
    return GrowthResult(som_map, rows, events, changes, len(births) < n_births)
