"""``dbgsom show`` and ``compare``: tables and maps on the terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from dbgsom_core.experiments.trackers import Ranking, Variant
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import RunFiles, StoredRun, read_run
from dbgsom_core.runs.stored_runs import (
    SHORTEST_ID,
    find_run,
    newest_folders,
    shell_name,
)
from dbgsom_core.tables.safe_files import exists

_MOST_CLUSTERS = 25  # of a table
_MOST_LABELS, _MOST_GROUPS = 12, 24  # of a table of groups
_UNLIMITED = 100_000  # characters
_LONGEST = 200  # characters of a value
_SENTENCE = re.compile(r"[^\W\d_]{3}.* | .*[^\W\d_]{3}")  # no number with its interval
_MOST_RUNS = 20  # in a list
_MOST_FIELDS = 4  # that tell one run from the others
_MOST_NEURONS = 2000  # more than a terminal shows
_MAPS = ["auto", "label", "hits", "none"]
_CELL = 3  # characters of a neuron
_RAMP = "·░▒▓█"  # of a dead neuron, and from few hits to many
_LONGEST_NAME = 30  # characters of a name in the legend of a map


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
    files = found.files
    if found.kind == "sweep":
        echo()
        if found.rankings:
            print_rankings(found.rankings, registry)
        else:
            print_children(
                [(child["name"], child["measures"]) for child in found.children], registry
            )
    elif found.measures:
        echo()
        if show_all:
            print_measures(found.measures, None, registry, found.data)
        else:
            print_headline(found.measures, found.config, found.data, shell_name(found), registry)
    print_clusters(files, found.config)
    if found.kind != "sweep" and by != "none" and files.model.exists():
        _print_map(files.model, None if by == "auto" else by)
    echo()
    for what, path in (
        ("folder", files.folder),
        ("report", files.page if files.page.exists() else files.report),
        ("model", files.model),
        *(("figure", path) for path in files.figures()),
        *(("artefact", path) for path in files.artifacts()),
    ):
        if path.exists():
            echo(f"{what}: {path}")


def _list_runs(root: Path, most: int | None) -> None:
    """Print the runs and sweeps of a folder, newest first, a row each."""
    folders, children = newest_folders(root)
    if not folders:
        say(f"there are no runs in {root}: 'dbgsom run CONFIG' makes them")
    found = [read_run(folder) for folder in folders[:most]]
    ends = Counter(folder.name.rpartition("-")[2] for folder in folders)
    rows = []
    for run in found:
        name = run.files.folder.name
        end = name.rpartition("-")[2]  # which names the run in commands
        name = end if ends[end] == 1 and len(end) >= SHORTEST_ID else name
        same = [one for one in found if (one.experiment, one.kind) == (run.experiment, "run")]
        count = children.get(run.files.folder.name, 0)
        sweep = f"sweep of {count} run{'s' * (count != 1)}"
        what = sweep if run.kind == "sweep" else _differences(run, same)
        state = f"damaged: {run.damage}" if run.damage else run.status
        rows.append([name, run.experiment, what, *_first(run), state, _age(run)])
    if rows:
        print_table(["run", "experiment", "what differs", "measure", "value", "state", "age"], rows)
    if len(folders) > len(found):
        say(f"and {len(folders) - len(found)} more: dbgsom show --all")


def _differences(run: StoredRun, others: Sequence[StoredRun]) -> str:
    """Return the name that a run was given, and what tells it from others of its experiment."""
    from dbgsom_core.runs.ranking import fields_text

    params = {key: run.params.get(key) for one in (run, *others) for key in one.params}
    differs = {
        key: value
        for key, value in params.items()
        if any(str(other.params.get(key)) != str(value) for other in others)
    }
    fields = dict([*differs.items()][:_MOST_FIELDS])
    more = " …" * (len(differs) > _MOST_FIELDS)
    return "; ".join(filter(None, [str(run.config.get("name") or ""), fields_text(fields) + more]))


def _first(run: StoredRun) -> tuple[str, str]:
    """Return name and value of what matters most of a run, or of the best variant of a sweep."""
    from dbgsom_core.runs.headline import headline
    from dbgsom_core.runs.text import value_of

    if run.rankings:
        name, best = run.rankings[0].measures[0], run.rankings[0].best
        value = best.measures.get(name)
        text = "" if value is None else value_of(value, best.spread.get(name))
        return name.removeprefix("test/"), text
    found = headline(run.measures, run.config, run.data)
    if not found:
        return "", ""
    part = "train/" if found[0].part == "train" and run.data.get("baseline") else ""
    return f"{part}{found[0].name}", found[0].text


def _age(run: StoredRun) -> str:
    if run.started is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - run.started).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _print_state(found: StoredRun) -> None:
    echo(f"{found.name}\n{found.kind} {found.id} of experiment {found.experiment}")
    took = since = ""
    if found.started is not None:
        since = f", started {found.started.astimezone():%Y-%m-%d %H:%M}"
        if found.ended is not None:
            took = f" in {(found.ended - found.started).total_seconds():.1f} s"
    echo(f"{found.status}{took}{since}")
    if found.error:
        say(f"because: {found.error}")
    if found.damage:
        say(f"damaged: {found.damage}")
    data = found.data
    if {"name", "samples", "features"} <= data.keys():
        from dbgsom_core.runs.manifest import data_title

        name = data_title(found.config.get("dataset"), data["name"])
        echo(f"data {name}: {data['samples']} × {data['features']}")
    if found.status == "running" and found.kind == "run":
        epochs = found.epochs()
        echo(f"epoch {epochs[-1].epoch} so far" if epochs else "no epoch yet")


def _print_map(file: Path, by: str | None) -> None:
    from rich.console import Console

    from dbgsom_core.persistence import load

    try:
        model = load(file)
    except DbgsomError as error:
        echo(f"the map cannot be shown: {error}", err=True)
        return
    estimator = getattr(model, "estimator", model)
    som_map = estimator.som_map_
    rows, columns = som_map.shape
    leaves = f", {len(estimator.leaf_weights_)} leaves of child maps" if som_map.children else ""
    cells = "cells" if som_map.grid.name == "square" else f"{som_map.grid.name} cells"
    torus = "" if som_map.grid.torus is None else ", a torus"
    where = "in a line" if som_map.grid.is_line else f"on {rows} × {columns} {cells}{torus}"
    echo(f"\n{len(som_map)} neurons {where}{leaves}")
    if len(som_map) <= _MOST_NEURONS:
        console = Console(highlight=False)
        for line in draw_map(estimator, by, console):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)


def draw_map(estimator: Any, by: str | None, console: Any) -> list[Any]:
    """Return the lines that show a fitted map as coloured blocks, its legend below it."""
    import numpy as np
    from rich.text import Text

    from dbgsom_core.cli.map_colours import shades_of

    shades, positions = shades_of(estimator, by), estimator.som_map_.plane_positions
    names = [_short_name(text) for text, _ in shades.legend]
    signs = [_RAMP[1], _RAMP[-1]]
    if shades.what == "label":  # one or two characters for each name, all different
        signs = [chr(ord("a") + rank) for rank in range(len(names))]
        for length in (2, 1):
            if len({name[:length] for name in names}) == len(names):
                signs = [name[:length] for name in names]
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
    for name, (_, colour), sign in zip(names, shades.legend, signs, strict=True):
        legend.append(f" {sign} ", _style(colour))
        legend.append(f" {name}  ")
    return [*lines, Text(), legend]


def _cell_texts(shades: Any, signs: Sequence[str], estimator: Any, coloured: bool) -> list[str]:
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


def _style(colour: Any) -> Any:
    from rich.style import Style

    red, green, blue = (int(channel) for channel in colour)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return Style(color="black" if bright else "white", bgcolor=f"rgb({red},{green},{blue})")


def _short_name(text: str) -> str:
    text = as_text(text).replace("\n", " ")
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


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


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, left: bool = False
) -> None:
    """Print a table; a row is one line on a pipe, and on a terminal where all is ``left``."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        is_text = number == 0
        for row in rows:
            if isinstance(row[number], str) and _SENTENCE.search(row[number]):
                is_text = True
        table.add_column(
            Text(cell(name)),
            justify="left" if left or is_text else "right",
            overflow="ellipsis" if left else "fold",
            no_wrap=left or not is_text,
        )
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
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
    tested = any(one.part == "test" for one in found)
    based = any(one.baseline for one in found)
    rows = []
    for one in found:
        values = [one.text, one.training] if one.part == "test" else ["", one.text]
        label = with_arrow(one.name, best_end(f"{one.part}/{one.name}", registry))
        rows.append([label, *values[not tested :], *([one.baseline] if based else [])])
    if found:
        header = ["test", "train"] if tested else ["train"]
        print_table(["measure", *header, *(["baseline"] if based else [])], rows)
    if based:
        say(run_baseline(data))
    constant = data.get("baseline")
    constant = constant if found and isinstance(constant, Mapping) else {}
    known = [constant.get(f"{one.part}/accuracy", -1.0) for one in found if one.name == "accuracy"]
    if known and found[0].value <= known[0]:
        say(
            "its classes are right no more often than that; roc_auc and log_loss say whether its "
            "probabilities are worth more"
        )
    if (count := len(parts_of(measures))) > len(found):
        say(f"all {count} measures: dbgsom show {name} --all")


def print_measures(
    measures: Mapping[str, float], view: Any, registry: Registry, data: Mapping[str, Any]
) -> None:
    from dbgsom_core.runs.compare import run_baseline
    from dbgsom_core.runs.ranking import best_end

    parts = [part for part in ("train", "test", "test_std") if _has_part(measures, part)]
    refitted = {name: value for name, value in measures.items() if name.startswith("stability")}
    names = dict.fromkeys(name.partition("/")[2] for name in measures if name not in refitted)
    rows: list[list[Any]] = []
    if view is not None:
        blanks = [None] * (len(parts) - 1)
        rows.append(["neurons", "", len(view.evaluation.som_map), *blanks])
        if view.evaluation.som_map.children:
            rows.append(["leaves", "", len(view.evaluation.tree), *blanks])
    rows += [
        [name, best_end(name, registry), *(measures.get(f"{part}/{name}") for part in parts)]
        for name in names
    ]
    headers = ["± over folds" if part == "test_std" else part for part in parts]
    print_table(["measure", "best", *headers], rows)
    stable = [name.partition("/")[2] for name in refitted if name.startswith("stability/")]
    if stable:
        keys = ("stability", "stability_low", "stability_high")
        rows = [[name, *(refitted.get(f"{key}/{name}") for key in keys)] for name in stable]
        print_table(["over refits", "mean", "low", "high"], rows)
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

    tables = {name: files.table(name) for name in ("clusters", "classes", "groups")}
    tables = {name: path for name, path in tables.items() if exists(path)}
    for name in tables.keys() & {"clusters", "classes"}:
        header, rows = read_clusters(tables[name])
        echo()
        print_table(header[:-1], [row[:-1] for row in rows[:_MOST_CLUSTERS]])
        if len(rows) > _MOST_CLUSTERS:
            say(f"and {len(rows) - _MOST_CLUSTERS} more: {tables[name]}")
        say("effect: the difference from all other samples, in standard deviations of all")
    for counts in read_groups(tables["groups"]) if "groups" in tables else ():
        header, rows = group_rows(counts, _MOST_LABELS)
        echo()
        print_table(header, rows[:_MOST_GROUPS])
        if len(counts.labels) > _MOST_LABELS:
            say(f"and {len(counts.labels) - _MOST_LABELS} more labels: {tables['groups']}")
        say(f"labels by {counts.column}: {counts.sentence}")


def print_children(children: Sequence[tuple[str, Mapping[str, float]]], registry: Registry) -> None:
    from dbgsom_core.runs.ranking import best_end, with_arrow

    part = "test" if any(_has_part(measures, "test") for _, measures in children) else "train"
    main = ("accuracy", "quantization_error", "topographic_error")
    names = [n for n in main if any(f"{part}/{n}" in measures for _, measures in children)]
    rows = [[name, *(measures.get(f"{part}/{n}") for n in names)] for name, measures in children]
    columns = [with_arrow(name, best_end(name, registry)) for name in names]
    print_table([f"run ({part} part)", *columns], rows)


def print_rankings(rankings: Sequence[Ranking], registry: Registry) -> None:
    from dbgsom_core.runs.compare import same_mean
    from dbgsom_core.runs.ranking import best_end, with_arrow
    from dbgsom_core.runs.text import value_of

    def measure(variant: Variant, name: str) -> str | None:
        value, spread = variant.measures.get(name), variant.spread.get(name)
        if value is None:
            return None
        return cell(value) if spread is None else value_of(value, spread)

    for ranking in rankings:
        names, keys = ranking.measures, ranking.keys
        several = any(len(variant.runs) > 1 for variant in ranking.variants)
        rows = []
        for rank, variant in enumerate(ranking.variants, start=1):
            values = (variant.varies.get(key, "") for key in keys)
            rows.append(
                [
                    rank,
                    *(measure(variant, name) for name in names),
                    *([len(variant.runs)] if several else []),
                    *("null" if value is None else value for value in values),
                ]
            )
        columns = [with_arrow(name, best_end(name, registry)) for name in names]
        print_table(["", *columns, *(["runs"] if several else []), *keys], rows)
        where = f" on {ranking.data}" if len(rankings) > 1 else ""
        value = measure(ranking.best, names[0])
        best = f"best{where}: {ranking.best.name} ({names[0]} {value})"
        tied = [variant.name for variant in ranking.ties]
        say(f"{best}; {same_mean(tied)}" if tied else best)
        for text in filter(None, (ranking.reason, ranking.verdict)):
            say(text)


def _has_part(measures: Mapping[str, float], part: str) -> bool:
    return any(name.startswith(f"{part}/") for name in measures)
