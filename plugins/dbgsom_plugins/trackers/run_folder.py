"""The run folder as an observer: what a run leaves behind on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
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
    Run,
    RunFiles,
    RunResult,
    StoredRun,
    TrackerComponent,
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
        from dbgsom_plugins.trackers.report import write_report  # imports much

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
            self._end(run, "finished", warnings=notes, **_facts_of_sweep(result))
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
    rankings = result.rankings
    best = rankings[0].best.runs[0] if len(rankings) == 1 else None
    return {"children": children, "best": best, "rankings": rankings}


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
        facts["columns"] = asdict(replace(model.columns, target=None, ids=(), dropped=()))
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
