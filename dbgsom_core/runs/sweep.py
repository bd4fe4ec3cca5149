"""Sweeps: many runs under one parent, their leaderboard, and the search with Optuna.

Runs are named by the parameters that vary; measures of a sweep are those of its best variant.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbgsom_core.config import Child, Experiment, Optimization, RangeSettings, Sweep
from dbgsom_core.errors import ConfigError, DataError, DbgsomError, PluginError
from dbgsom_core.experiments.callbacks import Callbacks
from dbgsom_core.experiments.datasets import Data
from dbgsom_core.experiments.trackers import Ranking, Run, RunResult, SweepView
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import runs_folder
from dbgsom_core.runs.compare import adjustment_sentence, leader_text, winner_sentence
from dbgsom_core.runs.data import facts_of, load_data, same_data
from dbgsom_core.runs.folder import StoredRun, find_runs, read_run
from dbgsom_core.runs.manifest import common_params, flat_params, title_of
from dbgsom_core.runs.pipeline import (
    Outcome,
    Task,
    failures_reported,
    make_estimator,
    notify_finished,
    run_task,
    start_run,
)
from dbgsom_core.runs.processes import ChildResult, Processes, show
from dbgsom_core.runs.ranking import (
    Entry,
    Group,
    RankingCriterion,
    find_criterion,
    group_runs,
    is_in_units,
    largest_class,
    make_entry,
    rank,
    ranking_of,
)
from dbgsom_core.runs.results import draw_figures, warnings_as_notes
from dbgsom_core.runs.stored_runs import (
    check_not_running,
    check_same_data,
    clean_up_finished,
    mark_killed,
    resumed_run,
    wait_for_end,
)

log = logging.getLogger("dbgsom")

_USUAL_FIGURES = ("sweep_heatmap",)
_ATTEMPTS = 20  # to find a variant that was not tried yet, where there are numbers between

Chosen = Mapping[str, int | float]


@dataclass(frozen=True)
class SweepOutcome:
    """A finished sweep: its parent run and result, finished children, why the others failed."""

    run: Run
    result: RunResult
    children: tuple[Outcome, ...]
    failed: Mapping[str, str]


def run_sweep(
    sweep: Sweep,
    callbacks: Callbacks,
    registry: Registry,
    stored: StoredRun | None = None,
    *,
    jobs: int = 1,
    fail_fast: bool = False,
    display: object = None,
) -> SweepOutcome:
    """Run every child; one that fails is reported and does not stop the others."""
    jobs = min(jobs, sweep.runs)
    experiments = [child.experiment for child in sweep.children]
    root = runs_folder(experiments[0], registry)
    params = common_params([flat_params(one, make_estimator(one)) for one in experiments])
    earlier = {} if stored is None else _children_of(stored, root)
    trials = None
    if sweep.optimization is not None:
        trials = Trials(sweep.optimization, sweep.seeds, jobs, earlier)
    shared = _shared_data(sweep, earlier)
    task = Task(sweep, name=sweep.title, stored=stored)
    run, lock = start_run(task, registry, root=root, params=params)
    children = _Children(sweep, run, callbacks, registry, earlier, trials, fail_fast, display)
    with lock:
        with failures_reported(callbacks, run, lock):
            callbacks.notify("dbgsom_run_started", run=run)
            kept = sum(one.status == "finished" for one in earlier.values())
            if min(jobs, sweep.runs - kept) > 1:
                with Processes(jobs, display) as processes:
                    children.run_parallel(processes, lock.touch)
            else:
                children.run_sequentially(*shared, lock.touch)
            result = children.result(shared[0])
            callbacks.notify_required("dbgsom_run_finished", run=run, result=result)
        notify_finished(callbacks, run, result)
    failed = {name: _reason(error) for name, error in children.failed.items()}
    return SweepOutcome(run, result, tuple(children.finished()), failed)


class _Children:
    """The children of a running sweep, finished and failed."""

    def __init__(
        self,
        sweep: Sweep,
        parent: Run,
        callbacks: Callbacks,
        registry: Registry,
        earlier: Mapping[str, StoredRun],
        trials: Trials | None,
        fail_fast: bool,
        display: object,
    ) -> None:
        self._sweep, self._parent, self._earlier, self._trials = sweep, parent, earlier, trials
        self._callbacks, self._registry = callbacks, registry
        self._fail_fast, self._display = fail_fast, display
        self._leaderboard = Leaderboard(sweep, registry)
        kept = {name for name, one in earlier.items() if one.status == "finished"}
        self._left = iter(sorted(sweep.children, key=lambda child: child.name not in kept))
        self._started: dict[str, Child] = {}
        self._done: dict[str, Outcome] = {}
        self.failed: dict[str, BaseException] = {}

    def run_sequentially(self, data: Data | None, notes: Sequence[str], touch: Any) -> None:
        while (task := self._next_task()) is not None:
            try:
                done = run_task(task, self._callbacks, self._registry, data, notes)
                ended = ChildResult(task, done.run, RunResult(done.result.measures))
            except Exception as error:
                ended = ChildResult(task, error=error)
            touch()
            self._end(ended)

    def run_parallel(self, processes: Processes, touch: Any) -> None:
        while True:
            while processes.free and (task := self._next_task()) is not None:
                processes.start(task)
            if not processes.busy:
                return
            ended = processes.wait()
            touch()
            if ended is not None:
                self._end(ended)

    def _next_task(self) -> Task | None:
        """Return the next child to run; those that had finished before are kept."""
        while True:
            child = next(self._left, None) if self._trials is None else self._trials.next()
            if child is None:
                return None
            self._started[child.name] = child
            earlier = self._earlier.get(child.name)
            if earlier is None or earlier.status != "finished":
                return Task(child.experiment, child.name, self._parent, dict(child.varies), earlier)
            clean_up_finished(earlier, child.experiment.tracking)
            self._add(child, resumed_run(earlier, self._parent), earlier.measures)
            show(self._display, "kept")

    def _end(self, ended: ChildResult) -> None:
        child = self._started[str(ended.task.name)]
        if ended.run is not None and ended.result is not None:
            known = self._callbacks.notes
            known.extend(note for note in ended.result.notes if note not in known)
            self._add(child, ended.run, ended.result.measures)
            self._report(child)
            return
        error = ended.error or DbgsomError("it did not say how it ended")
        log.warning("%s failed (%s)", child.name, _reason(error))
        self.failed[child.name] = error
        if self._trials is not None:
            self._trials.ended(child, None)
        if self._fail_fast:
            text = f"{child.name} failed: {_reason(error)}; so the sweep ends (--fail-fast)"
            raise DbgsomError(text) from error
        self._report(None)

    def _add(self, child: Child, run: Run, measures: Mapping[str, float]) -> None:
        self._done[child.name] = Outcome(run, RunResult(measures))
        self._leaderboard.add(child, run, measures)
        if self._trials is not None:
            criterion = self._leaderboard.criterion
            value = math.nan if criterion is None else criterion.value(measures)
            self._trials.ended(child, value, criterion is None or criterion.greater_is_better)

    def _report(self, child: Child | None) -> None:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        best = "" if child is None else self._leaderboard.leader(child)
        text = f"{len(self._done)}/{self._sweep.runs} done{failed}" + (best and f"; {best}")
        show(self._display, "say", text=text)

    def finished(self) -> Iterator[Outcome]:
        """Yield what has finished in the order of the sweep, and not as it happened to end."""
        order = self._sweep.children if self._trials is None else self._started.values()
        return (self._done[child.name] for child in order if child.name in self._done)

    def result(self, data: Data | None) -> RunResult:
        notes = [f"{name} failed: {_reason(error)}" for name, error in self.failed.items()]
        notes += () if self._trials is None else self._trials.notes
        if not self._done:
            first = next(iter(self.failed.values()), DbgsomError("; ".join(notes)))
            if isinstance(first, DbgsomError):
                raise first
            raise DbgsomError(f"every run of the sweep failed; the first: {first}") from first
        children = list(self.finished())
        names = {outcome.run.id: name for name, outcome in self._done.items()}
        rankings: list[Ranking] = []
        try:
            rankings = self._leaderboard.rankings([names[child.run.id] for child in children])
        except DataError as error:  # the measure failed in every run
            self._callbacks.notes.append(f"runs cannot be ranked: {error}")
        figures = self._figures(rankings, data, notes)
        measures = {  # what ranks, and a few measures beside it, of each winner
            f"best/{ranking.data}/{name}" if len(rankings) > 1 else f"best/{name}": value
            for ranking in rankings
            for name in ranking.measures
            if (value := ranking.best.measures.get(name)) is not None
        }
        return RunResult(
            measures=measures,
            children=[(outcome.run, outcome.result.measures) for outcome in children],
            rankings=rankings,
            figures=figures,
            notes=[*notes, *self._callbacks.notes],
        )

    def _figures(
        self, rankings: list[Ranking], data: Data | None, notes: list[str]
    ) -> dict[str, Any]:
        # Those of sweeps that are named; else the usual ones, unless no figures are wanted.
        given = self._sweep.children[0].experiment.figures
        named = [one for one in given if one[1].of_sweeps]
        if not rankings or not given:
            return {}
        view = SweepView(rankings, title_of(self._parent))
        if named:
            return draw_figures(named, view, notes)
        several = any(len(one.variants) > 1 for one in rankings)
        if not several:
            return {}
        usual = [(name, self._registry.find("figure", name)()) for name in _USUAL_FIGURES]
        return draw_figures(usual, view, [])  # no notes of figures that were not named


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, DbgsomError) else f"{type(error).__name__}: {error}"


def _children_of(stored: StoredRun, root: Path) -> dict[str, StoredRun]:
    # By name; what was interrupted twice has begun once.
    children = {}
    for one in find_runs(root, stored.experiment):
        if one.parent == stored.id:
            wait_for_end(one, stored)
            children[one.name] = mark_killed(read_run(one.files.folder))
            check_not_running(children[one.name])
    return children


def _shared_data(
    sweep: Sweep, earlier: Mapping[str, StoredRun]
) -> tuple[Data | None, Sequence[str]]:
    """Load and check the data of all children; return it where all share it, with notes."""
    loaded: list[tuple[Experiment, Data]] = []
    notes: list[str] = []
    for child in sweep.children:
        same = [data for one, data in loaded if same_data(child.experiment, one)]
        with warnings_as_notes(notes):
            data = same[0] if same else load_data(child.experiment)
        if not same:
            loaded.append((child.experiment, data))
        stored = earlier.get(child.name)
        if stored is not None:
            check_same_data(stored, facts_of(child.experiment, data))
    return (loaded[0][1], notes) if len(loaded) == 1 else (None, ())


class Leaderboard:
    """Ranks the variants of a sweep as `compare` does, while it goes on and at its end."""

    def __init__(self, sweep: Sweep, registry: Registry) -> None:
        self._sweep, self._registry = sweep, registry
        self._runs: dict[str, StoredRun] = {}
        self._entries: dict[tuple[str, bool], Entry] = {}
        self.criterion: RankingCriterion | None = None  # known once a run has what ranks

    def add(self, child: Child, run: Run, measures: Mapping[str, float]) -> None:
        known = {"id": run.id, "name": run.name, "data": run.data, "varies": run.varies}
        known |= {"config": child.experiment.resolved, "measures": measures}
        self._runs[child.name] = read_run(run.folder).model_copy(update=known)
        if self.criterion is None or self.criterion.name not in measures:
            try:
                self.criterion = self._find_criterion()
            except DataError:  # the measure may have failed here, and not in the next run
                self.criterion = None

    def _find_criterion(self) -> RankingCriterion | None:
        names = dict.fromkeys(name for run in self._runs.values() for name in run.measures)
        kinds = {run.config["model"]["estimator"] for run in self._runs.values()}
        largest = largest_class(self._runs.values())
        return find_criterion(self._sweep.decide, kinds, names, self._registry, largest)

    def leader(self, child: Child) -> str:
        criterion = self.criterion
        if criterion is None:
            return ""
        groups, id = self._groups(criterion, self._runs), self._runs[child.name].id
        group = next(one for one in groups if any(entry.run.id == id for entry in one.entries))
        table = rank(group, criterion, self._registry, interim=True)
        if not table.ranked:
            return ""
        where = f" on {group.name}" if len(groups) > 1 else ""
        return f"best so far{where}: {leader_text(table)}"

    def rankings(self, order: Iterable[str]) -> list[Ranking]:
        criterion = self._find_criterion()
        if criterion is None:
            return []
        found = []
        for group in self._groups(criterion, order):
            table = rank(group, criterion, self._registry)
            sentences = [winner_sentence(table)] if table.test or table.is_adjusted else []
            sentences += [adjustment_sentence(table)] if table.is_adjusted else []
            found.append(ranking_of(table, group, " ".join(sentences), self._registry))
        return found

    def _groups(self, criterion: RankingCriterion, names: Iterable[str]) -> list[Group]:
        in_units = is_in_units(criterion, self._registry)
        for name in names:
            if (name, in_units) not in self._entries:
                entry = make_entry(self._runs[name], in_units)
                self._entries[name, in_units] = entry
        return group_runs(self._entries[name, in_units] for name in names)


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
    """The trials of a search, each proposed from earlier results.

    A proposal is a function of the seed, its number and the earlier results, so a search can resume
    from the run folders of its children (``before``, by name). With ``window`` parallel children
    trial i uses the results up to trial i - window, whatever their durations, so that the search is
    reproducible. No two trials are the same. The value of a trial is the mean of its children, one
    for each of its ``seeds``.
    """

    def __init__(
        self, search: Optimization, seeds: int, window: int, before: Mapping[str, StoredRun]
    ) -> None:
        self._search, self._seeds = search, seeds
        self._settings, self._axes = search.space.settings, search.space.axes
        self._window = -(-window // seeds)  # in trials
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
            earlier = range(1, max(number - self._window + 1, 1))
            known = all(
                one in self._failed or len(self._values.get(one, ())) == self._seeds
                for one in earlier
            )
            if number > self._settings.trials or not known:
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

    def _propose(self, number: int, known: Sequence[int]) -> Chosen:
        def key(chosen: Chosen) -> tuple[float, ...]:
            return tuple(round(float(chosen[name]), 12) for name in sorted(chosen))

        tried = set(map(key, self._chosen))
        proposed = (self._ask(number, attempt, known) for attempt in range(_ATTEMPTS))
        found = next((chosen for chosen in proposed if key(chosen) not in tried), None)
        if found is None:  # where all axes have ends, there is one that was not tried
            untried = (chosen for chosen in self._all() if key(chosen) not in tried)
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
