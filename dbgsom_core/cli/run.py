"""``dbgsom run``, ``sweep`` and ``validate``, going on with what was interrupted, and ``sync``."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Sequence
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
    runs_option,
    set_option,
    setting,
)
from dbgsom_core.errors import DbgsomError, PluginError
from dbgsom_core.interfaces.guard import error_line
from dbgsom_core.interfaces.privacy import shell_word
from dbgsom_core.tables._files import exists

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

    def quote(text: str) -> str:  # text, whatever it looks like in YAML
        return json.dumps(text, ensure_ascii=False)

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
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a run or sweep that was interrupted: FILE is its configuration, or the id or "
    "folder of the run.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what the run would take and write, by a probe of some seconds; write nothing.",
)
@run_options
def run(file: str, resume: bool, dry_run: bool, overrides: Sequence[str]) -> int:
    """Train, measure, draw and log what FILE describes."""
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other")
    registry = open_registry(warn=True)
    if resume:
        return _resume(file, overrides, registry)
    from dbgsom_core.config import load_experiment

    experiment = load_experiment(file, overrides, registry)
    if not dry_run:
        return _run_experiment(experiment, registry)
    from dbgsom_core.runs.dry_run import forecast

    lines = list(forecast(experiment, registry.without(experiment.disabled)).lines)
    return _print_forecast(lines)


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
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a sweep that was interrupted or has failed runs: FILE is its configuration, "
    "or its id or folder. Finished runs are kept.",
)
@click.option("--fail-fast", is_flag=True, help="End the sweep with the first run that fails.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say which runs there would be and what they would take, by a probe of the first; "
    "write nothing.",
)
@run_options
def sweep(
    file: str, jobs: int, resume: bool, fail_fast: bool, dry_run: bool, overrides: Sequence[str]
) -> int:
    """Run every variant that the sweep section of FILE describes."""
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other")
    registry = open_registry(warn=True)
    if resume:
        return _resume(file, overrides, registry, jobs=jobs, fail_fast=fail_fast)
    from dbgsom_core.config import load_sweep

    loaded = load_sweep(file, overrides, registry)
    if not dry_run:
        return _run_sweep(loaded, registry, jobs=jobs, fail_fast=fail_fast)
    from dbgsom_core.runs.dry_run import forecast_sweep

    registry = registry.without(loaded.children[0].experiment.disabled)
    lines = list(forecast_sweep(loaded, registry, jobs))
    return _print_forecast(lines)


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


@click.command()
@click.argument("what", metavar="[EXPERIMENT|RUN]…", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only list the runs that trackers lack.")
@runs_option
def sync(what: Sequence[str], dry_run: bool, runs: str) -> int:
    """Bring the trackers up to date with the run folders of EXPERIMENTs and RUNs (all without).

    A RUN is a folder, an id or the end of one; a sweep stands for its runs, too. What a tracker has
    already is not sent twice. Runs whose process died without a word are closed as killed, runs
    that still go on are left to their process.
    """
    from dbgsom_core.runs.find import has_died

    registry = open_registry()
    sent = complete = failed = running = 0
    for stored in _runs_to_sync(what, Path(runs), dry_run):
        if stored.damage:
            failed += 1
            click.echo(f"{stored.files.folder}: damaged: {stored.damage}", err=True)
            continue
        goes_on = stored.status == "running" and not has_died(stored)
        running += goes_on
        if goes_on or not stored.files.config.exists():
            continue  # a run that was killed at its very start has nothing to send
        try:
            lacking, others = _sync_run(stored, registry, dry_run)
            sent, complete = sent + lacking, complete + others
        except Exception as error:  # whatever it is, the other runs are sent
            failed += 1
            reason = error if isinstance(error, DbgsomError) else error_line(error)
            click.echo(f"{stored.files.folder}: {reason}", err=True)
    before = f"; {complete} {'are' if dry_run else 'were'} already" if complete else ""
    click.echo(f"{sent} run(s) {'to be ' if dry_run else ''}brought up to date{before}")
    if running:
        click.echo(f"{running} run(s) still go on, as far as can be seen from here")
    return 1 if failed else 0


# ------------------------------------------------------------------------------- run, sweep, resume


def _run_experiment(
    experiment: Experiment, registry: Registry, stored: StoredRun | None = None
) -> int:
    """Run an experiment and print its measures; return the exit code."""
    from dbgsom_core.cli.progress import show_progress
    from dbgsom_core.runs.api import execute

    # Scikit-learn imports scipy.stats, half a second of work, which few runs use.
    with lazy_import("scipy.stats"), _ResumeHint() as hint, show_progress() as display:
        outcome = execute(experiment, registry, [hint, display], stored)
    if not output.quiet:
        from dbgsom_core.cli.tables import print_measures

        print_measures(outcome.result.measures, outcome.result.view, registry)
        _print_places(outcome.run.folder, experiment.tracking)
    return 0


def _run_sweep(
    loaded: Sweep,
    registry: Registry,
    stored: StoredRun | None = None,
    jobs: int = 1,
    fail_fast: bool = False,
) -> int:
    """Run a sweep and print the ranking of its variants; return the exit code."""
    from dbgsom_core.cli.progress import show_progress
    from dbgsom_core.runs.api import execute_sweep

    with _ResumeHint() as hint, show_progress(loaded.runs) as display:
        callbacks = [hint, display]
        outcome = execute_sweep(
            loaded, registry, callbacks, stored, jobs=jobs, fail_fast=fail_fast, display=display
        )
    folder = outcome.run.folder
    if not output.quiet:
        children = [(child.run.name, child.result.measures) for child in outcome.children]
        _print_sweep(outcome.result.rankings, children, folder, registry)
        tracking = loaded.children[0].experiment.tracking
        _print_places(folder, tracking)
    for name, why in outcome.failed.items():
        click.echo(f"failed: {name}: {why}", err=True)
    if outcome.failed and not output.quiet:
        again = f"dbgsom sweep --resume {_shell_name(folder)}"
        click.echo(f"to run what failed once more: {again}", err=True)
    return 1 if outcome.failed else 0


def _resume(
    name: str,
    overrides: Sequence[str],
    registry: Registry,
    jobs: int = 1,
    fail_fast: bool = False,
) -> int:
    """Go on with a run or sweep, named by id, folder or configuration; return the exit code.

    Of one that has finished the result is printed.
    """
    from dbgsom_core.config import Sweep, is_sweep
    from dbgsom_core.runs.find import find_folder, unknown_run

    root = Path("runs")
    if find_folder(name, root) is None:
        if not exists(name):
            raise unknown_run(name, root)
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
    if resume.is_complete(stored, loaded):
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
    resume.check_not_running(stored)
    if isinstance(loaded, Sweep):
        return _run_sweep(loaded, registry, stored, jobs=jobs, fail_fast=fail_fast)
    return _run_experiment(loaded, registry, stored)


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


def _print_forecast(lines: Iterable[tuple[str, str]]) -> int:
    for name, text in lines:
        click.echo(f"{name:<9} {text}")
    click.echo("nothing was written")
    return 0


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


# ------------------------------------------------------------------------------------------- sync


def _runs_to_sync(what: Sequence[str], root: Path, dry_run: bool) -> list[StoredRun]:
    """Return the named runs, each once, a sweep before its runs; dead ones are closed."""
    from dbgsom_core.runs.find import find_run, mark_killed_runs, remove_empty_folders
    from dbgsom_core.runs.folder import find_experiments, find_runs

    if not what and not dry_run:
        remove_empty_folders(root)
    experiments = find_experiments(root)
    found: list[StoredRun] = []
    for name in what or experiments:
        if name in experiments:
            if not dry_run:
                mark_killed_runs(root, name)
            found += find_runs(root, name)
            continue
        stored, _ = find_run(name, root)
        found.append(stored)
        if stored.kind == "sweep":
            folder = stored.files.folder
            siblings = find_runs(folder.parents[1], folder.parent.name)
            found += [child for child in siblings if child.parent == stored.id]
    return list({stored.files.folder.absolute(): stored for stored in found}.values())


def _sync_run(stored: StoredRun, registry: Registry, dry_run: bool) -> tuple[int, int]:
    """Bring the trackers of a run up to date, or list what they lack.

    Returns how many trackers lacked something, and how many did not.
    """
    from dbgsom_core.interfaces.trackers import TrackerAbilities
    from dbgsom_core.runs.callbacks import tracking_of

    folder, lacking, complete = stored.files.folder, 0, 0
    for name, tracker in tracking_of(stored, registry):
        abilities = TrackerAbilities.of(tracker)
        if abilities.mirror is None:
            continue
        if not dry_run:
            up_to_date = abilities.mirror(folder) is False
        else:
            up_to_date = bool(abilities.mirrored and abilities.mirrored(folder))
            if not up_to_date:
                click.echo(f"{folder}: {stored.status}, not in {name} as it is")
        complete += up_to_date
        lacking += not up_to_date
    return lacking, complete
