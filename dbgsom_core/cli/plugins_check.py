"""``dbgsom plugins check``: the conformance kit over installed components."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from dbgsom_core.cli.options import limit_option, plugin_options_apart
from dbgsom_core.errors import PluginError


@click.command("check")
@click.argument("distribution", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@limit_option(120, "What a single check may take.")
@plugin_options_apart
def check_plugins(distribution: str | None, as_json: bool, limit: float, strict: bool) -> int:
    """Test every component and prepare step of DISTRIBUTION (of all third parties without one).

    The checks run in another process: one that hangs, or that ends the process, has failed. Exit
    code 3 when a promise is broken.
    """
    from dbgsom_core.testing.apart import check_apart

    report = check_apart(distribution, limit)
    if strict and report.broken:
        raise PluginError("\n".join(_line(one) for one in report.broken))
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
        return 3 if report.failed else 0
    for record in report.broken:
        click.echo(f"broken   {_line(record)}")
    for one in report.components:
        _print(one)
    if not report.components and not report.broken:
        click.echo("no third-party component is installed")
    return 3 if report.failed else 0


def _line(record: dict[str, Any]) -> str:
    return f"{record['name']} of {record['distribution']}: {record['error']}"


def _print(one: dict[str, Any]) -> None:
    who = f"{one['kind']} {one['name']} of {one['distribution']} {one['version']}"
    verdict = "failed" if one["failed"] else ("skipped" if one["skipped"] else "passed")
    click.echo(f"{verdict:<7}  {who}: {len(one['passed'])} checks passed")
    for status in ("failed", "skipped"):
        for name, message in one[status].items():
            click.echo(f"         {status} {name}: {message}")
