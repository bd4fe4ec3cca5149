"""``dbgsom show``: a run or a sweep in the terminal, with its map in coloured blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import print_notes
from dbgsom_core.cli.options import open_registry, plugin_options, runs_option
from dbgsom_core.errors import DbgsomError, as_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    from dbgsom_core.estimators.display import Shades
    from dbgsom_core.plugins.registry import Registry
    from dbgsom_core.runs.folder import StoredRun

_MOST_NEURONS = 2000  # more than a terminal shows
_CELL = 3  # characters of a neuron
_RAMP = "·░▒▓█"  # of a dead neuron, and from few hits to many
_LONGEST_NAME = 30  # characters of a name in the legend of a map


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
def show(run: str, by: str, runs: str) -> None:
    """Show RUN in the terminal: how it ended, its measures, its map, and where its files are.

    RUN is a run's folder or id (the end of it will do), or an experiment, which means its newest
    run. Colours follow the terminal; NO_COLOR=1 leaves them out.
    """
    from dbgsom_core.runs.find import find_run

    registry = open_registry()
    found, notes = find_run(run, Path(runs))
    print_notes(notes)
    _print_state(found)
    if found.kind == "sweep":
        _print_variants(found, registry)
    elif found.measures:
        from dbgsom_core.cli.tables import print_measures

        click.echo()
        print_measures(found.measures, None, registry)
    if found.kind != "sweep" and by != "none" and found.files.model.exists():
        _print_map(found.files.model, None if by == "auto" else by)
    _print_paths(found)


def _print_state(found: StoredRun) -> None:
    from dbgsom_core.runs.folder import journal_damage

    click.echo(f"{found.name}\n{found.kind} {found.id} of experiment {found.experiment}")
    took = since = ""
    if found.started is not None:
        since = f", started {found.started.astimezone():%Y-%m-%d %H:%M}"
        if found.ended is not None:
            took = f" in {(found.ended - found.started).total_seconds():.1f} s"
    click.echo(f"{found.status}{took}{since}")
    if found.error:
        click.echo(f"because: {found.error}")
    if damage := found.damage or journal_damage(found):
        click.echo(f"damaged: {damage}")
    data = found.data
    if {"name", "samples", "features"} <= data.keys():
        from dbgsom_core.runs.compare.variants import data_name

        name = data_name(found.config, data)
        click.echo(f"data {name}: {data['samples']} × {data['features']}")
    if found.status == "running" and found.kind == "run":
        epochs = found.epochs()
        click.echo(f"epoch {epochs[-1].epoch} so far" if epochs else "no epoch yet")


def _print_map(file: Path, by: str | None) -> None:
    from rich.console import Console

    from dbgsom_core.persistence import load

    try:
        model = load(file)
    except DbgsomError as error:
        click.echo(f"the map cannot be shown: {error}", err=True)
        return
    estimator = getattr(model, "estimator", model)
    som_map = estimator.som_map_
    rows, columns = som_map.shape
    leaves = f", {len(estimator.leaf_weights_)} leaves of child maps" if som_map.children else ""
    cells = "cells" if som_map.grid.name == "square" else f"{som_map.grid.name} cells"
    torus = "" if som_map.grid.torus is None else ", a torus"
    where = "in a line" if som_map.grid.is_line else f"on {rows} × {columns} {cells}{torus}"
    click.echo(f"\n{len(som_map)} neurons {where}{leaves}")
    if len(som_map) <= _MOST_NEURONS:
        console = Console(highlight=False)
        for line in draw_map(estimator, by, console):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)


def _print_variants(found: StoredRun, registry: Registry) -> None:
    from dbgsom_core.cli.tables import print_children, print_rankings

    if found.rankings:
        click.echo()
        print_rankings(found.rankings, registry)
        return
    if found.children:
        click.echo()
        children = [(child["name"], child["measures"]) for child in found.children]
        print_children(children, registry)
    for child in found.children:
        if child.get("id") == found.best:
            click.echo(f"best: {child['name']} ({found.best})")


def _print_paths(found: StoredRun) -> None:
    files = found.files
    paths = [
        ("folder", files.folder),
        ("report", files.page if files.page.exists() else files.report),
        ("model", files.model),
        *(("figure", path) for path in files.figures()),
        *(("artefact", path) for path in files.artifacts()),
    ]
    click.echo()
    for what, path in paths:
        if path.exists():
            click.echo(f"{what}: {path}")


# ------------------------------------------------------------------------------------------ maps


def draw_map(estimator: Any, by: str | None, console: Console) -> list[Text]:
    """Return the lines that show a fitted map as coloured blocks, its legend below it.

    ``by`` is what is shown: ``"label"``, ``"hits"``, or what suits the estimator (None). Every cell
    holds characters or shades, so that nothing is lost without colours.
    """
    import numpy as np
    from rich.text import Text

    from dbgsom_core.estimators.display import shades_of

    shades, positions = shades_of(estimator, by), estimator.som_map_.plane_positions
    signs = _legend_signs(shades)
    columns = np.floor((positions[:, 0] - positions[:, 0].min()) * _CELL + 0.5).astype(int).tolist()
    texts = _cell_texts(shades, signs, estimator, coloured=console.color_system is not None)
    lines = []
    for height in np.unique(positions[:, 1])[::-1]:
        line, end = Text(), 0
        neurons = np.flatnonzero(positions[:, 1] == height).tolist()
        for neuron in sorted(neurons, key=columns.__getitem__):
            line.append(" " * (columns[neuron] - end))
            line.append(texts[neuron], _style(shades.colours[neuron]))
            end = columns[neuron] + _CELL
        lines.append(line)
    legend = Text(f"{shades.what}: ")
    for (text, colour), sign in zip(shades.legend, signs, strict=True):
        legend.append(f" {sign} ", _style(colour))
        legend.append(f" {_short_name(text)}  ")
    return [*lines, Text(), legend]


def _cell_texts(shades: Shades, signs: Sequence[str], estimator: Any, coloured: bool) -> list[str]:
    """Return the characters of each neuron; dead ones have the lightest shade."""
    import numpy as np

    alive = np.asarray(estimator.hit_counts_) > 0
    if len(shades.legend) > 2 or shades.what == "label":
        names = [text for text, _ in shades.legend]
        complete = set(shades.texts) <= set(names)  # else the legend shows the first and the last
        by_name = dict(zip(names, signs, strict=True)) if complete else {}
        return [
            (by_name.get(text, text[:_CELL]) if lives else _RAMP[0]).center(_CELL)
            for text, lives in zip(shades.texts, alive, strict=True)
        ]
    if coloured and max(map(len, shades.texts)) <= _CELL:
        return [text.center(_CELL) for text in shades.texts]
    values = np.array([float(text) for text in shades.texts])
    low, high = values[alive].min(), values[alive].max()
    steps = np.clip(1 + np.floor(4 * (values - low) / ((high - low) or 1.0)), 1, 4).astype(int)
    return [_RAMP[step] * _CELL for step in np.where(alive, steps, 0)]


def _legend_signs(shades: Shades) -> list[str]:
    """Return one or two characters for each entry of the legend, all different."""
    if shades.what != "label":
        return [_RAMP[1], _RAMP[-1]]
    names = [_short_name(text) for text, _ in shades.legend]
    for length in (1, 2):
        signs = [name[:length] for name in names]
        if len(set(signs)) == len(signs):
            return signs
    return [chr(ord("a") + rank) for rank in range(len(names))]


def _style(colour: Any) -> Style:
    from rich.style import Style

    red, green, blue = (int(channel) for channel in colour)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return Style(color="black" if bright else "white", bgcolor=f"rgb({red},{green},{blue})")


def _short_name(text: str) -> str:
    text = as_text(text).replace("\n", " ")
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"
