"""The report of a run: its content, and the template that writes it as markdown and as a page."""

from __future__ import annotations

import math
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from dbgsom_core.api import (
    Html,
    Ranking,
    Run,
    RunFiles,
    RunResult,
    as_label,
    as_markdown,
    headline,
    read_clusters,
    write_atomically,
)

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows

_MOST_ROWS = 100  # of a table of variants
_MOST_FOLDS = 10  # columns that can be read; measures.json has them all
_MOST_LABELS = 30  # columns of a table of groups; groups.csv has them all
_MAPS = ("label_map", "u_matrix", "hit_map", "sweep_heatmap")  # the first of these opens the report
_PARTS = ("train", "test", "stability", "stability_low", "stability_high")
_PROFILE = (
    "What sets each apart: the mean of a column in it, and in brackets the effect, the difference "
    "from the mean of all other samples in standard deviations of all samples. Typical rows are "
    "nearest to the mean of its own. {}.csv has every column."
)
_REMARKS = {  # on measures whose number alone misleads
    "adjusted_rand": "corrected for chance: 0 is that of random groups",
    "balanced_accuracy": "every class counts the same, however small",
    "map_entropy": "in bits: one more is as if samples were spread over twice the neurons",
    "neighbourhood_preservation": "counts exact neighbours, which are few for good maps, too",
    "novelty_auc": "0.5 is chance",
    "purity": "high by chance where neurons have few samples, as that of shuffled classes says",
    "quantization_error": "a distance of prepared samples, to compare maps of the same data",
    "r2": "below 0 it is worse than always answering the mean",
    "roc_auc": "0.5 is chance",
    "topographic_product": "well below 0 the grid has too few dimensions for the data",
}


def write_report(
    files: RunFiles, run: Run, result: RunResult, figures: Mapping[str, bytes]
) -> None:
    """Write ``report.md`` and ``report.html``; ``figures`` are contents by the names of files."""
    artifacts = [path.relative_to(files.folder).as_posix() for path in files.artifacts()]
    content = report_content(run, result, figures, artifacts)
    config = files.config.read_text(encoding="utf-8")
    for path, is_page in ((files.report, False), (files.page, True)):
        text = render(is_page, config=config, **content)
        write_atomically(path, partial(Path.write_bytes, data=text.encode()))


def report_content(
    run: Run,
    result: RunResult,
    figures: Mapping[str, bytes],
    artifacts: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the content of the report of a finished run or sweep, for `render`."""
    shown = [_figure(file, content) for file, content in figures.items()]
    maps = [figure for name in _MAPS for figure in shown if figure["name"] == name]
    top = maps[:1]
    rest = [figure for figure in shown if figure not in top]
    rest.sort(key=lambda figure: "image" in figure)  # pages first
    rankings = result.rankings
    lines = [] if rankings else _headline(run, result)
    sections: list[dict[str, Any]] = [
        {"title": "", "figures": top, "bullets": [_winner(ranking) for ranking in rankings]},
        {"title": "What matters most", "bullets": lines},
        *_profiles(run, result),
        {
            "title": "Variants, best first",
            "tables": [_variants(ranking) for ranking in rankings],
        },
        {"title": "Figures", "figures": rest},
        {"title": "All measures", "folded": _measures(result)},
        {
            "title": "Files that plugins logged",
            "figures": [{"path": path, "title": path} for path in artifacts],
        },
        {"title": "Notes", "bullets": [("", note) for note in result.notes]},
        {"title": "How to reproduce it", "folded": [(["what", "which"], [*_facts(run)])]},
    ]
    filled = [section for section in sections if any([*section.values()][1:])]
    return {"run": run, "numbers": _numbers(run, result, lines), "sections": filled}


def _figure(file: str, content: bytes) -> dict[str, str]:
    from markupsafe import Markup

    name, _, ending = file.rpartition(".")
    figure = {"name": name, "path": f"figures/{file}", "title": name.replace("_", " ")}
    if ending == "html":
        figure["frame"] = Markup(Html(content.decode()).frame(title=figure["title"]))
    else:
        figure["image"] = Markup(b64encode(content).decode())
    return figure


def _headline(run: Run, result: RunResult) -> list[tuple[str, str]]:
    """Return the measures that matter most, with their references and remarks."""
    lines = []
    for measure in headline(result.measures, run.config, run.data):
        name = f"test {measure.name}" if measure.part == "test" else measure.name
        words = []
        if measure.training:
            words.append(f"training {measure.training}")
        if measure.baseline:
            words.append(f"baseline {measure.baseline}")
        if measure.name in _REMARKS:
            words.append(_REMARKS[measure.name])
        lines.append((f"{name} {measure.text}", "; ".join(words)))
    return lines


def _numbers(
    run: Run, result: RunResult, lines: Sequence[tuple[str, str]]
) -> list[tuple[str, Any]]:
    """Return the numbers that the report begins with, by name."""
    numbers: list[tuple[str, Any]] = []
    for line, _ in lines[:1]:
        name, _, value = line.removeprefix("test ").partition(" ")
        numbers.append((name, value))
    for name in ("samples", "features"):
        if name in run.data:
            numbers.append((name, run.data[name]))
    if result.history:
        last = result.history[-1]
        numbers += [("neurons", last.neurons), ("epochs", last.epoch)]
        numbers.append(("seconds", f"{last.seconds:.1f}"))
    return numbers


def _profiles(run: Run, result: RunResult) -> Iterator[dict[str, Any]]:
    """Yield sections: what sets clusters, or the classes of a classifier, apart; groups."""
    view = result.view
    if view is None:
        return
    for name, profile in (("clusters", view.profile), ("classes", view.class_profile)):
        if profile is not None:
            tables = [read_clusters(RunFiles(run.folder).table(name))]
            text = _PROFILE.format(name)
            yield {"title": name.capitalize(), "tables": tables, "text": text}
    for counts in view.groups:
        rows = []
        for group, row, shares in zip(counts.groups, counts.counts, counts.shares, strict=True):
            texts = [f"{share:.1%}" for share in shares[:_MOST_LABELS]]
            rows.append([group or "(none)", f"{row.sum():,}", *texts])
        header = [counts.column, "rows", *counts.labels[:_MOST_LABELS]]
        text = f"{counts.sentence}. groups.csv has the counts."
        yield {"title": f"Labels by {counts.column}", "tables": [(header, rows)], "text": text}


def _variants(ranking: Ranking) -> Table:
    rows = []
    for variant in ranking.variants[:_MOST_ROWS]:
        row = [variant.varies.get(key) for key in ranking.keys]
        for name in ranking.measures:
            row.append(_value(variant.measures.get(name), variant.spread.get(name)))
        rows.append(row)
    if left := len(ranking.variants) - len(rows):
        rows.append([f"… and {left} more"])
    return [*ranking.keys, *(f"{name} on {ranking.data}" for name in ranking.measures)], rows


def _winner(ranking: Ranking) -> tuple[str, str]:
    """Return the best variant, and how sure that is."""
    best, measure = ranking.best, ranking.measures[0]
    value = _value(best.measures.get(measure), best.spread.get(measure))
    if len(best.runs) > 1:
        value += f", the mean of {len(best.runs)} runs"
    ties = "" if ranking.verdict else "".join(f"; {tie.name} has the same" for tie in ranking.ties)
    words = f"{measure} {value}{ties}. {ranking.verdict} {ranking.reason}"
    return f"Best on {ranking.data}: {best.name}", words.strip()


def _measures(result: RunResult) -> list[Table]:
    """Return the table of all measures, by parts of the data and folds."""
    measures = {} if result.rankings else result.measures
    cells: dict[str, dict[str, str]] = {}
    for full, value in measures.items():
        part, _, name = full.partition("/")
        if part in _PARTS:
            deviation = measures.get(f"{part}_std/{name}")
            cells.setdefault(name, {})[part] = _value(value, deviation)
    parts = [part for part in _PARTS if any(part in row for row in cells.values())]
    if len(result.folds) <= _MOST_FOLDS:
        for fold in result.folds:
            parts.append(f"fold {fold.fold}")
            for full, value in fold.measures.items():
                name = full.partition("/")[2]
                cells.setdefault(name, {})[parts[-1]] = _value(value)
    rows = [[name, *(row.get(part) for part in parts)] for name, row in cells.items()]
    return [(["measure", *parts], rows)] if rows else []


def _facts(run: Run) -> Iterator[tuple[str, Any]]:
    for name, facts in {"run": run.id, "data": run.data, **run.environment}.items():
        for key, value in facts.items() if isinstance(facts, Mapping) else [("", facts)]:
            if isinstance(value, str | int | float):
                yield f"{name} {key}".strip(), value


def _value(mean: float | None, deviation: float | None = None) -> str:
    if mean is None:
        return ""
    if deviation is None or not math.isfinite(deviation):
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {deviation:.2g}"


@cache
def _template(is_page: bool) -> Any:
    """Return the template; all values but Markup are shown as text on one line."""
    from jinja2 import Environment
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        if isinstance(value, Markup):
            return value
        text = "" if value is None else value
        return as_label(text, sys.maxsize - 1) if is_page else Markup(as_markdown(text))

    environment = Environment(autoescape=True, finalize=finalize, trim_blocks=True)
    source = resources(__package__).joinpath("report.jinja").read_text(encoding="utf-8")
    return environment.from_string(source, {"is_page": is_page})


def render(is_page: bool, **content: Any) -> str:
    """Return the report, as a page or as markdown, of what `report_content` returns."""
    return str(_template(is_page).render(**content)).strip() + "\n"
