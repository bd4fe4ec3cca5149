"""``dbgsom sweep``."""

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
@set_option
@name_options
@sklearn_option
@output_options
@plugin_options
def sweep(
    file: str,
    jobs: int,
    resume: bool,
    fail_fast: bool,
    overrides: Sequence[str],
    quiet: bool,
    registry: Registry,
) -> int:
    """Run every variant that the sweep section of FILE describes."""
    tell_broken(registry)
    from dbgsom_core.config import Experiment, load_sweep

    if not resume:
        loaded = load_sweep(file, overrides, registry)
        return run_all(loaded, quiet, registry, jobs=jobs, fail_fast=fail_fast)
    found = to_go_on_with(file, overrides, registry)
    if found is None:
        return 0
    if isinstance(found[0], Experiment):
        return run_one(found[0], quiet, registry, found[1])
    return run_all(found[0], quiet, registry, found[1], jobs=jobs, fail_fast=fail_fast)
