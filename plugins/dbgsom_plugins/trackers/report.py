"""The report of a run: a short markdown page for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dbgsom_core.api import Ranking, Run, RunResult, Variant
from dbgsom_plugins.trackers.markdown import as_code, as_markdown
from dbgsom_plugins.trackers.readings import number, reading

PARTS = ("train", "test")
STABILITY = ("stability", "stability_low", "stability_high")
MOST_ROWS = 100  # of a table of variants
_MOST_FOLDS = 10  # columns that can be read; folds.csv has them all


def report(
    run: Run,
    result: RunResult,
    figures: Sequence[str],
    children: Sequence[Mapping[str, Any]],
    remarks: Sequence[str] = (),
    config: str = "",
    artifacts: Sequence[str] = (),
) -> str:
    """Return the report of a finished run or sweep as markdown.

    ``figures`` are the names of their files: pictures are shown, pages linked. ``remarks`` say what
    stands out, and ``config`` is the configuration as text, without secrets. ``artifacts`` are the
    files that observers have logged, by their ways from the folder with ``/`` between words.
    """
    blocks = [f"# {as_markdown(run.name)}", _sentence(run, result)]
    if remarks:
        blocks.append("## What stands out\n\n" + _list(remarks))
    if result.measures and not result.rankings:
        blocks.append("## Measures\n\n" + measures_table(result.measures, readings=True))
        if any(name.startswith("stability/") for name in result.measures):
            blocks.append("## Stability\n\n" + stability_table(result.measures))
    if 0 < len(result.folds) <= _MOST_FOLDS:
        blocks.append("## Folds\n\n" + _folds_table(result.folds))
    if result.rankings:
        blocks.append("## Variants, best first\n\n" + rankings_tables(result.rankings))
    elif children:
        blocks.append("## Runs of this sweep\n\n" + _children_table(children))
    if figures:
        shown = (
            f"{'!' * file.endswith('.png')}[{as_markdown(_called(file))}](figures/{quote(file)})"
            for file in sorted(figures, key=lambda one: one.endswith(".png"))  # pages first
        )
        blocks.append("## Figures\n\n" + "\n\n".join(shown))
    if artifacts:
        links = (f"* [{as_markdown(one)}]({quote(one)})" for one in artifacts)
        blocks.append("## Files that plugins logged\n\n" + "\n".join(links))
    if result.notes:
        blocks.append("## Notes\n\n" + _list(result.notes))
    if run.params:
        rows = ([as_code(name), _cell(value)] for name, value in run.params.items())
        blocks.append("## Parameters\n\n" + _table(["parameter", "value"], rows))
    blocks.append("## How to reproduce it\n\n" + _reproduced(run, config))
    return "\n\n".join(blocks) + "\n"


def _called(file: str) -> str:
    # A figure in words: "label map" of label_map.png.
    return file.rpartition(".")[0].replace("_", " ")


def measures_table(measures: Mapping[str, float], *, readings: bool = False) -> str:
    """Return measures as a markdown table, the training and the test part side by side.

    A mean over folds has their standard deviation beside it. With ``readings`` a last column says
    what the last of the values means.
    """
    names: dict[str, dict[str, str]] = {}
    meant: dict[str, str] = {}
    for full_name, value in measures.items():
        part, _, name = full_name.partition("/")
        if part in STABILITY:  # has a table of its own
            continue
        if part in PARTS and name:
            meant[name] = reading(name, value)
            told = _with_spread(value, measures.get(f"{part}_std/{name}"))
            names.setdefault(name, {})[part] = told
        elif not (part == "test_std" and f"test/{name}" in measures):
            names.setdefault(full_name, {})[""] = number(value)
    parts = [part for part in ("", *PARTS) if any(part in values for values in names.values())]
    explained = readings and any(meant.values())
    rows = (
        [
            as_code(name),
            *(values.get(part, "") for part in parts),
            *([as_markdown(meant.get(name, ""))] if explained else []),
        ]
        for name, values in names.items()
    )
    columns = [part or "value" for part in parts]
    where = f" ({parts[-1]})" if len(parts) > 1 else ""
    return _table(["measure", *columns, *([f"what it says{where}"] if explained else [])], rows)


def stability_table(measures: Mapping[str, float]) -> str:
    """Return what refits to parts of the samples measured as a markdown table."""
    names = [full.partition("/")[2] for full in measures if full.startswith("stability/")]
    rows = (
        [as_code(name), *(_known(measures.get(f"{part}/{name}")) for part in STABILITY)]
        for name in names
    )
    return _table(["over refits", "mean", "low", "high"], rows)


def _known(value: float | None) -> str:
    return "" if value is None else number(value)


def data_facts(data: Mapping[str, Any]) -> str:
    """Return the name and size of a run's data as markdown."""
    name, samples, features = (as_markdown(data[key]) for key in ("name", "samples", "features"))
    return f"{name}: {samples} samples × {features} features"


def _sentence(run: Run, result: RunResult) -> str:
    if run.kind == "sweep":
        told = f"A sweep of {len(result.children)} runs in experiment {as_code(run.experiment)}."
        best = [told_winner(one, result.rankings) for one in result.rankings]
        if any(len(one.variants) > 1 and not one.verdict for one in result.rankings):
            best.append(f"How sure that is: {as_code(f'dbgsom compare {run.id}')}.")
        return " ".join([told, *best])
    facts = [f"Run {as_code(run.id)} of experiment {as_code(run.experiment)}"]
    if {"name", "samples", "features"} <= set(run.data):
        facts.append(data_facts(run.data))
    if result.history:
        last = result.history[-1]
        facts.append(f"{last.neurons} neurons after {last.epoch} epochs, {last.seconds:.1f} s")
    tree = None if result.view is None else result.view.evaluation.tree
    if tree is not None and len(tree.maps) > 1:
        facts.append(f"{len(tree.maps) - 1} child maps, {len(tree)} neurons without one")
    return "; ".join(facts) + "."


def told_winner(ranking: Ranking, among: Sequence[Ranking]) -> str:
    """Return which variant of a sweep won, by what, and how sure that is, as markdown."""
    return f"{winner(ranking, among)}. {as_markdown(ranking.verdict)}".rstrip()


def winner(ranking: Ranking, among: Sequence[Ranking]) -> str:
    """Return which variant of a sweep won, and by what, as markdown without a full stop."""
    where = f" on {as_markdown(ranking.data)}" if len(among) > 1 else ""
    name, best = ranking.measures[0], ranking.best
    runs = f", the mean of {len(best.runs)} runs" if len(best.runs) > 1 else ""
    return (
        f"Best{where}: **{as_markdown(best.name)}**, with {as_code(name)} "
        f"{_measured(best, name)}{runs}{_tied(ranking.ties)}"
    )


def _tied(variants: Sequence[Variant]) -> str:
    if not variants:
        return ""
    first, rest = f"**{as_markdown(variants[0].name)}**", len(variants) - 1
    if not rest:
        return f"; {first} has the same"
    return f"; {first} and {rest} other{'s' * (rest > 1)} have the same"


def rankings_tables(rankings: Sequence[Ranking]) -> str:
    """Return the variants of a sweep, best first, as a markdown table for each data set."""
    tables = []
    for one in rankings:
        rows = (
            [
                *(_cell(variant.varies[key]) if key in variant.varies else "" for key in one.keys),
                *(_measured(variant, name) for name in one.measures),
            ]
            for variant in one.variants[:MOST_ROWS]
        )
        table = _table([*map(as_code, one.keys), *map(as_code, one.measures)], rows)
        left = len(one.variants) - MOST_ROWS
        more = f"\n\n… and {left} more" if left > 0 else ""
        title = f"On {as_markdown(one.data)}:\n\n" if len(rankings) > 1 else ""
        tables.append(f"{title}{table}{more}")
    return "\n\n".join(tables)


def _measured(variant: Variant, name: str) -> str:
    if name not in variant.measures:
        return ""
    return _with_spread(variant.measures[name], variant.spread.get(name))


def _with_spread(mean: float, deviation: float | None) -> str:
    from dbgsom_core.runs.compare.text import value_of  # imports much

    return number(mean) if deviation is None else value_of(mean, deviation)


def _children_table(children: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for child in children for name in child["measures"]))
    rows = (
        [
            as_markdown(child["name"]),
            *(
                _cell(child["measures"][name]) if name in child["measures"] else ""
                for name in columns
            ),
        ]
        for child in children
    )
    return _table(["run", *map(as_code, columns)], rows)


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"* {as_markdown(one)}" for one in sentences)


def _reproduced(run: Run, config: str) -> str:
    """Return the versions of a run and its configuration."""
    environment = run.environment
    facts: list[tuple[str, Any]] = [("data", run.data.get("digest"))]
    git = environment.get("git")
    if isinstance(git, Mapping):
        dirty = ", with changes that are not in it" if git.get("dirty") else ""
        facts.append(("commit of the configuration's folder", f"{git.get('commit')}{dirty}"))
    facts += [("command", environment.get("command")), ("folder", environment.get("folder"))]
    facts += [(name, environment.get(name)) for name in ("python", "platform")]
    versions = environment.get("versions")
    facts += list(versions.items()) if isinstance(versions, Mapping) else []
    rows = ([as_markdown(name), as_code(told)] for name, told in facts if told)
    command = "sweep" if run.kind == "sweep" else "run"
    blocks = [
        f"`config.yaml` in this folder is the whole configuration; `dbgsom {command}` takes it.",
        _table(["what", "which"], rows),
    ]
    if config:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", config)), default=0))
        blocks.append(f"{fence}yaml\n{config.rstrip()}\n{fence}")
    return "\n\n".join(blocks)


def _folds_table(folds: Sequence[Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for one in folds for name in one))
    rows = (
        [as_code(name), *(number(one[name]) if name in one else "" for one in folds)]
        for name in names
    )
    return _table(["measure", *(f"fold {i + 1}" for i in range(len(folds)))], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) else as_markdown(value)
