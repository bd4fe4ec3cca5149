"""``dbgsom plugins doctor``: what is wrong, and what helps."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dbgsom_core.cli.options import plugin_options

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with tracebacks.")
@click.option("--details", is_flag=True, help="Show tracebacks.")
@plugin_options
def doctor(as_json: bool, details: bool, registry: Registry) -> int:
    """Name plugins that are broken, clashing, stale, slow, or of another API version.

    Exit code 3 when something does not work; clashes with a built-in, slow and outdated plugins
    are told, and do no harm.
    """
    from dbgsom_core.plugins.doctor import diagnose

    findings = diagnose(registry)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        for one in findings:
            click.echo(
                f"{one.problem}: {one.name} of {one.distribution} {one.version}: {one.message}"
            )
            if details and one.details:
                click.echo(one.details)
        loaded = sum(record.status == "ok" for record in registry.records)
        if not findings:
            click.echo(f"all is well: {loaded} plugin(s) loaded")
    return 0 if all(one.harmless for one in findings) else 3
