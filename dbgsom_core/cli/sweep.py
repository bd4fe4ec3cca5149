"""``dbgsom sweep``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import run_options
from dbgsom_core.cli.running import go_on, run_all, show_forecast

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry


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
    help="Say which runs there would be and what they would take, by short probes of some "
    "variants; write nothing.",
)
@run_options
def sweep(
    file: str,
    jobs: int,
    resume: bool,
    fail_fast: bool,
    dry_run: bool,
    overrides: Sequence[str],
    quiet: bool,
    registry: Registry,
) -> int:
    """Run every variant that the sweep section of FILE describes."""
    if resume and dry_run:
        raise click.UsageError("--resume and --dry-run exclude each other")
    if resume:
        return go_on(file, overrides, quiet, registry, jobs=jobs, fail_fast=fail_fast)
    from dbgsom_core.config import load_sweep

    loaded = load_sweep(file, overrides, registry)
    if not dry_run:
        return run_all(loaded, quiet, registry, jobs=jobs, fail_fast=fail_fast)
    from dbgsom_core.runs.sweeps.forecast import forecast_sweep

    registry = registry.without(loaded.children[0].experiment.disabled)
    return show_forecast(lambda: forecast_sweep(loaded, registry, jobs))
