"""Early ends of a training: stopping rules, and what counts as converged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Floats, PerSample, SearchResult
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.component import active_registry, guarded
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.interfaces.labellers import point_answers
from dbgsom_core.interfaces.measures import Evaluation, LazyEvaluation
from dbgsom_core.interfaces.stopping import StoppingComponent, StopState, judges_targets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.labelling import Predictor, TrainedMap, label_map
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.state import FitTask, TrainingConfig, TrainingState
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


def applied_rules(task: FitTask) -> tuple[StoppingComponent, ...]:
    """Return the stopping rules that can be applied to the map of a task.

    Those that need targets are left out where none are known: in child maps without classes, and
    where few new samples, all without a target, continue a map.
    """
    measured = task.target
    if task.validation is not None and task.validation[1] is not None:
        measured = task.validation[1]
    has_targets = task.target is not None and measured is not None
    if task.new is not None and measured is not None:
        has_targets = has_targets and bool(measured.known.any())
    return tuple(rule for rule in task.parts.stopping if has_targets or not judges_targets(rule))


def apply_rules(
    config: TrainingConfig, schedule: Schedule, state: TrainingState, result: SearchResult
) -> None:
    """Ask the stopping rules after an epoch; the first that stops is the reason of the end."""
    if not config.rules:
        return
    if not state.watched:
        state.watched = [[] for _ in config.rules]
    som_map = state.som_map
    epoch = state.history[-1].epoch
    history = tuple(state.history)
    train = held_out = Evaluation(som_map, config.data)
    if config.validation is not None:
        held_out = Evaluation(som_map, config.validation[0])
    plain = with_targets = (train, held_out)
    if any(judges_targets(rule) for rule in config.rules):
        with_targets = evaluations_with_targets(config, som_map, result, history)
    for component, watched in zip(config.rules, state.watched, strict=True):
        rule = guarded(component)
        train, held_out = with_targets if judges_targets(component) else plain
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
            state.stopped = active_registry().name_of("stopping", component)


def evaluations_with_targets(
    config: TrainingConfig, som_map: SomMap, assignment: PerSample, history: tuple[EpochRecord, ...]
) -> tuple[Evaluation, Evaluation]:
    """Return evaluations on the training and on the held-out samples with known targets.

    Predictions are those of the map so far, before child maps; the map is labelled on the first
    prediction. Raises ValueError where no target is known.
    """
    data = config.data
    target = config.target
    labeller = config.labeller
    assert target is not None
    assert labeller is not None

    @cache
    def predictor() -> Predictor:
        tree = Tree.of(som_map)
        units = data.lasting(som_map.prototypes, assignment)
        trained = TrainedMap(tree, data, units, units, target, config.seed, history)
        labelled = label_map(labeller, trained)
        return Predictor(tree, labelled.leaves, labelled.labeller, target.classes)

    def predictions(data: Samples) -> NDArray[Any]:
        return point_answers(guarded(labeller), predictor().labels(data))

    def probabilities(data: Samples) -> Floats:
        return predictor().probabilities(data)

    def evaluate(data: Samples, target: Target) -> LazyEvaluation:
        known = target.known
        if not known.any():
            raise ValueError(
                "none of the samples that a stopping rule measures has a target: increase its "
                "validation share, or use a measure that needs no target"
            )
        if not known.all():
            data = data.subset(np.flatnonzero(known))
            target = target.subset(known)
        y = target.transform.undo(target.y)
        of_classes = None
        if target.classes is not None:
            # Labels beside None are an array of objects; the classes have the right dtype.
            y = target.classes[target.codes]
            of_classes = probabilities
        return LazyEvaluation(
            som_map,
            data,
            y,
            classes=target.classes,
            probabilities_of=of_classes,
            predictions_of=predictions,
        )

    train = evaluate(data, target)
    held_out, held_out_target = config.validation or (None, None)
    if held_out is None or held_out_target is None:
        return train, train
    return train, replace(evaluate(held_out, held_out_target), training_of=lambda: train)
