"""Searching for the best variant of a sweep with Optuna, which is an extra."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
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
        self._settings = search.space.settings
        self._ahead = -(-window // seeds)
        self._chosen: list[Chosen] = []
        self._values: dict[int, list[float]] = {}
        self._failed: set[int] = set()
        self._left: deque[Child] = deque()
        self._number: dict[str, int] = {}
        self._maximize = True
        self._before = _chosen_before(search, before)
        self.notes: list[str] = []
        self._optuna = optuna()
        self._distributions = {
            key: self._distribution(axis) for key, axis in search.space.axes.items()
        }

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the children so far."""
        return tuple(self._number)

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
        for attempt in range(_ATTEMPTS):
            chosen = self._ask(number, attempt, known)
            if _key(chosen) not in tried:
                return chosen
        return self._untried(tried) or chosen

    def _ask(self, number: int, attempt: int, known: Sequence[int]) -> Chosen:
        optuna = self._optuna
        seed = np.random.SeedSequence([self._settings.seed, number, attempt]).generate_state(1)
        loudness = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(
                direction="maximize" if self._maximize else "minimize",
                sampler=optuna.samplers.TPESampler(seed=int(seed[0])),
            )
            for one in known:
                study.add_trial(self._told(one))
            proposed: dict[str, int | float] = dict(study.ask(self._distributions).params)
            return proposed
        finally:
            optuna.logging.set_verbosity(loudness)

    def _told(self, number: int) -> Any:
        states = self._optuna.trial.TrialState
        failed = number in self._failed
        return self._optuna.trial.create_trial(
            params=dict(self._chosen[number - 1]),
            distributions=self._distributions,
            value=None if failed else float(np.mean(self._values[number])),
            state=states.FAIL if failed else states.COMPLETE,
        )

    def _untried(self, tried: set[tuple[float, ...]]) -> Chosen | None:
        # Every list and every range with steps, in order; there is one where all have ends.
        axes = self._search.space.axes
        sizes = {k: a.size if isinstance(a, RangeSettings) else len(a) for k, a in axes.items()}
        if any(size is None for size in sizes.values()):
            return None
        for places in np.ndindex(*(size or 1 for size in sizes.values())):
            chosen = {
                key: _at(axis, place)
                for (key, axis), place in zip(axes.items(), places, strict=True)
            }
            if _key(chosen) not in tried:
                return chosen
        return None

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


def _key(chosen: Chosen) -> tuple[float, ...]:
    return tuple(round(float(chosen[key]), 12) for key in sorted(chosen))


def _at(axis: Any, place: int) -> int | float:
    if not isinstance(axis, RangeSettings):
        return place
    value = axis.low + place * (axis.step or 1)
    return int(value) if axis.whole else float(value)


def _chosen_before(search: Optimization, before: Mapping[str, StoredRun]) -> dict[int, Chosen]:
    """Return what earlier trials chose, by number, from what their children vary."""
    found: dict[int, Chosen] = {}
    for name, stored in before.items():
        number = name.partition(":")[0]
        if number.isdecimal() and search.space.axes.keys() <= stored.varies.keys():
            chosen = {
                key: _chosen(axis, stored.varies[key]) for key, axis in search.space.axes.items()
            }
            if None not in chosen.values():
                found[int(number)] = chosen  # type: ignore[assignment]
    return found


def _chosen(axis: Any, varied: Any) -> int | float | None:
    if isinstance(axis, RangeSettings):
        known = isinstance(varied, (int, float)) and axis.low <= varied <= axis.high
        return varied if known else None
    return axis.index(varied) if varied in axis else None
