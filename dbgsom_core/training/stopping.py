"""Early ends of a training: stopping rules, and what counts as converged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Floats, PerSample, SearchResult
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.current import active_registry
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.labellers import LabellerComponent, point_answers
from dbgsom_core.interfaces.measures import Evaluation, LazyEvaluation
from dbgsom_core.interfaces.stopping import StoppingComponent, StopState, judges_targets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.labelling import Predictor, TrainedMap, label_map
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.state import TrainingConfig, TrainingState
from dbgsom_core.training.targets import Target

_WINDOW = 2  # epochs: some maps swing between two states
_STATIONARY_WITHIN = 0.02


def is_stationary(history: Sequence[EpochRecord], schedule: Schedule) -> bool:
    """Return whether the quantization error is stationary at the final width.

    The mean quantization errors of the last two epochs and of the two before differ by at most 2 %.
    Single steps are no criterion: a map may oscillate between equally good states.
    """
    errors = [r.quantization_error for r in history if schedule.is_final(r.epoch)]
    if schedule.fine_epochs == 0 or len(errors) < 2 * _WINDOW:
        return False
    before = float(np.mean(errors[-2 * _WINDOW : -_WINDOW]))
    after = float(np.mean(errors[-_WINDOW:]))
    return abs(after - before) <= _STATIONARY_WITHIN * before


class Rule(NamedTuple):
    """A stopping rule, as the core calls it, with its name."""

    name: str
    component: StoppingComponent
    needs_target: bool


def named_rules(rules: Sequence[Any], has_targets: bool) -> tuple[Rule, ...]:
    """Return the rules that can be applied: child maps without classes leave some out."""
    found = []
    for rule in rules:
        needs_target = judges_targets(rule)
        if has_targets or not needs_target:
            name = active_registry().name_of("stopping", rule)
            found.append(Rule(name, guarded(rule), needs_target))
    return tuple(found)


def apply_rules(
    config: TrainingConfig, schedule: Schedule, state: TrainingState, result: SearchResult
) -> None:
    """Ask the stopping rules after an epoch; the first that stops is the reason of the end."""
    if not config.rules:
        return
    if not state.watched:
        state.watched = [[] for _ in config.rules]
    som_map, epoch, history = state.som_map, state.history[-1].epoch, tuple(state.history)
    train = held_out = Evaluation(som_map, config.data)
    if config.validation is not None:
        held_out = Evaluation(som_map, config.validation)
    plain = with_targets = (train, held_out)
    if any(rule.needs_target for rule in config.rules):
        with_targets = config.monitor.evaluations(som_map, result, config.seed, history)
    for (name, rule, needs_target), watched in zip(config.rules, state.watched, strict=True):
        train, held_out = with_targets if needs_target else plain
        stop_state = StopState(
            history=history,
            growing_epochs=schedule.growing_epochs,
            is_final=schedule.is_final(epoch),
            train=train,
            validation=held_out if rule.validation > 0 else train,
            watched=tuple(watched),
        )
        if rule.watch is not None:
            watched.append(float(rule.watch(stop_state)))
            stop_state = replace(stop_state, watched=tuple(watched))
        if rule.is_best is not None and rule.is_best(stop_state):
            state.best = epoch, copy.deepcopy(som_map)
        if rule.stop(stop_state) and not state.stopped:
            state.stopped = name


@dataclass(frozen=True)
class TargetMonitor:
    """Evaluations of a map in training for stopping rules that need targets.

    Predictions are those of the map so far, before child maps.
    """

    labeller: LabellerComponent
    data: Samples  # the training samples
    target: Target
    validation: tuple[Samples, Target] | None

    def evaluations(
        self,
        som_map: SomMap,
        found: PerSample,
        seed: tuple[int, ...],
        history: tuple[EpochRecord, ...],
    ) -> tuple[Evaluation, Evaluation]:
        """Return evaluations on the training and on the held-out samples with known targets.

        Labelling is lazy, on first prediction. Raises ValueError where no target is known.
        """

        @cache
        def predictor() -> Predictor:
            tree, won = Tree.of(som_map), self.data.lasting(som_map.prototypes, found)
            trained = TrainedMap(tree, self.data, won, won, self.target, seed, history)
            labelled = label_map(self.labeller, trained)
            return Predictor(tree, labelled.leaves, labelled.labeller, self.target.classes)

        def predictions(data: Samples) -> NDArray[Any]:
            return point_answers(guarded(self.labeller), predictor().labels(data))

        def probabilities(data: Samples) -> Floats:
            return predictor().probabilities(data)

        def evaluate(data: Samples, target: Target) -> LazyEvaluation:
            data, y = _with_known_targets(data, target)
            return LazyEvaluation(
                som_map,
                data,
                y,
                classes=target.classes,
                probabilities_of=None if target.classes is None else probabilities,
                predictions_of=predictions,
            )

        train = evaluate(self.data, self.target)
        if self.validation is None:
            return train, train
        held_out = evaluate(*self.validation)
        return train, replace(held_out, training_of=lambda: train)


def _with_known_targets(data: Samples, target: Target) -> tuple[Samples, NDArray[Any]]:
    known = target.known
    if not known.any():
        raise ValueError(
            "none of the samples that a stopping rule measures has a target: increase its "
            "validation share, or use a measure that needs no target"
        )
    if not known.all():
        data, target = data.subset(np.flatnonzero(known)), target.subset(known)
    if target.classes is not None and target.codes is not None:
        # Labels beside None are an array of objects; the classes have the right dtype.
        return data, target.classes[target.codes]
    return data, target.y
