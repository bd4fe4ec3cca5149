"""The training loop of a growing batch map; it reads like the paper's pseudo-code."""

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
    leading,
)
from dbgsom_core.errors import ComponentError, callers_level
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.epochs import EpochRecord, GrowthEvent, ignore_epoch
from dbgsom_core.interfaces.growth import Birth, GrowthAbilities, GrowthState
from dbgsom_core.interfaces.guard import guarded, lookup_in_use, who
from dbgsom_core.interfaces.kernels import KernelAbilities
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stopping import STOP, StoppingAbilities, StopState, judges_targets
from dbgsom_core.som_map.som_map import CHANGES, Change, Death, SomMap, changed_map
from dbgsom_core.training.state import Checkpointer, Path, TrainingConfig, TrainingState

BY_CALLBACK = "a callback"
_HALF = 2  # epochs: some maps swing between two states
_DRIFT = 0.02


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
    A state in the middle of a training goes on to the same bits as without an interruption.
    Returned are also the last search and what it found.
    """
    from dbgsom_core.engine.smoothing import step_length  # numba is slow to import

    growing, checkpointer = config.growing, checkpointer or Checkpointer()
    schedule = Schedule.of(
        config.kernel, growing, config.epochs, config.continues, config.course
    ).ending_at(state.epochs or config.epochs)
    rules = [
        (lookup_in_use().name_of("stopping", rule), StoppingAbilities.of(rule), needs)
        for rule in config.stopping
        # Of a map without targets, a child map say, those that need them are left out.
        if not (needs := judges_targets(rule)) or config.monitor is not None
    ]
    state.watched = state.watched or [[] for _ in rules]
    started = time.perf_counter() - (state.history[-1].seconds if state.history else 0.0)
    search = config.data.search()
    if growing.remember is not None:  # nothing of the training before this one
        growing.remember(state.growth)
    full = _is_full(config, state)
    found = search.assign(state.som_map.prototypes, state.som_map.positions)
    while not (state.converged or state.stopped) and len(state.history) < schedule.epochs:
        epoch, before = len(state.history) + 1, state.som_map.prototypes
        width = schedule.width(epoch, state.som_map)
        state.som_map.prototypes = _updated(config, schedule, state, found, width)
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
            _ask_rules(rules, config, state, found, schedule)
        state.converged = schedule.is_final(epoch) and movement < config.tol
        due = checkpointer.is_due(schedule.epochs)
        if due and not (state.converged or state.stopped) and epoch < schedule.epochs:
            state.growth = None if growing.remembered is None else growing.remembered()
            checkpointer.save(path, state)
    if checkpointer.write is not None:  # to be written together with what comes next
        state.growth = None if growing.remembered is None else growing.remembered()
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


def _ask_rules(
    rules: list[tuple[str, StoppingAbilities, bool]],
    config: TrainingConfig,
    state: TrainingState,
    found: PerSample,
    schedule: Schedule,
) -> None:
    """Ask the rules by name whether to stop; the last of each says whether it needs targets."""
    som_map, epoch, epochs = state.som_map, state.history[-1].epoch, tuple(state.history)
    train, held = Evaluation(som_map, config.data), config.validation
    plain = with_targets = train, train if held is None else Evaluation(som_map, held)
    if any(needs for _, _, needs in rules):
        with_targets = config.monitor.evaluations(som_map, found, config.seed, epochs)
    final = schedule.is_final(epoch)
    for (name, rule, needs), watched in zip(rules, state.watched, strict=True):
        trains, held_out = with_targets if needs else plain
        shown = held_out if rule.validation > 0 else trains
        seen = StopState(epochs, schedule.growing_epochs, final, trains, shown, tuple(watched))
        if rule.watch is not None:
            watched.append(float(rule.watch(seen)))
            seen = replace(seen, watched=tuple(watched))
        if rule.is_best is not None and rule.is_best(seen):
            state.best = epoch, copy.deepcopy(som_map)
        assert rule.stop is not None
        if rule.stop(seen) and not state.stopped:
            state.stopped = name


# ------------------------------------------------------------------------------- the schedule

DEFAULT_END = 0.5  # hops; a gaussian then weighs the nearest neighbours with exp(-2) = 0.14
# With the pull on linked neighbours the kernel has next to nothing left to do at the end.
DEFAULT_FINE_END = 0.3  # hops; exp(-5.6) = 0.004
_WIDE = 3.0  # hops, where the kernel's start is auto; see tests/benchmarks/README.md
_EASING = 0.5  # share of the fine-tuning phase in which width and pull go to their final values


@dataclass(frozen=True)
class Schedule:
    """Phases and widths over at most ``epochs`` epochs.

    In the growing phase the width runs from the kernel's ``start`` to its ``end`` on its
    ``course``, the share of the phase that is left being 1 in its first epoch and 0 in its last; in
    the fine-tuning phase, the last ``fine_epochs``, it stays at ``end``. With a ``link_pull`` that
    phase begins by easing the pull in. Where the kernel gives no ``end``, the width then goes once
    more from a quarter of the map's side, since the grown grid may have a fold, to ``fine_end``.
    Such a phase need not wait for the rest of the growing phase once the map is full; then it comes
    for a ``start`` of auto, too.
    """

    epochs: int
    fine_epochs: int
    start: float | Literal["auto"] | None
    end: float
    course: Callable[[float, float, float], float]
    fine_end: float = DEFAULT_END
    link_pull: float = 0.0
    anneals_again: bool = False
    anneals_once_full: bool = False

    @classmethod
    def of(
        cls,
        kernel: Any,
        growing: GrowthAbilities,
        epochs: int,
        continues: bool = False,
        course: Any = None,
    ) -> Schedule:
        """Return the schedule that a kernel and a growth strategy ask for.

        ``course`` is the component that says how the width goes down; None: the kernel's ``decay``.
        A map whose training ``continues`` is unfolded: the width begins where it ends.
        """
        widths, pull = KernelAbilities.of(kernel), float(growing.link_pull)
        end, fine = widths.end, int(epochs * growing.fine_tuning)
        if growing.growing_epochs is not None and fine > 0:
            fine = max(fine, epochs - growing.growing_epochs)
        if course is None:
            course = lookup_in_use().build("schedule", widths.decay)
        return cls(
            epochs=epochs,
            fine_epochs=min(fine, epochs - 1),  # one at least is left to growth
            start=(end or DEFAULT_END) if continues else widths.start,
            end=end or DEFAULT_END,
            course=guarded("schedule", course, "width"),
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

        Fine-tuning, as long as ever, follows at once where it anneals, since the width comes down
        there.
        """
        if not self.anneals_once_full or self.fine_epochs == 0:
            return self
        return self.ending_at(epoch + self.fine_epochs)

    def ending_at(self, epochs: int) -> Self:
        """Return the schedule of a map that is full before; fine-tuning is as long as ever."""
        if epochs == self.epochs:
            return self
        return replace(self, epochs=epochs, anneals_again=self.anneals_once_full)

    def phase(self, epoch: int) -> Literal["growing", "fine"]:
        return "growing" if epoch <= self.growing_epochs else "fine"

    def may_grow(self, epoch: int) -> bool:
        """Return whether neurons may be born: in the growing phase but its first and last epoch."""
        return 1 < epoch < self.growing_epochs

    def width(self, epoch: int, som_map: SomMap) -> float:
        # A quarter of the larger side of a square map with as many neurons: wide enough to unfold
        # it, and it follows the map as it grows.
        (rows, columns), n_neurons = som_map.shape, len(som_map)
        side = max(rows, columns) if rows * columns == n_neurons else n_neurons**0.5
        least = min(_WIDE, side / 2) if self.start == "auto" else 1.0
        natural, start = max(least, side / 4), None if self.start == "auto" else self.start
        last = self.growing_epochs
        if epoch > last:
            again = self.end
            if self.anneals_again:
                again = natural if start is None else max(min(start, natural), self.fine_end)
            return float(again * (self.fine_end / again) ** self._eased(epoch))
        remaining = (last - epoch) / (last - 1) if last > 1 else 0.0
        start = max(natural, self.end) if start is None else start
        return float(self.course(start, self.end, remaining))

    def pull(self, epoch: int) -> float:
        """Return how much a sample weighs in its BMU's nearest linked neighbour, in an epoch."""
        return self.link_pull * self._eased(epoch)

    def is_final(self, epoch: int) -> bool:
        """Return whether width and pull have reached their ends, so that the map can rest."""
        return epoch >= self.growing_epochs + self._easing_epochs

    @cached_property
    def _easing_epochs(self) -> int:
        return int(_EASING * self.fine_epochs) if self.link_pull > 0 else 0

    def _eased(self, epoch: int) -> float:
        # How far the fine-tuning phase has gone to its final width and pull, from 0 to 1.
        into = epoch - self.growing_epochs
        return 0.0 if into <= 0 else min(1.0, into / max(self._easing_epochs, 1))


# ------------------------------------------------------------------------------- the update


def _updated(
    config: TrainingConfig,
    schedule: Schedule,
    state: TrainingState,
    found: SearchResult,
    width: float,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) after the update of the next epoch.

    In fine-tuning by classes a sample with a class trains the nearest neuron in which its class is
    in the majority. Which classes these are stays from where width and pull have reached their
    ends: neurons that went on changing sides would never come to rest. A line of one column takes
    no pull: it is in order, and would only come to stand in pairs.
    """
    som_map, epoch = state.som_map, len(state.history) + 1
    if schedule.phase(epoch) == "growing":
        return batch_update(som_map, config, found, width)
    counts = found.class_counts if config.growing.class_tuning else None
    if counts is not None and not (schedule.is_final(epoch) and state.majority is not None):
        state.majority = leading(counts)
    if state.majority is not None:
        found = found.trained_by_class(state.majority)
    in_order = som_map.grid.is_line and som_map.prototypes.shape[1] == 1
    pull = 0.0 if in_order else schedule.pull(epoch)
    return batch_update(som_map, config, found, width, pull, state.majority)


def batch_update(
    som_map: SomMap,
    config: TrainingConfig,
    found: SearchResult,
    width: float,
    pull: float = 0.0,
    leads: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron that nothing reaches keeps its prototype. With a ``pull``
    each sample also weighs that much, besides its h, in the linked neighbour of its BMU that lies
    nearest to it, first among those in which its class ``leads`` (K, C). A metric with ``form``
    makes its prototypes itself.
    """
    counted = found if config.robust is None else found.reweighed(config.robust)
    weights, table = _kernel_weights(som_map, config, width)
    around = Neighbourhood(som_map.graph, weights, pull if len(som_map) > 1 else 0.0, leads, table)
    metric = config.data.metric
    beside = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
    if metric.form is not None and beside <= metric.forms_below:
        return counted.formed(around)
    return counted.updated(around, config.centre)


def _kernel_weights(
    som_map: SomMap, config: TrainingConfig, width: float, most: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.uint16] | None]:
    """Return the kernel's weights (H,), and which of them holds for which neurons (K, K).

    None in place of the latter: that of the hops between them, up to ``most``.
    """
    kernel = config.weighing
    if kernel.reads == "hops":
        table, values = None, np.arange((most or som_map.diameter) + 1, dtype=np.float64)
    else:
        table, values = som_map.table(kernel.reads)
    weight: Any = kernel.weight
    return np.asarray(weight(values, width), np.float64), table


def smoothed_over_links(
    som_map: SomMap,
    hits: NDArray[Any],
    weights: NDArray[np.float64],
    centre: Any = None,
    table: NDArray[np.uint16] | None = None,
) -> NDArray[np.float64]:
    """Return each prototype averaged with those of its linked neighbours, (K, D).

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the ``hits`` of j and h_ij the kernel's ``weights`` at no or one hop, or as the
    ``table`` says. It is the sum of the batch map with prototypes in place of the means of the
    samples, cut after one hop (after Kohonen 2001, eq. 3.80). A neuron that neither has hits nor a
    neighbour with hits keeps its prototype. ``centre`` turns means into prototypes.
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
    som_map: SomMap  # the one that was given, unless more than births changed it
    rows: NDArray[
        np.int64
    ]  # (K,): the row before of each neuron that there is now, -1 for new ones
    births: tuple[GrowthEvent, ...] = ()
    changes: tuple[Change, ...] = ()
    is_cut: bool = False  # there was no room for everything


def _is_full(config: TrainingConfig, state: TrainingState) -> bool:
    """Return whether nothing more can come of growth; who removes neurons makes room itself."""
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
    """Let the map of ``state`` grow, after an epoch whose search ``found`` its units.

    Returned are also a search and what it found of the map that there is now; None where nothing is
    wanted.
    """
    growing, som_map, known = config.growing, state.som_map, len(state.som_map)
    room = None if config.max_neurons is None else max(0, config.max_neurons - known)

    def counted(found: SearchResult) -> SearchResult:
        return found if config.robust is None else found.reweighed(config.robust)

    def wanted_of(found: SearchResult) -> list[Any]:
        counts = counted(found)
        seen = GrowthState(
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
        return list(growing.grow(state.som_map, seen))

    wanted = wanted_of(found)
    if growing.smooth_before_growth and parted(wanted)[1]:
        weights, table = _kernel_weights(som_map, config, width, 1)
        hits = counted(found).hits
        som_map.prototypes = smoothed_over_links(som_map, hits, weights, config.centre, table)
        found = search.assign(som_map.prototypes, som_map.positions)
        wanted = wanted_of(found)
    if not wanted:
        return None, search, found
    epoch, may_part = len(state.history) + 1, growing.may_disconnect
    try:
        grown = apply_growth(som_map, wanted, epoch, room, config.centre, may_part)
    except ValueError as error:
        raise ComponentError(f"{who('growth', config.growth)}: {error}") from error
    state.capped = state.capped or grown.is_cut
    if not (grown.births or grown.changes):
        return grown, search, found
    if growing.renumber is not None:
        growing.renumber(grown.rows)
    state.som_map = som_map = grown.som_map
    if any(isinstance(change, Death) for change in grown.changes):
        search = config.data.search()  # what the other one keeps is of other rows
        found = search.assign(som_map.prototypes, som_map.positions)
    else:
        found = search.admit(found, som_map.prototypes, som_map.positions, known)
    return grown, search, found


def parted(wanted: Sequence[Any]) -> tuple[tuple[Change, ...], list[Birth]]:
    """Return the changes and the births among what a strategy wants."""
    changes = tuple(one for one in wanted if isinstance(one, CHANGES))
    births = [one for one in wanted if not isinstance(one, CHANGES)] if changes else wanted
    return changes, [one if isinstance(one, Birth) else Birth(*one) for one in births]


def apply_growth(
    som_map: SomMap,
    wanted: Sequence[Any],
    epoch: int,
    room: int | None = None,
    centre: Centre | None = None,
    may_disconnect: bool = False,
) -> GrowthResult:
    """Change a map as wanted, as far as there is ``room`` for births beside those who die.

    ``centre`` makes prototypes of what strategies add and subtract, which leaves their space.
    ValueError where changes or births cannot be, or take the map apart; it is then as before.
    """
    known = len(som_map)
    rows = np.arange(known)
    changes, births = parted(wanted)
    if changes:
        changed, rows, newborn = changed_map(som_map, changes)
        room = None if room is None else room + known - len(rows)
        if room is not None and len(newborn) > room:  # half a row would be none
            return GrowthResult(som_map, np.arange(known), is_cut=True)
        if changed.is_apart and not (may_disconnect or newborn):
            raise ValueError(
                "the deaths and moves take the map apart; a strategy that may do so has "
                "may_disconnect = True"
            )
        number = {row: new for new, row in enumerate(rows.tolist())}
        births = [b._replace(parent=number.get(int(b.parent), -1)) for b in births]
        births = [*map(Birth._make, newborn), *births]
        som_map = changed
    wanted_births, births = len(births), births[:room]
    if births and centre is not None:
        births = [
            b._replace(prototype=centre(np.asarray(b.prototype, float)[None])[0]) for b in births
        ]
    som_map.add(births, epoch)
    rows = np.concatenate([rows, np.full(len(births), -1)])
    events = tuple(
        GrowthEvent(epoch, int(b.parent), (int(b.position[0]), int(b.position[1]))) for b in births
    )
    return GrowthResult(som_map, rows, events, changes, len(births) < wanted_births)
