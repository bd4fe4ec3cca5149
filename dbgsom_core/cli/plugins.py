"""``dbgsom plugins``: what is installed and in what state."""

from __future__ import annotations

import json

import click

from dbgsom_core.cli.options import open_registry, plugin_options


@click.group()
def plugins() -> None:
    """Look at installed plugins."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def list_plugins(as_json: bool, no_plugins: bool, strict_plugins: bool) -> None:
    """List every component by kind, and the plugins that could not be loaded."""
    registry = open_registry(no_plugins, strict_plugins)
    from dbgsom_core.hookspecs import KINDS

    offers = [one for kind in KINDS for one in registry.offered(kind)]
    if as_json:
        components = [
            {
                "kind": one.kind,
                "name": one.name,
                "distribution": one.distribution,
                "version": one.version,
                "source": one.source,
            }
            for one in offers
        ]
        found = [
            {
                "name": record.name,
                "distribution": record.distribution,
                "version": record.version,
                "status": record.status,
                "error": record.error,
                "import_seconds": round(record.import_seconds, 6),
            }
            for record in registry.records
        ]
        click.echo(json.dumps({"plugins": found, "components": components}, indent=2))
        return
    rows = [(one.kind, one.name, f"{one.distribution} {one.version}") for one in offers]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)] if rows else [0, 0]
    for kind, name, where in rows:
        click.echo(f"{kind:<{widths[0]}}  {name:<{widths[1]}}  {where}")
    for record in registry.records:
        if record.status != "ok":
            error = f": {record.error}" if record.error else ""
            click.echo(
                f"{record.status}: {record.name} of {record.distribution} {record.version}{error}",
                err=True,
            )
