"""Many runs under one parent: what varies names them, the best variant speaks for the sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from dbgsom_core.runs.models.side_by_side import BestTwo
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
from dbgsom_core.runs.sweeps.leaderboard import Leaderboard
from dbgsom_core.runs.sweeps.optimize import Trials
from dbgsom_core.runs.sweeps.processes import Ended, Processes, Task, show

log = private_logger("dbgsom")

_USUAL_FIGURES = ("sweep_heatmap", "parallel_coordinates")


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
    """Run every child; one that fails is reported and does not stop the others.

    Of a ``stored`` sweep that was interrupted, finished children are kept, and those that have
    begun go on. Every child's parts are built and every data set is loaded once before anything is
    written. ``jobs`` children run beside each other in processes of their own, to the same bits;
    then ``display`` hears of them by the lifecycle hooks. After each child it gets a sentence by
    ``say(text)``.

    Raises `DbgsomError` where a child's data or parts cannot be used, every child failed, or one
    did with ``fail_fast``.
    """
    going = _Sweeping(sweep, callbacks, registry, stored, min(jobs, sweep.runs), display)
    going.fail_fast = fail_fast
    return going.outcome()


class _Sweeping:
    """One sweep while it goes on."""

    fail_fast = False

    def __init__(
        self,
        sweep: Sweep,
        callbacks: Callbacks,
        registry: Registry,
        stored: StoredRun | None,
        jobs: int,
        display: object,
    ) -> None:
        self._sweep, self._callbacks, self._registry = sweep, callbacks, registry
        self._jobs, self._display = jobs, display
        experiments = [child.experiment for child in sweep.children]
        self._first = experiments[0]
        root = runs_folder(self._first, registry)
        params = common_params([flat_params(one, make_estimator(one)) for one in experiments])
        self._begun = {} if stored is None else _children_of(stored, root)
        self._trials = (
            None
            if sweep.optimization is None
            else Trials(sweep.optimization, sweep.seeds, jobs, self._begun)
        )
        self._left = iter(sweep.children)
        self._data = _shared_data(sweep, self._begun)
        self._run, self._lock = start_run(
            sweep, registry, name=sweep.title, root=root, params=params, stored=stored
        )
        self._leaderboard = Leaderboard(sweep, registry)
        self._children: dict[str, Child] = {}
        self._done: dict[str, Outcome] = {}
        self._failed: dict[str, BaseException] = {}

    def outcome(self) -> SweepOutcome:
        """Run the children and rank their variants."""
        run, callbacks = self._run, self._callbacks
        with self._lock:
            with failures_reported(callbacks, run, self._lock):
                callbacks.notify("dbgsom_run_started", run=run)
                kept = sum(one.status == "finished" for one in self._begun.values())
                if min(self._jobs, self._sweep.runs - kept) > 1:
                    runner: Processes | _Here = Processes(self._jobs, self._display)
                else:
                    runner = _Here(callbacks, self._registry, *self._data)
                with runner:
                    self._run_children(runner)
                result = self._result()
                callbacks.notify_required("dbgsom_run_finished", run=run, result=result)
            notify_finished(callbacks, run, result)
        failed = {name: _reason(error) for name, error in self._failed.items()}
        return SweepOutcome(run, result, tuple(self._finished()), failed)

    def _next(self) -> Child | None:
        return next(self._left, None) if self._trials is None else self._trials.next()

    def _run_children(self, runner: Processes | _Here) -> None:
        kept: list[Child] = []
        while True:
            while runner.free and (child := self._next()) is not None:
                self._children[child.name] = child
                begun = self._begun.get(child.name)
                if begun is not None and begun.status == "finished":
                    finish_off(begun, child.experiment.tracking)
                    kept.append(child)
                    run = resumed_run(begun, self._run)
                    self._add(child, run, RunResult(begun.measures))
                    show(self._display, "kept")
                    continue
                self._say_kept(kept)
                task = Task(child.name, child.experiment, self._run, dict(child.varies), begun)
                runner.start(task)
            self._say_kept(kept)
            if not runner.busy:
                return
            ended = runner.wait()
            self._lock.touch()
            if ended is not None:
                self._ended(self._children[ended.task.name], ended)

    def _ended(self, child: Child, ended: Ended) -> None:
        if ended.run is not None and ended.result is not None:
            known = self._callbacks.notes
            known.extend(note for note in ended.result.notes if note not in known)
            self._add(child, ended.run, ended.result)
            self._say(child)
            return
        error = ended.error or DbgsomError("it did not say how it ended")
        log.warning("%s failed (%s)", child.name, _reason(error))
        self._failed[child.name] = error
        if self._trials is not None:
            self._trials.ended(child, None)
        if self.fail_fast:
            text = f"{child.name} failed: {_reason(error)}; so the sweep ends (--fail-fast)"
            raise DbgsomError(text) from error
        self._say(None)

    def _add(self, child: Child, run: Run, result: RunResult) -> None:
        self._done[child.name] = Outcome(run, RunResult(result.measures))
        self._leaderboard.add(child, run, result.measures)
        if self._trials is not None:
            value = self._leaderboard.value(result.measures)
            self._trials.ended(child, value, self._leaderboard.greater_is_better)

    def _say_kept(self, kept: list[Child]) -> None:
        # All at once: a sentence on each of them was shown when it ended.
        if kept:
            self._say(kept[-1], f", {len(kept)} of them before")
            kept.clear()

    def _say(self, child: Child | None, before: str = "") -> None:
        failed = f", {len(self._failed)} failed" if self._failed else ""
        best = "" if child is None else self._leaderboard.leader(child)
        text = f"{len(self._done)}/{self._sweep.runs} done{before}{failed}" + (best and f"; {best}")
        show(self._display, "say", text=text)

    def _finished(self) -> Iterator[Outcome]:
        # In the order of the sweep, and not as they happened to end.
        order = self._sweep.children if self._trials is None else self._children.values()
        return (self._done[child.name] for child in order if child.name in self._done)

    def _result(self) -> RunResult:
        """Return the result of the sweep: its children, and which variant is best."""
        notes = [f"{name} failed: {_reason(error)}" for name, error in self._failed.items()]
        notes += () if self._trials is None else self._trials.notes
        if not self._done:
            first = next(iter(self._failed.values()), DbgsomError("; ".join(notes)))
            if isinstance(first, DbgsomError):
                raise first
            raise DbgsomError(f"every run of the sweep failed; the first: {first}") from first
        children = list(self._finished())
        names = {outcome.run.id: name for name, outcome in self._done.items()}
        rankings: list[Ranking] = []
        try:
            rankings = self._leaderboard.rankings([names[child.run.id] for child in children])
        except DataError as error:  # the measure failed in every run
            self._callbacks.notes.append(f"nothing says which run is best: {error}")
        figures = self._figures(rankings, notes)
        return RunResult(
            measures=_best_measures(rankings),
            children=[(outcome.run, outcome.result.measures) for outcome in children],
            rankings=rankings,
            figures=figures,
            notes=[*notes, *self._callbacks.notes],
        )

    def _figures(self, rankings: list[Ranking], notes: list[str]) -> dict[str, Any]:
        # Those of sweeps that are named; else the usual ones, unless no figures are wanted.
        given = self._first.figures
        named = [one for one in given if FigureAbilities.of(one[1]).of_sweeps]
        if not rankings or not given:
            return {}
        runs = {
            done.run.id: (self._children[name].experiment, done.run)
            for name, done in self._done.items()
        }
        view = SweepView(rankings, title_of(self._run), BestTwo(runs, self._data[0]))
        if named:
            return draw_figures(named, view, notes)
        explored = any(name == "explorer" for name, _ in given)
        several = any(len(one.variants) > 1 for one in rankings)
        names = [*_USUAL_FIGURES, *(["side_by_side"] if explored and several else [])]
        usual = [(name, self._registry.find("figure", name)()) for name in names]
        return draw_figures(usual, view, [])  # nobody asked for those that lack


class _Here:
    """Runs children in this process, one after the other, as `Processes` do in others."""

    def __init__(
        self, callbacks: Callbacks, registry: Registry, data: Data | None, notes: Sequence[str]
    ) -> None:
        self._callbacks, self._registry, self._data, self._notes = callbacks, registry, data, notes
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
                self._callbacks,
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


def _best_measures(rankings: Sequence[Ranking]) -> dict[str, float]:
    """Return what ranks, and a few measures beside it, of each winner, as ``best/…``."""
    return {
        f"best/{ranking.data}/{name}" if len(rankings) > 1 else f"best/{name}": value
        for ranking in rankings
        for name in ranking.measures
        if (value := ranking.best.measures.get(name)) is not None
    }


def _children_of(stored: StoredRun, root: Path) -> dict[str, StoredRun]:
    # By name; what was interrupted twice has begun once.
    children = {}
    for one in find_runs(root, stored.experiment):
        if one.parent == stored.id:
            wait_for_end(one, stored)
            children[one.name] = mark_killed(read_run(one.files.folder))
            check_not_running(children[one.name])
    return children


def _shared_data(sweep: Sweep, begun: Mapping[str, StoredRun]) -> tuple[Data | None, Sequence[str]]:
    """Load what the children need, so that bad data is refused at once; keep what all share.

    Those that have begun are held against the data that they began with. What is noted while it is
    loaded comes with what all share.
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
