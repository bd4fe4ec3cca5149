"""Whether a training ends before its last epoch, and with which map: what rules say."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dbgsom_core.engine.contract import PerSample
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stopping import STOP, StoppingAbilities, StopState, judges_targets
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.labels import Past
from dbgsom_core.training.schedule import Schedule
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
            if not (judged := judges_targets(rule)) or task.judge is not None
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
        past = Past(task.seed, tuple(history))
        train = Evaluation(som_map, task.data)
        plain = train, train if task.validation is None else Evaluation(som_map, task.validation)
        judged = plain
        if any(needs for _, _, needs in self.rules):
            assert task.judge is not None  # or the rule were left out
            judged = task.judge.evaluations(som_map, found, past)
        final = schedule.is_final(history[-1].epoch)
        for (name, rule, needs), noted in zip(self.rules, self.watched, strict=True):
            trains, held = judged if needs else plain
            seen = held if rule.validation > 0 else trains
            state = StopState(
                past.epochs, schedule.growing_epochs, final, trains, seen, tuple(noted)
            )
            if rule.watch is not None:
                noted.append(float(rule.watch(state)))
                state = replace(state, watched=tuple(noted))
            if rule.is_best is not None and rule.is_best(state):
                self.best = Best(history[-1].epoch, copy.deepcopy(som_map))
            assert rule.stop is not None
            if rule.stop(state) and not self.stopped:
                self.stopped = name
