"""Searching for the best variant of a sweep with Optuna, which is an extra."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dbgsom_core.config import Child, Optimization, RangeSettings
from dbgsom_core.errors import ConfigError, PluginError
from dbgsom_core.runs.folder import StoredRun

_ATTEMPTS = 20  # to find a variant that was not tried yet, where there are numbers between

Chosen = Mapping[str, int | float]


def optuna() -> Any:
    """Return the package; `PluginError`: it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise PluginError(
            "sweep.optimize needs Optuna, which is not installed: pip install '.[optimize]'"
        ) from error
    return optuna


class Trials:
    """The trials of a search, each proposed from what those before it measured.

    A proposal is a function of the seed, its number and the earlier results, so nothing but the run
    folders of the children is needed to go on (``before``, by name). With ``window`` children
    beside each other trial i knows the results up to trial i - window, however long each took: the
    same search for the same window. Two trials never try the same. The value of a trial is the mean
    of its children, one for each of its ``seeds``.
    """

    def __init__(
        self, search: Optimization, seeds: int, window: int, before: Mapping[str, StoredRun]
    ) -> None:
        self._search, self._seeds = search, seeds
        self._settings, self._axes = search.space.settings, search.space.axes
        self._ahead = -(-window // seeds)
        self._chosen: list[Chosen] = []
        self._values: dict[int, list[float]] = {}
        self._failed: set[int] = set()
        self._left: deque[Child] = deque()
        self._number: dict[str, int] = {}
        self._maximize = True
        self._before = self._chosen_before(before)
        self.notes: list[str] = []
        self._optuna = optuna()
        self._distributions = {key: self._distribution(axis) for key, axis in self._axes.items()}

    def next(self) -> Child | None:
        """Return the next child; None when there is none, or none before another has ended."""
        while not self._left:
            number = len(self._chosen) + 1
            earlier = range(1, max(number - self._ahead + 1, 1))
            if number > self._settings.trials or not all(map(self._is_known, earlier)):
                return None
            chosen = self._before.get(number) or self._propose(number, earlier)
            self._chosen.append(chosen)
            try:
                self._left.extend(self._search.variant(number, chosen))
            except ConfigError as error:  # values that do not go together
                self._failed.add(number)
                self.notes.append(f"trial {number} was left out: {error}")
            self._number |= {child.name: number for child in self._left}
        return self._left.popleft()

    def ended(self, child: Child, value: float | None, greater_is_better: bool = True) -> None:
        """Note how a child ended; without a value its trial has failed."""
        number = self._number[child.name]
        if value is None or math.isnan(value):
            self._failed.add(number)
        else:
            self._maximize = greater_is_better
        self._values.setdefault(number, []).append(math.nan if value is None else value)

    def _is_known(self, number: int) -> bool:
        return number in self._failed or len(self._values.get(number, ())) == self._seeds

    def _propose(self, number: int, known: Sequence[int]) -> Chosen:
        tried = {_key(chosen) for chosen in self._chosen}
        proposed = (self._ask(number, attempt, known) for attempt in range(_ATTEMPTS))
        found = next((chosen for chosen in proposed if _key(chosen) not in tried), None)
        if found is None:  # where all axes have ends, there is one that was not tried
            untried = (chosen for chosen in self._all() if _key(chosen) not in tried)
            found = next(untried, None) or self._ask(number, 0, known)
        return found

    def _ask(self, number: int, attempt: int, known: Sequence[int]) -> Chosen:
        optuna, states = self._optuna, self._optuna.trial.TrialState
        seed = np.random.SeedSequence([self._settings.seed, number, attempt]).generate_state(1)
        loudness = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(
                direction="maximize" if self._maximize else "minimize",
                sampler=optuna.samplers.TPESampler(seed=int(seed[0])),
            )
            for one in known:
                failed = one in self._failed
                trial = optuna.trial.create_trial(
                    params=dict(self._chosen[one - 1]),
                    distributions=self._distributions,
                    value=None if failed else float(np.mean(self._values[one])),
                    state=states.FAIL if failed else states.COMPLETE,
                )
                study.add_trial(trial)
            proposed: dict[str, int | float] = dict(study.ask(self._distributions).params)
            return proposed
        finally:
            optuna.logging.set_verbosity(loudness)

    def _all(self) -> Iterable[Chosen]:
        """Return all variants where every axis is a list or a range with steps, else none."""
        values: list[list[int | float]] = []
        for axis in self._axes.values():
            if not isinstance(axis, RangeSettings):
                values.append([*range(len(axis))])
            elif axis.size is None:
                return ()
            else:
                kind = int if axis.whole else float
                values.append([kind(axis.low + i * (axis.step or 1)) for i in range(axis.size)])
        return (dict(zip(self._axes, chosen, strict=True)) for chosen in itertools.product(*values))

    def _distribution(self, axis: Any) -> Any:
        distributions = self._optuna.distributions
        if not isinstance(axis, RangeSettings):
            return distributions.CategoricalDistribution(range(len(axis)))
        if axis.whole:
            return distributions.IntDistribution(
                int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1)
            )
        return distributions.FloatDistribution(
            float(axis.low), float(axis.high), log=axis.log, step=axis.step
        )

    def _chosen_before(self, before: Mapping[str, StoredRun]) -> dict[int, Chosen]:
        """Return what earlier trials chose, by number, from what their children vary."""
        found: dict[int, Chosen] = {}
        for name, stored in before.items():
            number = name.partition(":")[0]
            chosen: dict[str, int | float] = {}
            for key, axis in self._axes.items():
                value = stored.varies.get(key, ...)
                if not isinstance(axis, RangeSettings):
                    chosen |= {key: axis.index(value)} if value in axis else {}
                elif isinstance(value, (int, float)) and axis.low <= value <= axis.high:
                    chosen[key] = value
            if number.isdecimal() and len(chosen) == len(self._axes):
                found[int(number)] = chosen
        return found


def _key(chosen: Chosen) -> tuple[float, ...]:
    return tuple(round(float(chosen[key]), 12) for key in sorted(chosen))
