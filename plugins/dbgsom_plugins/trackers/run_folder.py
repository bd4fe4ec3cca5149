"""The run folder as an observer: what a run leaves behind on disk, with its report."""

from __future__ import annotations

import logging
import math
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files as resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from dbgsom_core.api import (
    DataError,
    DbgsomError,
    EpochRecord,
    Html,
    Ranking,
    Run,
    RunFiles,
    RunResult,
    StoredRun,
    TrackerComponent,
    as_label,
    as_markdown,
    masked,
    write_atomically,
)

_log = logging.getLogger("dbgsom.run_folder")

_MOST_ASSIGNED = 10_000_000  # samples; writing where each ended takes longer than training on more
_LEFT_OUT = (
    "assignments.csv, where each sample ended, is left out; 'dbgsom predict' writes it afterwards, "
    "tracking: {name: run_folder, assignments: true} in a run"
)


class RunFolder(TrackerComponent):
    """Writes every run to a folder of its own: config, journal, measures, model, figures, report.

    It is always on; name it to choose another place.
    """

    path: str = Field(default="runs", min_length=1, description="folder that holds all experiments")
    checkpoint_seconds: float = Field(
        default=1.0,
        ge=0,
        description="seconds between two checkpoints of training, or a hundred times what one "
        "takes if that is longer; once 5 % of the epochs have passed fifty times will do; 0: after "
        "every epoch",
    )
    checkpoint_models: int | None = Field(
        default=None,
        ge=1,
        description="keep a model of the map after every so many epochs in models/, in MLflow as "
        "logged models with the epoch as step; each costs one labelling",
    )
    assignments: bool | None = Field(
        default=None,
        description="write where each sample ended, assignments.csv; null: for up to 10,000,000 "
        "samples",
    )

    def observer(self) -> RunFolderObserver:
        return RunFolderObserver(self.assignments)


@dataclass
class _RunningRun:
    stored: StoredRun
    last_epoch: int
    has_results: bool = False


class RunFolderObserver:
    """Writes the folder of each run that it hears of, as `RunFiles` says.

    A run that is started again in its folder goes on with its journal: epochs that the journal
    already holds are not written twice. A folder that cannot be written ends the run; what it
    held before stays.
    """

    def __init__(self, assignments: bool | None = None) -> None:
        self._runs: dict[str, _RunningRun] = {}
        self._assignments = assignments

    def dbgsom_run_started(self, run: Run) -> None:
        files = RunFiles(run.folder)
        started = StoredRun.read(run.folder).started or datetime.now(UTC)
        stored = StoredRun.from_run(run).model_copy(update={"started": started})
        files.remove_temporary()  # not at the end, when other trackers may write in the folder
        with _written_or_refused(run):
            epochs = [line.epoch for line in files.trim() if line.is_epoch]
            files.write_config(run.config)
            stored.write()  # makes the folder a run
        self._runs[run.id] = _RunningRun(stored, max(epochs, default=0))

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        running, files = self._runs[run.id], RunFiles(run.folder)
        if epoch.epoch <= running.last_epoch:
            return
        if epoch.epoch > running.last_epoch + 1:
            raise DbgsomError(
                f"{files.journal} lacks epoch {running.last_epoch + 1}, which this run has done: "
                "start a new run without --resume"
            )
        with _written_or_refused(run):
            files.append(epoch.epoch, metrics_of_epoch(epoch), int(time.time() * 1000))
        running.last_epoch = epoch.epoch

    def write_results(self, run: Run, result: RunResult) -> None:
        """Write measures, models and tables, before figures are drawn."""
        # This imports much, long after the start.
        from dbgsom_core.tables import write_table

        files, running = RunFiles(run.folder), self._runs[run.id]
        with _written_or_refused(run):
            files.write_measures(result.measures, result.folds)
            if result.model is not None:
                write_atomically(files.model, result.model.save)
                for epoch, model in result.checkpoints.items():
                    write_atomically(files.epoch_model(epoch), model.save)
                facts = model_facts(result.model, result.example)
                running.stored = running.stored.model_copy(update={"model": facts})
            for name, batches in result.tables.items():
                if name == "assignments" and not self._writes_assignments(run):
                    continue
                try:
                    write_table(str(files.table(name)), batches())
                except DataError as error:
                    if isinstance(error.__cause__, OSError):  # the disk's fault, not the data's
                        raise error.__cause__ from None
                    raise
        running.has_results = True

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        files = RunFiles(run.folder)
        if not self._runs[run.id].has_results:
            self.write_results(run, result)
        notes = list(result.notes)
        if self._assignments is None and not self._writes_assignments(run):
            notes.append(_LEFT_OUT)
        with _written_or_refused(run):
            figures = write_figures(files, result.figures, notes)
            write_report(files, run, replace(result, notes=notes), figures)
            for path in (files.config, files.measures):
                if not path.exists():
                    raise OSError(f"{path.name} was removed by another process")
            facts = {**_facts_of_sweep(result), "verdict": result.verdict}
            self._end(run, "finished", warnings=notes, **facts)
        with suppress(OSError):  # only now: until the end is written, it is what a resume needs
            files.checkpoint.unlink()

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        if run.id not in self._runs:  # it has ended
            return
        name, text = type(error).__name__, masked(str(error).strip())
        status = "failed" if isinstance(error, Exception) else "killed"
        with _written_or_refused(run):
            self._end(run, status, error=f"{name}: {text}" if text else name)

    def _writes_assignments(self, run: Run) -> bool:
        if self._assignments is None:
            return int(run.data.get("samples", 0)) <= _MOST_ASSIGNED
        return self._assignments

    def _end(self, run: Run, status: str, **facts: Any) -> None:
        end = {"status": status, "ended": datetime.now(UTC), **facts}
        self._runs[run.id].stored.model_copy(update=end).write()
        del self._runs[run.id]


@contextmanager
def _written_or_refused(run: Run) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DbgsomError(
            f"the run folder {run.folder} cannot be written ({error.strerror or error}); what was "
            "written before is kept. 'tracking: {name: run_folder, path: …}' is another place"
        ) from error


def metrics_of_epoch(epoch: EpochRecord) -> dict[str, float]:
    """Return what the journal says of an epoch."""
    return {
        "epoch/quantization_error": epoch.quantization_error,
        "epoch/neurons": float(epoch.neurons),
        "epoch/width": epoch.width,
        "epoch/movement": epoch.movement,
    }


def _facts_of_sweep(result: RunResult) -> dict[str, Any]:
    """Return the children, the best one and the rankings of a finished sweep."""
    children = []
    for child, measures in result.children:
        facts = {"id": child.id, "name": child.name, "params": child.params, "measures": measures}
        children.append(facts)
    best = None
    if len(result.rankings) == 1:
        best = result.rankings[0].best.runs[0]
    return {"children": children, "best": best, "rankings": result.rankings}


def write_figures(
    files: RunFiles, figures: Mapping[str, Any], notes: list[str]
) -> dict[str, bytes]:
    """Write figures, and return their contents by file; one that cannot be is a note."""
    contents = {}
    for name, figure in figures.items():
        try:
            if isinstance(figure, Html):
                path, content = files.figure(name, "html"), figure.text.encode()
            else:
                image = BytesIO()
                figure.savefig(image, format="png", dpi=150)
                path, content = files.figure(name), image.getvalue()
        except Exception as error:
            notes.append(f"figure {name} cannot be written ({type(error).__name__}: {error})")
            _log.warning("%s", notes[-1])
            continue
        write_atomically(path, partial(Path.write_bytes, data=content))
        contents[path.name] = content
    return contents


def model_facts(model: Any, example: Any = None) -> dict[str, Any]:
    """Return what a copy of a model needs to be served: requirements, columns, a few answers."""
    from dbgsom_core.persistence import distributions

    facts: dict[str, Any] = {}
    with suppress(DbgsomError, ImportError):  # who loads the model sees what is missing
        facts["needs"] = distributions(model)
    if model.columns is not None:  # others than the features may be the environment's
        others: dict[str, Any] = {"target": None, "ids": (), "dropped": (), "annotations": ()}
        facts["columns"] = asdict(replace(model.columns, **others))
    if model.own_steps:
        facts["own_steps"] = model.own_steps
    facts["epoch"] = model.estimator.kept_epoch_
    if example is not None:
        rows = np.asarray(example)
        answers = np.asarray(model.predict(rows))
        if answers.dtype == object:
            answers = answers.astype(str)
        for name, array in (("example", rows), ("answers", answers)):
            facts[name] = {"dtype": array.dtype.str, "values": array.tolist()}
    return facts


def array_of(facts: Mapping[str, Any]) -> Any:
    """Return an array in `model_facts`."""
    return np.array(facts["values"], dtype=facts["dtype"])


# ---------------------------------------------------------------------------- the report

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows

_MOST_ROWS = 100  # of a table of variants, which few read further; `compare` lists all
_MOST_FOLDS = 10  # columns that can be read; measures.json has them all
_MOST_LABELS = 30  # columns of a table of groups; groups.csv has them all
_MAPS = ("label_map", "u_matrix", "hit_map", "sweep_heatmap")  # the first of these opens the report
_PARTS = ("train", "test", "stability", "stability_low", "stability_high")
_PROFILE = (
    "What sets each apart: the mean of a column in it, and in brackets the effect, the difference "
    "from the mean of all other samples in standard deviations of all samples. Typical rows are "
    "nearest to the mean of its own. {}.csv has every column."
)
_HOW_SURE = (
    "Pairs of maps of disjoint halves ({} pairs, {:,} samples in a half) label {:,} samples of "
    "neither: agreement is their adjusted Rand index, 0 of one cluster, Jaccard how much of a "
    "cluster of this map the most similar one of theirs holds (Hennig 2007). Low and high end the "
    "{:.0%} interval over the pairs, which one pair does not have; by chance: clusters of a half "
    "shuffled."
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
    shown = list(map(_figure, figures, figures.values()))
    # The best of the maps opens the report, pages come before images.
    top: list[dict[str, str]] = []
    for name in _MAPS:
        top += [figure for figure in shown if figure["name"] == name and not top]
    rest = [figure for figure in shown if figure not in top]
    rest.sort(key=lambda figure: "image" in figure)
    lines: list[tuple[str, str]] = []
    if not result.rankings:
        lines = _headline(run, result)
    bullets = list(lines)
    if result.verdict:
        bullets.insert(0, (result.verdict, ""))
    links = [{"path": path, "title": path} for path in artifacts]
    sections: list[dict[str, Any]] = [
        {"title": "", "figures": top, "bullets": list(map(_winner, result.rankings))},
        {"title": "What matters most", "bullets": bullets},
        *_profiles(run, result),
        {"title": "Variants, best first", "tables": list(map(_variants, result.rankings))},
        {"title": "Figures", "figures": rest},
        {"title": "All measures", "folded": _measures(result)},
        {"title": "Files that plugins logged", "figures": links},
        {"title": "Notes", "bullets": [("", note) for note in result.notes]},
        {"title": "How to reproduce it", "folded": [(["what", "which"], [*_facts(run)])]},
    ]
    filled = []
    for section in sections:
        _, *content = section.values()
        if any(content):
            filled.append(section)
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
    from dbgsom_core.api import headline  # imports much

    lines = []
    for measure in headline(result.measures, run.config, run.data):
        name = measure.name
        if measure.part == "test":
            name = f"test {name}"
        remarks = []
        if measure.training:
            remarks.append(f"training {measure.training}")
        if measure.baseline:
            remarks.append(f"baseline {measure.baseline}")
        if measure.name in _REMARKS:
            remarks.append(_REMARKS[measure.name])
        lines.append((f"{name} {measure.text}", "; ".join(remarks)))
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
    from dbgsom_core.api import read_clusters  # imports much

    view = result.view
    if view is None:
        return
    for name, profile in (("clusters", view.profile), ("classes", view.class_profile)):
        if profile is not None:
            tables = [read_clusters(RunFiles(run.folder).table(name))]
            text = _PROFILE.format(name)
            yield {"title": name.capitalize(), "tables": tables, "text": text}
    if view.cluster_stability is not None:
        yield _how_sure(view.cluster_stability)
    for counts in view.groups:
        rows = []
        for group, row, shares in zip(counts.groups, counts.counts, counts.shares, strict=True):
            texts = [f"{share:.1%}" for share in shares[:_MOST_LABELS]]
            rows.append([group or "(none)", f"{row.sum():,}", *texts])
        header = [counts.column, "rows", *counts.labels[:_MOST_LABELS]]
        text = f"{counts.sentence}. groups.csv has the counts."
        yield {"title": f"Labels by {counts.column}", "tables": [(header, rows)], "text": text}


def _how_sure(found: Any) -> dict[str, Any]:
    """Return the section on how sure numbers of clusters and clusters are."""
    numbers = []
    for number, ari, chance in zip(found.numbers, found.agreements, found.chances, strict=True):
        name = f"{number} (this map)" if number == len(found.groups) else number
        numbers.append([name, *_cells(ari, chance)])
    clusters = []
    shares = zip(found.groups.tolist(), found.group_shares, found.group_chances, strict=True)
    for group, jaccard, chance in shares:
        clusters.append([group, *_cells(jaccard, chance)])
    ends = ("low", "high", "by chance")
    half, rest = found.rows
    return {
        "title": "How sure the clusters are",
        "tables": [
            (("clusters", "agreement", *ends), numbers),
            (("cluster", "Jaccard", *ends), clusters),
        ],
        "text": _HOW_SURE.format(found.halves, half, rest, found.level),
    }


def _cells(found: Sequence[float], chance: float) -> list[str]:
    texts = []
    for value in (*found, chance):
        texts.append("" if math.isnan(value) else f"{value:z.2f}")
    return texts


def _variants(ranking: Ranking) -> Table:
    rows = []
    for variant in ranking.variants[:_MOST_ROWS]:
        row = [variant.varies.get(key) for key in ranking.keys]
        for name in ranking.measures:
            row.append(_value(variant.measures.get(name), variant.spread.get(name)))
        rows.append(row)
    n_more = len(ranking.variants) - len(rows)
    if n_more:
        rows.append([f"… and {n_more} more"])
    header = list(ranking.keys)
    header += [f"{name} on {ranking.data}" for name in ranking.measures]
    return header, rows


def _winner(ranking: Ranking) -> tuple[str, str]:
    """Return the best variant, and how sure that is."""
    best, measure = ranking.best, ranking.measures[0]
    value = _value(best.measures.get(measure), best.spread.get(measure))
    if len(best.runs) > 1:
        value += f", the mean of {len(best.runs)} runs"
    if not ranking.verdict:
        for tie in ranking.ties:
            value += f"; {tie.name} has the same"
    sentence = f"{measure} {value}. {ranking.verdict} {ranking.reason}"
    return f"Best on {ranking.data}: {best.name}", sentence.strip()


def _measures(result: RunResult) -> list[Table]:
    """Return the table of all measures, by parts of the data and folds."""
    cells: dict[str, dict[str, str]] = {}  # by measure and column
    if not result.rankings:
        for full_name, value in result.measures.items():
            part, _, name = full_name.partition("/")
            if part in _PARTS:
                deviation = result.measures.get(f"{part}_std/{name}")
                cells.setdefault(name, {})[part] = _value(value, deviation)
    columns = [part for part in _PARTS if any(part in row for row in cells.values())]
    if len(result.folds) <= _MOST_FOLDS:
        for fold in result.folds:
            column = f"fold {fold.fold}"
            columns.append(column)
            for full_name, value in fold.measures.items():
                _, _, name = full_name.partition("/")
                cells.setdefault(name, {})[column] = _value(value)
    if not cells:
        return []
    rows = []
    for name, row in cells.items():
        rows.append([name, *map(row.get, columns)])
    return [(["measure", *columns], rows)]


def _facts(run: Run) -> Iterator[tuple[str, Any]]:
    for name, facts in {"run": run.id, "data": run.data, **run.environment}.items():
        if not isinstance(facts, Mapping):
            facts = {"": facts}
        for key, value in facts.items():
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
        if value is None:
            return ""
        if is_page:
            return as_label(value, sys.maxsize - 1)
        return Markup(as_markdown(value))

    environment = Environment(autoescape=True, finalize=finalize, trim_blocks=True)
    source = resources(__package__).joinpath("report.jinja").read_text(encoding="utf-8")
    return environment.from_string(source, {"is_page": is_page})


def render(is_page: bool, **content: Any) -> str:
    """Return the report, as a page or as markdown, of what `report_content` returns."""
    return str(_template(is_page).render(**content)).strip() + "\n"
