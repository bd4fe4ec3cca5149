"""``dbgsom run`` and ``dbgsom validate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import (
    name_options,
    plugin_options,
    set_option,
    sklearn_option,
    tell_broken,
)
from dbgsom_core.cli.output import output_options
from dbgsom_core.cli.running import run_all, run_one, to_go_on_with
from dbgsom_core.errors import as_text

if TYPE_CHECKING:
    from dbgsom_core.config import Experiment
    from dbgsom_core.plugins.registry import Registry


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
    from dbgsom_core.config import Sweep, load_experiment

    if not resume:
        experiment = load_experiment(file, overrides, registry)
        return _dry_run(experiment, registry) if dry_run else run_one(experiment, quiet, registry)
    found = to_go_on_with(file, overrides, registry)
    if found is None:
        return 0
    if isinstance(found[0], Sweep):
        return run_all(found[0], quiet, registry, found[1])
    return run_one(found[0], quiet, registry, found[1])


def _dry_run(experiment: Experiment, registry: Registry) -> int:
    from dbgsom_core.plugins.importing import no_exit
    from dbgsom_core.runs.dry_run import forecast

    with no_exit():
        told = forecast(experiment, registry.without(experiment.disabled))
    for name, words in told.lines:
        click.echo(as_text(f"{name:<9} {words}"))
    click.echo("nothing was written")
    return 0


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
        told = f"ok, a sweep of {loaded.runs} runs"
        if loaded.optimization is not None:
            from dbgsom_core.runs.sweeps.optimize import optuna

            optuna()
    else:
        experiments, told = [load_experiment(file, overrides, registry)], "ok"
    from dbgsom_core.runs.data.check import check_experiment

    for experiment in experiments:
        check_experiment(experiment)
    click.echo(f"{file}: {told}")
