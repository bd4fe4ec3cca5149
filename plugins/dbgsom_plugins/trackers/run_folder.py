"""The run folder as an observer: what a run leaves behind on disk."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import (
    DataError,
    DbgsomError,
    EpochRecord,
    Html,
    Run,
    RunResult,
    TrackerComponent,
    masked,
    write_atomically,
)
from dbgsom_core.files import to_disk
from dbgsom_core.runs.folder import (
    JournalLine,
    RunFiles,
    State,
    StoredRun,
    append_line,
    array_facts,
    now,
    read_run,
    trim_journal,
    write_bytes,
    write_measures,
    write_run,
    write_text,
    write_yaml,
)

_log = logging.getLogger("dbgsom.run_folder")

_MOST_ASSIGNED = 10_000_000  # samples: to write where each of more ended takes longer than to train
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
class _Written:
    """State of the observer for a running run."""

    stored: StoredRun
    last_epoch: int
    kept: bool = False


class RunFolderObserver:
    """Writes the folder of each run that it hears of, as `dbgsom_core.runs.folder` says.

    A run that is started again in its folder goes on with its journal: epochs that the journal
    already holds are not written twice. A folder that cannot be written ends the run; what it
    held before stays.
    """

    def __init__(self, assignments: bool | None = None) -> None:
        self._runs: dict[str, _Written] = {}
        self._assignments = assignments

    def dbgsom_run_started(self, run: Run) -> None:
        files = RunFiles(run.folder)
        started = read_run(run.folder).started or now()
        stored = StoredRun.from_run(run).model_copy(update={"started": started})
        files.remove_temporary()  # not at the end, when other trackers may write in the folder
        with _written_or_refused(run):
            epochs = [line.epoch for line in trim_journal(files.journal) if line.is_epoch]
            write_yaml(files.config, run.config)
            write_run(stored)  # makes the folder a run
        self._runs[run.id] = _Written(stored, max(epochs, default=0))

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        written, journal = self._runs[run.id], RunFiles(run.folder).journal
        if epoch.epoch <= written.last_epoch:
            return
        if epoch.epoch > written.last_epoch + 1:
            raise DbgsomError(
                f"{journal} lacks epoch {written.last_epoch + 1}, which this run has done: start a "
                "new run without --resume"
            )
        metrics = {
            "epoch/quantization_error": epoch.quantization_error,
            "epoch/neurons": float(epoch.neurons),
            "epoch/width": epoch.width,
            "epoch/movement": epoch.movement,
        }
        with _written_or_refused(run):
            append_line(journal, JournalLine(epoch.epoch, int(time.time() * 1000), metrics))
        written.last_epoch = epoch.epoch

    def write_results(self, run: Run, result: RunResult) -> None:
        """Write measures, models and tables, before figures are drawn."""
        # This imports much, long after the start.
        from dbgsom_core.tables import write_table

        files, written = RunFiles(run.folder), self._runs[run.id]
        with _written_or_refused(run):
            write_measures(files, result.measures, result.folds)
            if result.model is not None:
                write_atomically(files.model, result.model.save)
                for epoch, model in result.checkpoints.items():
                    write_atomically(files.epoch_model(epoch), model.save)
                facts = _model_facts(result)
                written.stored = written.stored.model_copy(update={"model": facts})
            for name, batches in result.tables.items():
                if name != "assignments" or self._assigns(run):
                    try:
                        write_table(str(files.table(name)), batches())
                    except DataError as error:
                        if isinstance(error.__cause__, OSError):  # the disk's fault, not the data's
                            raise error.__cause__ from None
                        raise
        written.kept = True

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        files, written = RunFiles(run.folder), self._runs[run.id]
        if not written.kept:
            self.write_results(run, result)
        with _written_or_refused(run):
            if self._assignments is None and not self._assigns(run):
                result = replace(result, notes=[*result.notes, _LEFT_OUT])
            notes = _write_pages(files, run, result)
            if written.last_epoch:
                to_disk(files.journal)
            for path in (files.config, files.measures):
                if not path.exists():
                    raise OSError(f"{path.name} was removed by another process")
            self._end(run, "finished", warnings=notes, **_sweep_facts(result))
        with suppress(OSError):  # only now: until the end is written, it is what a resume needs
            files.checkpoint.unlink()

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        if run.id in self._runs:  # what comes after the end changes nothing
            status: State = "failed" if isinstance(error, Exception) else "killed"
            text = masked(str(error).strip())
            name = type(error).__name__
            with _written_or_refused(run):
                self._end(run, status, error=f"{name}: {text}" if text else name)

    def _assigns(self, run: Run) -> bool:
        if self._assignments is None:
            return int(run.data.get("samples", 0)) <= _MOST_ASSIGNED
        return self._assignments

    def _end(self, run: Run, status: State, **known: Any) -> None:
        stored = self._runs[run.id].stored
        write_run(stored.model_copy(update={"status": status, "ended": now(), **known}))
        del self._runs[run.id]


@contextmanager
def _written_or_refused(run: Run) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = _cure(error)
        raise DbgsomError(
            f"the run folder {run.folder} cannot be written ({error.strerror or error}): {cure}"
        ) from error


def _cure(error: OSError) -> str:
    elsewhere = "choose another place with 'tracking: {name: run_folder, path: …}'"
    again = "run it again, and leave its folder alone until it has ended"
    if error.errno is None:  # by somebody else, as the error says
        return again
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"somebody removed it, or what was in it; {again}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cure = f"make room there, or {elsewhere}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = f"let it be written, or {elsewhere}"
    else:
        cure = elsewhere
    return f"{cure}; what was written before is kept"


def _sweep_facts(result: RunResult) -> dict[str, Any]:
    """Return the children, the best one and the rankings of a finished sweep."""
    children = [
        {"id": child.id, "name": child.name, "params": child.params, "measures": measures}
        for child, measures in result.children
    ]
    rankings = result.rankings
    best = rankings[0].best.runs[0] if len(rankings) == 1 else None
    return {"children": children, "best": best, "rankings": rankings}


def _write_pages(files: RunFiles, run: Run, result: RunResult) -> list[str]:
    """Write the figures and the report, and return the notes in it."""
    from dbgsom_plugins.trackers.report import remarks, render, report_content  # imports much

    notes = list(result.notes)
    figures: dict[str, bytes] = {}
    for name, figure in result.figures.items():
        try:
            ending, content = _rendered(figure)
        except Exception as error:
            notes.append(f"figure {name} cannot be written ({type(error).__name__}: {error})")
            _log.warning("%s", notes[-1])
        else:
            path = files.figure(name, ending)
            if ending == "html":
                write_text(path, content.decode())
            else:
                write_bytes(path, content)
            figures[path.name] = content
    stands_out: list[str] = []
    if result.view is not None:
        try:
            stands_out = remarks(result.view)
        except Exception as error:
            notes.append(f"what stands out is not known ({type(error).__name__}: {error})")
            _log.warning("%s", notes[-1])
    config = files.config.read_text(encoding="utf-8")
    logged = [path.relative_to(files.folder).as_posix() for path in files.artifacts()]
    result = replace(result, notes=notes)
    report = report_content(run, result, stands_out, figures, config, logged)
    write_text(files.report, render("report.md", report))
    write_text(files.page, render("report.html", report))
    return notes


def _model_facts(result: RunResult) -> dict[str, Any]:
    """Return the model's requirements and examples, so that serving needs no import of it."""
    from dbgsom_core.persistence import FittedModel, distributions

    model = result.model
    facts: dict[str, Any] = {}
    if isinstance(model, FittedModel):
        with suppress(DbgsomError, ImportError):  # then they load it, and see what is missing
            columns = None
            if model.columns is not None:  # others than the features may be the environment's
                columns = asdict(replace(model.columns, target=None, ids=(), dropped=()))
            facts = {"needs": distributions(model), "columns": columns}
            facts |= {"own_steps": model.own_steps} if model.own_steps else {}
            epoch = getattr(model.estimator, "kept_epoch_", None)  # of a third party's
            facts |= {} if epoch is None else {"epoch": epoch}
    if result.example is not None:
        example = np.asarray(result.example)
        answers = np.asarray(model.predict(example))
        if answers.dtype == object:
            answers = answers.astype(str)
            facts.pop("needs", None)  # which objects they are only the model knows
        facts |= {"example": array_facts(example), "answers": array_facts(answers)}
    return facts


def _rendered(figure: Any) -> tuple[Literal["png", "html"], bytes]:
    if isinstance(figure, Html):
        return "html", figure.text.encode()
    content = BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return "png", content.getvalue()
