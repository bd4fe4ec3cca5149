"""The run folder: which file of a run lies where, and how it is written and read.

::

    <root>/<experiment>/<id>/
        run.json           `StoredRun`: what the run is and how it stands; times are ISO 8601 in UTC
        config.yaml        the resolved configuration
        metrics.jsonl      the journal: epochs, and points of observers, see `JournalLine`
        measures.json      final measures, and under "folds" those of each fold, `FoldMeasures`
        model.npz          the saved pipeline; models/epoch-N.npz that of an epoch, where asked for
        checkpoint.npz     what resuming needs, until the run has finished, see `RunCheckpoint`
        assignments.csv    where each sample ended: ids or row, unit, cell, label, distance, novelty
        neurons.csv        each neuron: cell, hits, error, label, prototype
        clusters.csv       what sets each cluster apart, where labels are clusters, see `profile`
        classes.csv        the same of the classes of a classifier
        groups.csv         how often each label stands in each group of a column, where asked for
        links.csv          how often links of the map are found again, where asked for
        cluster_stability.csv  how sure each number of clusters is, by new halves
        data.parquet       the rows of a data frame that the run was given
        artifacts/NAME     files that observers logged, in folders of theirs
        figures/NAME.png   or NAME.html, where the figure is a page
        report.md          and report.html, the same with its figures as one page
        TRACKER.json       what a tracker notes, such as which store was sent all of this
        .lock              locked while the run is going on

Every file but the journal is written beside its place and moved there, so that a reader sees the
old or the new one and never a part. A folder is a run once ``run.json`` is there, which is written
when the run begins, after the configuration, and again as the last file at its end: a folder that
says "finished" has everything on the disk. One that says "running" while nobody holds its lock was
killed, and reads so. JSON knows no NaN: numbers that are not finite are the strings ``"NaN"``,
``"Infinity"`` and ``"-Infinity"``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, Literal, NotRequired, TypeVar

from filelock import FileLock, Timeout
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from typing_extensions import TypedDict

from dbgsom_core.config import dump_yaml, read_plain
from dbgsom_core.errors import DbgsomError, as_text
from dbgsom_core.experiments.trackers import (
    ARTIFACTS,
    JOURNAL,
    FoldMeasures,
    JournalLine,
    Ranking,
    Run,
    append_line,
    plain,
    read_journal,
    trim_journal,
)
from dbgsom_core.files import read_at_most, sweep, to_disk, write_atomically

DATA_FILE = "data.parquet"  # rows of a data frame that a run was given
State = Literal["running", "finished", "failed", "killed"]

_LARGEST = 1 << 24  # bytes of a file that is read whole: forged ones must not fill the memory
_STAMP = 15  # characters of an id that say when its run began: 20261203-093000
_EPOCH_MODEL = re.compile(r"epoch-(\d+)\.npz")
_SECONDS_TO_PROBE = 0.1  # others may probe at the same time
_SECONDS_TO_WAIT = 1.0  # for another process that looks at the run, and lets go

_T = TypeVar("_T")


class RunFiles:
    """The paths of one run folder; none of them needs to exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run.json"
        self.config = folder / "config.yaml"
        self.data = folder / DATA_FILE
        self.journal = folder / JOURNAL
        self.measures = folder / "measures.json"
        self.model = folder / "model.npz"
        self.checkpoint = folder / "checkpoint.npz"
        self.report = folder / "report.md"
        self.page = folder / "report.html"
        self.lock = folder / ".lock"

    def figure(self, name: str, ending: Literal["png", "html"] = "png") -> Path:
        """Return the file of a figure."""
        return self.folder / "figures" / f"{name}.{ending}"

    def table(self, name: str) -> Path:
        """Return the file of a table."""
        return self.folder / f"{name}.csv"

    def epoch_model(self, epoch: int) -> Path:
        """Return the file of the map after an epoch."""
        return self.folder / "models" / f"epoch-{epoch}.npz"

    def epoch_models(self) -> dict[int, Path]:
        """Return the files of maps of past epochs that are there, by epoch."""
        models = {}
        for path in (self.folder / "models").glob("epoch-*.npz"):
            if match := _EPOCH_MODEL.fullmatch(path.name):
                models[int(match[1])] = path
        return dict(sorted(models.items()))

    def figures(self) -> list[Path]:
        """Return the figures that are there, by name."""
        figures = []
        for path in (self.folder / "figures").glob("[!.]*"):
            if path.suffix in (".png", ".html") and path.is_file():
                figures.append(path)
        return sorted(figures)

    def artifacts(self) -> list[Path]:
        """Return the files that observers logged, by name; nothing that a link leads to."""
        files = []
        for path in (self.folder / ARTIFACTS).rglob("[!.]*"):
            if path.is_file() and not path.is_symlink():
                files.append(path)
        return sorted(files)

    def remove_temporary(self) -> None:
        """Remove what writers that were killed left behind."""
        for folder in (self.folder, *self.folder.rglob("*/")):
            sweep(folder)

    def append(self, epoch: int, metrics: Mapping[str, float], time: int) -> None:
        """Add a line to the journal; ``time`` is in milliseconds since 1970."""
        append_line(self.journal, JournalLine(epoch, time, metrics))

    def lines(self, offset: int = 0) -> tuple[list[JournalLine], int]:
        """Return the whole lines of the journal from a byte on, and the byte after them."""
        return read_journal(self.journal, offset)

    def trim(self) -> list[JournalLine]:
        """Cut off a line that a crash left incomplete, and return the others."""
        return trim_journal(self.journal)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration that makes the run anew."""
        write_text(self.config, dump_yaml(config))

    def write_measures(
        self, measures: Mapping[str, float], folds: Sequence[FoldMeasures] = ()
    ) -> None:
        """Write the measures of the run and of its folds, by their whole names."""
        content: dict[str, Any] = dict(measures)
        if folds:
            content["folds"] = list(map(asdict, folds))
        write_json(self.measures, content)


class StoredChild(TypedDict):
    """A finished run of a sweep."""

    name: str
    measures: dict[str, float]
    id: NotRequired[str]
    params: NotRequired[Mapping[str, Any]]


class StoredRun(BaseModel):
    """The content of a run folder. Missing files give empty fields.

    ``run.json`` holds all but the last five fields. ``model`` has what the model ``needs``, its
    ``columns``, the ``epoch`` of its map, and the ``example``, a few rows with ``answers``.
    ``damage`` describes unreadable files, whose fields are empty, too.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    format: Literal[2] = 2  # a folder of another one is refused
    id: str = ""
    name: str = ""
    experiment: str = ""
    kind: Literal["run", "sweep"] = "run"
    parent: str | None = Field(default=None, pattern=r"^\w[\w.-]*$")  # the name of a folder
    status: State = "running"
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    error: str | None = None
    params: Mapping[str, Any] = {}
    data: Mapping[str, Any] = {}
    varies: Mapping[str, Any] = {}
    tags: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    warnings: Sequence[str] = ()
    verdict: str = ""  # see `RunResult`
    model: Mapping[str, Any] = {}
    children: Sequence[StoredChild] = ()  # of a finished sweep
    best: str | None = None
    rankings: Sequence[Ranking] = ()

    files: RunFiles = Field(default_factory=lambda: RunFiles(Path()), exclude=True)
    config: Mapping[str, Any] = Field(default={}, exclude=True)
    measures: Mapping[str, float] = Field(default={}, exclude=True)
    folds: Sequence[FoldMeasures] = Field(default=(), exclude=True)
    damage: str = Field(default="", exclude=True)

    @field_validator("rankings")
    @classmethod
    def _check_rankings(cls, rankings: Sequence[Ranking]) -> Sequence[Ranking]:
        if not all(ranking.measures and ranking.variants for ranking in rankings):
            raise ValueError("a ranking of nothing")
        return rankings

    @classmethod
    def read(cls, folder: Path) -> StoredRun:
        """Return what a folder holds, see `read_run`."""
        return read_run(folder)

    def write(self) -> None:
        """Write ``run.json``; at the end of a run its journal is on the disk then, too."""
        if self.status != "running" and self.files.journal.exists():
            to_disk(self.files.journal)
        write_json(self.files.run, self.model_dump())

    @classmethod
    def from_run(cls, run: Run) -> StoredRun:
        """Return what is known of a run when it begins."""
        known = {key: value for key, value in vars(run).items() if key in cls.model_fields}
        parent = None if run.parent is None else run.parent.id
        return cls(**known | {"parent": parent, "files": RunFiles(run.folder)})

    def as_run(self, parent: Run | None = None) -> Run:
        """Return what observers are given of this run; ``parent`` is its sweep."""
        names = {field.name for field in fields_of(Run)}
        known = {key: value for key, value in self if key in names}
        return Run(**known | {"parent": parent, "folder": self.files.folder})

    @property
    def kept_data(self) -> Path | None:
        """The file with the rows of a data frame, its own or its sweep's; None: there is none."""
        folder = self.files.folder
        for name in (folder.name, self.parent):
            path = folder.with_name(name or folder.name) / DATA_FILE
            if path.is_file():
                return path
        return None

    def epochs(self) -> list[JournalLine]:
        """Return what the journal says of each epoch."""
        return [line for line in self._journal() if line.is_epoch]

    def scalars(self) -> list[JournalLine]:
        """Return what observers logged."""
        return [line for line in self._journal() if not line.is_epoch]

    def _journal(self) -> list[JournalLine]:
        try:
            return read_journal(self.files.journal)[0]
        except OSError:  # the damage says which
            return []


# ------------------------------------------------------------------------------------- writing


def write_bytes(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


# ------------------------------------------------------------------------------------- reading


def is_run(folder: Path) -> bool:
    try:
        return RunFiles(folder).run.exists()
    except (OSError, ValueError):  # no folder can have this name
        return False


def read_run(folder: Path) -> StoredRun:
    """Read a run folder back; what is missing or damaged leaves its fields empty.

    Files may be damaged or forged: no content raises an exception or takes long to read.
    """
    files = RunFiles(folder)
    damage: list[str] = []

    def read(path: Path, parse: Callable[[bytes], _T], empty: _T) -> _T:
        try:
            return parse(read_at_most(path, _LARGEST))
        except FileNotFoundError:
            pass
        except OSError as error:
            damage.append(f"{path.name} cannot be read: {error.strerror or error}")
        except (ValueError, RecursionError) as error:
            damage.append(_sentence(path.name, error))
        return empty

    stored = read(files.run, _parse_run, StoredRun())
    if stored.status == "running" and not damage and not is_locked(folder):
        stored = read(files.run, _parse_run, stored)  # it may have ended meanwhile
        if stored.status == "running":
            stored = stored.model_copy(
                update={"status": "killed", "error": "its process ended without a word"}
            )
    nothing: _Measures = ({}, ())
    measures, folds = read(files.measures, _parse_measures, nothing)
    config: Any = read(files.config, lambda text: read_plain(text.decode(), "config.yaml"), {})
    if not isinstance(config, Mapping):
        damage.append(f"{files.config.name} holds no mapping")
        config = {}
    for path in (files.journal, files.model, files.report, files.page):
        if path.exists() and not path.is_file():
            damage.append(f"{path.name} cannot be read: it is no regular file")
    known: dict[str, Any] = {
        "id": stored.id or folder.name,
        "name": stored.name or folder.name,
        "experiment": stored.experiment or folder.parent.name,
        "files": files,
        "config": config,
        "measures": measures,
        "folds": folds,
        "damage": "; ".join(map(as_text, damage)),
    }
    return stored.model_copy(update=known)


def _parse_run(content: bytes) -> StoredRun:
    stored = StoredRun.model_validate_json(content)
    if "format" not in stored.model_fields_set:
        raise ValueError("it has no format")
    return stored


_Measures = tuple[Mapping[str, float], Sequence[FoldMeasures]]


def _parse_measures(content: bytes) -> _Measures:
    values = TypeAdapter(dict[str, Any]).validate_json(content)
    folds = TypeAdapter(list[FoldMeasures]).validate_python(values.pop("folds", []))
    return TypeAdapter(dict[str, float]).validate_python(values), folds


def _sentence(name: str, error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{name}: {str(error).splitlines()[0]:.200}"
    first = error.errors(include_url=False)[0]
    place = ".".join(f"{part!s:.60}" for part in first["loc"])
    return f"{name}: {place}: {first['msg']:.200}" if place else f"{name}: {first['msg']:.200}"


def read_json(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a JSON file; empty where it is missing or damaged."""
    try:
        return TypeAdapter(dict[str, Any]).validate_json(read_at_most(path, _LARGEST))
    except (OSError, ValueError):
        return {}


def find_folders(root: Path, experiment: str) -> list[Path]:
    return sorted(_folders(root / experiment, "*"))


def find_experiments(root: Path) -> list[str]:
    return sorted({run.parent.relative_to(root).as_posix() for run in _folders(root, "**")})


def _folders(root: Path, below: str) -> set[Path]:
    try:
        return {file.parent for file in root.glob(f"{below}/run.json")}
    except (OSError, ValueError):  # no folder can have this name
        return set()


def find_runs(root: Path, experiment: str) -> list[StoredRun]:
    """Return the runs of an experiment, the oldest first."""

    def age(run: StoredRun) -> tuple[str, float]:  # several may have begun in one second
        started = 0.0
        if run.started is not None:
            started = run.started.timestamp()
        return run.files.folder.name[:_STAMP], started

    return sorted(map(read_run, find_folders(root, experiment)), key=age)


# ---------------------------------------------------------------------------------- the lock


@contextmanager
def run_lock(folder: Path, seconds: float = _SECONDS_TO_WAIT) -> Iterator[None]:
    """Hold the lock of a run folder, which the system frees when the process dies.

    Raises
    ------
    DbgsomError
        Another process holds it for more than so many seconds.
    """
    lock: Any = FileLock(RunFiles(folder).lock, thread_local=False)
    try:
        lock.acquire(timeout=seconds, poll_interval=0.01)
    except Timeout:
        raise DbgsomError(f"run {folder.name} is already going on in another process") from None
    except (OSError, NotImplementedError):  # a folder that cannot be written, a disk without locks
        pass
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Return whether a process holds the lock of a run folder."""
    lock = RunFiles(folder).lock
    if not lock.exists():
        return False
    if not os.access(lock, os.W_OK):  # somebody else's, which is no file to write to
        return _is_held(lock)
    try:
        with run_lock(folder, _SECONDS_TO_PROBE):
            return False
    except DbgsomError:
        return True


def _is_held(lock: Path) -> bool:
    """Return whether a process holds a lock that cannot be written."""
    import fcntl  # is not there on Windows, where files cannot be read only for some

    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
