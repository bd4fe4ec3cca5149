"""``dbgsom doctor``: whether this machine is ready to train."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import (
    json_option,
    limit_option,
    open_registry,
    plugin_options,
    runs_option,
)
from dbgsom_core.errors import as_text

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.doctor import Check

_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


@click.command()
@click.argument("file", required=False, type=click.Path())
@click.option("--warm", is_flag=True, help="Compile all loops, so that no run waits for them.")
@json_option(help="Print JSON.")
@runs_option
@limit_option(default=60, help="What a single import of a plugin may take.")
@plugin_options
def doctor(file: str | None, warm: bool, as_json: bool, runs: str, limit: float) -> int:
    """Say whether this machine is ready to train.

    Versions, threads, compiled loops, plugins, trackers, runs and disks are looked at; trackers are
    those of FILE, or the default ones. Nothing is changed, but for --warm, which fills the cache
    of compiled loops. Exit code 1 when something is broken.
    """
    from rich.console import Console
    from rich.text import Text

    from dbgsom_core.config import is_sweep, load_experiment, load_sweep

    registry, experiment = open_registry(), None
    if file is not None and is_sweep(file):
        experiment = load_sweep(file, registry=registry).children[0].experiment
    elif file is not None:
        experiment = load_experiment(file, registry=registry)
    warmed = _warm(registry, show=sys.stderr.isatty() and not as_json) if warm else []
    from dbgsom_core.runs.doctor import examine

    found = []
    console = Console(highlight=False)
    for check in (*warmed, *examine(experiment, registry, Path(runs), limit)):
        found.append(check)
        if not as_json:
            hint = f" → {check.hint}" if check.hint else ""
            text = as_text(f" {check.name}: {check.message}{hint}").replace("\n", "\\n")
            console.print(Text.assemble(_SIGNS[check.state], text), soft_wrap=True)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in found], indent=2))
    return 1 if any(check.state == "broken" for check in found) else 0


def _warm(registry: Registry, *, show: bool) -> list[Check]:
    from dbgsom_core.runs.doctor import Check
    from dbgsom_core.runs.warm import compiled_loops, warm

    def show_name(name: str) -> None:
        if show:
            click.echo(f"\rcompiling: {name:<60.60}", err=True, nl=False)

    before = compiled_loops() or 0
    seconds, failed = warm(registry, show_name)
    if show:
        click.echo(f"\r{'':<71}\r", err=True, nl=False)
    compiled = f"{(compiled_loops() or 0) - before} compiled in {seconds:.1f} s"
    return [
        Check("ok", "warm", compiled if seconds else "there was nothing left to compile"),
        *(Check("warning", "warm", name, "dbgsom plugins check") for name in failed),
    ]
