"""Many runs under one parent: what varies names them, the best variant speaks for the sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbgsom_core.config import Child, Experiment, Sweep
from dbgsom_core.errors import DataError, DbgsomError
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import FigureAbilities
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.trackers import Ranking, Run, RunResult, SweepView
from dbgsom_core.plugins.callbacks import Callbacks
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.callbacks import runs_folder
from dbgsom_core.runs.data import facts_of, load_data, same_data
from dbgsom_core.runs.figures import draw_figures, warnings_as_notes
from dbgsom_core.runs.find import mark_killed
from dbgsom_core.runs.folder import StoredRun, find_runs, read_run
from dbgsom_core.runs.manifest import common_params, flat_params, title_of
from dbgsom_core.runs.pipeline import (
    Outcome,
    failures_reported,
    make_estimator,
    notify_finished,
    run_experiment,
    start_run,
)
from dbgsom_core.runs.resume import (
    check_not_running,
    check_same_data,
    finish_off,
    resumed_run,
    wait_for_end,
)
from dbgsom_core.runs.signals import shutdown
from dbgsom_core.runs.sweeps.leaderboard import Leaderboard, best_measures
from dbgsom_core.runs.sweeps.optimize import Trials
from dbgsom_core.runs.sweeps.processes import Ended, Processes, Task, show
from dbgsom_core.runs.using.side_by_side import BestTwo

log = private_logger("dbgsom")

_USUAL_FIGURES = ("sweep_heatmap", "parallel_coordinates")
_BESIDE = "side_by_side"  # where runs have an explorer, and there are two to be shown


@dataclass(frozen=True)
class SweepOutcome:
    """A finished sweep: its parent run and result, finished children, why the others failed."""

    run: Run
    result: RunResult
    children: tuple[Outcome, ...]
    failed: Mapping[str, str]


def run_sweep(
    sweep: Sweep,
    observers: Callbacks,
    registry: Registry,
    stored: StoredRun | None = None,
    *,
    jobs: int = 1,
    fail_fast: bool = False,
    display: object = None,
) -> SweepOutcome:
    """Run every child; one that fails is reported and does not stop the others.

    Of a ``stored`` sweep that was interrupted, finished children are kept, and those that have
    begun go on. Every child's parts are built and every data set is loaded once before anything is
    written. ``jobs`` children run beside each other in processes of their own, to the same bits;
    then ``display`` hears of them by the lifecycle hooks. After each child it is told a sentence by
    ``say(told)``.

    Raises `DbgsomError` where a child's data or parts cannot be used, every child failed, or one
    did with ``fail_fast``.
    """
    return _Sweeping(sweep, observers, registry, stored, jobs, fail_fast, display).outcome()


class _Sweeping:
    """One sweep while it goes on."""

    def __init__(
        self,
        sweep: Sweep,
        observers: Callbacks,
        registry: Registry,
        stored: StoredRun | None,
        jobs: int,
        fail_fast: bool,
        display: object,
    ) -> None:
        self._sweep, self._observers, self._registry = sweep, observers, registry
        self._fail_fast, self._display = fail_fast, display
        self._jobs = min(jobs, sweep.runs)
        self._first = sweep.children[0].experiment
        root = runs_folder(self._first, registry)
        experiments = [child.experiment for child in sweep.children]
        params = common_params([flat_params(one, make_estimator(one)) for one in experiments])
        self._begun = {} if stored is None else _children_of(stored, root)
        self._plan: Trials | _Listed = (
            _Listed(sweep)
            if sweep.optimization is None
            else Trials(sweep.optimization, sweep.seeds, self._jobs, self._begun)
        )
        self._data = _shared_data(sweep, self._begun)
        self._run, self._lock = start_run(
            sweep, registry, name=sweep.title, root=root, params=params, stored=stored
        )
        self._leaderboard = Leaderboard(sweep, registry)
        self._children: dict[str, Child] = {}
        self._done: dict[str, Outcome] = {}
        self._failed: dict[str, BaseException] = {}

    def outcome(self) -> SweepOutcome:
        with self._lock:
            return self._outcome()

    def _outcome(self) -> SweepOutcome:
        run, observers = self._run, self._observers
        with failures_reported(observers, run, self._lock):
            observers.notify("dbgsom_run_started", run=run)
            with self._runner() as runner:
                self._run_children(runner)
            if not self._done:
                raise self._all_failed()
            names = [name for name in self._plan.order if name in self._done]
            children = [self._done[name] for name in names]
            notes, rankings = self._notes(), self._rankings(names)
            figures = self._figures(rankings, notes)
            result = RunResult(
                measures=best_measures(rankings),
                children=[(outcome.run, outcome.result.measures) for outcome in children],
                rankings=rankings,
                figures=figures,
                notes=[*notes, *observers.notes],
            )
            observers.notify_required("dbgsom_run_finished", run=run, result=result)
        notify_finished(observers, run, result)
        failed = {name: _reason(error) for name, error in self._failed.items()}
        return SweepOutcome(run, result, tuple(children), failed)

    def _runner(self) -> Processes | _Here:
        kept = sum(one.status == "finished" for one in self._begun.values())
        jobs = min(self._jobs, self._sweep.runs - kept)
        if jobs > 1:
            return Processes(jobs, self._display)
        return _Here(self._observers, self._registry, *self._data)

    def _run_children(self, runner: Processes | _Here) -> None:
        kept: list[Child] = []
        while True:
            while runner.free and (child := self._plan.next()) is not None:
                self._children[child.name] = child
                begun = self._begun.get(child.name)
                if begun is not None and begun.status == "finished":
                    finish_off(begun, child.experiment.tracking)
                    kept.append(child)
                    run = resumed_run(begun, self._run)
                    self._count(child, run, RunResult(begun.measures))
                    show(self._display, "kept")
                else:
                    self._tell_kept(kept)
                    runner.start(
                        Task(child.name, child.experiment, self._run, dict(child.varies), begun)
                    )
            self._tell_kept(kept)
            if not runner.busy:
                return
            ended = runner.wait()
            self._lock.touch()
            if ended is not None:
                self._ended(self._children[ended.task.name], ended)

    def _ended(self, child: Child, ended: Ended) -> None:
        if ended.run is not None and ended.result is not None:
            self._observers.notes.extend(
                note for note in ended.result.notes if note not in self._observers.notes
            )
            self._count(child, ended.run, ended.result)
            self._tell(child)
            return
        error = ended.error or DbgsomError("it did not say how it ended")
        log.warning("%s failed (%s)", child.name, _reason(error))
        self._failed[child.name] = error
        self._plan.ended(child, None)
        if self._fail_fast:
            told = f"{child.name} failed: {_reason(error)}; so the sweep ends (--fail-fast)"
            raise DbgsomError(told) from error
        self._tell(None)

    def _count(self, child: Child, run: Run, result: RunResult) -> None:
        self._done[child.name] = Outcome(run, RunResult(result.measures))
        self._leaderboard.add(child, run, result.measures)
        value = self._leaderboard.value(result.measures)
        self._plan.ended(child, value, self._leaderboard.greater_is_better)

    def _tell_kept(self, kept: list[Child]) -> None:
        # All at once: each of them was told when it ended.
        if kept:
            self._tell(kept[-1], f", {len(kept)} of them before")
            kept.clear()

    def _tell(self, child: Child | None, before: str = "") -> None:
        failed = f", {len(self._failed)} failed" if self._failed else ""
        best = "" if child is None else self._leaderboard.best_so_far(child)
        told = f"{len(self._done)}/{self._sweep.runs} done{before}{failed}" + (best and f"; {best}")
        show(self._display, "say", told=told)

    def _figures(self, rankings: list[Ranking], notes: list[str]) -> dict[str, Any]:
        # Those of sweeps that are named; else the usual ones, unless no figures are wanted.
        given = self._first.figures
        named = [one for one in given if FigureAbilities.of(one[1]).of_sweeps]
        if not rankings or not given:
            return {}
        finished = [(self._children[name], outcome) for name, outcome in self._done.items()]
        runs = {done.run.id: (child.experiment, done.run) for child, done in finished}
        view = SweepView(rankings, title_of(self._run), BestTwo(runs, self._data[0]))
        if named:
            return draw_figures(named, view, notes)
        explored = any(name == "explorer" for name, _ in given)
        several = any(len(one.variants) > 1 for one in rankings)
        names = [*_USUAL_FIGURES, *([_BESIDE] if explored and several else [])]
        usual = [(name, self._registry.find("figure", name)()) for name in names]
        return draw_figures(usual, view, [])  # nobody asked for those that lack

    def _rankings(self, names: list[str]) -> list[Ranking]:
        try:
            return self._leaderboard.rankings(names)
        except DataError as error:  # the measure failed in every run
            self._observers.notes.append(f"nothing says which run is best: {error}")
            return []

    def _notes(self) -> list[str]:
        failed = [f"{name} failed: {_reason(error)}" for name, error in self._failed.items()]
        return [*failed, *self._plan.notes]

    def _all_failed(self) -> DbgsomError:
        first = next(iter(self._failed.values()), DbgsomError("; ".join(self._plan.notes)))
        if isinstance(first, DbgsomError):
            return first
        told = DbgsomError(f"every run of the sweep failed; the first: {first}")
        told.__cause__ = first
        return told


class _Listed:
    """The children of a sweep that are known before it begins."""

    notes: tuple[str, ...] = ()

    def __init__(self, sweep: Sweep) -> None:
        self.order = tuple(child.name for child in sweep.children)
        self._left = iter(sweep.children)

    def next(self) -> Child | None:
        """Return the next child, None when there is none."""
        return next(self._left, None)

    def ended(self, child: Child, value: float | None, greater_is_better: bool = True) -> None:
        """Nothing depends on how a child ended."""


class _Here:
    """Runs children in this process, one after the other, as `Processes` do in others."""

    def __init__(
        self, observers: Callbacks, registry: Registry, data: Data | None, notes: Sequence[str]
    ) -> None:
        self._observers, self._registry, self._data, self._notes = observers, registry, data, notes
        self._ended: Ended | None = None

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @property
    def free(self) -> bool:
        return self._ended is None

    @property
    def busy(self) -> bool:
        return self._ended is not None

    def start(self, task: Task) -> None:
        try:
            done = run_experiment(
                task.experiment,
                self._observers,
                self._registry,
                data=self._data,
                data_notes=self._notes,
                parent=task.parent,
                name=task.name,
                varies=task.varies,
                stored=task.stored,
            )
        except Exception as error:
            shutdown.check()  # it may have failed of that
            self._ended = Ended(task, error=error)
        else:
            self._ended = Ended(task, done.run, RunResult(done.result.measures))

    def wait(self) -> Ended | None:
        ended, self._ended = self._ended, None
        return ended


def _reason(error: BaseException) -> str:
    known = isinstance(error, DbgsomError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _children_of(stored: StoredRun, root: Path) -> dict[str, StoredRun]:
    # By name; what was interrupted twice has begun once.
    found = find_runs(root, stored.experiment)
    children = {}
    for one in found:
        if one.parent == stored.id:
            wait_for_end(one, stored)
            children[one.name] = mark_killed(read_run(one.files.folder))
            check_not_running(children[one.name])
    return children


def _shared_data(sweep: Sweep, begun: Mapping[str, StoredRun]) -> tuple[Data | None, Sequence[str]]:
    """Load what the children need, so that bad data is told at once; keep what all share.

    Those that have begun are held against the data that they began with. What is noted while it is
    loaded is told, and comes with what all share.
    """
    loaded: list[tuple[Experiment, Data]] = []
    notes: list[str] = []
    for child in sweep.children:
        same = [data for one, data in loaded if same_data(child.experiment, one)]
        with warnings_as_notes(notes):
            data = same[0] if same else load_data(child.experiment)
        if not same:
            loaded.append((child.experiment, data))
        stored = begun.get(child.name)
        if stored is not None:
            check_same_data(stored, facts_of(child.experiment, data))
    return (loaded[0][1], notes) if len(loaded) == 1 else (None, ())
