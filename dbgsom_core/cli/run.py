"""``dbgsom run``, ``dbgsom sweep`` and ``dbgsom validate``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import (
    name_options,
    plugin_options,
    set_option,
    sklearn_option,
    tell_broken,
)
from dbgsom_core.cli.output import output_options
from dbgsom_core.errors import PluginError, as_text
from dbgsom_core.interfaces.files import exists
from dbgsom_core.interfaces.privacy import masked

if TYPE_CHECKING:
    from dbgsom_core.config import Experiment, Sweep
    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.interfaces.trackers import Run
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.store import StoredRun


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
@set_option
@name_options
@sklearn_option
@output_options
@plugin_options
def run(
    file: str,
    resume: bool,
    dry_run: bool,
    overrides: Sequence[str],
    quiet: bool,
    registry: Registry,
) -> int:
    """Train, measure, draw and log what FILE describes."""
    tell_broken(registry)
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other")
    if resume:
        return _resume(file, overrides, quiet, registry)
    from dbgsom_core.config import load_experiment

    if dry_run:
        return _dry_run(load_experiment(file, overrides, registry), registry)
    return _run(load_experiment(file, overrides, registry), quiet, registry)


@click.command()
@click.argument("file", type=click.Path())
@set_option
@name_options
@sklearn_option
@output_options
@plugin_options
def sweep(file: str, overrides: Sequence[str], quiet: bool, registry: Registry) -> int:
    """Run every combination of the sweep section of FILE."""
    tell_broken(registry)
    from dbgsom_core.config import load_sweep

    return _sweep(load_sweep(file, overrides, registry), quiet, registry)


def _resume(name: str, overrides: Sequence[str], quiet: bool, registry: Registry) -> int:
    from dbgsom_core.config import Experiment, is_sweep
    from dbgsom_core.runs.finding import find_folder, unknown_run

    root = Path("runs")
    if find_folder(name, root) is None:
        if not exists(name):
            raise unknown_run(name, root)
        is_sweep(name, overrides)  # a file that cannot be read is told before much is imported
    from dbgsom_core.runs import resume
    from dbgsom_core.runs.start import runs_folder

    stored = resume.stored_run(name, root)
    if stored is not None:
        if stored.status == "finished":
            _, experiments = resume.load_stored(stored, (), registry)
            resume.finish_off(stored, experiments[0].tracking)
            click.echo(f"run {stored.id} has finished; there is nothing left to do")
            return 0
        resume.check_can_go_on(stored)
        loaded, _ = resume.load_stored(stored, overrides, registry)
    else:
        loaded, experiments = resume.load(name, overrides, registry)
        stored = resume.interrupted_run(loaded, runs_folder(experiments[0], registry))
        resume.check_can_go_on(stored)
    if isinstance(loaded, Experiment):
        return _run(loaded, quiet, registry, stored)
    return _sweep(loaded, quiet, registry, stored)


def _dry_run(experiment: Experiment, registry: Registry) -> int:
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.dry_run import forecast

    with no_exit():
        told = forecast(experiment, registry.without(experiment.disabled))
    for name, words in told.lines:
        click.echo(as_text(f"{name:<9} {words}"))
    click.echo("nothing was written")
    return 0


def _run(
    experiment: Experiment, quiet: bool, registry: Registry, stored: StoredRun | None = None
) -> int:
    registry = registry.without(experiment.disabled)
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.ends import asked
    from dbgsom_core.runs.pipeline import make_observers, run_experiment

    with no_exit(), asked.heeded(), _told_how_to_go_on() as noted, progress(quiet) as bar:
        patience = experiment.patience
        observers = make_observers(experiment.tracking, registry, [noted, bar], patience)
        outcome = run_experiment(experiment, observers, registry, stored=stored)
    if not quiet:
        from dbgsom_core.cli.tables import measures_table

        measures_table(outcome.result.measures, outcome.result.view)
        _tell_where(outcome.run.folder, experiment.tracking)
    return 0


def _sweep(loaded: Sweep, quiet: bool, registry: Registry, stored: StoredRun | None = None) -> int:
    registry = registry.without(loaded.children[0].experiment.disabled)
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.ends import asked
    from dbgsom_core.runs.pipeline import make_observers
    from dbgsom_core.runs.sweep import run_sweep

    first, children = loaded.children[0].experiment, len(loaded.children)
    tracking = first.tracking
    noting = _told_how_to_go_on()
    with no_exit(), asked.heeded(), noting as noted, progress(quiet, runs=children) as bar:
        observers = make_observers(tracking, registry, [noted, bar], first.patience)
        outcome = run_sweep(loaded, observers, registry, stored)
    if not quiet:
        from dbgsom_core.cli.tables import children_table

        children_table([(one.run.name, one.result.measures) for one in outcome.children])
        _tell_where(outcome.run.folder, tracking)
    for name in outcome.failed:
        click.echo(f"failed: {name}", err=True)
    return 1 if outcome.failed else 0


class _Noted:
    """Notes which run, or which sweep, goes on."""

    run: Run | None = None

    def dbgsom_run_started(self, run: Run) -> None:
        """Note the run."""
        if run.parent is None:
            self.run = run


@contextmanager
def _told_how_to_go_on() -> Iterator[_Noted]:
    noted = _Noted()
    try:
        yield noted
    except KeyboardInterrupt:
        from dbgsom_core.runs.resume import stored_run
        from dbgsom_core.runs.store import read_status

        run = noted.run
        if run is not None and read_status(run.folder).status != "finished":
            by_id = stored_run(run.id, Path("runs"))
            known = by_id is not None and by_id.files.folder == run.folder
            where = run.id if known else shlex.quote(masked(str(run.folder)))
            click.echo(f"to go on: dbgsom run --resume {where}", err=True)
        raise


@click.command()
@click.argument("file", type=click.Path())
@set_option
@plugin_options
def validate(file: str, overrides: Sequence[str], registry: Registry) -> None:
    """Check FILE (a run or a sweep) without reading data or training."""
    from dbgsom_core.config import is_sweep, load_experiment, load_sweep

    if is_sweep(file, overrides):
        loaded = load_sweep(file, overrides, registry)
        experiments = [child.experiment for child in loaded.children]
        told = f"ok, a sweep of {len(experiments)} runs"
    else:
        experiments, told = [load_experiment(file, overrides, registry)], "ok"
    from dbgsom_core.runs.check import check_experiment

    for experiment in experiments:
        check_experiment(experiment)
    click.echo(f"{file}: {told}")


def _tell_where(folder: Any, tracking: Sequence[tuple[str, Component]]) -> None:
    from dbgsom_core.interfaces.trackers import TrackerAbilities

    click.echo(f"run folder: {folder}")
    for _, tracker in tracking:
        how_to_open = TrackerAbilities.of(tracker).how_to_open
        if how_to_open is not None:
            try:
                click.echo(f"to look at it: {how_to_open()}")
            except PluginError as error:
                click.echo(f"warning: {error}", err=True)
