"""Whether a training ends before its last epoch, and with which map: what rules say."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import PerSample, Samples
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.labellers import Labeller, LabellerAbilities
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.interfaces.measures import AskedEvaluation, Evaluation
from dbgsom_core.interfaces.stopping import STOP, StoppingAbilities, StopState, judges_targets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.labelling import LabelledMap, TrainedMap, TrainingLog
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.targets import Target
from dbgsom_core.training.task import Task

BY_CALLBACK = "a callback"


@dataclass(frozen=True)
class Best:
    """The map of an epoch that a rule wants to be kept."""

    epoch: int
    som_map: SomMap


@dataclass
class Stopping:
    """The rules of one training, and what they noted.

    Attributes
    ----------
    rules : list of (name, abilities, whether it gets targets)
    watched : list of list of float
        What each rule noted of each epoch.
    stopped : str
        What ended the training: the name of a rule, a callback; empty: nothing yet.
    best : Best or None
        The map to keep; None: that of the last epoch.
    """

    rules: list[tuple[str, StoppingAbilities, bool]] = field(default_factory=list)
    watched: list[list[float]] = field(default_factory=list)
    stopped: str = ""
    best: Best | None = None

    @classmethod
    def of(
        cls,
        task: Task,
        watched: Sequence[Sequence[float]] = (),
        stopped: str = "",
        best: Best | None = None,
    ) -> Stopping:
        """Return the rules as they were when a training was interrupted, or at its beginning.

        Of a map without targets, a child map say, those that need them are left out.
        """
        named = [
            (lookup_in_use().name_of("stopping", rule), StoppingAbilities.of(rule), judged)
            for rule in task.stopping
            if not (judged := judges_targets(rule)) or task.monitor is not None
        ]
        noted = [list(one) for one in watched] or [[] for _ in named]
        return cls(named, noted, stopped, best)

    def ask(
        self,
        answer: Any,
        task: Task,
        som_map: SomMap,
        found: PerSample,
        history: Sequence[EpochRecord],
        schedule: Schedule,
    ) -> None:
        """Take what the callbacks answered to the last epoch, and ask the rules."""
        if answer is STOP:
            self.stopped = BY_CALLBACK
        if not self.rules:
            return
        log = TrainingLog(task.seed, tuple(history))
        train = Evaluation(som_map, task.data)
        plain = train, train if task.validation is None else Evaluation(som_map, task.validation)
        judged = plain
        if any(needs for _, _, needs in self.rules):
            assert task.monitor is not None  # or the rule were left out
            judged = task.monitor.evaluations(som_map, found, log)
        final = schedule.is_final(history[-1].epoch)
        for (name, rule, needs), noted in zip(self.rules, self.watched, strict=True):
            trains, held = judged if needs else plain
            seen = held if rule.validation > 0 else trains
            state = StopState(
                log.epochs, schedule.growing_epochs, final, trains, seen, tuple(noted)
            )
            if rule.watch is not None:
                noted.append(float(rule.watch(state)))
                state = replace(state, watched=tuple(noted))
            if rule.is_best is not None and rule.is_best(state):
                self.best = Best(history[-1].epoch, copy.deepcopy(som_map))
            assert rule.stop is not None
            if rule.stop(state) and not self.stopped:
                self.stopped = name


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
        self, som_map: SomMap, found: PerSample, log: TrainingLog
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
        def labelled() -> LabelledMap:
            won = self.data.lasting(som_map.prototypes, found)
            return LabelledMap.of(
                self.labeller, TrainedMap(tree, self.data, won, won, self.target, log)
            )

        def leaves(data: Samples) -> NDArray[np.int64]:
            return descend(tree, data, tree.live(labelled().leaves.hits)).leaf

        def predictions(data: Samples) -> NDArray[Any]:
            fitted = labelled().labeller
            if fitted is None:
                answers = np.asarray(labelled().leaves.labels[leaves(data)])
            else:
                answers = fitted(data)
                answers = answers if classes is None else classes[answers.argmax(axis=1)]
            return LabellerAbilities.of(self.labeller).point(answers)

        def probabilities(data: Samples) -> NDArray[np.float64]:
            fitted, shares = labelled().labeller, labelled().leaves.probabilities
            if fitted is not None:
                return fitted(data)
            if shares is None:
                raise ValueError(f"labeller {type(self.labeller).__name__} gives no probabilities")
            return np.asarray(shares[leaves(data)])

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
            return AskedEvaluation(
                som_map,
                data,
                y,
                classes=target.classes,
                probabilities_of=None if classes is None else probabilities,
                predictions_of=predictions,
            )

        train = beside(self.data, self.target)
        return train, train if self.validation is None else beside(*self.validation)
