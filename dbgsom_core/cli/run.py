"""``dbgsom run``, ``sweep`` and ``validate``, and going on with what was interrupted."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import output
from dbgsom_core.cli.options import (
    Command,
    lazy_import,
    open_registry,
    options,
    output_options,
    plugin_options,
    set_option,
    setting,
)
from dbgsom_core.errors import DbgsomError, PluginError
from dbgsom_core.interfaces.privacy import shell_word
from dbgsom_core.tables.safe_files import exists

if TYPE_CHECKING:
    from dbgsom_core.config import Experiment, Sweep
    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.interfaces.trackers import Ranking, Run
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun

    Tracking = Sequence[tuple[str, Component]]


# ------------------------------------------------------------ options that stand for keys of YAML


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
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with what was interrupted, or failed: FILE is its configuration, or its id or "
        "folder. What has finished is kept.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Say what would be run, taken and written, by a probe of some seconds; write nothing.",
    ),
    set_option,
    click.option("--name", metavar="TEXT", help="Name of the run; made from its parts without."),
    click.option(
        "--tag",
        "tags",
        metavar="KEY=VALUE",
        multiple=True,
        help="Tag of the run, as a key under tags; may be repeated.",
    ),
    setting(
        "--sklearn-only",
        lambda wanted: os.environ.update(DBGSOM_SKLEARN_ONLY="1"),  # for processes of a sweep, too
        "Import no prepare step but those of scikit-learn.",
        is_flag=True,
    ),
    output_options,
    plugin_options,
    _collect_overrides,
)

# --------------------------------------------------------------------------------------- commands


@click.command()
@click.argument("file", type=click.Path())
@run_options
def run(file: str, overrides: Sequence[str], **how: bool) -> int:
    """Train, measure, draw and log what FILE describes."""
    return _run_file(file, overrides, is_sweep=False, **how)


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Runs beside each other, each in a process of its own; results are the same.",
)
@click.option("--fail-fast", is_flag=True, help="End the sweep with the first run that fails.")
@run_options
def sweep(file: str, overrides: Sequence[str], **how: Any) -> int:
    """Run every variant that the sweep section of FILE describes."""
    return _run_file(file, overrides, is_sweep=True, **how)


def _run_file(
    file: str,
    overrides: Sequence[str],
    *,
    is_sweep: bool,
    resume: bool,
    dry_run: bool,
    jobs: int = 1,
    fail_fast: bool = False,
) -> int:
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other")
    registry = open_registry(warn=True)
    if resume:
        return _resume(file, overrides, registry, jobs, fail_fast)
    from dbgsom_core.config import load_experiment, load_sweep

    loaded = (load_sweep if is_sweep else load_experiment)(file, overrides, registry)
    if not dry_run:
        return _run_loaded(loaded, registry, None, jobs, fail_fast)
    from dbgsom_core.config import Sweep
    from dbgsom_core.runs.dry_run import forecast, forecast_sweep

    if isinstance(loaded, Sweep):
        enabled = registry.without(loaded.children[0].experiment.disabled)
        lines = forecast_sweep(loaded, enabled, jobs)
    else:
        lines = forecast(loaded, registry.without(loaded.disabled)).lines
    for name, text in lines:
        click.echo(f"{name:<9} {text}")
    click.echo("nothing was written")
    return 0


@click.command()
@click.argument("file", type=click.Path())
@set_option
@plugin_options
def validate(file: str, overrides: Sequence[str]) -> None:
    """Check FILE (a run or a sweep) without reading data or training."""
    from dbgsom_core.config import is_sweep, load_experiment, load_sweep

    registry = open_registry()
    if is_sweep(file, overrides):
        loaded = load_sweep(file, overrides, registry)
        experiments = [child.experiment for child in loaded.children]
        answer = f"ok, a sweep of {loaded.runs} runs"
        if loaded.optimization is not None:
            from dbgsom_core.runs.sweeps.optimize import optuna

            optuna()
    else:
        experiments, answer = [load_experiment(file, overrides, registry)], "ok"
    from dbgsom_core.runs.check import check_experiment

    for experiment in experiments:
        check_experiment(experiment)
    click.echo(f"{file}: {answer}")


# ------------------------------------------------------------------------------- run, sweep, resume


def _run_loaded(
    loaded: Experiment | Sweep,
    registry: Registry,
    stored: StoredRun | None,
    jobs: int,
    fail_fast: bool,
) -> int:
    """Run an experiment or a sweep and print its result; return the exit code."""
    from dbgsom_core.cli.progress import show_progress
    from dbgsom_core.config import Sweep
    from dbgsom_core.runs.api import execute, execute_sweep

    if not isinstance(loaded, Sweep):
        # Scikit-learn imports scipy.stats, half a second of work, which few runs use.
        with lazy_import("scipy.stats"), _ResumeHint() as hint, show_progress() as display:
            done = execute(loaded, registry, [hint, display], stored)
        if not output.quiet:
            from dbgsom_core.cli.tables import print_measures

            print_measures(done.result.measures, done.result.view, registry)
            _print_places(done.run.folder, loaded.tracking)
        return 0
    with _ResumeHint() as hint, show_progress(loaded.runs) as display:
        callbacks = [hint, display]
        outcome = execute_sweep(
            loaded, registry, callbacks, stored, jobs=jobs, fail_fast=fail_fast, display=display
        )
    folder = outcome.run.folder
    if not output.quiet:
        children = [(child.run.name, child.result.measures) for child in outcome.children]
        _print_sweep(outcome.result.rankings, children, folder, registry)
        _print_places(folder, loaded.children[0].experiment.tracking)
    for name, why in outcome.failed.items():
        click.echo(f"failed: {name}: {why}", err=True)
    if outcome.failed and not output.quiet:
        again = f"dbgsom sweep --resume {_shell_name(folder)}"
        click.echo(f"to run what failed once more: {again}", err=True)
    return 1 if outcome.failed else 0


def _resume(
    name: str, overrides: Sequence[str], registry: Registry, jobs: int, fail_fast: bool
) -> int:
    """Go on with a run or sweep, named by id, folder or configuration; return the exit code.

    Of one that has finished the result is printed.
    """
    from dbgsom_core.config import is_sweep
    from dbgsom_core.runs.find import find_folder, find_run

    root = Path("runs")
    if find_folder(name, root) is None:
        if not exists(name):
            find_run(name, root, besides=" and no configuration")  # says what is meant
        is_sweep(name, overrides)  # reports an unreadable file before much is imported
    from dbgsom_core.runs import resume
    from dbgsom_core.runs.callbacks import runs_folder

    stored = resume.stored_run(name, root)
    if stored is None:
        loaded, experiments = resume.load(name, overrides, registry)
        stored = resume.interrupted_run(loaded, runs_folder(experiments[0], registry))
    else:
        resume.check_not_running(stored)
        loaded, experiments = resume.load_stored(stored, overrides, registry)
    if not resume.is_complete(stored, loaded):
        resume.check_not_running(stored)
        return _run_loaded(loaded, registry, stored, jobs, fail_fast)
    resume.finish_off(stored, experiments[0].tracking)
    click.echo(f"{stored.kind} {stored.id} has finished; there is nothing left to do")
    if not output.quiet:
        if stored.kind == "sweep":
            children = [(child["name"], child["measures"]) for child in stored.children]
            _print_sweep(stored.rankings, children, stored.files.folder, registry)
        else:
            from dbgsom_core.cli.tables import print_measures

            print_measures(stored.measures, None, registry)
        _print_places(stored.files.folder, experiments[0].tracking)
    return 0


class _ResumeHint:
    """Context and callback that prints how to go on with a run, or sweep, that is interrupted."""

    _run: Run | None = None

    def dbgsom_run_started(self, run: Run) -> None:
        """Keep the run."""
        if run.parent is None:
            self._run = run

    def __enter__(self) -> _ResumeHint:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        run = self._run
        if run is None or not isinstance(error, (KeyboardInterrupt, DbgsomError)):
            return
        from dbgsom_core.runs.folder import read_status

        interrupted = isinstance(error, KeyboardInterrupt) or run.kind == "sweep"
        if interrupted and read_status(run.folder).status != "finished":
            command = f"dbgsom {run.kind} --resume {_shell_name(run.folder)}"
            click.echo(f"to go on: {command}", err=True)


# ---------------------------------------------------------------------------------------- results


def _print_sweep(
    rankings: Sequence[Ranking], children: Sequence[Any], folder: Path, registry: Registry
) -> None:
    from dbgsom_core.cli.tables import print_children, print_rankings

    if not rankings:
        print_children(children, registry)
        return
    print_rankings(rankings, registry)
    if any(len(ranking.variants) > 1 and not ranking.verdict for ranking in rankings):
        click.echo(f"how sure that is: dbgsom compare {_shell_name(folder)}")


def _print_places(folder: Path, tracking: Tracking) -> None:
    """Print where a run folder and its report are, and how trackers show the run, or all runs."""
    from dbgsom_core.interfaces.trackers import TrackerAbilities
    from dbgsom_core.runs.folder import RunFiles

    click.echo(f"run folder: {folder}")
    if exists(page := RunFiles(folder).page):
        click.echo(f"report: {page}")
    for _, tracker in tracking:
        abilities = TrackerAbilities.of(tracker)
        try:
            view = abilities.how_to_compare and abilities.how_to_compare([folder])
            view = view or (abilities.how_to_open and abilities.how_to_open())
            sent = abilities.mirrored is None or abilities.mirrored(folder)
        except PluginError as error:
            click.echo(f"warning: {error}", err=True)
            continue
        if view:
            once = "" if sent else f", once 'dbgsom sync {_shell_name(folder)}' sent it"
            click.echo(f"to look at it{once}: {view}")


def _shell_name(folder: Path) -> str:
    """Return how a command names a run: by its id where that is found, else by its folder."""
    from dbgsom_core.runs.find import find_folder

    found = find_folder(folder.name, Path("runs"))
    known = found is not None and found.absolute() == folder.absolute()
    return folder.name if known else shell_word(str(folder))
