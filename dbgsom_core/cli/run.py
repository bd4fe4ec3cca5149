"""``dbgsom run``, ``sweep`` and ``validate``, their progress, and how they are resumed."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from dbgsom_core.cli.console import (
    Command,
    echo,
    open_registry,
    option,
    options,
    output,
    output_options,
    plugin_options,
    set_option,
    setting,
    wrapped,
)
from dbgsom_core.cli.show import (
    print_children,
    print_clusters,
    print_headline,
    print_measures,
    print_rankings,
)
from dbgsom_core.config import Experiment, Sweep, load_experiment, load_sweep
from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.errors import DbgsomError, PluginError, as_text
from dbgsom_core.experiments.trackers import Ranking, Run, RunResult
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs import stored_runs
from dbgsom_core.runs.api import check_experiment, execute
from dbgsom_core.runs.callbacks import Tracking
from dbgsom_core.runs.folder import RunFiles, StoredRun, read_status
from dbgsom_core.tables.safe_files import exists
from dbgsom_core.training.callbacks import line

_SECONDS_BETWEEN_LINES = 2.0


def _collect_overrides(command: Command) -> Command:
    """Pass ``--set``, ``--name`` and ``--tag`` on as overrides of keys."""
    quote = functools.partial(json.dumps, ensure_ascii=False)  # text, whatever it looks like

    @functools.wraps(command)
    def call(overrides: Sequence[str], name: str | None, tags: Sequence[str], **others: Any) -> Any:
        more = [] if name is None else [f"name={quote(name)}"]
        for tag in tags:
            key, equals, value = tag.partition("=")
            if not (key and equals):
                raise click.BadParameter(f"'{tag}' is not written KEY=VALUE", param_hint="--tag")
            more.append(f"tags={{{quote(key)}: {quote(value)}}}")
        return command(overrides=[*overrides, *more], **others)

    return call


run_options = options(
    option("--resume", "Go on with an interrupted run: its file, id or folder.", is_flag=True),
    set_option,
    option("--name", "Name of the run.", metavar="TEXT"),
    option("--tag tags", "Tag of the run; may be repeated.", metavar="KEY=VALUE", multiple=True),
    setting(
        "--sklearn-only",
        "Import no prepare step but those of scikit-learn.",
        lambda _: os.environ.update(DBGSOM_SKLEARN_ONLY="1"),  # for processes of a sweep, too
    ),
    output_options,
    plugin_options,
    _collect_overrides,
)


@click.command()
@click.argument("file", type=click.Path())
@option("--all show_all", "Show every measure at the end.", is_flag=True)
@run_options
def run(file: str, overrides: Sequence[str], **how: bool) -> int:
    """Train, measure, draw and log what FILE describes; show what matters most."""
    return _run_file(load_experiment, file, overrides, **how)


@click.command()
@click.argument("file", type=click.Path())
@option("-j --jobs", "Runs beside each other, in processes.", type=click.IntRange(1), default=1)
@option("--fail-fast", "End the sweep with the first run that fails.", is_flag=True)
@run_options
def sweep(file: str, overrides: Sequence[str], **how: Any) -> int:
    """Run every variant that the sweep section of FILE describes."""
    return _run_file(load_sweep, file, overrides, **how)


@click.command()
@click.argument("file", type=click.Path())
@set_option
@plugin_options
def validate(file: str, overrides: Sequence[str]) -> None:
    """Check FILE (a run or a sweep) without reading data or training."""
    loaded, experiments = stored_runs.load(file, overrides, open_registry())
    answer = f"ok, a sweep of {loaded.runs} runs" if isinstance(loaded, Sweep) else "ok"
    if isinstance(loaded, Sweep) and loaded.optimization is not None:
        from dbgsom_core.runs.sweep import optuna

        optuna()
    for experiment in experiments:
        check_experiment(experiment)
    echo(f"{file}: {answer}")
    if isinstance(loaded, Sweep) and loaded.optimization is None:
        for child in loaded.children:
            echo(f"  {child.name}")


def _run_file(load: Any, file: str, overrides: Sequence[str], *, resume: bool, **how: Any) -> int:
    registry = open_registry(warn=True)
    if resume:
        return _resume(file, overrides, registry, how)
    return _run_loaded(load(file, overrides, registry), registry, None, how)


def _run_loaded(
    loaded: Experiment | Sweep, registry: Registry, stored: StoredRun | None, how: dict[str, Any]
) -> int:
    show_all = how.pop("show_all", False)
    if not isinstance(loaded, Sweep):
        with _ResumeHint() as hint, show_progress() as display:
            display.reads(loaded.data_called)
            done = execute(loaded, registry, [hint, display], stored)
        if not output.quiet:
            known = done.run, done.result.measures, done.result.view
            _print_result(*known, loaded.tracking, registry, show_all)
        return 0
    with _ResumeHint() as hint, show_progress(loaded.runs) as display:
        display.reads(loaded.children[0].experiment.data_called)
        outcome = execute(loaded, registry, [hint, display], stored, **how, display=display)
    folder = outcome.run.folder
    if not output.quiet:
        children = [(child.run.name, child.result.measures) for child in outcome.children]
        _print_sweep(outcome.result.rankings, children, folder, registry)
        _print_paths(folder, loaded.children[0].experiment.tracking, of_sweep=True)
    for name, why in outcome.failed.items():
        echo(f"failed: {name}: {why}", err=True)
    if outcome.failed and not output.quiet:
        again = f"dbgsom sweep --resume {stored_runs.shell_name(folder)}"
        echo(f"to run what failed once more: {again}", err=True)
    return 1 if outcome.failed else 0


def _resume(name: str, overrides: Sequence[str], registry: Registry, how: dict[str, Any]) -> int:
    """Go on with a run or sweep, named by id, folder or configuration; return the exit code."""
    root = Path("runs")
    stored = stored_runs.stored_run(name, root)
    if stored is None:
        if not exists(name):
            stored_runs.find_run(name, root, besides=" and no configuration")  # says what is meant
        stored, (loaded, experiments) = stored_runs.interrupted_run(
            lambda: stored_runs.load(name, overrides, registry), registry
        )
        if stored is None:
            return _run_loaded(loaded, registry, None, how)
    else:
        stored_runs.check_not_running(stored)
        loaded, experiments = stored_runs.load_stored(stored, overrides, registry)
    if not stored_runs.is_complete(stored, loaded):
        stored_runs.check_not_running(stored)
        return _run_loaded(loaded, registry, stored, how)
    stored_runs.clean_up_finished(stored, experiments[0].tracking)
    echo(f"{stored.kind} {stored.id} has finished; there is nothing left to do")
    if not output.quiet:
        if stored.kind == "sweep":
            children = [(child["name"], child["measures"]) for child in stored.children]
            _print_sweep(stored.rankings, children, stored.files.folder, registry)
            _print_paths(stored.files.folder, experiments[0].tracking, of_sweep=True)
        else:
            run = stored_runs.resumed_run(stored, None)
            tracking = experiments[0].tracking
            _print_result(run, stored.measures, None, tracking, registry, how.get("show_all"))
    return 0


class _ResumeHint:
    """Context and callback that prints how to resume an interrupted run or sweep."""

    _run: Run | None = None

    def dbgsom_run_started(self, run: Run) -> None:
        if run.parent is None:
            self._run = run

    def __enter__(self) -> _ResumeHint:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        run = self._run
        if run is None or not isinstance(error, (KeyboardInterrupt, DbgsomError)):
            return
        interrupted = isinstance(error, KeyboardInterrupt) or run.kind == "sweep"
        if interrupted and read_status(run.folder).status != "finished":
            command = f"dbgsom {run.kind} --resume {stored_runs.shell_name(run.folder)}"
            echo(f"to go on: {command}", err=True)


def _print_sweep(
    rankings: Sequence[Ranking], children: Sequence[Any], folder: Path, registry: Registry
) -> None:
    if not rankings:
        print_children(children, registry)
        return
    print_rankings(rankings, registry)
    if any(len(ranking.variants) > 1 and not ranking.verdict for ranking in rankings):
        echo(f"how sure that is: dbgsom compare {stored_runs.shell_name(folder)}")


def _print_result(
    run: Run,
    measures: Mapping[str, float],
    view: Any,
    tracking: Tracking,
    registry: Registry,
    show_all: bool | None,
) -> None:
    if show_all:
        print_measures(measures, registry, run.data)
    else:
        name = stored_runs.shell_name(run.folder)
        print_headline(measures, run.config, run.data, name, registry)
    print_clusters(RunFiles(run.folder), run.config)
    _print_paths(run.folder, tracking)


def _print_paths(folder: Path, tracking: Tracking, *, of_sweep: bool = False) -> None:
    echo(f"run folder: {folder}")
    if exists(page := RunFiles(folder).page):
        echo(f"report: {page}")
    name, has_page = stored_runs.shell_name(folder), False  # `dbgsom ui` shows the first page
    for _, tracker in tracking:
        tracker = guarded(tracker)
        try:
            compares = tracker.how_to_compare if of_sweep or not tracker.page else None
            view = compares and compares([folder])
            if not view and tracker.page and not has_page:
                view = f"dbgsom ui {name}"
            view = view or (tracker.how_to_open and tracker.how_to_open())
            sent = tracker.mirrored is None or tracker.mirrored(folder)
        except PluginError as error:
            echo(f"warning: {error}", err=True)
            continue
        has_page = has_page or bool(tracker.page)
        if view:
            once = "" if sent else f", once 'dbgsom sync {name}' sent it"
            echo(f"to look at it{once}: {view}")


@contextmanager
def show_progress(runs: int = 1) -> Iterator[Any]:
    if output.quiet:
        yield SilentDisplay()
    elif sys.stderr.isatty() and not output.verbose:
        with _make_bar() as bar, compile_clock(bar.console.print):
            display = TextDisplay(runs, bar)
            try:
                yield display
            finally:
                display.clear()
    else:
        with compile_clock(functools.partial(echo, err=True)):
            yield TextDisplay(runs)


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress

    return Progress(
        "{task.description}",
        BarColumn(),
        "{task.fields[epochs]}",
        "{task.fields[left]}",
        console=Console(stderr=True),
    )


class TextDisplay:
    """Display of a line at a run's start, every two seconds (every epoch with -v), at its end."""

    def __init__(self, runs: int, bar: Any = None) -> None:
        self._runs, self._begun, self._bar = runs, 0, bar
        self._running: dict[str, Any] = {}  # number, task of the bar, last epoch, time of a line
        self._reading: Any = None  # a task of the bar, as is the next
        self._logging: Any = None

    def reads(self, what: str) -> None:
        self._reading = self._add_task(f"reading {as_text(what)}")

    def dbgsom_run_started(self, run: Run) -> None:
        if run.kind == "run":
            self._remove(self._reading)
            self._reading = None
            self._begun += 1
            number = f"[{self._begun}/{self._runs}] " if self._runs > 1 else ""
            self.say(f"{number}{run.name}: {run.data['samples']} × {run.data['features']} samples")
            task, shown = self._add_task("starting", number, run.total_epochs), time.monotonic()
            self._running[run.id] = SimpleNamespace(
                number=number, task=task, last=None, shown=shown
            )

    def dbgsom_run_phase(self, run: Run, phase: str) -> None:
        state = self._running.get(run.id)
        if state is None:
            return
        if self._bar is not None:
            self._bar.update(state.task, left=phase)
        elif not output.verbose and time.monotonic() - state.shown >= _SECONDS_BETWEEN_LINES:
            self.say(f"{state.number}{phase}")  # with -v the log has it
            state.shown = time.monotonic()

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        state = self._running[run.id]
        state.last = epoch
        seconds = epoch.seconds / epoch.epoch * (epoch.epochs - epoch.epoch)
        left = f"ETA {math.ceil(seconds)} s" if seconds else ""  # what follows is another phase
        if self._bar is not None:
            self._bar.update(
                state.task,
                completed=epoch.epoch,
                total=epoch.epochs,  # fewer than planned where a full map goes on to fine-tuning
                epochs=f"epoch {epoch.epoch}/{epoch.epochs} {epoch.neurons} neurons "
                f"QE {epoch.quantization_error:.4g}",
                left=left,
            )
        elif output.verbose or time.monotonic() - state.shown >= _SECONDS_BETWEEN_LINES:
            self.say(f"{state.number}{line(epoch)}  {left}".rstrip())
            state.shown = time.monotonic()

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        self._end(run.id, "done", result.history[-1] if result.history else None)
        if run.parent is None:  # others, as trackers, are called after this display
            self._logging = self._add_task("logging")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        self._end(run.id, "stopped")

    def kept(self) -> None:
        self._begun += 1

    def clear(self) -> None:
        self._remove(self._reading)
        self._remove(self._logging)
        for id in [*self._running]:
            self._end(id, "stopped")

    def _end(self, id: str, how: str, last: EpochRecord | None = None) -> None:
        state = self._running.pop(id, None)
        if state is not None:
            self._remove(state.task)
            if (last := last or state.last) is not None:
                self.say(f"{state.number}{line(last)}  {how} in {last.seconds:.2f} s")

    def _add_task(self, left: str, number: str = "", total: int | None = None) -> Any:
        if self._bar is not None:
            return self._bar.add_task(number, total=total, epochs="", left=left)
        return None

    def _remove(self, task: Any) -> None:
        if task is not None and task in self._bar.task_ids:
            self._bar.remove_task(task)

    def say(self, text: str) -> None:
        if self._bar is None:
            echo(text, err=True)
        else:
            text = wrapped(as_text(text))
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


class SilentDisplay:
    def reads(self, what: str) -> None:
        """Show that data are read, before there is a run."""
