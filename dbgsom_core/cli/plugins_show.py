"""``dbgsom plugins show``: everything about one component."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import plugin_options
from dbgsom_core.plugins.registry import STEP

if TYPE_CHECKING:
    from dbgsom_core.plugins.offers import Offered
    from dbgsom_core.plugins.registry import Registry


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the schema included.")
@plugin_options
def show_component(name: str, as_json: bool, registry: Registry) -> None:
    """Show help, fields with defaults, schema and source of NAME (or distribution:name)."""
    found = [_described(one) for one in _offers_named(name, registry)]
    if as_json:
        click.echo(json.dumps(found, indent=2, default=repr))
        return
    for number, one in enumerate(found):
        if number:
            click.echo()
        _print(one)


def _offers_named(name: str, registry: Registry) -> list[Offered]:
    from dbgsom_core.errors import UnknownNameError, did_you_mean
    from dbgsom_core.hookspecs import KINDS

    distribution, _, bare = name.rpartition(":")
    offers = [one for kind in KINDS for one in registry.offered(kind)] + registry.steps
    found = [one for one in offers if one.name == bare and distribution in ("", one.distribution)]
    if not found:
        known = [one.name for one in offers]
        if distribution:
            known = [f"{one.distribution}:{one.name}" for one in offers]
        hint = did_you_mean(name, known) or "; 'dbgsom plugins list' shows all"
        raise UnknownNameError(f"no component is called '{name}'{hint}")
    return found


def _described(offered: Offered) -> dict[str, Any]:
    cls: Any
    if offered.kind == STEP:
        from dbgsom_core.runs.prepare import imported_step

        cls = imported_step(offered.source)
        return {**_told(offered, cls), "fields": _arguments(cls), "schema": None}
    cls = offered.load()
    schema = cls.model_json_schema()
    required = schema.get("required", [])
    return {
        **_told(offered, cls),
        "fields": {
            name: {
                "default": field.get("default"),
                "required": name in required,
                "description": field.get("description", ""),
            }
            for name, field in schema.get("properties", {}).items()
        },
        "schema": schema,
    }


def _told(offered: Offered, cls: type[Any]) -> dict[str, Any]:
    try:
        file = inspect.getsourcefile(cls)
    except TypeError:
        file = None
    told = inspect.cleandoc(cls.__doc__ or "")
    return {**offered.facts, "source": offered.source, "file": file, "help": told}


def _arguments(cls: type[Any]) -> dict[str, Any]:
    # Of a transformer's constructor, as fields of components are told.
    return {
        name: {
            "default": None if one.default is one.empty else one.default,
            "required": one.default is one.empty,
            "description": "an argument of its constructor",
        }
        for name, one in inspect.signature(cls).parameters.items()
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }


def _print(one: dict[str, Any]) -> None:
    click.echo(f"{one['kind']} {one['name']}  ({one['distribution']} {one['version']})")
    click.echo(f"{one['source']}  {one['file'] or ''}".rstrip())
    click.echo(f"\n{one['help']}")
    click.echo("\nfields:" if one["fields"] else "\nno fields")
    for name, field in one["fields"].items():
        known = json.dumps(field["default"], default=repr)
        default = "required" if field["required"] else f"default {known}"
        click.echo(f"  {name} ({default}): {field['description']}")
    if one["schema"] is not None:
        click.echo("\nschema:\n" + json.dumps(one["schema"], indent=2))
