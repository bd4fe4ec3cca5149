"""The run folder as an observer: what a run leaves behind on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from dbgsom_core.api import EpochRecord, Html, Run, RunResult, TrackerComponent, write_atomically
from dbgsom_core.runs.store import (
    JournalLine,
    RunFiles,
    Status,
    append_epoch,
    now,
    read_status,
    trim_journal,
    write_json,
    write_status,
    write_text,
    write_yaml,
)
from dbgsom_plugins.trackers.report import report

_log = logging.getLogger("dbgsom.run_folder")


class RunFolder(TrackerComponent):
    """Writes every run to a folder of its own: config, journal, measures, model, figures, report.

    It is always on; name it to choose another place.
    """

    path: str = Field(default="runs", min_length=1, description="folder that holds all experiments")

    def observer(self) -> RunFolderObserver:
        """Return an observer that writes to ``run.folder``."""
        return RunFolderObserver()


class RunFolderObserver:
    """Writes the folder of each run that it hears of; `dbgsom_core.runs.store` has the layout.

    A run that is started again in its folder goes on with its journal: epochs that the journal
    already holds are not written twice.
    """

    def __init__(self) -> None:
        self._last_epoch: dict[str, int] = {}
        self._started: dict[str, str] = {}

    def dbgsom_run_started(self, run: Run) -> None:
        """Write that it runs, and in which process, and then what is known before it begins."""
        files = RunFiles(run.folder)
        before = read_status(run.folder).started
        started = now() if before is None else before.isoformat(timespec="milliseconds")
        self._started[run.id] = started
        write_status(files, "running", started)
        self._last_epoch[run.id] = trim_journal(files.journal)
        write_json(files.run, _facts(run))
        write_yaml(files.config, run.config)
        write_json(files.environment, run.environment)

    def dbgsom_epoch_finished(self, run: Run, epoch: EpochRecord) -> None:
        """Append the epoch to the journal."""
        if epoch.epoch <= self._last_epoch.get(run.id, 0):
            return
        self._last_epoch[run.id] = epoch.epoch
        metrics = {
            "epoch/quantization_error": epoch.quantization_error,
            "epoch/neurons": float(epoch.neurons),
            "epoch/width": epoch.width,
            "epoch/movement": epoch.movement,
        }
        line = JournalLine(epoch.epoch, int(time.time() * 1000), metrics)
        append_epoch(RunFiles(run.folder).journal, line)

    def dbgsom_run_finished(self, run: Run, result: RunResult) -> None:
        """Write everything the run ended with; the status comes last."""
        files = RunFiles(run.folder)
        try:
            _write_result(files, run, result)
        except BaseException as error:
            self.dbgsom_run_failed(run, error)
            raise
        self._end(run, "finished")

    def dbgsom_run_failed(self, run: Run, error: BaseException) -> None:
        """Write why the run ended early: failed, or killed when a person or the system did it."""
        if run.id in self._started:  # what comes after the end changes nothing
            self._end(run, "failed" if isinstance(error, Exception) else "killed", _told(error))

    def _end(self, run: Run, status: Status, error: str | None = None) -> None:
        self._last_epoch.pop(run.id, None)
        write_status(RunFiles(run.folder), status, self._started.pop(run.id, None), now(), error)


def _facts(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "kind": run.kind,
        "parent": None if run.parent is None else run.parent.id,
        "params": run.params,
        "data": run.data,
    }


def _write_result(files: RunFiles, run: Run, result: RunResult) -> None:
    write_json(files.measures, result.measures)
    if result.model is not None:
        write_atomically(files.model, result.model.save)
        if result.example is not None:
            _write_examples(files, result)
    written = (_save(files, name, figure) for name, figure in result.figures.items())
    figures = [path.name for path in written if path is not None]
    children = [
        {"id": child.id, "name": child.name, "params": child.params, "measures": measures}
        for child, measures in result.children
    ]
    if run.kind == "sweep":
        best = _best(result.measures, children)
        write_json(files.run, {**_facts(run), "children": children, "best": best})
    write_text(files.report, report(run, result, figures, children))


def _write_examples(files: RunFiles, result: RunResult) -> None:
    example = np.asarray(result.example)
    answers = np.asarray(result.model.predict(example))
    if answers.dtype == object:  # an array of objects would need pickle
        answers = answers.astype(str)
    write_atomically(files.input_example, lambda path: np.save(path, example))
    write_atomically(files.output_example, lambda path: np.save(path, answers))


def _save(files: RunFiles, name: str, figure: Any) -> Path | None:
    path = files.figure(name, "html" if isinstance(figure, Html) else "png")
    try:
        if isinstance(figure, Html):
            write_text(path, figure.text)
        else:
            write_atomically(path, lambda beside: figure.savefig(beside, format="png", dpi=150))
    except Exception as error:
        _log.warning("figure '%s' could not be written: %s: %s", name, type(error).__name__, error)
        return None
    return path


def _best(measures: Mapping[str, float], children: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the id of the child that the sweep's ``best/…`` measures were taken from."""
    wanted = {name[5:]: value for name, value in measures.items() if name.startswith("best/")}
    if not (wanted and children):
        return None

    def agreement(child: Mapping[str, Any]) -> int:
        return sum(child["measures"].get(name) == value for name, value in wanted.items())

    winner = max(children, key=agreement)
    return str(winner["id"]) if agreement(winner) else None


def _told(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
