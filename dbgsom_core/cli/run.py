"""``dbgsom run``, ``dbgsom sweep`` and ``dbgsom validate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import plugin_options, set_option, show_warnings, tell_broken
from dbgsom_core.errors import PluginError

if TYPE_CHECKING:
    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.plugins.registry import Registry

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")


@click.command()
@click.argument("file", type=click.Path())
@set_option
@quiet_option
@plugin_options
def run(file: str, overrides: Sequence[str], quiet: bool, registry: Registry) -> None:
    """Train, measure, draw and log what FILE describes."""
    show_warnings(quiet)
    tell_broken(registry)
    from dbgsom_core.config import load_experiment

    experiment = load_experiment(file, overrides, registry)
    registry = registry.without(experiment.disabled)
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.ends import asked
    from dbgsom_core.runs.pipeline import make_observers, run_experiment

    with no_exit(), asked.heeded(), progress(quiet) as bar:
        patience = experiment.patience
        observers = make_observers(experiment.tracking, registry, [bar], patience)
        outcome = run_experiment(experiment, observers, registry)
    if not quiet:
        from dbgsom_core.cli.tables import measures_table

        measures_table(outcome.result.measures, outcome.result.view)
        _tell_where(outcome.run.folder, experiment.tracking)


@click.command()
@click.argument("file", type=click.Path())
@set_option
@quiet_option
@plugin_options
def sweep(file: str, overrides: Sequence[str], quiet: bool, registry: Registry) -> int:
    """Run every combination of the sweep section of FILE."""
    show_warnings(quiet)
    tell_broken(registry)
    from dbgsom_core.config import load_sweep

    loaded = load_sweep(file, overrides, registry)
    registry = registry.without(loaded.children[0].experiment.disabled)
    from dbgsom_core.cli.progress import progress
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.ends import asked
    from dbgsom_core.runs.pipeline import make_observers
    from dbgsom_core.runs.sweep import run_sweep

    first = loaded.children[0].experiment
    tracking = first.tracking
    with no_exit(), asked.heeded(), progress(quiet, runs=len(loaded.children)) as bar:
        observers = make_observers(tracking, registry, [bar], first.patience)
        outcome = run_sweep(loaded, observers, registry)
    if not quiet:
        from dbgsom_core.cli.tables import children_table

        children_table([(one.run.name, one.result.measures) for one in outcome.children])
        _tell_where(outcome.run.folder, tracking)
    for name in outcome.failed:
        click.echo(f"failed: {name}", err=True)
    return 1 if outcome.failed else 0


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
    from dbgsom_core.runs.pipeline import make_estimator

    for experiment in experiments:
        make_estimator(experiment)
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
