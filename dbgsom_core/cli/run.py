"""``dbgsom run`` and ``dbgsom validate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import plugin_options, run_options, set_option
from dbgsom_core.cli.running import go_on, run_one, show_forecast

if TYPE_CHECKING:
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
@run_options
def run(
    file: str,
    resume: bool,
    dry_run: bool,
    overrides: Sequence[str],
    quiet: bool,
    registry: Registry,
) -> int:
    """Train, measure, draw and log what FILE describes."""
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other")
    if resume:
        return go_on(file, overrides, quiet, registry)
    from dbgsom_core.config import load_experiment

    experiment = load_experiment(file, overrides, registry)
    if not dry_run:
        return run_one(experiment, quiet, registry)
    from dbgsom_core.runs.dry_run import forecast

    registry = registry.without(experiment.disabled)
    return show_forecast(lambda: forecast(experiment, registry).lines)


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
    from dbgsom_core.runs.check import check_experiment

    for experiment in experiments:
        check_experiment(experiment)
    click.echo(f"{file}: {told}")
