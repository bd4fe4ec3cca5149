"""``dbgsom run``, ``sweep`` and ``validate``, their progress, and how they are resumed."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from dbgsom_core.cli.console import (
    echo,
    open_registry,
    option,
    options,
    output,
    output_options,
    plugin_options,
    set_option,
    steps_option,
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
from dbgsom_core.experiments.trackers import Run, RunResult
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.api import check_experiment, execute
from dbgsom_core.runs.callbacks import Tracking, mirror_ended
from dbgsom_core.runs.folder import RunFiles, StoredRun, read_run
from dbgsom_core.runs.stored_runs import (
    find_folder,
    find_run,
    interrupted_run,
    is_complete,
    load,
    load_stored,
    shell_name,
)
from dbgsom_core.tables.safe_files import exists
from dbgsom_core.training.callbacks import line

_SECONDS_BETWEEN_LINES = 2.0


def _overrides(overrides: Sequence[str], name: str | None, tags: Sequence[str]) -> Sequence[str]:
    """Return overrides of keys, those of ``--name`` and ``--tag`` included."""
    named = [*overrides]
    if name is not None:
        named.append(f"name={json.dumps(name, ensure_ascii=False)}")  # text, as ever it looks
    for tag in tags:
        key, equals, value = tag.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"'{tag}' is not written KEY=VALUE", param_hint="--tag")
        named.append(f"tags={json.dumps({key: value}, ensure_ascii=False)}")
    return named


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
@click.argument("file", type=click.Path())
@option("--all show_all", "Show every measure at the end.", is_flag=True)
@run_options
def run(file: str, **how: Any) -> int:
    """Train, measure, draw and log what FILE describes; show what matters most."""
    return _run_file(load_experiment, file, **how)


@click.command()
@click.argument("file", type=click.Path())
@option("-j --jobs", "Runs beside each other, in processes.", type=click.IntRange(1), default=1)
@option("--fail-fast", "End the sweep with the first run that fails.", is_flag=True)
@run_options
def sweep(file: str, **how: Any) -> int:
    """Run every variant that the sweep section of FILE describes."""
    return _run_file(load_sweep, file, **how)


@click.command()
@click.argument("file", type=click.Path())
@set_option
@plugin_options
def validate(file: str, overrides: Sequence[str]) -> None:
    """Check FILE (a run or a sweep) without reading data or training."""
    loaded, experiments = load(file, overrides, open_registry())
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
    folder = find_folder(name, root)
    if folder is not None:
        stored = read_run(folder.absolute())
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
    children = [(StoredRun(name=one["name"]).as_run(), one["measures"]) for one in stored.children]
    result = RunResult(
        stored.measures, children=children, rankings=stored.rankings, run=stored.as_run()
    )
    _print_result(result, tracking, registry, how.get("show_all", False))
    return 0


def _run_loaded(
    loaded: Experiment | Sweep,
    registry: Registry,
    stored: StoredRun | None,
    show_all: bool = False,
    **how: Any,
) -> int:
    is_sweep = isinstance(loaded, Sweep)
    first = loaded.children[0].experiment if isinstance(loaded, Sweep) else loaded
    runs = loaded.runs if isinstance(loaded, Sweep) else 1
    with _ResumeHint() as hint, show_progress(runs) as display:
        display.reads(first.data_called)
        shown = {"display": display} if is_sweep else {}
        result = execute(loaded, registry, [hint, display], stored, **how, **shown)
    _print_result(result, first.tracking, registry, show_all)
    for name, why in result.failed.items():
        echo(f"failed: {name}: {why}", err=True)
    if result.failed and not output.quiet:
        again = f"dbgsom sweep --resume {shell_name(result.run.folder)}"
        echo(f"to run what failed once more: {again}", err=True)
    return 1 if result.failed else 0


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
        if interrupted and read_run(run.folder).status != "finished":
            echo(f"to go on: dbgsom {run.kind} --resume {shell_name(run.folder)}", err=True)


def _print_result(
    result: RunResult, tracking: Tracking, registry: Registry, show_all: bool
) -> None:
    run = result.run
    if output.quiet or run is None:
        return
    name = shell_name(run.folder)
    if run.kind == "sweep":
        rankings = result.rankings
        if rankings:
            print_rankings(rankings, registry)
        else:
            children = [(child.name, measures) for child, measures in result.children]
            print_children(children, registry)
        if any(len(ranking.variants) > 1 and not ranking.verdict for ranking in rankings):
            echo(f"how sure that is: dbgsom compare {name}")
    else:
        if show_all:
            print_measures(result.measures, registry, run.data)
        else:
            print_headline(result.measures, run.config, run.data, name, registry)
        print_clusters(RunFiles(run.folder), run.config)
    _print_paths(run, name, tracking)


def _print_paths(run: Run, name: str, tracking: Tracking) -> None:
    echo(f"run folder: {run.folder}")
    if exists(page := RunFiles(run.folder).page):
        echo(f"report: {page}")
    has_page = False  # `dbgsom ui` shows the first page
    for _, component in tracking:
        tracker = guarded(component)
        try:
            view = None
            if tracker.how_to_compare and (run.kind == "sweep" or not tracker.page):
                view = tracker.how_to_compare([run.folder])
            if not view and tracker.page and not has_page:
                view = f"dbgsom ui {name}"
            if not view and tracker.how_to_open:
                view = tracker.how_to_open()
            sent = tracker.mirrored is None or tracker.mirrored(run.folder)
        except PluginError as error:
            echo(f"warning: {error}", err=True)
            continue
        has_page = has_page or bool(tracker.page)
        if view:
            once = "" if sent else f", once 'dbgsom sync {name}' sent it"
            echo(f"to look at it{once}: {view}")


# ---------------------------------------------------------------------------------- progress


@contextmanager
def show_progress(runs: int = 1) -> Iterator[Any]:
    if output.quiet:
        yield SilentDisplay()
    elif sys.stderr.isatty() and not output.verbose:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), "{task.fields[now]}", TimeRemainingColumn())
        bar = Progress(*columns, console=Console(stderr=True))
        with bar, compile_clock(bar.console.print):
            yield TextDisplay(runs, bar)
    else:
        with compile_clock(functools.partial(echo, err=True)):
            yield TextDisplay(runs)


class TextDisplay:
    """Display of a line at a run's start, every two seconds (every epoch with -v), at its end.

    In a terminal a ``bar`` shows what goes on between.
    """

    def __init__(self, runs: int = 1, bar: Any = None) -> None:
        self._runs, self._begun, self._bar = runs, 0, bar
        self._task = None if bar is None else bar.add_task("", total=None, now="")
        self._number = ""
        self._last: EpochRecord | None = None
        self._shown = time.monotonic()  # when a line was

    def reads(self, what: str) -> None:
        self._update(now=f"reading {as_text(what)}", total=None)

    def dbgsom_run_started(self, run: Run) -> None:
        if run.kind == "run":
            self._begun, self._last = self._begun + 1, None
            self._number = f"[{self._begun}/{self._runs}] " if self._runs > 1 else ""
            self.say(f"{run.name}: {run.data['samples']} × {run.data['features']} samples")
            self._update(now="starting", completed=0, total=run.total_epochs)

    def dbgsom_run_phase(self, run: Run, phase: str) -> None:
        self._update(now=phase)
        if not output.verbose:  # with -v the log has it
            self._say_now_and_then(phase)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        self._last = epoch
        # There are fewer than planned where a full map goes on to fine-tuning.
        now = f"epoch {epoch.epoch}/{epoch.epochs} {epoch.neurons} neurons"
        self._update(now=now, completed=epoch.epoch, total=epoch.epochs)
        self._say_now_and_then(line(epoch), always=bool(output.verbose))

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        self._end("done")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        self._end("stopped")

    def _end(self, how: str) -> None:
        if self._last is not None:
            self.say(f"{line(self._last)}  {how} in {self._last.seconds:.2f} s")
        self._number, self._last = "", None
        self._update(now="", total=None)

    def _update(self, **values: Any) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=self._number, **values)

    def _say_now_and_then(self, text: str, always: bool = False) -> None:
        is_due = time.monotonic() - self._shown >= _SECONDS_BETWEEN_LINES
        if always or (is_due and self._bar is None):
            self.say(text)

    def say(self, text: str) -> None:
        self._shown = time.monotonic()
        text = f"{self._number}{text}"
        if self._bar is None:
            echo(text, err=True)
        else:
            text = wrapped(as_text(text))
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


class SilentDisplay:
    def reads(self, what: str) -> None:
        """Show that data are read, before there is a run."""

    def say(self, text: str) -> None:
        """Show a line."""
