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
from dbgsom_core.runs.folder import (
    JournalLine,
    RunFiles,
    State,
    append_epoch,
    check_complete,
    now,
    read_status,
    timestamp,
    trim_journal,
    write_bytes,
    write_json,
    write_status,
    write_text,
    write_yaml,
)
from dbgsom_core.runs.manifest import Manifest
from dbgsom_plugins.trackers.system_metrics import SystemMetrics

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
    system_metrics: bool = Field(
        default=False,
        description="processor and memory once a second, also in MLflow; needs psutil",
    )

    def observer(self) -> RunFolderObserver:
        system = SystemMetrics() if self.system_metrics else None
        return RunFolderObserver(system, self.assignments)


@dataclass
class _Written:
    """State of the observer for a running run."""

    started: str
    last_epoch: int = 0
    length: int = 0  # of the journal, in bytes
    kept: bool = False


class RunFolderObserver:
    """Writes the folder of each run that it hears of, as `dbgsom_core.runs.folder` says.

    A run that is started again in its folder goes on with its journal: epochs that the journal
    already holds are not written twice. A folder that cannot be written ends the run; what it
    held before stays.
    """

    def __init__(
        self, system: SystemMetrics | None = None, assignments: bool | None = None
    ) -> None:
        self._runs: dict[str, _Written] = {}
        self._system, self._assignments = system, assignments

    def dbgsom_run_started(self, run: Run) -> None:
        files = RunFiles(run.folder)
        before = read_status(run.folder).started
        started = now() if before is None else timestamp(before)
        written = self._runs[run.id] = _Written(started)
        files.remove_temporary()  # not at the end, when other trackers may write in the folder
        with _written_or_refused(run):
            written.last_epoch, written.length = trim_journal(files.journal)
            write_yaml(files.config, run.config)
            write_json(files.environment, run.environment)
            # These make the folder a run: a process that is killed before leaves none by half.
            write_json(files.run, _manifest(run))
            write_status(files, "running", started)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        written = self._runs[run.id]
        if epoch.epoch <= written.last_epoch:
            return
        if epoch.epoch > written.last_epoch + 1:
            raise DbgsomError(
                f"{RunFiles(run.folder).journal} lacks epoch {written.last_epoch + 1}, which this "
                "run has done: start a new run without --resume"
            )
        metrics = {
            "epoch/quantization_error": epoch.quantization_error,
            "epoch/neurons": float(epoch.neurons),
            "epoch/width": epoch.width,
            "epoch/movement": epoch.movement,
            **({} if self._system is None else self._system.now()),
        }
        line = JournalLine(epoch.epoch, int(time.time() * 1000), metrics)
        with _written_or_refused(run):
            written.length = append_epoch(RunFiles(run.folder).journal, line, written.length)
        written.last_epoch = epoch.epoch

    def write_results(self, run: Run, result: RunResult) -> None:
        """Write measures, models and tables, before figures are drawn."""
        # This imports much, long after the start.
        from dbgsom_core.tables import write_table

        files = RunFiles(run.folder)
        with _written_or_refused(run):
            write_json(files.measures, result.measures)
            if result.model is not None:
                write_atomically(files.model, result.model.save)
                _write_model_facts(files, result.model)
                for epoch, one in result.checkpoints.items():
                    path = files.epoch_model(epoch)
                    path.parent.mkdir(exist_ok=True)
                    write_atomically(path, one.save)
                if result.example is not None:
                    _write_examples(files, result)
            for name, batches in result.tables.items():
                if name != "assignments" or self._assigns(run):
                    try:
                        write_table(str(files.table(name)), batches())
                    except DataError as error:
                        if isinstance(error.__cause__, OSError):  # the disk's fault, not the data's
                            raise error.__cause__ from None
                        raise
        self._runs[run.id].kept = True

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        files, written = RunFiles(run.folder), self._runs[run.id]
        if not written.kept:
            self.write_results(run, result)
        with _written_or_refused(run):
            if self._assignments is None and not self._assigns(run):
                result = replace(result, notes=[*result.notes, _LEFT_OUT])
            _write_pages(files, run, result)
            check_complete(files, written.length, model=result.model is not None)
            self._end(run, "finished")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        if run.id in self._runs:  # what comes after the end changes nothing
            with _written_or_refused(run):
                self._end(
                    run, "failed" if isinstance(error, Exception) else "killed", _error_text(error)
                )

    def _assigns(self, run: Run) -> bool:
        if self._assignments is None:
            return int(run.data.get("samples", 0)) <= _MOST_ASSIGNED
        return self._assignments

    def _end(self, run: Run, status: State, error: str | None = None) -> None:
        files = RunFiles(run.folder)
        write_status(files, status, self._runs[run.id].started, now(), error)
        if status == "finished" and not files.run.exists():  # the status is all there is
            raise OSError("it was removed by somebody else")
        del self._runs[run.id]


@contextmanager
def _written_or_refused(run: Run) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = _cure(error, RunFiles(run.folder))
        raise DbgsomError(
            f"the run folder {run.folder} cannot be written ({error.strerror or error}): {cure}"
        ) from error


def _cure(error: OSError, files: RunFiles) -> str:
    elsewhere = "choose another place with 'tracking: {name: run_folder, path: …}'"
    again = "run it again, and leave its folder alone until it has ended"
    if error.errno is None:  # by somebody else, as the error says
        return again
    if error.errno == errno.ENOENT or not files.run.exists():
        return f"somebody removed it, or what was in it; {again}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cure = f"make room there, or {elsewhere}"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = f"let it be written, or {elsewhere}"
    else:
        cure = elsewhere
    return f"{cure}; what was written before is kept"


def _manifest(run: Run) -> dict[str, Any]:
    return Manifest.of(run).model_dump(exclude_unset=True)


def _write_pages(files: RunFiles, run: Run, result: RunResult) -> None:
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
    children = [
        {"id": child.id, "name": child.name, "params": child.params, "measures": measures}
        for child, measures in result.children
    ]
    if run.kind == "sweep":
        rankings = [asdict(ranking) for ranking in result.rankings]
        best = result.rankings[0].best.runs[0] if len(rankings) == 1 else None
        found = {"children": children, "best": best, "rankings": rankings}
        write_json(files.run, {**_manifest(run), **found})
    stands_out = []
    if result.view is not None:
        try:
            known = (run.data.get("baseline") or {}, run.data.get("parts") or {})
            stands_out = list(remarks(result.view, result.measures, *known))
        except Exception as error:
            notes.append(f"what stands out is not known ({type(error).__name__}: {error})")
            _log.warning("%s", notes[-1])
    config = files.config.read_text(encoding="utf-8")
    logged = [path.relative_to(files.folder).as_posix() for path in files.artifacts()]
    result = replace(result, notes=notes)
    report = report_content(run, result, stands_out, figures, config, logged)
    write_text(files.report, render("report.md", report))
    write_text(files.page, render("report.html", report))


def _write_model_facts(files: RunFiles, model: Any) -> None:
    """Write the model's requirements and examples, so that serving needs no import of it."""
    from dbgsom_core.persistence import FittedModel, distributions

    if isinstance(model, FittedModel):
        with suppress(DbgsomError, ImportError):  # then they load it, and see what is missing
            columns = None
            if model.columns is not None:  # others than the features may be the environment's
                columns = asdict(replace(model.columns, target=None, ids=(), dropped=()))
            facts = {"needs": distributions(model), "columns": columns}
            epoch = getattr(model.estimator, "kept_epoch_", None)  # of a third party's
            write_json(files.model_facts, facts if epoch is None else {**facts, "epoch": epoch})


def _write_examples(files: RunFiles, result: RunResult) -> None:
    example = np.asarray(result.example)
    answers = np.asarray(result.model.predict(example))
    if answers.dtype == object:  # an array of objects would need pickle
        answers = answers.astype(str)
        files.model_facts.unlink(missing_ok=True)  # no file says what objects they are
    write_atomically(files.input_example, lambda path: np.save(path, example))
    write_atomically(files.output_example, lambda path: np.save(path, answers))


def _rendered(figure: Any) -> tuple[Literal["png", "html"], bytes]:
    if isinstance(figure, Html):
        return "html", figure.text.encode()
    content = BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return "png", content.getvalue()


def _error_text(error: BaseException) -> str:
    text = masked(str(error).strip())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
