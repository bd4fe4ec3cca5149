"""``dbgsom plugins``: what is installed and in what state."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dbgsom_core.cli.console import (
    Commands,
    echo,
    json_option,
    open_registry,
    option,
    plugin_options,
)
from dbgsom_core.cli.show import print_table
from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.experiments.offers import all_components
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, STEP, PluginEntry, Registry

_COLUMNS = ("kind", "name", "distribution", "version", "status")
_RECORD_FIELDS = ("name", "distribution", "version", "status", "error", "details")


@click.group(cls=Commands)
def plugins() -> None:
    """Look at installed plugins, test them, or begin one."""


@plugins.command("list")
@json_option(help="Print JSON, with tracebacks.")
@plugin_options
def list_plugins(as_json: bool) -> int:
    """List every component by kind, prepare steps, and what cannot be imported, with the cause.

    A bare name that two plugins offer is a clash: write distribution:name. One that a built-in has,
    too, is shadowed, and means the built-in. Exit code 3 when something cannot be imported.
    """
    registry = open_registry()
    components = list_components(registry)
    records = [{name: getattr(one, name) for name in _RECORD_FIELDS} for one in registry.records]
    is_broken = any(one["status"] == "broken" for one in (*records, *components))
    if as_json:
        echo(json.dumps({"plugins": records, "components": components}, indent=2))
        return 3 if is_broken else 0
    rows = [[one[key] for key in (*_COLUMNS, "sentence")] for one in components]
    print_table([*_COLUMNS, "what it is"], rows, left=True)
    for one in (*records, *components):
        if one["status"] in ("broken", "disabled"):
            error = f": {one['error']}" if one["error"] else ""
            who = f"{one['name']} of {one['distribution']} {one['version']}"
            echo(f"{one['status']}: {who}{error}", err=True)
    return 3 if is_broken else 0


def list_components(registry: Registry) -> list[dict[str, Any]]:
    """Return facts of every component, which is imported for its docstring."""
    offers = all_components(registry)
    found = []
    for offered in offers:
        rivals = [
            other.distribution
            for other in offers
            if (other.kind, other.name) == (offered.kind, offered.name) and other is not offered
        ]
        status, error, sentence = "ok", "", ""
        if rivals and offered.distribution != OWN_DISTRIBUTION:
            status = "shadowed" if OWN_DISTRIBUTION in rivals else "clash"
        try:
            sentence = first_sentence(offered.load())
        except PluginError as problem:
            status, error = "broken", str(problem)
        found.append(
            {
                **offered.facts,
                "status": status,
                "error": error,
                "source": offered.source,
                "sentence": sentence,
            }
        )
    return found


def first_sentence(cls: type[Any]) -> str:
    """Return the first sentence of a docstring."""
    paragraph = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    return re.split(r"(?<=[.!?]) (?=[A-Z])", " ".join(paragraph.split()), maxsplit=1)[0]


@plugins.command("new")
@click.argument("name")
@option("--into", "Folder to put it in.", default=".", show_default=True, type=click.Path())
def new_plugin(name: str, into: str) -> None:
    """Write a plugin distribution called dbgsom-NAME: it installs and passes its tests."""
    from dbgsom_core.testing.template import render

    folder = render(name, Path(into))
    echo(
        f"{folder}: a metric, a kernel, a growth strategy and a labeller to delete from\n"
        "to install and test it:\n"
        f'  pip install -e "{folder}[test]"\n'
        f"  pytest {folder}"
    )


@plugins.command("show")
@click.argument("name")
@json_option(help="Print JSON, the schema included.")
@plugin_options
def show_component(name: str, as_json: bool) -> None:
    """Show help, fields with defaults, schema and source of NAME (or distribution:name)."""
    found = [describe(offered) for offered in find_components(name, open_registry())]
    if as_json:
        echo(json.dumps(found, indent=2, default=repr))
        return
    for number, known in enumerate(found):
        origin = f"({known['distribution']} {known['version']})"
        echo("\n" * bool(number) + f"{known['kind']} {known['name']}  {origin}")
        echo(f"{known['source']}  {known['file'] or ''}".rstrip())
        echo(f"\n{known['help']}")
        echo("\nfields:" if known["fields"] else "\nno fields")
        for field, facts in known["fields"].items():
            value = json.dumps(facts["default"], default=repr)
            default = "required" if facts["required"] else f"default {value}"
            echo(f"  {field} ({default}): {facts['description']}")
        if known["schema"] is not None:
            echo("\nschema:\n" + json.dumps(known["schema"], indent=2))


def find_components(name: str, registry: Registry) -> list[PluginEntry]:
    distribution, _, bare = name.rpartition(":")
    offers = all_components(registry)
    found = [
        offered
        for offered in offers
        if offered.name == bare and distribution in ("", offered.distribution)
    ]
    if not found:
        known = [
            f"{offered.distribution}:{offered.name}" if distribution else offered.name
            for offered in offers
        ]
        hint = did_you_mean(name, known) or "; 'dbgsom plugins list' shows all"
        raise UnknownNameError(f"no component is called '{name}'{hint}")
    return found


def describe(offered: PluginEntry) -> dict[str, Any]:
    """Return everything about a component, of a prepare step the arguments of its constructor."""
    component: Any
    if offered.kind == STEP:
        from dbgsom_core.runs.prepare import imported_step

        component, schema = imported_step(offered.source), None
        fields = {
            name: {
                "default": None if argument.default is argument.empty else argument.default,
                "required": argument.default is argument.empty,
                "description": "an argument of its constructor",
            }
            for name, argument in inspect.signature(component).parameters.items()
            if argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY)
        }
    else:
        component = offered.load()
        schema = component.model_json_schema()
        fields = {
            name: {
                "default": field.get("default"),
                "required": name in schema.get("required", []),
                "description": field.get("description", ""),
            }
            for name, field in schema.get("properties", {}).items()
        }
    try:
        file = inspect.getsourcefile(component)
    except TypeError:
        file = None
    return {
        **offered.facts,
        "source": offered.source,
        "file": file,
        "help": inspect.cleandoc(component.__doc__ or ""),
        "fields": fields,
        "schema": schema,
    }


@plugins.command("check")
@click.argument("distribution", required=False)
@json_option(help="Print JSON.")
@plugin_options
def check_plugins(distribution: str | None, as_json: bool) -> int:
    """Test every component and prepare step of DISTRIBUTION (of all third parties without one).

    Exit code 3 when a promise is broken.
    """
    from dbgsom_core.testing import kit

    report = kit.check_plugins(open_registry(), distribution)
    if as_json:
        echo(json.dumps(asdict(report), indent=2))
        return 3 if report.failed else 0
    for record in report.broken:
        echo(f"broken   {record['name']} of {record['distribution']}: {record['error']}")
    for component in report.components:
        who = "{kind} {name} of {distribution} {version}".format_map(component)
        verdict = next((state for state in ("failed", "skipped") if component[state]), "passed")
        echo(f"{verdict:<7}  {who}: {len(component['passed'])} checks passed")
        for state in ("failed", "skipped"):
            for name, message in component[state].items():
                echo(f"         {state} {name}: {message}")
    if not report.components and not report.broken:
        echo("no third-party component is installed")
    return 3 if report.failed else 0
