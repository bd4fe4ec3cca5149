"""``dbgsom plugins check``: the conformance kit over installed components."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import plugin_options

if TYPE_CHECKING:
    from dbgsom_core.interfaces.component import Component
    from dbgsom_core.plugins.offers import Offered
    from dbgsom_core.plugins.registry import Registry


@click.command("check")
@click.argument("distribution", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def check_plugins(distribution: str | None, as_json: bool, registry: Registry) -> int:
    """Test every component of DISTRIBUTION (of all third parties without one).

    Exit code 3 when a promise is broken.
    """
    results = [_tested(one) for one in _chosen(distribution, registry)]
    broken = [one for one in registry.broken if distribution in (None, one.distribution)]
    failed = bool(broken) or any(one["failed"] for one in results)
    if as_json:
        told = [{"name": one.name, "distribution": one.distribution, "error": one.error}
                for one in broken]  # fmt: skip
        click.echo(json.dumps({"broken": told, "components": results}, indent=2))
        return 3 if failed else 0
    for record in broken:
        click.echo(f"broken   {record.name} of {record.distribution}: {record.error}")
    for one in results:
        _print(one)
    if not results and not broken:
        click.echo("no third-party component is installed")
    return 3 if failed else 0


def _chosen(distribution: str | None, registry: Registry) -> list[Offered]:
    from dbgsom_core.errors import UnknownNameError, did_you_mean
    from dbgsom_core.hookspecs import KINDS
    from dbgsom_core.plugins.registry import OWN_DISTRIBUTION

    offers = [one for kind in KINDS for one in registry.offered(kind)]
    if distribution is None:
        return [one for one in offers if one.distribution != OWN_DISTRIBUTION]
    known = {record.distribution for record in registry.records}
    if distribution not in known:
        raise UnknownNameError(
            f"no plugin comes from '{distribution}'{did_you_mean(distribution, known)}"
        )
    return [one for one in offers if one.distribution == distribution]


def _tested(offered: Offered) -> dict[str, Any]:
    from pydantic import ValidationError

    from dbgsom_core.errors import PluginError
    from dbgsom_core.testing.kit import run_checks

    result: dict[str, Any] = {**offered.facts, "passed": [], "failed": {}, "skipped": {}}
    try:
        cls = offered.load()
        component = cls(**_examples(cls))
    except PluginError as error:
        result["failed"]["load"] = str(error)
        return result
    except ValidationError as error:
        fields = ", ".join(str(one["loc"][0]) for one in error.errors() if one["loc"])
        result["skipped"]["all"] = (
            f"cannot be built without its fields: {fields}; Field(examples=[…]) says what to try"
        )
        return result
    for outcome in run_checks(component, offered.kind, offered.name):
        if outcome.status == "passed":
            result["passed"].append(outcome.check)
        else:
            result[outcome.status][outcome.check] = outcome.message
    return result


def _examples(cls: type[Component]) -> dict[str, Any]:
    return {
        name: field.examples[0]
        for name, field in cls.model_fields.items()
        if field.is_required() and field.examples
    }


def _print(one: dict[str, Any]) -> None:
    who = f"{one['kind']} {one['name']} of {one['distribution']} {one['version']}"
    verdict = "failed" if one["failed"] else ("skipped" if one["skipped"] else "passed")
    click.echo(f"{verdict:<7}  {who}: {len(one['passed'])} checks passed")
    for status in ("failed", "skipped"):
        for name, message in one[status].items():
            click.echo(f"         {status} {name}: {message}")
