"""``dbgsom show`` and ``compare``: tables and maps on the terminal."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbgsom_core.cli.console import (
    check_output,
    echo,
    open_registry,
    option,
    plugin_options,
    print_notes,
    runs_option,
    say,
)
from dbgsom_core.errors import DataError, DbgsomError, as_text
from dbgsom_core.experiments.trackers import Ranking
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import RunFiles, StoredRun, read_run
from dbgsom_core.runs.stored_runs import (
    SHORTEST_ID,
    find_run,
    newest_folders,
    shell_name,
)
from dbgsom_core.tables.safe_files import exists

if TYPE_CHECKING:
    from rich.text import Text

_MOST_CLUSTERS = 25  # rows of a table
_MOST_LABELS, _MOST_GROUPS = 12, 24  # of a table of groups
_UNLIMITED = 100_000  # characters of a line
_LONGEST = 200  # characters of a value
_NUMBER = re.compile(r"[-+<]?[\d∞]|nan|$")  # how it begins, also one with its interval
_MOST_RUNS = 20  # in a list
_MOST_FIELDS = 4  # that tell one run from the others
_MAPS = ["auto", "label", "hits", "none"]
_CELL = 3  # characters of a neuron
_RAMP = "·░▒▓█"  # of a dead neuron, and from few hits to many
_COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan")
_MOST_NAMES = 20  # in the legend of a map


@click.command()
@click.argument("run", required=False)
@option("--map by", "What the map shows.", type=click.Choice(_MAPS), default="auto")
@option("--all show_all", "Show every measure; without RUN: every run.", is_flag=True)
@runs_option
@plugin_options
def show(run: str | None, by: str, show_all: bool, runs: str) -> None:
    """Show RUN in the terminal: how it ended, its measures, its map, and where its files are.

    RUN is a run's folder or id (the end of it will do), or an experiment, which means its newest
    run. Without it the runs and sweeps of all experiments are listed, newest first. Colours follow
    the terminal; NO_COLOR=1 leaves them out.
    """
    registry = open_registry()
    if run is None:
        _list_runs(Path(runs), None if show_all else _MOST_RUNS)
        return
    found, notes = find_run(run, Path(runs))
    print_notes(notes)
    _print_state(found)
    echo()
    if found.rankings:
        print_rankings(found.rankings, registry)
    elif found.kind == "sweep":
        print_children([(one["name"], one["measures"]) for one in found.children], registry)
    elif show_all:
        print_measures(found.measures, registry, found.data)
    else:
        print_headline(found.measures, found.config, found.data, shell_name(found), registry)
    files = found.files
    print_clusters(files, found.config)
    if by != "none" and files.model.exists():
        _print_map(files.model, by)
    echo()
    paths = [("folder", files.folder), ("report", files.page), ("model", files.model)]
    paths += [("figure", path) for path in files.figures()]
    paths += [("artefact", path) for path in files.artifacts()]
    for what, path in paths:
        if path.exists():
            echo(f"{what}: {path}")


def _list_runs(root: Path, most: int | None) -> None:
    """Print the runs and sweeps of a folder, newest first, a row each."""
    folders, children = newest_folders(root)
    if not folders:
        say(f"there are no runs in {root}: 'dbgsom run CONFIG' makes them")
        return
    found = [read_run(folder) for folder in folders[:most]]
    ends = Counter(folder.name.rpartition("-")[2] for folder in folders)
    rows = []
    for run in found:
        name = run.files.folder.name
        end = name.rpartition("-")[2]  # which names the run in commands
        if ends[end] == 1 and len(end) >= SHORTEST_ID:
            name = end
        what = f"sweep of {children.get(run.files.folder.name, 0)} runs"
        if run.kind == "run":
            what = _differences(run, [one for one in found if one.experiment == run.experiment])
        state = f"damaged: {run.damage}" if run.damage else run.status
        began = "" if run.started is None else f"{run.started.astimezone():%Y-%m-%d %H:%M}"
        rows.append([name, run.experiment, what, *_main_value(run), state, began])
    print_table(["run", "experiment", "what differs", "measure", "value", "state", "began"], rows)
    if len(folders) > len(found):
        say(f"and {len(folders) - len(found)} more: dbgsom show --all")


def _differences(run: StoredRun, others: Sequence[StoredRun]) -> str:
    """Return the name that a run was given, and what tells it from others of its experiment."""
    from dbgsom_core.runs.ranking import differences, fields_text

    runs = [one for one in others if one.kind == "run"]
    fields = differences([one.params for one in runs])[runs.index(run)]
    shown = fields_text(dict(list(fields.items())[:_MOST_FIELDS]))
    more = " …" if len(fields) > _MOST_FIELDS else ""
    return "; ".join(filter(None, [str(run.config.get("name") or ""), shown + more]))


def _main_value(run: StoredRun) -> tuple[str, str]:
    """Return name and value of what matters most of a run, or of the best variant of a sweep."""
    from dbgsom_core.runs.headline import headline

    if run.rankings:
        name = run.rankings[0].measures[0]
        return name.removeprefix("test/"), _value(run.rankings[0], 0, name)
    for one in headline(run.measures, run.config, run.data):
        return f"{one.part}/{one.name}".removeprefix("test/"), one.text
    return "", ""


def _print_state(run: StoredRun) -> None:
    echo(f"{run.name}\n{run.kind} {run.id} of experiment {run.experiment}")
    state = str(run.status)
    if run.started is not None and run.ended is not None:
        state += f" in {(run.ended - run.started).total_seconds():.1f} s"
    if run.started is not None:
        state += f", started {run.started.astimezone():%Y-%m-%d %H:%M}"
    echo(state)
    if run.error:
        say(f"because: {run.error}")
    if run.damage:
        say(f"damaged: {run.damage}")
    if {"name", "samples", "features"} <= run.data.keys():
        from dbgsom_core.runs.manifest import data_title

        name = data_title(run.config.get("dataset"), run.data["name"])
        echo(f"data {name}: {run.data['samples']} × {run.data['features']}")
    if run.status == "running" and run.kind == "run":
        epochs = run.epochs()
        echo(f"epoch {epochs[-1].epoch} so far" if epochs else "no epoch yet")


def _print_map(file: Path, by: str) -> None:
    from rich.console import Console

    from dbgsom_core.persistence import load

    try:
        model = load(file)
    except DbgsomError as error:
        echo(f"the map cannot be shown: {error}", err=True)
        return
    estimator = getattr(model, "estimator", model)
    rows, columns = estimator.som_map_.shape
    echo(f"\n{len(estimator.som_map_)} neurons on {rows} × {columns} cells")
    console = Console(highlight=False, markup=False, emoji=False)
    for line in draw_map(estimator, by):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)


def draw_map(estimator: Any, by: str) -> list[Text]:
    """Return lines that show a fitted map by its labels or hits, and its legend."""
    import numpy as np
    from rich.text import Text

    hits, labels = np.asarray(estimator.hit_counts_), np.asarray(estimator.neuron_labels_)
    names = [as_text(name) for name in np.unique(labels[hits > 0]).tolist()]
    few = 1 < len(names) <= _MOST_NAMES and len(names) < np.count_nonzero(hits)
    if by == "hits" or (by == "auto" and not few):
        cells = [(_RAMP[math.ceil(4 * count / hits.max())] * _CELL, "") for count in hits]
        legend = Text(f"hits: {_RAMP[1]} few  {_RAMP[4]} up to {hits.max():g}")
    else:
        styles = {name: f"reverse {_COLOURS[n % len(_COLOURS)]}" for n, name in enumerate(names)}
        cells = []
        for label, count in zip(labels.tolist(), hits, strict=True):
            text = as_text(label)[: _CELL - 1]
            cells.append((text, styles[as_text(label)]) if count else (_RAMP[0], ""))
        legend = Text("label: ")
        for name in names[:_MOST_NAMES]:
            legend.append(f" {name[: _CELL - 1]} ", styles[name])
            legend.append(f" {cell(name)} ")
    x, y = estimator.som_map_.plane_positions.T
    columns = np.floor((x - x.min()) * _CELL + 0.5).astype(int)
    lines = [Text() for _ in np.unique(y)]
    rows = np.unique(-y, return_inverse=True)[1]
    for neuron in np.argsort(columns):
        line, (text, style) = lines[rows[neuron]], cells[neuron]
        line.append(" " * (columns[neuron] - len(line)))
        line.append(text.center(_CELL), style)
    return [*lines, Text(), legend]


@click.command()
@click.argument("targets", nargs=-1)
@option("--by", "Measure to rank by; else what the sweep or estimator says.", metavar="MEASURE")
@option("--direction", "Which end of it is best.", type=click.Choice(["maximize", "minimize"]))
@option("--split", "On which part it is measured.", type=click.Choice(["test", "train"]))
@runs_option
@option("--top", "Show only the best so many variants.", type=click.IntRange(min=1))
@option("--all show_all", "Show every measure.", is_flag=True)
@option("-o --output", "Write .csv, .html or .md.", type=click.Path(dir_okay=False), metavar="FILE")
def compare(
    targets: Sequence[str],
    runs: str,
    top: int | None,
    show_all: bool,
    output: str | None,
    **criteria: str | None,
) -> None:
    """Compare the finished runs of TARGETS: experiments, sweeps or runs, by name, id or folder.

    Runs that differ only in their seed are one variant. Without TARGETS the only experiment is
    meant.
    """
    from dbgsom_core.runs.compare import check_ending, compare_runs

    if output is not None:
        check_ending(Path(output))
        check_output(output)
    comparison = compare_runs(targets, runs, open_registry(), **criteria)
    if output is not None:
        comparison.save(Path(output))
        echo(f"{output}: {len(comparison.tables)} table(s)")
        return
    for section in comparison.sections(show_all):
        echo(section.title)
        print_table(section.header, section.rows[:top])
        if top is not None and len(section.rows) > top:
            echo(f"and {len(section.rows) - top} more")
        for text in (section.lead, *section.notes):
            say(text)
        echo()
    for note in comparison.notes:
        say(f"note: {note}")
    if comparison.damaged:
        rows = [[name, f"damaged: {why}"] for name, why in comparison.damaged.items()]
        print_table(["run", "state"], rows)


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; a row is one line on a pipe."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    table = Table(box=None, pad_edge=False, header_style="bold")
    texts = [[cell(value) for value in row] for row in rows]
    for number, name in enumerate(header):
        is_text = number == 0 or not all(_NUMBER.match(row[number]) for row in texts)
        justify: Any = "left" if is_text else "right"
        table.add_column(cell(name), justify=justify, overflow="fold", no_wrap=not is_text)
    for row in texts:
        table.add_row(*row)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def cell(value: Any) -> str:
    from dbgsom_core.runs.text import to_digits

    if value is None:
        return ""
    text = to_digits(value, 4) if isinstance(value, float) else as_text(value).replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def print_headline(
    measures: Mapping[str, float],
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    name: str,
    registry: Registry,
) -> None:
    """Print what matters most of run ``name``, and how the other measures are shown."""
    from dbgsom_core.runs.compare import run_baseline
    from dbgsom_core.runs.headline import headline, parts_of
    from dbgsom_core.runs.ranking import best_end, with_arrow

    found = headline(measures, config, data)
    rows = []
    for one in found:
        values = [one.text, one.training] if one.part == "test" else ["", one.text]
        label = with_arrow(one.name, best_end(f"{one.part}/{one.name}", registry))
        rows.append([label, *values, one.baseline])
    _print_filled(["measure", "test", "train", "baseline"], rows)
    if found and run_baseline(data):
        say(run_baseline(data))
    if (count := len(parts_of(measures))) > len(found):
        say(f"all {count} measures: dbgsom show {name} --all")


def _print_filled(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table without its empty columns."""
    filled = [n for n in range(len(header)) if any(row[n] not in ("", None) for row in rows)]
    if rows:
        print_table([header[n] for n in filled], [[row[n] for n in filled] for row in rows])


def print_measures(
    measures: Mapping[str, float], registry: Registry, data: Mapping[str, Any]
) -> None:
    """Print all measures, a column for each part of the data."""
    from dbgsom_core.runs.compare import run_baseline
    from dbgsom_core.runs.ranking import best_end

    parts = list(dict.fromkeys(name.partition("/")[0] for name in measures))
    rows = []
    for name in dict.fromkeys(name.partition("/")[2] for name in measures):
        values = [measures.get(f"{part}/{name}") for part in parts]
        rows.append([name, best_end(name, registry), *values])
    print_table(["measure", "best", *parts], rows)
    if text := run_baseline(data):
        say(text)


def print_clusters(files: RunFiles, config: Mapping[str, Any]) -> None:
    """Print what sets clusters or classes apart, and labels by groups, where a run has them."""
    try:
        _print_tables(files)
    except DataError as error:
        echo(f"warning: {error}", err=True)
    model = config.get("model")
    labeller = model.get("labeller") if isinstance(model, Mapping) else None
    if isinstance(labeller, Mapping) and labeller.get("name") == "index":
        say("each neuron is a label of its own: model: {labeller: clusters} groups them")


def _print_tables(files: RunFiles) -> None:
    from dbgsom_core.runs.profile import group_rows, read_clusters, read_groups

    for name in ("clusters", "classes"):
        path = files.table(name)
        if exists(path):
            header, rows = read_clusters(path)
            echo()
            print_table(header[:-1], [row[:-1] for row in rows[:_MOST_CLUSTERS]])
            if len(rows) > _MOST_CLUSTERS:
                say(f"and {len(rows) - _MOST_CLUSTERS} more: {path}")
            say("effect: the difference from all other samples, in standard deviations of all")
    path = files.table("groups")
    for counts in read_groups(path) if exists(path) else ():
        header, rows = group_rows(counts, _MOST_LABELS)
        echo()
        print_table(header, rows[:_MOST_GROUPS])
        if len(counts.labels) > _MOST_LABELS:
            say(f"and {len(counts.labels) - _MOST_LABELS} more labels: {path}")
        say(f"labels by {counts.column}: {counts.sentence}")


def print_children(children: Sequence[tuple[str, Mapping[str, float]]], registry: Registry) -> None:
    """Print the runs of a sweep in which nothing ranks."""
    from dbgsom_core.runs.headline import parts_of
    from dbgsom_core.runs.ranking import best_end, with_arrow

    names = ("accuracy", "quantization_error", "topographic_error")
    rows = []
    for run, measures in children:
        parts = parts_of(measures)
        rows.append([run, *(measures.get(f"{parts.get(name)}/{name}") for name in names)])
    titles = [with_arrow(name, best_end(name, registry)) for name in names]
    _print_filled(["run", *titles], rows)


def print_rankings(rankings: Sequence[Ranking], registry: Registry) -> None:
    from dbgsom_core.runs.compare import same_mean
    from dbgsom_core.runs.ranking import best_end, with_arrow

    for ranking in rankings:
        names, keys = ranking.measures, ranking.keys
        rows = []
        for place, variant in enumerate(ranking.variants):
            varies = [variant.varies.get(key, "") for key in keys]
            values = [_value(ranking, place, name) for name in names]
            runs = len(variant.runs) if len(variant.runs) > 1 else ""
            rows.append(
                [place + 1, *values, runs, *("null" if it is None else it for it in varies)]
            )
        titles = [with_arrow(name, best_end(name, registry)) for name in names]
        _print_filled(["", *titles, "runs", *keys], rows)
        where = f" on {ranking.data}" if len(rankings) > 1 else ""
        best = f"best{where}: {ranking.best.name} ({names[0]} {_value(ranking, 0, names[0])})"
        tied = [variant.name for variant in ranking.ties]
        say(f"{best}; {same_mean(tied)}" if tied else best)
        for text in (ranking.reason, ranking.verdict):
            if text:
                say(text)


def _value(ranking: Ranking, place: int, name: str) -> str:
    from dbgsom_core.runs.text import value_of

    variant = ranking.variants[place]
    mean = variant.measures.get(name)
    return "" if mean is None else value_of(mean, variant.spread.get(name))
