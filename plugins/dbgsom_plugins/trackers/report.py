"""The report of a run: its content, and the templates that write it as markdown and as a page."""

from __future__ import annotations

import math
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dbgsom_core.api import Evaluation, Html, MapView, Ranking, Run, RunResult, as_label
from dbgsom_core.runs.folder import RunFiles
from dbgsom_core.runs.headline import count_text, headline
from dbgsom_core.runs.profile import group_rows, read_clusters
from dbgsom_core.runs.text import as_markdown, to_digits, value_of

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

# --------------------------------------------------------------------------- what a value means

# A sentence on the value, or several with the least value that each is for.
_INTERPRETATIONS: Mapping[str, str | Sequence[tuple[float, str]]] = {
    "accuracy": "{share} get the right class",
    "adjusted_rand": "groups agree with the classes to {percent}, corrected for chance",
    "balanced_accuracy": "{percent} right where every class counts the same, however small",
    "c_measure": "distances on the map and in the data agree to {percent}",
    "calinski_harabasz": "squared distances between groups are {number} times those within them",
    "class_scatter": "a class lies in {digits} separate regions of the map on average",
    "combined_error": "{number} from a sample to its neuron and by links to the second nearest",
    "continuity": "neighbours of the data are {often} on the map",
    "davies_bouldin": "the most alike groups are {digits} times as wide as they lie apart",
    "dead_neurons": (
        (0.1, "neurons without a sample: {number}"),
        (-math.inf, "every neuron has samples"),
    ),
    "distortion": "samples lie {number} from their neuron and those beside it, in squares",
    "entropy": "classes within a neuron are mixed by {digits} bits; 0 is pure",
    "kruskal_shepard": "distances on the map are typically off by {percent} of the largest",
    "log_loss": "the right class typically gets a probability of {percent}",
    "macro_f1": "precision and recall of a class together reach {percent} on average",
    "mae": "answers are off by {number} on average",
    "map_entropy": "samples spread as if over {digits} neurons with equally many",
    "neighbourhood_preservation": "{percent} of a sample's nearest are also its nearest on the map",
    "normalized_mutual_info": "answers and classes share {percent} of their information",
    "novelty_auc": "an outlier is scored as stranger than another sample in {percent} of all pairs",
    "purity": "{share} are of their neuron's most frequent class",
    "purity_shuffled": "{share} would be by chance, with the training's classes shuffled",
    "quantization_error": "a sample lies {number} from its neuron's prototype on average",
    "r2": (
        (0, "{percent} of the variance of the target is explained"),
        (-math.inf, "worse than always answering the mean"),
    ),
    "rmse": "answers are typically off by {number}",
    "roc_auc": "the right class gets the higher score in {percent} of all pairs",
    "silhouette": "samples lie {percent} nearer to their own group than to the next",
    "topographic_error": "for {share} the two nearest neurons are not linked",
    "topographic_error_8": "for {share} the two nearest neurons do not touch",
    "topographic_function": "{digits} neighbours of a neuron are so in only one of data and map",
    "topographic_product": (
        (0.01, "the grid has more dimensions than the data"),
        (-0.01, "the grid has about as many dimensions as the data asks for"),
        (-math.inf, "the grid has too few dimensions for the data, so the map folds"),
    ),
    "trustworthiness": "neighbours on the map are {often} in the data",
}
_OFTEN = ((0.95, "nearly always close"), (0.8, "mostly close"), (-math.inf, "often apart"))
_SCALES: Mapping[str, Callable[[float], float]] = {  # of the value in its sentence
    "kruskal_shepard": math.sqrt,
    "log_loss": lambda value: math.exp(-value),
    "map_entropy": lambda value: 2**value,
}


def interpretation(name: str, value: float, samples: int | None = None) -> str:
    """Return a sentence on the value of a built-in measure; empty for other measures.

    A share of few ``samples`` is a count.
    """
    name = name.rpartition("/")[2]
    words = _INTERPRETATIONS.get(name, "")
    if not math.isfinite(value) or not words:
        return ""
    if not isinstance(words, str):
        words = next(sentence for least, sentence in words if value >= least)
    often = next(words for least, words in _OFTEN if value >= least)
    share = _share(value, samples)
    value = _SCALES.get(name, float)(value)
    shown = {"percent": _percent(value), "number": to_digits(value, 4), "digits": f"{value:.2g}"}
    return words.format(often=often, share=share, **shown)


def _share(share: float, samples: int | None, part: str = "", digits: int = 0) -> str:
    """Return a share of the samples of a part: 62 % of the test samples, 5 of 8 test samples."""
    samples_of = f"{part} samples".strip()
    count = count_text(share, samples)
    return f"{count} {samples_of}" if count else f"{_percent(share, digits)} of the {samples_of}"


def _percent(share: float, digits: int = 0) -> str:
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    if 1 - 0.005 / 10**digits <= share < 1:  # 100 % is said of all only
        return "more than 99.9 %" if digits else "more than 99 %"
    return f"{100 * share:.{1 if 0 < share < 0.0195 else digits}f} %"


# ----------------------------------------------------------------------------- what stands out


def remarks(
    view: MapView,
    measures: Mapping[str, float],
    baseline: Mapping[str, float] = MappingProxyType({}),
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> list[str]:
    """Return sentences on weak regions of the map, with their neurons.

    ``baseline`` holds the measures of always answering the most frequent class, ``sizes`` the
    samples of each part of the data.
    """
    evaluation, som_map, hits = view.evaluation, view.evaluation.som_map, view.evaluation.hits
    found, mistakes = _answer_remarks(view, measures, baseline, sizes)
    live = int(np.count_nonzero(hits))
    folded = som_map.hops[evaluation.bmu, evaluation.second_bmu] > 1
    if len(som_map) > 1 and folded.any():
        where = _most_phrase(view, np.bincount(evaluation.bmu, folded, len(som_map)))
        share = _share(float(folded.mean()), len(folded), "training")
        found.append(f"{share} sit where the map folds{where}.")
    if dead := len(som_map) - live:
        several = "neurons have" if dead > 1 else "neuron has"
        found.append(f"{dead} {several} no training sample{_neurons_phrase(view, hits == 0)}.")
    if live > 4 and hits.max() > 0.25 * hits.sum():
        share = _share(float(hits.max() / hits.sum()), int(hits.sum()), "training")
        where = _neurons_phrase(view, hits == hits.max())
        scales = "look at the scales of the columns"
        found.append(f"One neuron won {share}{where}: {scales}.")
    return found + mistakes


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


def _answer_remarks(
    view: MapView,
    measures: Mapping[str, float],
    baseline: Mapping[str, float],
    sizes: Mapping[str, int],
) -> tuple[list[str], list[str]]:
    """Return accuracy beside that of the most frequent class, and the most frequent mistake."""
    if view.estimator != "classifier" or view.evaluation.y is None:
        return [], []
    scored = view.scored or ("training", view.evaluation)
    classes, (of_scored, answers) = _classes(view, view.evaluation)[0], _classes(view, scored[1])
    words = {"test": "test", "train": "training"}
    found = {one: measures.get(f"{one}/accuracy", math.nan) for one in words}
    found = {one: value for one, value in found.items() if math.isfinite(value)}
    accuracy = []
    if found and classes:
        ((most, count),) = Counter(classes).most_common(1)
        constant = {"train": count / len(classes)}
        if "test/accuracy" in baseline:
            constant = {"test": baseline["test/accuracy"], **constant}
        same = [one for one in {*found} & {*constant} if found[one] != constant[one]]
        digits = int(any(_percent(found[one]) == _percent(constant[one]) for one in same))
        right = [_share(found[one], sizes.get(one), words[one], digits) for one in found]
        answered = [
            _share(value, sizes.get("test"), "test", digits)
            if one == "test"
            else count_text(value, len(classes)) or _percent(value, digits)
            for one, value in constant.items()
        ]
        accuracy.append(
            f"{' and '.join(right)} get the right class; always answering {most}, the most "
            f"frequent one, would be right for {' and '.join(answered)} in training."
        )
    wrong = Counter(pair for pair in zip(of_scored, answers, strict=True) if pair[0] != pair[1])
    where = _SCORED.get(scored[0], f"of {scored[0]} samples")
    mistakes = [
        f"The most frequent mistake {where}: {name} taken for {answer}, "
        f"{count} of {of_scored.count(name)}."
        for (name, answer), count in wrong.most_common(1)
    ]
    return accuracy, mistakes


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
    sizes = run.data.get("parts") or {}
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
            "folded": _measure_tables(measures, folds, sizes),
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
        words = interpretation(one.name, one.value, one.samples)
        words = " ".join(filter(None, [words, f"({more})" if more else ""]))
        label = f"test {one.name}" if one.part == "test" else one.name
        found.append((label, one.text, words))
    return found


def _measure_tables(
    measures: Mapping[str, float],
    folds: Sequence[Mapping[str, float]],
    sizes: Mapping[str, int],
) -> list[Table]:
    """Return the tables of all measures, of their stability and of folds, where there are such."""
    parts = [part for part in ("train", "test") if any(n.startswith(f"{part}/") for n in measures)]
    names = dict.fromkeys(n.partition("/")[2] for n in measures if n.partition("/")[0] in parts)
    rows: list[list[Any]] = []
    for name in names:
        means = [measures.get(f"{part}/{name}") for part in parts]
        deviations = [measures.get(f"{part}_std/{name}") for part in parts]
        value = math.nan if means[-1] is None else means[-1]
        samples = sizes.get(parts[-1])
        rows.append([name, *map(_value, means, deviations), interpretation(name, value, samples)])
    said = "what it says" if len(parts) < 2 else "what it says (test)"
    tables: list[Table] = [("Measures", ["measure", *parts, said], rows)]
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
