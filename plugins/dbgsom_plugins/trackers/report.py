"""The report of a run: its content, and the templates that write it as markdown and as a page."""

from __future__ import annotations

import math
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import Evaluation, Html, MapView, Ranking, Run, RunResult, as_label
from dbgsom_core.runs.folder import RunFiles
from dbgsom_core.runs.headline import count_text, headline
from dbgsom_core.runs.profile import group_rows, read_clusters
from dbgsom_core.runs.text import as_markdown, percent, to_digits, value_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Table = tuple[str, Sequence[str], Sequence[Sequence[Any]]]  # title, header, rows

_MOST_ROWS = 100  # of a table of variants
_MOST_FOLDS = 10  # columns that can be read; measures.json has them all
_MOST_NEURONS = 3  # that a sentence names
_MOST_LABELS = 30  # columns of a table of groups; groups.csv has them all
_PROFILE = (
    "What sets each apart: the mean of a column in it, and in brackets the effect, the difference "
    "from the mean of all other samples in standard deviations of all samples. Typical rows are "
    "nearest to the mean of its own. {}.csv has every column."
)
_MAPS = ("label_map", "u_matrix", "hit_map", "sweep_heatmap")  # the first of these opens the report
_SCORED = {"test": "in the test part", "training": "in training"}  # else: of so called samples
_STABILITY = ("stability", "stability_low", "stability_high")

# ------------------------------------------------------------------------- what numbers do not say

# Of measures whose number alone misleads: a sentence, or several with the least value of each.
_REMARKS: Mapping[str, str | Sequence[tuple[float, str]]] = {
    "adjusted_rand": "corrected for chance: 0 is that of random groups",
    "balanced_accuracy": "every class counts the same, however small",
    "map_entropy": "in bits: one more is as if samples were spread over twice the neurons",
    "neighbourhood_preservation": "counts exact neighbours, which are few for good maps, too",
    "novelty_auc": "0.5 is chance",
    "purity": "high by chance where neurons have few samples, as that of shuffled classes says",
    "quantization_error": "a distance of prepared samples, to compare maps of the same data",
    "r2": ((0.0, ""), (-math.inf, "worse than always answering the mean")),
    "roc_auc": "0.5 is chance",
    "topographic_product": (
        (0.01, "the grid has more dimensions than the data"),
        (-0.01, "the grid has about as many dimensions as the data asks for"),
        (-math.inf, "the grid has too few dimensions for the data, so the map folds"),
    ),
}


def remark(name: str, value: float) -> str:
    """Return what the number alone does not say of a built-in measure; empty for most."""
    name = name.rpartition("/")[2]
    words = _REMARKS.get(name, "")
    if not math.isfinite(value):
        return ""
    if name == "log_loss":
        return f"the right class typically gets a probability of {percent(math.exp(-value))}"
    if isinstance(words, str):
        return words
    return next(sentence for least, sentence in words if value >= least)


def _share(part: float, whole: int) -> str:
    """Return a part of the training samples as a share, or as a count of few."""
    count = count_text(part / whole, whole) or percent(part / whole)
    return f"{count} training samples" if "%" not in count else f"{count} of the training samples"


# ----------------------------------------------------------------------------- what stands out


def remarks(view: MapView) -> list[str]:
    """Return sentences on weak regions of the map, with their neurons, and on mistakes."""
    evaluation, som_map, hits = view.evaluation, view.evaluation.som_map, view.evaluation.hits
    sentences = []
    live = int(np.count_nonzero(hits))
    folded = som_map.hops[evaluation.bmu, evaluation.second_bmu] > 1
    if len(som_map) > 1 and folded.any():
        where = _most_phrase(view, np.bincount(evaluation.bmu, folded, len(som_map)))
        share = _share(float(folded.sum()), len(folded))
        sentences.append(f"{share} sit where the map folds{where}.")
    if dead := len(som_map) - live:
        several = "neurons have" if dead > 1 else "neuron has"
        sentences.append(f"{dead} {several} no training sample{_neurons_phrase(view, hits == 0)}.")
    if live > 4 and hits.max() > 0.25 * hits.sum():
        share = _share(float(hits.max()), int(hits.sum()))
        where = _neurons_phrase(view, hits == hits.max())
        scales = "look at the scales of the columns"
        sentences.append(f"One neuron won {share}{where}: {scales}.")
    return sentences + _mistakes(view)


def _most_phrase(view: MapView, weights: NDArray[Any]) -> str:
    # The fewest neurons with most of the weights, as the end of a sentence.
    order = np.argsort(-weights, kind="stable")
    shares = np.cumsum(weights[order]) / weights.sum()
    count = int(np.searchsorted(shares, 0.5, "right")) + 1
    if count > _MOST_NEURONS or len(weights.nonzero()[0]) <= _MOST_NEURONS:
        return _neurons_phrase(view, weights)
    several = f"neuron{'s' * (count > 1)} {_named(view, order[:count])}"
    return f", most of them in {several}"


def _named(view: MapView, neurons: NDArray[Any]) -> str:
    cells = view.evaluation.som_map.positions
    return ", ".join(f"{k} at ({cells[k, 0]}, {cells[k, 1]})" for k in neurons)


def _neurons_phrase(view: MapView, weights: NDArray[Any]) -> str:
    # The neurons with the largest weights, as the end of a sentence.
    order = np.argsort(-weights.astype(float), kind="stable")[: np.count_nonzero(weights)]
    which = "among them " if len(order) > _MOST_NEURONS else ""
    named = f"neuron{'s' * (len(order) > 1)} {_named(view, order[:_MOST_NEURONS])}"
    return f": {which}{named}"


def _mistakes(view: MapView) -> list[str]:
    """Return a sentence on the most frequent mistake of a classifier."""
    if view.estimator != "classifier" or view.evaluation.y is None:
        return []
    part, evaluation = view.scored or ("training", view.evaluation)
    classes, answers = _classes(view, evaluation)
    wrong = Counter(pair for pair in zip(classes, answers, strict=True) if pair[0] != pair[1])
    if not wrong:
        return []
    ((name, answer), count) = wrong.most_common(1)[0]
    where = _SCORED.get(part, f"of {part} samples")
    total = classes.count(name)
    return [f"The most frequent mistake {where}: {name} taken for {answer}, {count} of {total}."]


def _classes(view: MapView, evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Return the names of true classes, and of answers, of the samples that have a class."""
    if evaluation.y is None or evaluation.predictions is None:
        return [], []
    known = slice(None) if evaluation.labelled is None else evaluation.labelled
    classes, answers = (
        [as_label(view.label_names.get(one, one)) for one in np.asarray(values)[known].tolist()]
        for values in (evaluation.y, evaluation.predictions)
    )
    return classes, answers


# --------------------------------------------------------------------------------- the content


def report_content(
    run: Run,
    result: RunResult,
    stands_out: Sequence[str] = (),
    figures: Mapping[str, bytes] = MappingProxyType({}),
    config: str = "",
    artifacts: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the content of the report of a finished run or sweep, for `render`.

    ``figures`` are contents by the names of their files, ``artifacts`` paths within the folder.
    ``config`` is the configuration as text, without secrets.
    """
    shown = [_figure(file, content) for file, content in figures.items()]
    top = [one for name in _MAPS for one in shown if one["path"].endswith(f"/{name}.png")][:1]
    rest = sorted((one for one in shown if one not in top), key=lambda one: "image" in one)
    rankings, measures = result.rankings, {} if result.rankings else result.measures
    folds = [fold.measures for fold in result.folds]
    main = _main_measures(run, measures)
    winners = [_winner(one, rankings) for one in rankings]
    numbers: list[tuple[str, Any]] = [(name, value) for name, value, _ in main[:1]]
    numbers += [(name, run.data[name]) for name in ("samples", "features") if name in run.data]
    if result.history:
        last = result.history[-1]
        numbers += [("neurons", last.neurons), ("epochs", last.epoch)]
        numbers.append(("seconds", f"{last.seconds:.1f}"))
    facts = [
        (f"{name} {key}".strip(), value)
        for name, values in {"run": run.id, "data": run.data, **run.environment}.items()
        for key, value in (values.items() if isinstance(values, Mapping) else [("", values)])
        if isinstance(value, str | int | float)
    ]
    logged = [{"path": path, "title": path} for path in artifacts]
    best = [(f"{where}: {name}", f"{measure} {rest}") for where, name, measure, rest in winners]
    judged = [
        (f"{name} {value}", words) if words else ("", f"{name} {value}")
        for name, value, words in main
    ]
    sections: list[dict[str, Any]] = [
        {"title": "", "figures": top, "bullets": best},
        {"title": "What stands out", "bullets": [("", one) for one in stands_out]},
        {"title": "What matters most", "bullets": judged},
        *_profile_sections(run, result.view),
        *_group_sections(result.view),
        {"title": "Variants, best first", "tables": _ranking_tables(rankings)},
        {"title": "Figures", "figures": rest},
        {
            "title": "All measures",
            "folded": _measure_tables(measures, folds),
        },
        {"title": "Files that plugins logged", "figures": logged},
        {"title": "Notes", "bullets": [("", note) for note in result.notes]},
        {"title": "How to reproduce it", "folded": [("", ["what", "which"], facts)]},
    ]
    filled = [one for one in sections if any(one[part] for part in one if part != "title")]
    return {"run": run, "numbers": numbers, "sections": filled, "config": config}


def _figure(file: str, content: bytes) -> dict[str, str]:
    from markupsafe import Markup

    name, _, ending = file.rpartition(".")
    shown = {"path": f"figures/{file}", "title": name.replace("_", " ")}
    if ending == "html":
        return shown | {"frame": Markup(Html(content.decode()).frame(title=shown["title"]))}
    return shown | {"image": Markup(b64encode(content).decode())}


def _value(mean: float | None, deviation: float | None = None) -> str:
    if mean is None:
        return ""
    return to_digits(mean, 4) if deviation is None else value_of(mean, deviation)


def _main_measures(run: Run, measures: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return name, value and sentence of the measures of the headline."""
    found = []
    for one in headline(measures, run.config, run.data):
        beside = (("training", one.training), ("baseline", one.baseline))
        more = ", ".join(f"{name} {text}" for name, text in beside if text)
        words = "; ".join(filter(None, [more, remark(one.name, one.value)]))
        label = f"test {one.name}" if one.part == "test" else one.name
        found.append((label, one.text, words))
    return found


def _measure_tables(
    measures: Mapping[str, float], folds: Sequence[Mapping[str, float]]
) -> list[Table]:
    """Return the tables of all measures, of their stability and of folds, where there are such."""
    parts = [part for part in ("train", "test") if any(n.startswith(f"{part}/") for n in measures)]
    names = dict.fromkeys(n.partition("/")[2] for n in measures if n.partition("/")[0] in parts)
    rows: list[list[Any]] = []
    for name in names:
        means = [measures.get(f"{part}/{name}") for part in parts]
        deviations = [measures.get(f"{part}_std/{name}") for part in parts]
        value = math.nan if means[-1] is None else means[-1]
        rows.append([name, *map(_value, means, deviations), remark(name, value)])
    tables: list[Table] = [("Measures", ["measure", *parts, "remark"], rows)]
    names = dict.fromkeys(n.partition("/")[2] for n in measures if n.startswith("stability/"))
    rows = [[name, *(measures.get(f"{part}/{name}") for part in _STABILITY)] for name in names]
    tables.append(("Stability", ["over refits", "mean", "low", "high"], rows))
    if len(folds) <= _MOST_FOLDS:
        names = dict.fromkeys(name for fold in folds for name in fold)
        rows = [[name, *(fold.get(name) for fold in folds)] for name in names]
        tables.append(("Folds", ["measure", *(f"fold {i + 1}" for i in range(len(folds)))], rows))
    return [table for table in tables if table[2]]


def _profile_sections(run: Run, view: MapView | None) -> list[dict[str, Any]]:
    """Return the section of what sets clusters, or the classes of a classifier, apart."""
    sections = []
    profiles = (None, None) if view is None else (view.profile, view.class_profile)
    for name, profile in zip(("clusters", "classes"), profiles, strict=True):
        if profile is not None:
            header, rows = read_clusters(RunFiles(run.folder).table(name))
            text = _PROFILE.format(name)
            sections.append(
                {"title": name.capitalize(), "tables": [("", header, rows)], "text": text}
            )
    return sections


def _group_sections(view: MapView | None) -> list[dict[str, Any]]:
    """Return the sections of labels by groups of columns, where these were counted."""
    sections = []
    for counts in () if view is None else view.groups:
        header, rows = group_rows(counts, _MOST_LABELS)
        title, said = f"Labels by {counts.column}", f"{counts.sentence}. groups.csv has the counts."
        sections.append({"title": title, "tables": [("", header, rows)], "text": said})
    return sections


def _ranking_tables(rankings: Sequence[Ranking]) -> list[Table]:
    tables: list[Table] = []
    for ranking in rankings:
        rows = [
            [
                *(variant.varies.get(key) for key in ranking.keys),
                *(_value(variant.measures.get(n), variant.spread.get(n)) for n in ranking.measures),
            ]
            for variant in ranking.variants[:_MOST_ROWS]
        ]
        if left := len(ranking.variants) - len(rows):
            rows.append([f"… and {left} more"])
        title = f"On {ranking.data}:" if len(rankings) > 1 else ""
        tables.append((title, [*ranking.keys, *ranking.measures], rows))
    return tables


def _winner(ranking: Ranking, among: Sequence[Ranking]) -> tuple[str, str, str, str]:
    """Return data set, best variant, ranking measure and significance."""
    best, measure = ranking.best, ranking.measures[0]
    rest = _value(best.measures.get(measure), best.spread.get(measure))
    rest += f", the mean of {len(best.runs)} runs" if len(best.runs) > 1 else ""
    ties = "" if ranking.verdict else "".join(f"; {tie.name} has the same" for tie in ranking.ties)
    where = f"Best on {ranking.data}" if len(among) > 1 else "Best"
    said = " ".join(filter(None, [f"{rest}{ties}.", ranking.verdict, ranking.reason]))
    return where, best.name, measure, said


# ------------------------------------------------------------------------------- the templates


def as_code(text: object) -> str:
    """Return markdown that shows a text as code, in a table, too; one with backticks as text."""
    line = as_label(text, sys.maxsize - 1)
    return as_markdown(line) if "`" in line else "`{}`".format(line.replace("|", "\\|"))


@cache
def _macros(template: str) -> Any:
    """Return the macros of a template; all values but Markup are shown as text on one line."""
    from jinja2 import Environment
    from markupsafe import Markup

    def finalize(value: Any) -> str:
        if isinstance(value, Markup):
            return value
        text = "" if value is None else to_digits(value, 4) if isinstance(value, float) else value
        is_markdown = template == "report.md"
        return Markup(as_markdown(text)) if is_markdown else as_label(text, sys.maxsize - 1)

    environment = Environment(autoescape=True, finalize=finalize, trim_blocks=True)
    environment.filters["code"] = lambda text: Markup(as_code(text))
    source = files(__package__).joinpath(f"{template}.jinja").read_text(encoding="utf-8")
    return environment.from_string(source).module


def render(template: str, content: Mapping[str, Any]) -> str:
    """Return the report that ``report.md`` or ``report.html`` makes of its content."""
    return str(_macros(template).report(**content)).strip() + "\n"
