"""Running what a command was given, going on with it, and telling how it went."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbgsom_core.errors import DbgsomError, PluginError, as_text
from dbgsom_core.files import exists
from dbgsom_core.interfaces.privacy import masked

if TYPE_CHECKING:
    from dbgsom_core.config import Experiment, Sweep
    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.interfaces.trackers import Ranking, Run
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun


def go_on(
    name: str,
    overrides: Sequence[str],
    quiet: bool,
    registry: Registry,
    *,
    jobs: int = 1,
    fail_fast: bool = False,
) -> int:
    """Go on with a run or sweep that did not end well; return the exit code.

    ``name`` is its id, its folder or its configuration. Of one that has finished the result is
    shown.
    """
    from dbgsom_core.config import Sweep, is_sweep
    from dbgsom_core.runs.find import find_folder, unknown_run

    root = Path("runs")
    if find_folder(name, root) is None:
        if not exists(name):
            raise unknown_run(name, root)
        is_sweep(name, overrides)  # a file that cannot be read is told before much is imported
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
        if not quiet:
            _show_finished(stored, experiments[0].tracking, registry)
        return 0
    resume.check_not_running(stored)
    if isinstance(loaded, Sweep):
        return run_all(loaded, quiet, registry, stored, jobs=jobs, fail_fast=fail_fast)
    return run_one(loaded, quiet, registry, stored)


def _show_finished(
    stored: StoredRun, tracking: Sequence[tuple[str, Component]], registry: Registry
) -> None:
    from dbgsom_core.cli.tables import children_table, measures_table

    if stored.rankings:
        _show_rankings(stored.rankings, stored.id, stored.files.folder, registry)
    elif stored.kind == "sweep":
        children = [(child["name"], child["measures"]) for child in stored.children]
        children_table(children, registry)
    else:
        measures_table(stored.measures, None, registry)
    tell_where(stored.files.folder, stored.experiment, tracking)


def _show_rankings(rankings: Sequence[Ranking], id: str, folder: Path, registry: Registry) -> None:
    from dbgsom_core.cli.tables import rankings_tables

    rankings_tables(rankings, registry)
    if any(len(one.variants) > 1 and not one.verdict for one in rankings):
        click.echo(f"how sure that is: dbgsom compare {_named(id, folder)}")


def run_one(
    experiment: Experiment, quiet: bool, registry: Registry, stored: StoredRun | None = None
) -> int:
    """Run an experiment and show its measures; return the exit code."""
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.runs.api import execute

    with resume_hint() as hint, progress(quiet) as bar:
        outcome = execute(experiment, registry, [hint, bar], stored)
    if not quiet:
        from dbgsom_core.cli.tables import measures_table

        measures_table(outcome.result.measures, outcome.result.view, registry)
        tell_where(outcome.run.folder, outcome.run.experiment, experiment.tracking)
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
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.runs.api import execute_sweep

    tracking = loaded.children[0].experiment.tracking
    with resume_hint() as hint, progress(quiet, runs=loaded.runs) as bar:
        outcome = execute_sweep(
            loaded, registry, [hint, bar], stored, jobs=jobs, fail_fast=fail_fast, display=bar
        )
    if not quiet:
        from dbgsom_core.cli.tables import children_table

        if outcome.result.rankings:
            run = outcome.run
            _show_rankings(outcome.result.rankings, run.id, run.folder, registry)
        else:
            children = [(one.run.name, one.result.measures) for one in outcome.children]
            children_table(children, registry)
        tell_where(outcome.run.folder, outcome.run.experiment, tracking)
    for name, why in outcome.failed.items():
        click.echo(as_text(f"failed: {name}: {why}"), err=True)
    if outcome.failed and not quiet:
        again = f"dbgsom sweep --resume {_named(outcome.run.id, outcome.run.folder)}"
        click.echo(f"to run what failed once more: {again}", err=True)
    return 1 if outcome.failed else 0


def show_forecast(forecast: Callable[[], Iterable[tuple[str, str]]]) -> int:
    """Show what would happen, as pairs of a name and words; return the exit code."""
    from dbgsom_core.plugins.importing import no_exit

    with no_exit():
        lines = list(forecast())
    for name, words in lines:
        click.echo(as_text(f"{name:<9} {words}"))
    click.echo("nothing was written")
    return 0


class _ResumeHint:
    """A callback that knows which run, or which sweep, goes on."""

    run: Run | None = None

    def dbgsom_run_started(self, run: Run) -> None:
        """Keep the run."""
        if run.parent is None:
            self.run = run


@contextmanager
def resume_hint() -> Iterator[_ResumeHint]:
    """Say how to resume what is interrupted in here; yields a callback."""
    hint = _ResumeHint()
    try:
        yield hint
    except (KeyboardInterrupt, DbgsomError) as error:
        from dbgsom_core.runs.folder import read_status

        run = hint.run
        interrupted = isinstance(error, KeyboardInterrupt) or (run and run.kind == "sweep")
        if run is not None and interrupted and read_status(run.folder).status != "finished":
            command = "sweep" if run.kind == "sweep" else "run"
            click.echo(
                f"to go on: dbgsom {command} --resume {_named(run.id, run.folder)}", err=True
            )
        raise


def _named(id: str, folder: Path) -> str:
    """Return how a command names a run: by its id where that is found, else by its folder."""
    from dbgsom_core.runs.find import find_folder

    by_id = find_folder(id, Path("runs"))
    known = by_id is not None and by_id.absolute() == folder.absolute()
    return id if known else shlex.quote(masked(str(folder)))


def tell_where(folder: Path, experiment: str, tracking: Sequence[tuple[str, Component]]) -> None:
    """Say where a run folder and its report are, and how trackers show the run, or all runs."""
    from dbgsom_core.interfaces.trackers import TrackerAbilities
    from dbgsom_core.runs.folder import RunFiles

    click.echo(f"run folder: {folder}")
    if exists(page := RunFiles(folder).page):
        click.echo(f"report: {page}")
    for _, tracker in tracking:
        abilities = TrackerAbilities.of(tracker)
        try:
            told = abilities.how_to_compare and abilities.how_to_compare(
                [(experiment, folder.name)]
            )
            told = told or (abilities.how_to_open and abilities.how_to_open())
            sent = abilities.mirrored is None or abilities.mirrored(folder)
        except PluginError as error:
            click.echo(f"warning: {error}", err=True)
        else:
            if told:
                run = _named(folder.name, folder)
                once = "" if sent else f", once 'dbgsom sync {run}' sent it"
                click.echo(f"to look at it{once}: {told}")
