"""Running what a command was given, going on with it, and telling how it went."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.errors import DbgsomError, PluginError, as_text
from dbgsom_core.interfaces.files import exists
from dbgsom_core.interfaces.privacy import masked

if TYPE_CHECKING:
    from dbgsom_core.config import Experiment, Sweep
    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.interfaces.trackers import Run
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder.store import StoredRun


def to_go_on_with(
    name: str, overrides: Sequence[str], registry: Registry
) -> tuple[Experiment | Sweep, StoredRun] | None:
    """Return a run or sweep that did not end well, with what its configuration describes.

    ``name`` is its id, its folder or its configuration. None: it has finished, which is told.
    """
    from dbgsom_core.config import is_sweep
    from dbgsom_core.runs.folder.finding import find_folder, unknown_run

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
            loaded, experiments = resume.load_stored(stored, (), registry)
            if resume.is_whole(stored, loaded):
                resume.finish_off(stored, experiments[0].tracking)
                click.echo(f"run {stored.id} has finished; there is nothing left to do")
                return None
        resume.check_can_go_on(stored)
        loaded, _ = resume.load_stored(stored, overrides, registry)
    else:
        loaded, experiments = resume.load(name, overrides, registry)
        stored = resume.interrupted_run(loaded, runs_folder(experiments[0], registry))
        resume.check_can_go_on(stored)
    return loaded, stored


def run_one(
    experiment: Experiment, quiet: bool, registry: Registry, stored: StoredRun | None = None
) -> int:
    """Run an experiment and show its measures; return the exit code."""
    registry = registry.without(experiment.disabled)
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.ends import asked
    from dbgsom_core.runs.pipeline import make_observers, run_experiment

    with no_exit(), asked.heeded(), told_how_to_go_on() as noted, progress(quiet) as bar:
        patience = experiment.patience
        observers = make_observers(experiment.tracking, registry, [noted, bar], patience)
        outcome = run_experiment(experiment, observers, registry, stored=stored)
    if not quiet:
        from dbgsom_core.cli.tables import measures_table

        measures_table(outcome.result.measures, outcome.result.view)
        tell_where(outcome.run.folder, experiment.tracking)
    return 0


def run_all(
    loaded: Sweep,
    quiet: bool,
    registry: Registry,
    stored: StoredRun | None = None,
    *,
    jobs: int = 1,
    fail_fast: bool = False,
) -> int:
    """Run a sweep and show how its variants stand; return the exit code."""
    first = loaded.children[0].experiment
    registry, tracking = registry.without(first.disabled), first.tracking
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.ends import asked
    from dbgsom_core.runs.pipeline import make_observers
    from dbgsom_core.runs.sweeps.sweep import run_sweep

    noting = told_how_to_go_on()
    with no_exit(), asked.heeded(), noting as noted, progress(quiet, runs=loaded.runs) as bar:
        observers = make_observers(tracking, registry, [noted, bar], first.patience)
        outcome = run_sweep(
            loaded, observers, registry, stored, jobs=jobs, fail_fast=fail_fast, display=bar
        )
    if not quiet:
        from dbgsom_core.cli.tables import children_table, rankings_tables

        if outcome.result.rankings:
            rankings_tables(outcome.result.rankings)
        else:
            children_table([(one.run.name, one.result.measures) for one in outcome.children])
        if any(len(one.variants) > 1 for one in outcome.result.rankings):
            click.echo(f"how sure that is: dbgsom compare {_named(outcome.run)}")
        tell_where(outcome.run.folder, tracking)
    for name, why in outcome.failed.items():
        click.echo(as_text(f"failed: {name}: {why}"), err=True)
    if outcome.failed and not quiet:
        again = f"dbgsom sweep --resume {_named(outcome.run)}"
        click.echo(f"to run what failed once more: {again}", err=True)
    return 1 if outcome.failed else 0


class _Noted:
    """Notes which run, or which sweep, goes on."""

    run: Run | None = None

    def dbgsom_run_started(self, run: Run) -> None:
        """Note the run."""
        if run.parent is None:
            self.run = run


@contextmanager
def told_how_to_go_on() -> Iterator[_Noted]:
    """Say how to go on with what is interrupted in here; yields an observer."""
    noted = _Noted()
    try:
        yield noted
    except (KeyboardInterrupt, DbgsomError) as error:
        from dbgsom_core.runs.folder.store import read_status

        run = noted.run
        interrupted = isinstance(error, KeyboardInterrupt) or (run and run.kind == "sweep")
        if run is not None and interrupted and read_status(run.folder).status != "finished":
            command = "sweep" if run.kind == "sweep" else "run"
            click.echo(f"to go on: dbgsom {command} --resume {_named(run)}", err=True)
        raise


def _named(run: Run) -> str:
    """Return how a command names a run: by its id where that is found, else by its folder."""
    from dbgsom_core.runs.resume import stored_run

    by_id = stored_run(run.id, Path("runs"))
    known = by_id is not None and by_id.files.folder == run.folder
    return run.id if known else shlex.quote(masked(str(run.folder)))


def tell_where(folder: Any, tracking: Sequence[tuple[str, Component]]) -> None:
    """Say where a run folder is, and how trackers show it."""
    from dbgsom_core.interfaces.trackers import TrackerAbilities

    click.echo(f"run folder: {folder}")
    for _, tracker in tracking:
        how_to_open = TrackerAbilities.of(tracker).how_to_open
        if how_to_open is not None:
            try:
                click.echo(f"to look at it: {how_to_open()}")
            except PluginError as error:
                click.echo(f"warning: {error}", err=True)
