"""The run folder: which file of a run lies where, and how it is written and read back.

::

    <root>/<experiment>/<id>/
        status.json        {"status", "started", "ended", "error", "process"}; times are ISO 8601
                           in UTC; process: {"host", "pid", "started"} of who runs it
        run.json           id, name, experiment, kind, parent, params, data, tags, and what a child
                           of a sweep varies; a finished sweep adds children, best and rankings
        config.yaml        the resolved configuration
        environment.json   versions, plugins, machine, git
        metrics.jsonl      the journal, one line an epoch: {"epoch", "time" (unix ms), "metrics"}
        measures.json      final measures
        folds.csv          what each fold measured, where there are any (see `folds`)
        model.npz          the saved pipeline; models/epoch-N.npz that of an epoch, where asked for
        model.json         what the saved pipeline needs, and the columns of its table
        input_example.npy  a few raw rows, and output_example.npy what the model answers to them
        film.npz           prototypes of past epochs, where the run has an explorer (see `film`)
        assignments.csv    where each sample ended: ids or row, unit, cell, label, distance, novelty
        neurons.csv        each neuron: cell, hits, error, label, prototype
        scalars.jsonl      what observers logged, as the journal: the step stands for the epoch
        artifacts/NAME     files that observers logged, in folders of theirs
        figures/NAME.png   or NAME.html, where the figure is a page
        report.md          and report.html, the same with its figures as one page
        mlflow.json        which MLflow store was sent all of this (by that tracker)
        checkpoints/       where its fits are, until it has finished (`dbgsom_core.runs.resume`)

Every file but the journal is written beside its place and moved there, so that a reader sees the
old or the new one and never a part. The status is written first and last: a folder that says
"finished" has everything on the disk, and one that says "running" while its process is dead was
killed (see `dead`). JSON knows no NaN: numbers that are not finite are written as the strings
``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, and readers turn measures back.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import Any, Literal, get_args, overload

from dbgsom_core.errors import as_text
from dbgsom_core.files import open_regular, sweep, to_disk
from dbgsom_core.interfaces.run_log import ARTIFACTS, SCALARS
from dbgsom_core.interfaces.trackers import Ranking
from dbgsom_core.runs.folder.folds import FoldMeasures
from dbgsom_core.runs.folder.processes import Process
from dbgsom_core.runs.folder.records import Records
from dbgsom_core.runs.folder.writing import json_text, plain, write_json

Status = Literal["running", "finished", "failed", "killed"]

_FIRST_FILES = ("status.json", "run.json")  # either makes a folder a run
_LARGEST = 1 << 30  # bytes of a journal (of some million epochs), a report, a figure
SECONDS_TO_WRITE = 60.0  # in which a new folder, or a status that somebody writes over, is whole
_FIT_A_BLOCK = 512  # letters of a sentence in the 4096 bytes that any file has on the disk


class RunFiles:
    """The paths of one run folder, see the module; none of them needs to exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = folder / "status.json"
        self.run = folder / "run.json"
        self.config = folder / "config.yaml"
        self.environment = folder / "environment.json"
        self.journal = folder / "metrics.jsonl"
        self.measures = folder / "measures.json"
        self.folds = folder / "folds.csv"
        self.model, self.model_facts = folder / "model.npz", folder / "model.json"
        self.film = folder / "film.npz"
        self.input_example = folder / "input_example.npy"
        self.output_example = folder / "output_example.npy"
        self.examples = (self.input_example, self.output_example)
        self.report = folder / "report.md"
        self.page = folder / "report.html"
        self.checkpoints = folder / "checkpoints"
        self.scalars = folder / SCALARS

    def figure(self, name: str, ending: Literal["png", "html"] = "png") -> Path:
        """Return the place of one figure."""
        return self.folder / "figures" / f"{name}.{ending}"

    def table(self, name: str) -> Path:
        """Return the place of one table."""
        return self.folder / f"{name}.csv"

    def figures(self) -> list[Path]:
        """Return the figures that exist, by name."""
        found = (self.folder / "figures").glob("[!.]*")
        return sorted(path for path in found if path.suffix in (".png", ".html"))

    def artifacts(self) -> list[Path]:
        """Return the files that observers logged, by name; nothing that a link leads to."""
        found = []
        for folder, _, names in os.walk(self.folder / ARTIFACTS):
            found += [Path(folder, name) for name in names if not name.startswith(".")]
        return sorted(path for path in found if path.is_file() and not path.is_symlink())


@dataclass(frozen=True)
class JournalLine:
    """One epoch as the journal holds it; ``time`` is in milliseconds since 1970."""

    epoch: int
    time: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class StoredRun:
    """A run folder read back. What the folder lacks is empty; a lost status reads as running.

    ``damage`` says what is wrong with its files; such fields are empty, too. ``torn`` says what is
    wrong with a status that was written in part.
    """

    files: RunFiles
    id: str
    name: str
    experiment: str
    kind: Literal["run", "sweep"] = "run"
    parent: str | None = None
    status: Status = "running"
    started: datetime | None = None
    ended: datetime | None = None
    error: str | None = None
    process: Process | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    varies: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    folds: Sequence[FoldMeasures] = ()
    children: Sequence[Mapping[str, Any]] = ()
    best: str | None = None
    rankings: Sequence[Ranking] = ()
    damage: str = ""
    torn: str = ""

    @property
    def silent(self) -> float:
        """Seconds since its last sign of life; a run touches its status while it goes on."""
        files = self.files
        signs = [path.stat().st_mtime for path in (files.status, files.journal) if path.exists()]
        return time.time() - max(signs, default=0.0)

    def epochs(self) -> list[JournalLine]:
        """Read the journal."""
        return read_journal(self.files.journal)[0]

    def scalars(self) -> list[JournalLine]:
        """Read what observers logged, a step a line."""
        return read_journal(self.files.scalars)[0]


def now() -> str:
    """Return the present time as the run folder writes it."""
    return stamp(datetime.now(UTC))


@overload
def stamp(moment: datetime) -> str: ...
@overload
def stamp(moment: None) -> None: ...
def stamp(moment: datetime | None) -> str | None:
    """Return a moment as the run folder writes it."""
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def write_status(
    files: RunFiles,
    status: Status,
    started: str | None,
    ended: str | None = None,
    error: str | None = None,
    process: Process | EllipsisType | None = ...,
) -> None:
    """Write how a run stands; ``process`` runs it, this one by default, None where nobody knows.

    A full disk has no room for a new file: then the old status is written over.
    """
    process = Process.this() if process is ... else process
    record = {
        "status": status,
        "started": started,
        "ended": ended,
        "error": error,
        "process": None if process is None else asdict(process),
    }
    try:
        write_json(files.status, record)
    except OSError as no_room:
        if no_room.errno not in (errno.ENOSPC, errno.EDQUOT) or not files.status.exists():
            raise
        short = {**record, "error": None if error is None else error[:_FIT_A_BLOCK]}
        with files.status.open("r+b") as file:
            file.write(json_text(short).encode())
            file.truncate()
            os.fsync(file.fileno())


def sweep_run(files: RunFiles) -> None:
    """Remove files that were being written when their process, or its patience, ended."""
    for name in ("", "figures", "models", "checkpoints"):
        sweep(files.folder / name)
    for inside, _, _ in os.walk(files.folder / ARTIFACTS):
        sweep(Path(inside))


def append_epoch(path: Path, line: JournalLine, at: int) -> int:
    """Append one epoch to the journal, which is ``at`` bytes long; return its length now.

    The epoch is handed to the operating system at once.

    Raises
    ------
    OSError
        The journal cannot be written, or has another length: epochs were lost.
    """
    record = {"epoch": line.epoch, "time": line.time, "metrics": plain(line.metrics)}
    text = json.dumps(record, allow_nan=False).encode() + b"\n"
    if at:
        _check_length(path, at)
    with path.open("ab") as journal:
        journal.write(text)
    return at + len(text)


def settle(files: RunFiles, length: int, model: bool) -> None:
    """Have the journal, of this length, on the disk, and see that what was written is there.

    Raises
    ------
    OSError
        Somebody removed or changed something.
    """
    needed = [files.run, files.config, files.environment, files.measures, files.report, files.page]
    for path in [*needed, files.model] if model else needed:
        if not path.exists():
            raise OSError(f"{path.name} was removed by somebody else")
    if length:
        _check_length(files.journal, length)
        to_disk(files.journal)


def _check_length(path: Path, length: int) -> None:
    if path.stat().st_size != length:
        raise OSError(f"{path.name} was changed by somebody else")


def trim_journal(path: Path) -> tuple[int, int]:
    """Cut a torn last line off a journal; return the last epoch it holds (0: none), its length."""
    lines, end = read_journal(path)
    if path.exists() and path.stat().st_size > end:
        os.truncate(path, end)
    return max((line.epoch for line in lines), default=0), end


def read_journal(path: Path, offset: int = 0) -> tuple[list[JournalLine], int]:
    """Return the complete lines from a byte ``offset`` on, and the offset of what comes next.

    A last line that is still being written, or was torn by a crash, is left for the next call.
    """
    try:
        with open_regular(path) as journal:
            if os.fstat(journal.fileno()).st_size - offset > _LARGEST:
                raise OSError(errno.EFBIG, f"{path.name} is too large to be a journal")
            journal.seek(offset)
            content = journal.read()
    except FileNotFoundError:
        return [], offset
    complete = content[: content.rfind(b"\n") + 1]
    lines = (_journal_line(line) for line in complete.splitlines())
    return [line for line in lines if line is not None], offset + len(complete)


def read_run(folder: Path) -> StoredRun:
    """Read a run folder back; what is missing or damaged leaves its fields empty."""
    records = Records()
    stored = _read_status(folder, records)
    files = stored.files
    run = records.json(files.run)
    found = replace(
        stored,
        id=run.get("id", str, folder.name),
        name=run.get("name", str, folder.name),
        experiment=run.get("experiment", str, folder.parent.name),
        kind=run.one_of("kind", ("run", "sweep")),  # type: ignore[arg-type]
        parent=run.get("parent", str),
        params=run.get("params", dict, {}),
        data=run.get("data", dict, {}),
        varies=run.get("varies", dict, {}),
        tags=run.get("tags", dict, {}),
        config=records.yaml(files.config).content,
        environment=records.json(files.environment).content,
        measures=records.json(files.measures).numbers(),
        folds=records.folds(files.folds),
        children=run.children(),
        best=run.get("best", str),
        rankings=run.rankings(),
    )
    if stored.torn and run.content.get("id") and found.config:
        records.damage.remove(stored.torn)  # by a power cut or a full disk, but it is one of ours
        if stored.silent < SECONDS_TO_WRITE:
            told = f"{stored.torn}; if it stays so for a minute, the run is closed as killed"
            records.damage.append(told)
    records.look_at(files.model)  # which has its own bounds
    given = (files.journal, files.scalars, files.report, files.page, *files.examples)
    for path in (*given, *files.figures()):
        records.look_at(path, _LARGEST)
    return replace(found, damage="; ".join(map(as_text, records.damage)))


def read_status(folder: Path) -> StoredRun:
    """Read only how a run stands; the other fields are empty."""
    return _read_status(folder, Records())


def _read_status(folder: Path, records: Records) -> StoredRun:
    files = RunFiles(folder)
    status = records.json(files.status)
    return StoredRun(
        files=files,
        id=folder.name,
        name=folder.name,
        experiment=folder.parent.name,
        status=status.one_of("status", get_args(Status)),  # type: ignore[arg-type]
        started=status.time("started"),
        ended=status.time("ended"),
        error=status.get("error", str),
        process=Process.of(status.get("process", dict)),
        damage="; ".join(map(as_text, records.damage)),
        torn=status.torn,
    )


def find_runs(root: Path, experiment: str) -> list[StoredRun]:
    """Return the runs of an experiment, sweeps included, oldest first."""
    found = [read_run(folder) for folder in find_folders(root, experiment)]

    def age(run: StoredRun) -> tuple[str, float]:  # several may have begun in one second
        return run.files.folder.name[:15], run.started.timestamp() if run.started else 0.0

    return sorted(found, key=age)


def find_folders(root: Path, experiment: str) -> list[Path]:
    """Return the run folders of an experiment, oldest first."""
    group = root / experiment
    with suppress(OSError, ValueError):  # no folder can be called so
        return sorted({path.parent for name in _FIRST_FILES for path in group.glob(f"*/{name}")})
    return []


def find_experiments(root: Path) -> list[str]:
    """Return the names of the experiments that hold runs, sorted."""
    with suppress(OSError, ValueError):
        runs = (path.parent for name in _FIRST_FILES for path in root.glob(f"**/{name}"))
        return sorted({run.parent.relative_to(root).as_posix() for run in runs})
    return []


def _journal_line(line: bytes) -> JournalLine | None:
    try:
        content = json.loads(line)
        metrics = {name: float(value) for name, value in content["metrics"].items()}
        return JournalLine(int(content["epoch"]), int(content["time"]), metrics)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
