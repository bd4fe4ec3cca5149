"""``dbgsom show``: a run in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.options import plugin_options, runs_option
from dbgsom_core.errors import DbgsomError, as_text

if TYPE_CHECKING:
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun

_MOST_NEURONS = 2000  # more than a terminal shows


@click.command()
@click.argument("run")
@click.option(
    "--map",
    "by",
    type=click.Choice(["auto", "label", "hits", "none"]),
    default="auto",
    show_default=True,
    help="What the map shows.",
)
@runs_option
@plugin_options
def show(run: str, by: str, runs: str, registry: Registry) -> None:
    """Show RUN in the terminal: how it ended, its measures, its map, and where its files are.

    RUN is a run's folder or id (the end of it will do), or an experiment, which means its newest
    run. Colours follow the terminal; NO_COLOR=1 leaves them out.
    """
    from pathlib import Path

    from dbgsom_core.runs.find import find_run

    found, notes = find_run(run, Path(runs))
    for note in notes:
        click.echo(as_text(f"note: {note}"), err=True)
    _tell(found)
    if found.kind == "sweep":
        _tell_children(found, registry)
    else:
        _tell_run(found, by, registry)
    _tell_paths(found)


def _tell(found: StoredRun) -> None:
    from dbgsom_core.runs.folder import journal_damage

    click.echo(as_text(f"{found.name}\n{found.kind} {found.id} of experiment {found.experiment}"))
    took = ""
    if found.started is not None and found.ended is not None:
        took = f" in {(found.ended - found.started).total_seconds():.1f} s"
    since = (
        "" if found.started is None else f", started {found.started.astimezone():%Y-%m-%d %H:%M}"
    )
    click.echo(f"{found.status}{took}{since}")
    if found.error:
        click.echo(as_text(f"because: {found.error}"))
    if damage := found.damage or journal_damage(found):
        click.echo(as_text(f"damaged: {damage}"))
    data = found.data
    if {"name", "samples", "features"} <= data.keys():
        from dbgsom_core.runs.compare.group import data_name

        name = data_name(found.config, data)
        click.echo(as_text(f"data {name}: {data['samples']} × {data['features']}"))
    if found.status == "running" and found.kind == "run":
        lines = found.epochs()
        click.echo(f"epoch {lines[-1].epoch} so far" if lines else "no epoch yet")


def _tell_run(found: StoredRun, by: str, registry: Registry) -> None:
    from dbgsom_core.cli.tables import measures_table

    if found.measures:
        click.echo()
        measures_table(found.measures, None, registry)
    if by == "none" or not found.files.model.exists():
        return
    from dbgsom_core.persistence import load

    try:
        model = load(found.files.model)
    except DbgsomError as error:
        click.echo(as_text(f"the map cannot be shown: {error}"), err=True)
        return
    _tell_map(getattr(model, "estimator", model), None if by == "auto" else by)


def _tell_map(estimator: Any, by: str | None) -> None:
    from rich.console import Console

    from dbgsom_core.cli.map_blocks import map_blocks

    som_map = estimator.som_map_
    rows, columns = som_map.shape
    below = f", {len(estimator.leaf_weights_)} leaves of child maps" if som_map.children else ""
    cells = "cells" if som_map.grid.name == "square" else f"{som_map.grid.name} cells"
    torus = "" if som_map.grid.torus is None else ", a torus"
    where = "in a line" if som_map.grid.is_line else f"on {rows} × {columns} {cells}{torus}"
    click.echo(f"\n{len(som_map)} neurons {where}{below}")
    if len(som_map) > _MOST_NEURONS:
        return
    console = Console(highlight=False)
    for line in map_blocks(estimator, by, console):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)


def _tell_children(found: StoredRun, registry: Registry) -> None:
    from dbgsom_core.cli.tables import children_table, rankings_tables

    if found.rankings:
        click.echo()
        rankings_tables(found.rankings, registry)
        return
    if found.children:
        click.echo()
        children = [(child["name"], child["measures"]) for child in found.children]
        children_table(children, registry)
    for child in found.children:
        if child.get("id") == found.best:
            click.echo(as_text(f"best: {child['name']} ({found.best})"))


def _tell_paths(found: StoredRun) -> None:
    files = found.files
    click.echo()
    shown = [
        ("folder", files.folder),
        ("report", files.page if files.page.exists() else files.report),
        ("model", files.model),
    ]
    shown += [("figure", path) for path in files.figures()]
    shown += [("artefact", path) for path in files.artifacts()]
    for what, path in shown:
        if path.exists():
            click.echo(as_text(f"{what}: {path}"))
