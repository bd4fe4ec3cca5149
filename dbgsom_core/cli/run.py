"""``dbgsom run``, ``sweep`` and ``validate``, their progress, and how they are resumed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dbgsom_core.cli.console import (
    echo,
    file_argument,
    open_registry,
    option,
    options,
    output,
    output_options,
    plugin_options,
    progress_bar,
    set_option,
    steps_option,
)
from dbgsom_core.cli.show import print_result
from dbgsom_core.config import Experiment, Sweep, load_experiment, load_sweep
from dbgsom_core.engine.runtime import compile_clock
from dbgsom_core.errors import DbgsomError, PluginError
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.files import exists
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.api import check_experiment, execute
from dbgsom_core.runs.folder import StoredRun, read_run
from dbgsom_core.runs.session import Tracking, mirror_ended
from dbgsom_core.runs.stored_runs import (
    find_run,
    interrupted_run,
    is_complete,
    load,
    load_stored,
    matching_folders,
    shell_name,
)
from dbgsom_core.training.callbacks import line as epoch_line

_SECONDS_BETWEEN_LINES = 2.0


def _overrides(overrides: Sequence[str], name: str | None, tags: Sequence[str]) -> Sequence[str]:
    """Return overrides of keys, those of ``--name`` and ``--tag`` included."""
    texts = [*overrides]
    if name is not None:
        texts.append(f"name={json.dumps(name, ensure_ascii=False)}")  # text, whatever it looks like
    for tag in tags:
        key, equals, value = tag.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"'{tag}' is not written KEY=VALUE", param_hint="--tag")
        texts.append(f"tags={json.dumps({key: value}, ensure_ascii=False)}")
    return texts


run_options = options(
    option("--resume", "Go on with an interrupted run: its file, id or folder.", is_flag=True),
    set_option,
    option("--name", "Name of the run.", metavar="TEXT"),
    option("--tag tags", "Tag of the run; may be repeated.", metavar="KEY=VALUE", multiple=True),
    steps_option,
    output_options,
    plugin_options,
)


@click.command()
@file_argument
@option("--all show_all", "Show every measure at the end.", is_flag=True)
@run_options
def run(file: str, **how: Any) -> int:
    """Train, measure, draw and log what FILE describes; show what matters most."""
    return _run_file(load_experiment, file, **how)


@click.command()
@file_argument
@option("-j --jobs", "Runs beside each other, in processes.", type=click.IntRange(1), default=1)
@option("--fail-fast", "End the sweep with the first run that fails.", is_flag=True)
@run_options
def sweep(file: str, **how: Any) -> int:
    """Run every variant that the sweep section of FILE describes."""
    return _run_file(load_sweep, file, **how)


@click.command()
@file_argument
@set_option
@plugin_options
def validate(file: str, overrides: Sequence[str]) -> None:
    """Check FILE (a run or a sweep) without reading data or training."""
    loaded, experiments = load(file, overrides, open_registry())
    answer = [f"{file}: ok"]
    if isinstance(loaded, Sweep):
        answer = [f"{file}: ok, a sweep of {loaded.runs} runs"]
        if loaded.optimization is None:
            answer += [f"  {child.name}" for child in loaded.children]
        else:
            from dbgsom_core.runs.sweep import optuna

            optuna()  # raises where it is not installed
    for experiment in experiments:
        check_experiment(experiment)
    for line in answer:
        echo(line)


def _run_file(
    load_file: Any,
    file: str,
    overrides: Sequence[str],
    name: str | None,
    tags: Sequence[str],
    resume: bool,
    **how: Any,
) -> int:
    registry, steps = open_registry(warn=True), how.pop("steps")
    overrides = _overrides(overrides, name, tags)
    if resume:
        return _resume(file, overrides, registry, steps, **how)
    return _run_loaded(load_file(file, overrides, registry), registry, None, **how)


def _resume(
    name: str, overrides: Sequence[str], registry: Registry, steps: Path | None, **how: Any
) -> int:
    """Go on with a run or sweep, named by id, folder or configuration; return the exit code."""
    root = Path("runs")
    folders = matching_folders(name, root)
    if len(folders) == 1:
        stored = read_run(folders[0].absolute())
        loaded, experiments = load_stored(stored, overrides, registry, steps)
    else:
        if not exists(name):
            find_run(name, root, besides=" and no configuration")  # says what is meant
        loaded, experiments = load(name, overrides, registry)
        stored = interrupted_run(loaded, registry)
    if not is_complete(stored, loaded):
        return _run_loaded(loaded, registry, stored, **how)
    tracking = experiments[0].tracking
    mirror_ended(stored, tracking)  # it may have been killed before
    echo(f"{stored.kind} {stored.id} has finished; there is nothing left to do")
    _print_end(stored, tracking, registry, how.get("show_all", False))
    return 0


def _run_loaded(
    loaded: Experiment | Sweep,
    registry: Registry,
    stored: StoredRun | None,
    show_all: bool = False,
    **how: Any,
) -> int:
    if isinstance(loaded, Sweep):
        first, runs = loaded.children[0].experiment, loaded.runs
    else:
        first, runs = loaded, 1
    with progress_bar(not output.verbose) as update:
        display = Display(runs, update)
        update(now=f"reading {first.data_called}")
        try:
            with compile_clock(display.say):
                result = execute(loaded, registry, [display], stored, display=display, **how)
        except (KeyboardInterrupt, DbgsomError) as error:
            display.say_how_to_resume(error)
            raise
    stored = read_run(result.run.folder)
    _print_end(stored, first.tracking, registry, show_all)
    for name, why in result.failed.items():
        echo(f"failed: {name}: {why}", err=True)
    if result.failed and not output.quiet:
        again = f"dbgsom sweep --resume {shell_name(stored)}"
        echo(f"to run what failed once more: {again}", err=True)
    return 1 if result.failed else 0


def _print_end(run: StoredRun, tracking: Tracking, registry: Registry, show_all: bool) -> None:
    """Print the result of a run that has finished, and where its files and pages are."""
    if output.quiet:
        return
    print_result(run, registry, show_all)
    echo(f"run folder: {run.files.folder}")
    if exists(run.files.page):
        echo(f"report: {run.files.page}")
    for _, component in tracking:
        tracker = guarded(component)
        try:
            if tracker.page:
                echo(f"to look at it: dbgsom ui {shell_name(run)}")
            elif tracker.how_to_open:
                echo(f"to look at it: {tracker.how_to_open()}")
        except PluginError as error:
            echo(f"warning: {error}", err=True)


class Display:
    """Observer that prints a line when a run starts and ends, and every two seconds between.

    With -v it is every epoch. In a terminal a bar shows what goes on between, by ``update``.
    """

    def __init__(self, runs: int, update: Callable[..., object]) -> None:
        self._runs, self._begun, self._number = runs, 0, ""
        self._update = update
        self._has_bar = sys.stderr.isatty() and not output.verbose
        self._run: Run | None = None  # a sweep, or its only run
        self._last: EpochRecord | None = None
        self._shown = time.monotonic()  # when a line was

    def dbgsom_run_started(self, run: Run) -> None:
        if run.parent is None:
            self._run = run
        if run.kind == "run":
            self._begun, self._last = self._begun + 1, None
            if self._runs > 1:
                self._number = f"[{self._begun}/{self._runs}] "
            self.say(f"{run.name}: {run.data['samples']} × {run.data['features']} samples")
            total = run.total_epochs
            self._update(description=self._number, now="starting", completed=0, total=total)

    def dbgsom_run_phase(self, run: Run, phase: str) -> None:
        self._update(now=phase)
        if not output.verbose:  # with -v the log has it
            self._say_now_and_then(phase)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        self._last = epoch
        # There are fewer than planned where a full map goes on to fine-tuning.
        now = f"epoch {epoch.epoch}/{epoch.epochs} {epoch.neurons} neurons"
        self._update(now=now, completed=epoch.epoch, total=epoch.epochs)
        if output.verbose:
            self.say(epoch_line(epoch))
        else:
            self._say_now_and_then(epoch_line(epoch))

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        self._end("done")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        self._end("stopped")

    def _end(self, how: str) -> None:
        if self._last is not None:
            self.say(f"{epoch_line(self._last)}  {how} in {self._last.seconds:.2f} s")
        self._number, self._last = "", None
        self._update(description="", now="", total=None)

    def _say_now_and_then(self, text: str) -> None:
        if not self._has_bar and time.monotonic() - self._shown >= _SECONDS_BETWEEN_LINES:
            self.say(text)

    def say(self, text: str) -> None:
        self._shown = time.monotonic()
        if not output.quiet:
            echo(f"{self._number}{text}", err=True)

    def say_how_to_resume(self, error: BaseException) -> None:
        run = self._run
        if run is None or not (isinstance(error, KeyboardInterrupt) or run.kind == "sweep"):
            return
        if read_run(run.folder).status != "finished":
            echo(f"to go on: dbgsom {run.kind} --resume {shell_name(run.folder)}", err=True)
