"""Sweeps: many runs under one parent, their leaderboard, and the search with Optuna.

Runs are named by the parameters that vary; measures of a sweep are those of its best variant.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from dbgsom_core.config import Child, Optimization, RangeSettings, Sweep
from dbgsom_core.errors import ConfigError, DataError, DbgsomError, PluginError
from dbgsom_core.experiments.trackers import Ranking, Run, RunResult, SweepView
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.compare import winner_sentence
from dbgsom_core.runs.describe import common_params, digest, flat_params, number, title_of
from dbgsom_core.runs.folder import StoredRun, read_run
from dbgsom_core.runs.pipeline import DataCache, carry_out, new_run, run_experiment
from dbgsom_core.runs.processes import WorkerDiedError, Workers
from dbgsom_core.runs.ranking import (
    RankingCriterion,
    find_criterion,
    rank_runs,
    ranking_of,
)
from dbgsom_core.runs.results import draw_figures
from dbgsom_core.runs.session import Callbacks, mirror_ended, runs_folder
from dbgsom_core.runs.stored_runs import find_children

log = logging.getLogger("dbgsom")

_USUAL_FIGURE = "sweep_heatmap"


def run_sweep(
    sweep: Sweep,
    callbacks: Callbacks,
    registry: Registry,
    stored: StoredRun | None = None,
    *,
    jobs: int = 1,
    fail_fast: bool = False,
    display: Any = None,
) -> RunResult:
    """Run every child; one that fails is reported and does not stop the others.

    Those of a ``stored`` sweep that have finished are kept. ``display`` has a method ``say(text)``.
    """
    experiments = [child.experiment for child in sweep.children]
    earlier = {} if stored is None else _children_of(stored)
    search = None
    if sweep.optimization is not None:
        window = math.ceil(jobs / sweep.seeds)  # trials, whose seeds are runs of their own
        search = Search(sweep.optimization, window, earlier)
    cache = DataCache()
    data = cache.load(experiments[0])  # what is wrong with it is said before anything is written
    run = new_run(
        sweep,
        registry,
        runs_folder(experiments[0], registry),
        stored,
        kind="sweep",
        name=sweep.title,
        params=common_params([flat_params(experiment.resolved) for experiment in experiments]),
        data={"digest": digest(data.X, data.y)},  # a sweep goes on with the same data only
    )
    children = _Children(sweep, run, callbacks, registry, earlier, display)

    def work() -> RunResult:
        batches: Iterable[Iterable[Child]] = [sweep.children]
        if search is not None:
            batches = search.batches(children.value)
        with Workers(jobs) as workers:
            for batch in batches:
                if jobs > 1:
                    ended = workers.run(children.tasks(batch))
                else:
                    ended = children.run_here(batch, cache)
                for name, outcome in ended:
                    children.add(name, outcome)
                    if fail_fast and isinstance(outcome, Exception):
                        text = f"{name} failed: {_reason(outcome)}; so the sweep ends (--fail-fast)"
                        raise DbgsomError(text) from outcome
        return children.result([] if search is None else search.notes)

    return carry_out(run, stored, callbacks, work)


class _Children:
    """The children of a running sweep, finished and failed."""

    def __init__(
        self,
        sweep: Sweep,
        parent: Run,
        callbacks: Callbacks,
        registry: Registry,
        earlier: Mapping[str, StoredRun],
        display: Any,
    ) -> None:
        self._sweep, self._parent, self._earlier = sweep, parent, earlier
        self._callbacks, self._registry, self._display = callbacks, registry, display
        self._criterion: RankingCriterion | None = None  # known once a run has what ranks
        self._started: dict[str, Child] = {}
        self._done: dict[str, StoredRun] = {}
        self._failed: dict[str, Exception] = {}

    def tasks(self, batch: Iterable[Child]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield names of children and arguments of their runs; those that had finished are kept."""
        finished = set()
        for name, stored in self._earlier.items():
            if stored.status == "finished" and not stored.damage:
                finished.add(name)
        for child in sorted(batch, key=lambda child: child.name not in finished):
            name, earlier = child.name, self._earlier.get(child.name)
            self._started[name] = child
            if earlier is not None and name in finished:
                mirror_ended(earlier, child.experiment.tracking)
                self._keep(child, earlier)
                continue
            task = {
                "experiment": child.experiment,
                "stored": earlier,
                "name": name,
                "parent": self._parent,
                "varies": dict(child.varies),
            }
            yield name, task

    def run_here(self, batch: Iterable[Child], cache: DataCache) -> Iterator[tuple[str, Any]]:
        """Run children in this process; yield their names and how they ended, as `Workers.run`."""
        for name, task in self.tasks(batch):
            task |= {"callbacks": self._callbacks, "registry": self._registry}
            try:
                result = run_experiment(**task, cache=cache)
                assert result.run is not None
                yield name, (result.run.folder, ())
            except Exception as error:
                yield name, error

    def add(self, name: str, outcome: Any) -> None:
        """Take how a child ended: its folder and notes, or an error."""
        child = self._started[name]
        if isinstance(outcome, WorkerDiedError):  # its process is gone: what did it leave?
            for run in find_children(self._parent.folder):
                if run.name == name:
                    mirror_ended(run, child.experiment.tracking)
                    if run.status == "finished":  # only trackers were left
                        outcome = (run.files.folder, ())
        if isinstance(outcome, Exception):
            log.warning("%s failed (%s)", name, _reason(outcome))
            self._failed[name] = outcome
            self._say("")
            return
        folder, notes = outcome
        known = self._callbacks.notes
        known.extend(note for note in notes if note not in known)
        stored = read_run(folder)
        self._keep(child, stored)
        self._say(self._leader(stored))

    def _keep(self, child: Child, stored: StoredRun) -> None:
        self._done[child.name] = stored
        if self._criterion is None or self._criterion.name not in stored.measures:
            with suppress(DataError):  # the measure may have failed here, and not in the next run
                self._criterion = self._find_criterion()

    def _find_criterion(self) -> RankingCriterion:
        return find_criterion(self._sweep.decide, self._done.values(), self._registry)

    def _leader(self, stored: StoredRun) -> str:
        """Return which run is best so far, of those with the same data as another."""
        best, least = None, math.inf
        for run in self._done.values():
            if run.data.get("digest") == stored.data.get("digest") and self._loss(run) < least:
                best, least = run, self._loss(run)
        if self._criterion is None or best is None:
            return ""
        value = number(self._criterion.value(best.measures))
        return f"best so far: {best.name} ({self._criterion.name} {value})"

    def _rankings(self, runs: Sequence[StoredRun]) -> list[Ranking]:
        """Return the rankings of runs, with the sentence on who won where it was tested."""
        rankings = []
        for table in rank_runs(runs, self._find_criterion()):
            verdict = ""
            if table.tests or table.is_adjusted:
                verdict = winner_sentence(table)
            rankings.append(ranking_of(table, verdict, self._registry))
        return rankings

    def value(self, child: Child) -> float:
        """Return what a search minimizes; nan of a child that failed."""
        if child.name not in self._done:
            return math.nan
        return self._loss(self._done[child.name])

    def _loss(self, stored: StoredRun) -> float:
        if self._criterion is None:
            return math.nan
        value = self._criterion.value(stored.measures)
        return -value if self._criterion.greater_is_better else value

    def _say(self, leader: str) -> None:
        """Show how many runs have finished and failed, and which leads."""
        if self._display is not None:
            text = f"{len(self._done)}/{self._sweep.runs} done"
            if self._failed:
                text += f", {len(self._failed)} failed"
            if leader:
                text += f"; {leader}"
            self._display.say(text=text)

    def result(self, notes: Sequence[str]) -> RunResult:
        """Return the result of the sweep; raises `DbgsomError` where every run failed."""
        failed = {name: _reason(error) for name, error in self._failed.items()}
        notes = [*notes, *(f"{name} failed: {why}" for name, why in failed.items())]
        if not self._done:
            first = next(iter(self._failed.values()), DbgsomError("; ".join(notes)))
            if isinstance(first, DbgsomError):
                raise first
            raise DbgsomError(f"every run of the sweep failed; the first: {first}") from first
        order = list(self._started)  # a search knows its children only now
        if self._sweep.optimization is None:
            order = [child.name for child in self._sweep.children]
        done = [self._done[name] for name in order if name in self._done]
        rankings: list[Ranking] = []
        try:
            rankings = self._rankings(done)
        except DataError as error:  # the measure failed in every run
            notes.append(f"runs cannot be ranked: {error}")
        measures = {}  # what ranks, and a few measures more, of each winner
        for ranking in rankings:
            prefix = f"best/{ranking.data}" if len(rankings) > 1 else "best"
            for name in ranking.measures:
                if name in ranking.best.measures:
                    measures[f"{prefix}/{name}"] = ranking.best.measures[name]
        return RunResult(
            measures=measures,
            children=[(run.as_run(self._parent), run.measures) for run in done],
            rankings=rankings,
            figures=self._figures(rankings, notes),
            notes=[*notes, *self._callbacks.notes],
            failed=failed,
        )

    def _figures(self, rankings: list[Ranking], notes: list[str]) -> dict[str, Any]:
        """Draw the figures of sweeps that are named, else the usual one where any are wanted."""
        if not rankings:
            return {}
        named = self._sweep.children[0].experiment.figures
        figures: list[Any] = [(name, figure) for name, figure in named if figure.of_sweeps]
        compares = max(len(ranking.variants) for ranking in rankings) > 1
        if named and compares and not figures:
            figures = [(_USUAL_FIGURE, self._registry.build("figure", _USUAL_FIGURE))]
            notes = []  # nobody asked for it
        return draw_figures(figures, SweepView(rankings, title_of(self._parent)), notes)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, DbgsomError) else f"{type(error).__name__}: {error}"


def _children_of(stored: StoredRun) -> dict[str, StoredRun]:
    """Return the children of a sweep by name; raises `DbgsomError` where one goes on."""
    children = {}
    for child in find_children(stored.files.folder):
        if child.status == "running":
            raise DbgsomError(f"run {child.id} of {stored.id} is still going on")
        children[child.name] = child
    return children


# ------------------------------------------------------------------------------------ search


def optuna() -> Any:
    """Return the package; `PluginError`: it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise PluginError(
            "sweep.optimize needs Optuna, which is not installed: pip install '.[optimize]'"
        ) from error
    return optuna


class Search:
    """Trials that Optuna proposes from the results of earlier ones, ``window`` at a time.

    A proposal is a function of the seed, its number and these results. What the trials of an
    interrupted search chose is read from its children (``before``, by name) and chosen again.
    """

    def __init__(self, search: Optimization, window: int, before: Mapping[str, StoredRun]) -> None:
        self._search, self._window, self._optuna = search, window, optuna()
        self._settings = search.settings
        self._distributions = {}
        for key, axis in search.settings.space.items():
            self._distributions[key] = self._distribution(axis)
        self._before = self._chosen_before(before)
        self.notes: list[str] = []

    def batches(self, value: Callable[[Child], float]) -> Iterator[tuple[Child, ...]]:
        """Yield children to run; ``value`` of each is asked when those yielded have ended."""
        level = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        try:
            study = self._optuna.create_study()
            end = self._settings.trials + 1
            for first in range(1, end, self._window):
                numbers = range(first, min(first + self._window, end))
                trials = [self._ask(study, number) for number in numbers]
                yield tuple(chain.from_iterable(children for _, children in trials))
                for trial, children in trials:
                    losses = list(map(value, children))
                    if losses and not math.isnan(sum(losses)):
                        study.tell(trial, float(np.mean(losses)))
                    else:
                        study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        finally:
            self._optuna.logging.set_verbosity(level)

    def _ask(self, study: Any, number: int) -> tuple[Any, tuple[Child, ...]]:
        """Return a trial and its children; none where its values do not go together."""
        seed = np.random.SeedSequence([self._settings.seed, number]).generate_state(1)
        study.sampler = self._optuna.samplers.TPESampler(seed=int(seed[0]))
        if number in self._before:
            study.enqueue_trial(self._before[number])
        trial = study.ask(self._distributions)
        try:
            return trial, self._search.variant(number, trial.params)
        except ConfigError as error:  # values that do not go together
            self.notes.append(f"trial {number} was left out: {error}")
            return trial, ()

    def _distribution(self, axis: Any) -> Any:
        """Return Optuna's distribution of an axis; of listed values it draws their places."""
        distributions = self._optuna.distributions
        if not isinstance(axis, RangeSettings):
            return distributions.CategoricalDistribution(range(len(axis)))
        if not axis.whole:
            low, high = float(axis.low), float(axis.high)
            return distributions.FloatDistribution(low, high, log=axis.log, step=axis.step)
        low, high = int(axis.low), int(axis.high)
        step = int(axis.step or 1)
        return distributions.IntDistribution(low, high, log=axis.log, step=step)

    def _chosen_before(self, before: Mapping[str, StoredRun]) -> dict[int, dict[str, Any]]:
        """Return what Optuna chose for the trials of earlier children, by number."""
        trials = {}
        for name, stored in before.items():
            chosen = {}
            for key, axis in self._settings.space.items():
                value = stored.varies.get(key)
                if isinstance(axis, RangeSettings):
                    chosen[key] = value
                elif value in axis:
                    chosen[key] = axis.index(value)
            if len(chosen) == len(self._distributions):
                trials[int(name.partition(":")[0])] = chosen
        return trials
