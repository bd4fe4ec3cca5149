"""``dbgsom plugins`` and ``doctor``: what is installed and in what state."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dbgsom_core.cli.console import (
    Commands,
    echo,
    is_strict,
    json_option,
    limit_option,
    open_registry,
    option,
    plugin_options,
    runs_option,
)
from dbgsom_core.cli.show import print_table
from dbgsom_core.errors import PluginError, UnknownNameError, as_text, did_you_mean
from dbgsom_core.hookspecs import KINDS
from dbgsom_core.plugins.doctor import diagnose_isolated, status_of
from dbgsom_core.plugins.registry import STEP, PluginEntry, Registry
from dbgsom_core.runs.folder import find_experiments, find_runs
from dbgsom_core.runs.stored_runs import load, mark_killed_runs

_COLUMNS = ("kind", "name", "distribution", "version", "status")
_RECORD_FIELDS = (
    "name", "distribution", "version", "status", "error", "details", "api_version",
)  # fmt: skip
_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "red")}


@click.group(cls=Commands)
def plugins() -> None:
    """Look at installed plugins, test them, or begin one."""


@plugins.command("list")
@json_option(help="Print JSON.")
@plugin_options
def list_plugins(as_json: bool) -> None:
    """List every component by kind, prepare steps, and the plugins that could not be loaded."""
    registry = open_registry()
    components = list_components(registry)
    if as_json:
        records = [
            {name: getattr(record, name) for name in _RECORD_FIELDS}
            | {"import_seconds": round(record.import_seconds, 6)}
            for record in registry.records
        ]
        echo(json.dumps({"plugins": records, "components": components}, indent=2))
        return
    rows = [
        [
            *(component[key] for key in _COLUMNS),
            f"{component['import_seconds'] * 1000:.0f} ms",
            component["sentence"],
        ]
        for component in components
    ]
    print_table([*_COLUMNS, "import", "what it is"], rows, left=True)
    for record in registry.records:
        if record.status != "ok":
            error = f": {record.error}" if record.error else ""
            who = f"{record.name} of {record.distribution} {record.version}"
            echo(f"{record.status}: {who}{error}", err=True)


def list_components(registry: Registry) -> list[dict[str, Any]]:
    """Return what is known of every component without importing it."""
    seconds = {
        (record.distribution, record.name): record.import_seconds for record in registry.records
    }
    return [
        {
            **offered.facts,
            "status": status_of(offered, registry),
            "import_seconds": round(seconds.get((offered.distribution, offered.plugin), 0.0), 6),
            "source": offered.source,
            "sentence": offered.sentence,
        }
        for offered in _offered_components(registry)
    ]


def _offered_components(registry: Registry) -> list[PluginEntry]:
    steps = sorted(registry.steps, key=lambda step: (step.name, step.distribution))
    return [*(offered for kind in KINDS for offered in registry.offered(kind)), *steps]


@plugins.command("doctor")
@json_option(help="Print JSON, with tracebacks.")
@option("--details", "Show tracebacks.", is_flag=True)
@runs_option
@limit_option(default=60, help="What a single import may take.")
@plugin_options
def doctor(as_json: bool, details: bool, runs: str, limit: float) -> int:
    """Name plugins that are broken, clashing, stale, slow, or of another API version.

    They are imported in other processes. Runs whose process died without a word are closed as
    killed.

    Exit code 3 when something does not work; clashes with a built-in, slow and outdated plugins
    are reported, and do no harm.
    """
    root = Path(runs)
    for experiment in find_experiments(root):
        for stored in mark_killed_runs(root, experiment):
            echo(f"closed as killed: {stored.files.folder}: {stored.error}", err=True)
        for stored in find_runs(root, experiment):
            if stored.damage:
                echo(f"{stored.files.folder}: damaged: {stored.damage}", err=True)
    findings, loaded = diagnose_isolated(limit)
    if as_json:
        echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            who = f"{finding.name} of {finding.distribution} {finding.version}"
            echo(f"{finding.problem}: {who}: {finding.message}")
            if details and finding.details:
                echo(finding.details)
        if not findings:
            echo(f"all is well: {loaded} plugin(s) loaded")
    return 0 if all(finding.harmless for finding in findings) else 3


@plugins.command("new")
@click.argument("name")
@option("--into", "Folder to put it in.", default=".", show_default=True, type=click.Path())
def new_plugin(name: str, into: str) -> None:
    """Write a plugin distribution called dbgsom-NAME: it installs and passes its tests."""
    from dbgsom_core.plugins.template import render

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
    offers = _offered_components(registry)
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
@limit_option(default=120, help="What a single check may take.")
@plugin_options
def check_plugins(distribution: str | None, as_json: bool, limit: float) -> int:
    """Test every component and prepare step of DISTRIBUTION (of all third parties without one).

    The checks run in another process: one that hangs, or that ends the process, has failed. Exit
    code 3 when a promise is broken.
    """
    from dbgsom_core.testing.kit import check_isolated

    report = check_isolated(distribution, limit)
    broken = [
        f"{record['name']} of {record['distribution']}: {record['error']}"
        for record in report.broken
    ]
    if broken and is_strict():
        raise PluginError("\n".join(broken))
    if as_json:
        echo(json.dumps(asdict(report), indent=2))
        return 3 if report.failed else 0
    for plugin in broken:
        echo(f"broken   {plugin}")
    for component in report.components:
        who = "{kind} {name} of {distribution} {version}".format_map(component)
        verdict = next((state for state in ("failed", "skipped") if component[state]), "passed")
        echo(f"{verdict:<7}  {who}: {len(component['passed'])} checks passed")
        for state in ("failed", "skipped"):
            for name, message in component[state].items():
                echo(f"         {state} {name}: {message}")
    if not report.components and not broken:
        echo("no third-party component is installed")
    return 3 if report.failed else 0


@click.command("doctor")
@click.argument("file", required=False, type=click.Path())
@json_option(help="Print JSON.")
@runs_option
@limit_option(default=60, help="What a single import of a plugin may take.")
@plugin_options
def examine_machine(file: str | None, as_json: bool, runs: str, limit: float) -> int:
    """Say whether this machine is ready to train.

    Versions, threads, compiled loops, plugins, trackers, runs and disks are looked at; trackers are
    those of FILE, or the default ones. Nothing is changed. Exit code 1 when something is broken.
    """
    from rich.console import Console
    from rich.text import Text

    from dbgsom_core.runs.doctor import examine

    registry = open_registry()
    experiment = None if file is None else load(file, (), registry)[1][0]
    found = [*examine(experiment, registry, Path(runs), limit)]
    console = Console(highlight=False)
    if as_json:
        echo(json.dumps([asdict(check) for check in found], indent=2))
    for check in () if as_json else found:
        hint = f" → {check.hint}" if check.hint else ""
        text = as_text(f" {check.name}: {check.message}{hint}").replace("\n", "\\n")
        console.print(Text.assemble(_SIGNS[check.state], text), soft_wrap=True)
    return 1 if any(check.state == "broken" for check in found) else 0
