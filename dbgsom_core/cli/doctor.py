"""``dbgsom doctor``: whether this machine is ready to train."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import limit_option, plugin_options
from dbgsom_core.errors import as_text

if TYPE_CHECKING:
    from dbgsom_core.config import Experiment
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.doctor import Check

_SIGNS = {"ok": ("✓", "ok", "green"), "warning": ("!", "!", "yellow"), "broken": ("✗", "x", "red")}


@click.command()
@click.argument("file", required=False, type=click.Path())
@click.option("--warm", is_flag=True, help="Compile all loops, so that no run waits for them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
@limit_option(60, "What a single import of a plugin may take.")
@plugin_options
def doctor(
    file: str | None, warm: bool, as_json: bool, runs: str, limit: float, registry: Registry
) -> int:
    """Say whether this machine is ready to train.

    Versions, threads, compiled loops, plugins, trackers, runs and disks are looked at; trackers are
    those of FILE, or MLflow in mlflow.db. Nothing is changed, but for --warm, which fills the cache
    of compiled loops. Exit code 1 when something is broken.
    """
    experiment = None if file is None else _first(file, registry)
    warmed = _warm(registry, quiet=as_json) if warm else []
    from dbgsom_core.runs.doctor import examine

    found = []
    for one in (*warmed, *examine(experiment, registry, Path(runs), limit)):
        found.append(one)
        if not as_json:
            _print(one)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    return 1 if any(one.state == "broken" for one in found) else 0


def _first(file: str, registry: Registry) -> Experiment:
    from dbgsom_core.config import is_sweep, load_experiment, load_sweep

    if is_sweep(file):
        return load_sweep(file, registry=registry).children[0].experiment
    return load_experiment(file, registry=registry)


def _warm(registry: Registry, quiet: bool) -> list[Check]:
    from dbgsom_core.runs.doctor import Check
    from dbgsom_core.runs.warm import compiled_loops, warm

    def tell(name: str) -> None:
        if sys.stderr.isatty() and not quiet:
            click.echo(f"\rcompiling: {as_text(name):<60.60}", err=True, nl=False)

    before = compiled_loops() or 0
    seconds, failed = warm(registry, tell)
    if sys.stderr.isatty() and not quiet:
        click.echo(f"\r{'':<71}\r", err=True, nl=False)
    told = f"{(compiled_loops() or 0) - before} compiled in {seconds:.1f} s"
    return [
        Check("ok", "warm", told if seconds else "there was nothing left to compile"),
        *(Check("warning", "warm", one, "dbgsom plugins check") for one in failed),
    ]


def _print(one: Check) -> None:
    from rich.console import Console
    from rich.text import Text

    sign, plain, colour = _SIGNS[one.state]
    arrow = "→"
    try:
        f"{sign}{arrow}".encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        sign, arrow = plain, "->"
    cure = f" {arrow} {one.cure}" if one.cure else ""
    told = as_text(f" {one.name}: {one.told}{cure}").replace("\n", "\\n")
    Console(highlight=False).print(Text.assemble((sign, colour), told), soft_wrap=True)
