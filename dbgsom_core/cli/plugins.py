"""``dbgsom plugins``: what is installed and in what state."""

from __future__ import annotations

import inspect
import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from dbgsom_core.cli.console import (
    Commands,
    echo,
    json_option,
    open_registry,
    option,
    output,
    output_options,
    plugin_options,
)
from dbgsom_core.cli.show import print_table
from dbgsom_core.errors import PluginError, UnknownNameError, did_you_mean
from dbgsom_core.plugins.registry import OWN_DISTRIBUTION, STEP, PluginEntry, Registry

_COLUMNS = ("kind", "name", "distribution", "version", "status", "sentence")
_RECORD_FIELDS = ("name", "distribution", "version", "status", "error", "details")


@click.group(cls=Commands)
def plugins() -> None:
    """Look at installed plugins, test them, or begin one."""


@plugins.command("list")
@json_option(help="Print JSON, with tracebacks.")
@output_options
@plugin_options
def list_plugins(as_json: bool) -> int:
    """List every component by kind, prepare steps, and what cannot be imported, with the cause.

    A bare name that two plugins offer is a clash: write distribution:name. One that a built-in has,
    too, is shadowed, and means the built-in. Exit code 3 when something cannot be imported; -v
    shows its traceback.
    """
    registry = open_registry()
    components = list_components(registry)
    records = [{name: getattr(one, name) for name in _RECORD_FIELDS} for one in registry.records]
    is_broken = any(one["status"] == "broken" for one in (*records, *components))
    if as_json:
        echo(json.dumps({"plugins": records, "components": components}, indent=2))
        return 3 if is_broken else 0
    print_table(_COLUMNS, [[one[key] for key in _COLUMNS] for one in components])
    for one in (*records, *components):
        if one["status"] in ("broken", "disabled"):
            text = "{status}: {name} of {distribution} {version}: {error}".format_map(one)
            echo(text.rstrip(": "), err=True)
            if output.verbose:
                echo(one["details"], err=True)
    return 3 if is_broken else 0


def list_components(registry: Registry) -> list[dict[str, Any]]:
    """Return facts of every component, which is imported for its docstring."""
    offers = registry.components()
    distributions: dict[tuple[str, str], list[str]] = {}
    for offered in offers:
        distributions.setdefault((offered.kind, offered.name), []).append(offered.distribution)
    found = []
    for offered in offers:
        same = distributions[offered.kind, offered.name]
        facts = {"status": "ok", "error": "", "details": "", "sentence": ""}
        if len(same) > 1 and offered.distribution != OWN_DISTRIBUTION:
            facts["status"] = "shadowed" if OWN_DISTRIBUTION in same else "clash"
        try:
            facts["sentence"] = first_sentence(offered.load())
        except PluginError as error:
            details = "".join(traceback.format_exception(error))
            facts |= {"status": "broken", "error": str(error), "details": details}
        found.append({**offered.facts, **facts, "source": offered.source})
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
    from dbgsom_core.cli.template import render

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
    """Show help, source and fields with their defaults of NAME (or distribution:name)."""
    components = [describe(offered) for offered in find_components(name, open_registry())]
    if as_json:
        echo(json.dumps(components, indent=2, default=repr))
        return
    for facts in components:
        echo("{kind} {name} of {distribution} {version}\n{source}".format_map(facts))
        echo(f"{facts['file']}\n\n{facts['help']}\n")
        rows = []
        for field, settings in facts["schema"]["properties"].items():
            default = "(required)"
            if "default" in settings:
                default = json.dumps(settings["default"], default=repr)
            rows.append([field, default, settings.get("description")])
        print_table(["field", "default", "what it is"], rows)


def find_components(name: str, registry: Registry) -> list[PluginEntry]:
    offers: dict[str, list[PluginEntry]] = {}
    for offered in registry.components():
        for known in (offered.name, f"{offered.distribution}:{offered.name}"):
            offers.setdefault(known, []).append(offered)
    if name not in offers:
        hint = did_you_mean(name, offers) or "; 'dbgsom plugins list' shows all"
        raise UnknownNameError(f"no component is called '{name}'{hint}")
    return offers[name]


def describe(offered: PluginEntry) -> dict[str, Any]:
    """Return everything about a component; a step's schema has its constructor's arguments."""
    component: Any = offered.load()
    if offered.kind == STEP:
        schema: dict[str, Any] = {"properties": {}}
        for name, argument in inspect.signature(component).parameters.items():
            is_required = argument.default is argument.empty
            schema["properties"][name] = {} if is_required else {"default": argument.default}
    else:
        schema = {"properties": {}} | component.model_json_schema()
    return {
        **offered.facts,
        "source": offered.source,
        "file": getattr(sys.modules.get(component.__module__), "__file__", None),
        "help": inspect.cleandoc(component.__doc__ or ""),
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
    broken, components = report["broken"], report["components"]
    failed = bool(broken) or any(component["failed"] for component in components)
    if as_json:
        echo(json.dumps(report, indent=2))
        return 3 if failed else 0
    for record in broken:
        echo(f"broken   {record['name']} of {record['distribution']}: {record['error']}")
    for component in components:
        who = "{kind} {name} of {distribution} {version}".format_map(component)
        verdict = next((state for state in ("failed", "skipped") if component[state]), "passed")
        echo(f"{verdict:<7}  {who}: {len(component['passed'])} checks passed")
        for state in ("failed", "skipped"):
            for name, message in component[state].items():
                echo(f"         {state} {name}: {message}")
    if not components and not broken:
        echo("no third-party component is installed")
    return 3 if failed else 0
