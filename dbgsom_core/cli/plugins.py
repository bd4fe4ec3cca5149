"""``dbgsom plugins``: what is installed and in what state; making, showing and testing plugins."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import Commands, limit_option, plugin_options, plugin_options_apart
from dbgsom_core.cli.plugins_check import check_plugins
from dbgsom_core.cli.plugins_show import show_component

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry


@click.group(cls=Commands)
def plugins() -> None:
    """Look at installed plugins, test them, or begin one."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def list_plugins(as_json: bool, registry: Registry) -> None:
    """List every component by kind, prepare steps, and the plugins that could not be loaded."""
    components = _components(registry)
    if as_json:
        click.echo(json.dumps({"plugins": _records(registry), "components": components}, indent=2))
        return
    _print_components(components)
    for record in registry.records:
        if record.status != "ok":
            error = f": {record.error}" if record.error else ""
            who = f"{record.name} of {record.distribution} {record.version}"
            click.echo(f"{record.status}: {who}{error}", err=True)


@plugins.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with tracebacks.")
@click.option("--details", is_flag=True, help="Show tracebacks.")
@click.option("--runs", default="runs", show_default=True, help="Folder that holds the runs.")
@limit_option(60, "What a single import may take.")
@plugin_options_apart
def doctor(as_json: bool, details: bool, runs: str, limit: float, strict: bool) -> int:
    """Name plugins that are broken, clashing, stale, slow, or of another API version.

    They are imported in another process, and it is told what that changes. Runs whose process died
    without a word are closed as killed.

    Exit code 3 when something does not work; clashes with a built-in, slow and outdated plugins
    are told, and do no harm.
    """
    from dbgsom_core.plugins.doctor import diagnose_apart

    _close_dead_runs(Path(runs))
    findings, loaded = diagnose_apart(limit)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        for one in findings:
            who = f"{one.name} of {one.distribution} {one.version}"
            click.echo(f"{one.problem}: {who}: {one.message}")
            if details and one.details:
                click.echo(one.details)
        if not findings:
            click.echo(f"all is well: {loaded} plugin(s) loaded")
    return 0 if all(one.harmless for one in findings) else 3


@plugins.command("new")
@click.argument("name")
@click.option(
    "--into", default=".", show_default=True, type=click.Path(), help="Folder to put it in."
)
def new_plugin(name: str, into: str) -> None:
    """Write a plugin distribution called dbgsom-NAME: it installs and passes its tests."""
    from dbgsom_core.plugins.template import render

    folder = render(name, Path(into))
    click.echo(
        f"{folder}: a metric, a kernel, a growth strategy and a labeller to delete from\n"
        "to install and test it:\n"
        f'  pip install -e "{folder}[test]"\n'
        f"  pytest {folder}"
    )


for command in (show_component, check_plugins):
    plugins.add_command(command)


def _close_dead_runs(root: Path) -> None:
    from dbgsom_core.runs.find import mark_killed_runs, remove_empty_folders
    from dbgsom_core.runs.folder import find_experiments, find_runs

    remove_empty_folders(root)
    for experiment in find_experiments(root):
        for stored in mark_killed_runs(root, experiment):
            click.echo(f"closed as killed: {stored.files.folder}: {stored.error}", err=True)
        for stored in find_runs(root, experiment):
            if stored.damage:
                click.echo(f"{stored.files.folder}: damaged: {stored.damage}", err=True)


def _components(registry: Registry) -> list[dict[str, Any]]:
    from dbgsom_core.hookspecs import KINDS
    from dbgsom_core.plugins.doctor import status_of

    seconds = {
        (record.distribution, record.name): record.import_seconds for record in registry.records
    }
    return [
        {
            **one.facts,
            "status": status_of(one, registry),
            "import_seconds": round(seconds.get((one.distribution, one.plugin), 0.0), 6),
            "source": one.source,
            "sentence": one.sentence,
        }
        for one in (
            *(one for kind in KINDS for one in registry.offered(kind)),
            *sorted(registry.steps, key=lambda one: (one.name, one.distribution)),
        )
    ]


def _records(registry: Registry) -> list[dict[str, Any]]:
    told = ("name", "distribution", "version", "status", "error", "details", "api_version", "notes")
    return [
        {key: getattr(record, key) for key in told}
        | {"import_seconds": round(record.import_seconds, 6)}
        for record in registry.records
    ]


def _print_components(components: Sequence[dict[str, Any]]) -> None:
    told = ("kind", "name", "distribution", "version", "status")
    rows = [(*told, "import", "what it is")]
    rows += [
        (
            *(one[key] for key in told),
            f"{one['import_seconds'] * 1000:.0f} ms",
            one["sentence"],
        )
        for one in components
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        line = "  ".join(cells).rstrip()
        if sys.stdout.isatty():
            wide = shutil.get_terminal_size().columns
            line = line if len(line) <= wide else f"{line[: wide - 1]}…"
        click.echo(line)
