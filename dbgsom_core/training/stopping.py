"""Whether a training ends before its last epoch, and with which map: what rules say."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample
from dbgsom_core.engine.local import Samples
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import lookup_in_use
from dbgsom_core.interfaces.labellers import Labeller, LabellerAbilities
from dbgsom_core.interfaces.measures import Evaluation, LazyEvaluation
from dbgsom_core.interfaces.stopping import STOP, StoppingAbilities, StopState, judges_targets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree
from dbgsom_core.training.checkpoint import TrainingState
from dbgsom_core.training.config import TrainingConfig
from dbgsom_core.training.labelling import LabelledMap, Predictor, TrainedMap
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.targets import Target

BY_CALLBACK = "a callback"


@dataclass
class StoppingRules:
    """The rules of one training; what they note is kept in its state.

    Attributes
    ----------
    rules : list of (name, abilities, whether it gets targets)
    """

    rules: list[tuple[str, StoppingAbilities, bool]]

    @classmethod
    def of(cls, config: TrainingConfig, state: TrainingState) -> StoppingRules:
        """Return the rules of a training.

        Of a map without targets, a child map say, those that need them are left out.
        """
        rules = [
            (lookup_in_use().name_of("stopping", rule), StoppingAbilities.of(rule), needs)
            for rule in config.stopping
            if not (needs := judges_targets(rule)) or config.monitor is not None
        ]
        state.watched = state.watched or [[] for _ in rules]
        return cls(rules)

    def ask(
        self,
        answer: Any,
        config: TrainingConfig,
        state: TrainingState,
        found: PerSample,
        schedule: Schedule,
    ) -> None:
        """Take what the callbacks answered to the last epoch, and ask the rules."""
        if answer is STOP:
            state.stopped = BY_CALLBACK
        if not self.rules:
            return
        som_map, epoch = state.som_map, state.history[-1].epoch
        epochs = tuple(state.history)
        train = Evaluation(som_map, config.data)
        held = config.validation
        plain = train, train if held is None else Evaluation(som_map, held)
        judged = plain
        if any(needs for _, _, needs in self.rules):
            judged = config.monitor.evaluations(som_map, found, config.seed, epochs)
        final = schedule.is_final(epoch)
        for (name, rule, needs), noted in zip(self.rules, state.watched, strict=True):
            trains, held_out = judged if needs else plain
            shown = held_out if rule.validation > 0 else trains
            seen = StopState(epochs, schedule.growing_epochs, final, trains, shown, tuple(noted))
            if rule.watch is not None:
                noted.append(float(rule.watch(seen)))
                seen = replace(seen, watched=tuple(noted))
            if rule.is_best is not None and rule.is_best(seen):
                state.best = epoch, copy.deepcopy(som_map)
            assert rule.stop is not None
            if rule.stop(seen) and not state.stopped:
                state.stopped = name


@dataclass(frozen=True)
class ValidationMonitor:
    """What stopping rules see that need targets.

    Attributes
    ----------
    labeller : Labeller
        Answers as it would if the training ended now; child maps, which come later, do not.
    data : Samples
        Those that train.
    target : Target
        Theirs.
    validation : (Samples, Target) or None
        What is held out.
    """

    labeller: Labeller
    data: Samples
    target: Target
    validation: tuple[Samples, Target] | None

    def evaluations(
        self,
        som_map: SomMap,
        found: PerSample,
        seed: tuple[int, ...],
        epochs: tuple[EpochRecord, ...],
    ) -> tuple[Evaluation, Evaluation]:
        """Return the map beside what trains and what is held out, as far as targets are known.

        Nothing is labelled until somebody asks for predictions.

        Raises
        ------
        ValueError
            No target of what is held out is known.
        """
        tree, classes = Tree.of(som_map), self.target.classes

        @cache
        def predictor() -> Predictor:
            won = self.data.lasting(som_map.prototypes, found)
            trained = TrainedMap(tree, self.data, won, won, self.target, seed, epochs)
            labelled = LabelledMap.of(self.labeller, trained)
            return Predictor(tree, labelled.leaves, labelled.labeller, classes)

        def predictions(data: Samples) -> NDArray[Any]:
            return LabellerAbilities.of(self.labeller).point(predictor().labels(data))

        def probabilities(data: Samples) -> NDArray[np.float64]:
            return predictor().probabilities(data)

        def beside(data: Samples, target: Target) -> Evaluation:
            known = target.known
            if not known.any():
                raise ValueError(
                    "none of the samples that a stopping rule measures has a target: hold out more "
                    "of them (its validation), or measure what needs none"
                )
            if not known.all():
                data, target = data.subset(np.flatnonzero(known)), target.of(known)
            y = target.y  # of labels beside None, whose array is one of objects, those of classes
            if target.classes is not None and target.codes is not None:
                y = target.classes[target.codes]
            return LazyEvaluation(
                som_map,
                data,
                y,
                classes=target.classes,
                probabilities_of=None if classes is None else probabilities,
                predictions_of=predictions,
            )

        train = beside(self.data, self.target)
        return train, train if self.validation is None else beside(*self.validation)
