"""Whether a training ends before its last epoch: what stopping rules and callbacks say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.lookup import lookup_in_use
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.stopping import STOP, StoppingAbilities, StopState
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.task import Task

BY_CALLBACK = "a callback"


@dataclass
class Stopping:
    """The rules of one training, and what they noted.

    Attributes
    ----------
    rules : list of (name, abilities)
    watched : list of list of float
        What each rule noted of each epoch.
    stopped : str
        What ended the training: the name of a rule, a callback; empty: nothing yet.
    """

    rules: list[tuple[str, StoppingAbilities]] = field(default_factory=list)
    watched: list[list[float]] = field(default_factory=list)
    stopped: str = ""

    @classmethod
    def of(
        cls, rules: Sequence[Any], watched: Sequence[Sequence[float]] = (), stopped: str = ""
    ) -> Stopping:
        """Return the rules as they were when a training was interrupted, or at its beginning."""
        named = [
            (lookup_in_use().name_of("stopping", rule), StoppingAbilities.of(rule))
            for rule in rules
        ]
        noted = [list(one) for one in watched] or [[] for _ in named]
        return cls(named, noted, stopped)

    def ask(
        self,
        answer: Any,
        task: Task,
        som_map: SomMap,
        history: Sequence[EpochRecord],
        schedule: Schedule,
    ) -> None:
        """Take what the callbacks answered to the last epoch, and ask the rules."""
        if answer is STOP:
            self.stopped = BY_CALLBACK
        if not self.rules:
            return
        train = Evaluation(som_map, task.data)
        validation = train if task.validation is None else Evaluation(som_map, task.validation)
        final = schedule.is_final(history[-1].epoch)
        for (name, rule), noted in zip(self.rules, self.watched, strict=True):
            seen = validation if rule.validation > 0 else train
            state = StopState(
                tuple(history), schedule.growing_epochs, final, train, seen, tuple(noted)
            )
            if rule.watch is not None:
                noted.append(float(rule.watch(state)))
                state = StopState(
                    state.history, state.growing_epochs, final, train, seen, tuple(noted)
                )
            assert rule.stop is not None
            if rule.stop(state) and not self.stopped:
                self.stopped = name
