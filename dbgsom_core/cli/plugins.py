"""``dbgsom plugins``: what is installed and in what state."""

from __future__ import annotations

import inspect
import json
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
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
    plugins = [asdict(record) for record in registry.records]
    states = {facts["status"] for facts in (*plugins, *components)}
    if as_json:
        echo(json.dumps({"plugins": plugins, "components": components}, indent=2))
    else:
        print_table(_COLUMNS, [itemgetter(*_COLUMNS)(facts) for facts in components])
        for facts in (*plugins, *components):
            if facts["status"] in ("broken", "disabled"):
                text = "{status}: {name} of {distribution} {version}: {error}".format_map(facts)
                echo(text.rstrip(": "), err=True)
                if output.verbose:
                    echo(facts["details"], err=True)
    return 3 if "broken" in states else 0


def list_components(registry: Registry) -> list[dict[str, Any]]:
    """Return facts of every component, which is imported for its docstring."""
    entries = registry.components()
    distributions = defaultdict(set)
    for entry in entries:
        distributions[entry.kind, entry.name].add(entry.distribution)
    components = []
    for entry in entries:
        rivals = distributions[entry.kind, entry.name] - {entry.distribution}
        facts = {"status": "ok", "error": "", "details": "", "sentence": ""}
        if rivals and entry.distribution != OWN_DISTRIBUTION:
            facts["status"] = "shadowed" if OWN_DISTRIBUTION in rivals else "clash"
        try:
            facts["sentence"] = first_sentence(entry.load())
        except PluginError as error:
            facts["status"], facts["error"] = "broken", str(error)
            facts["details"] = "".join(traceback.format_exception(error))
        components.append({**entry.facts, **facts, "source": entry.source})
    return components


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
    components = list(map(describe, find_components(name, open_registry())))
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
    entries = defaultdict(list)
    for entry in registry.components():
        entries[entry.name].append(entry)
        entries[entry.full_name].append(entry)
    if name not in entries:
        hint = did_you_mean(name, entries) or "; 'dbgsom plugins list' shows all"
        raise UnknownNameError(f"no component is called '{name}'{hint}")
    return entries[name]


def describe(entry: PluginEntry) -> dict[str, Any]:
    """Return everything about a component; a step's schema has its constructor's arguments."""
    component: Any = entry.load()
    if entry.kind == STEP:
        schema: dict[str, Any] = {"properties": {}}
        for name, argument in inspect.signature(component).parameters.items():
            schema["properties"][name] = field = {}
            if argument.default is not argument.empty:
                field["default"] = argument.default
    else:
        schema = {"properties": {}} | component.model_json_schema()
    return {
        **entry.facts,
        "source": entry.source,
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
    else:
        _print_report(broken, components)
    return 3 if failed else 0


def _print_report(broken: Sequence[Any], components: Sequence[Any]) -> None:
    for record in broken:
        echo(f"broken   {record['name']} of {record['distribution']}: {record['error']}")
    for component in components:
        who = "{kind} {name} of {distribution} {version}".format_map(component)
        verdict = "skipped" if component["skipped"] else "passed"
        if component["failed"]:
            verdict = "failed"
        echo(f"{verdict:<7}  {who}: {len(component['passed'])} checks passed")
        for state in ("failed", "skipped"):
            for name, message in component[state].items():
                echo(f"         {state} {name}: {message}")
    if not components and not broken:
        echo("no third-party component is installed")
