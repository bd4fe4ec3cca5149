"""The run folder: which file of a run lies where, and how it is written and read.

::

    <root>/<experiment>/<id>/
        status.json        `Status`: how the run stands; times are ISO 8601 in UTC
        run.json           `Manifest`: what the run is; a finished sweep adds children and rankings
        config.yaml        the resolved configuration
        environment.json   versions, plugins, machine, git
        metrics.jsonl      the journal, one line an epoch: {"epoch", "time" (unix ms), "metrics"}
        measures.json      final measures
        folds.csv          what each fold measured, where there are any, see `FoldMeasures`
        model.npz          the saved pipeline; models/epoch-N.npz that of an epoch, where asked for
        model.json         what the saved pipeline needs, and the columns of its table
        input_example.npy  a few raw rows, and output_example.npy what the model answers to them
        assignments.csv    where each sample ended: ids or row, unit, cell, label, distance, novelty
        neurons.csv        each neuron: cell, hits, error, label, prototype
        clusters.csv       what sets each cluster apart, where labels are clusters, see `profile`
        classes.csv        the same of the classes of a classifier
        groups.csv         how often each label stands in each group of a column, where asked for
        scalars.jsonl      what observers logged, as the journal: the step stands for the epoch
        artifacts/NAME     files that observers logged, in folders of theirs
        figures/NAME.png   or NAME.html, where the figure is a page
        report.md          and report.html, the same with its figures as one page
        TRACKER.json       what a tracker notes, such as which store was sent all of this
        checkpoints/       of its fits, and answers of folds, until it finished, see `Checkpoint`
        .lock              held while the run lives, see `RunLock`

Every file but the journal is written beside its place and moved there, so that a reader sees the
old or the new one and never a part. A folder is a run once ``run.json`` is there, which is written
after the configuration. The status is written last: a folder that says "finished" has everything on
the disk, and one that says "running", or nothing, while nobody holds its lock was killed. JSON
knows no NaN: numbers that are not finite are written as the strings ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``, and readers turn measures back.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import math
import os
import platform
import re
import shutil
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from dbgsom_core.config import dump_yaml, read_plain
from dbgsom_core.errors import ConfigError, as_text
from dbgsom_core.experiments.trackers import ARTIFACTS, SCALARS
from dbgsom_core.files import open_regular, to_disk, write_atomically
from dbgsom_core.runs.manifest import Manifest
from dbgsom_core.tables.safe_files import read_at_most, sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray

State = Literal["running", "finished", "failed", "killed"]

DATA_FILE = "data.parquet"  # rows of a data frame that a run was given

_LARGEST_RECORD = 1 << 24  # bytes of a JSON, YAML or CSV file that is read whole
_LARGEST = 1 << 30  # bytes of a journal (of some million epochs), a report, a figure
_SHORT_ERROR = 512  # characters of a sentence in the 4096 bytes that any file has on the disk
_EPOCH_MODEL = re.compile(r"epoch-(\d+)\.npz")
_FACTS = ("fold", "train_samples", "test_samples", "rows")  # columns of folds.csv before measures

_T = TypeVar("_T")


class RunFiles:
    """The paths of one run folder; none of them needs to exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = folder / "status.json"
        self.run = folder / "run.json"
        self.config = folder / "config.yaml"
        self.environment = folder / "environment.json"
        self.data = folder / DATA_FILE
        self.journal = folder / "metrics.jsonl"
        self.measures = folder / "measures.json"
        self.folds = folder / "folds.csv"
        self.model, self.model_facts = folder / "model.npz", folder / "model.json"
        self.input_example = folder / "input_example.npy"
        self.output_example = folder / "output_example.npy"
        self.examples = (self.input_example, self.output_example)
        self.report = folder / "report.md"
        self.page = folder / "report.html"
        self.checkpoints = folder / "checkpoints"
        self.scalars = folder / SCALARS

    def figure(self, name: str, ending: Literal["png", "html"] = "png") -> Path:
        return self.folder / "figures" / f"{name}.{ending}"

    def table(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def epoch_model(self, epoch: int) -> Path:
        return self.folder / "models" / f"epoch-{epoch}.npz"

    def epoch_models(self) -> dict[int, Path]:
        paths = (self.folder / "models").glob("epoch-*.npz")
        named = ((_EPOCH_MODEL.fullmatch(path.name), path) for path in paths)
        return dict(sorted((int(match[1]), path) for match, path in named if match))

    def figures(self) -> list[Path]:
        found = (self.folder / "figures").glob("[!.]*")
        return sorted(p for p in found if p.suffix in (".png", ".html") and p.is_file())

    def artifacts(self) -> list[Path]:
        """Return the files that observers logged, by name; nothing that a link leads to."""
        found = []
        for folder, _, names in os.walk(self.folder / ARTIFACTS):
            found += [Path(folder, name) for name in names if not name.startswith(".")]
        return sorted(path for path in found if path.is_file() and not path.is_symlink())

    def remove_temporary(self) -> None:
        for name in ("", "figures", "models", "checkpoints"):
            sweep(self.folder / name)
        for inside, _, _ in os.walk(self.folder / ARTIFACTS):
            sweep(Path(inside))

    def remove_checkpoints(self) -> None:
        shutil.rmtree(self.checkpoints, ignore_errors=True)


class Process(BaseModel):
    """The process of a run; its number means something on its host only."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another host, where its lock cannot be seen."""
        return self.host != platform.node()


class Status(BaseModel):
    """The status of a run: ``status.json``."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    status: State = "running"
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    error: str | None = None
    process: Process | None = None


@dataclass(frozen=True)
class JournalLine:
    """One epoch as the journal holds it; ``time`` is in milliseconds since 1970."""

    epoch: int
    time: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class FoldMeasures:
    """Measures of one fold, by their logged names."""

    fold: int  # counted from 1
    train_samples: int
    test_samples: int
    split_digest: str  # of the rows to train and to test on; column ``rows`` of folds.csv
    measures: Mapping[str, float] = field(default_factory=dict)


class StoredRun(Status, Manifest):
    """The content of a run folder. Missing files give empty fields; a lost status is "running".

    ``damage`` describes unreadable files, whose fields are empty, too.
    """

    files: RunFiles
    config: Mapping[str, Any] = {}
    environment: Mapping[str, Any] = {}
    measures: Mapping[str, float] = {}
    folds: Sequence[FoldMeasures] = ()
    damage: str = ""

    @property
    def silent(self) -> float:
        paths = (self.files.status, self.files.journal, self.files.folder / ".lock")
        signs = [path.stat().st_mtime for path in paths if path.exists()]
        return time.time() - max(signs, default=0.0)

    @property
    def kept_data(self) -> Path | None:
        """The file with the rows of a data frame, its own or its sweep's; None: there is none."""
        own = self.files.folder
        folders = [own] if self.parent is None else [own, own.with_name(self.parent)]
        found = (RunFiles(folder).data for folder in folders)
        return next((path for path in found if path.is_file()), None)

    def epochs(self) -> list[JournalLine]:
        return _lines_of(self.files.journal)

    def scalars(self) -> list[JournalLine]:
        return _lines_of(self.files.scalars)


# ------------------------------------------------------------------------------------- writing


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's types: numpy scalars unwrapped, numbers not finite as strings."""
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


def json_text(value: Any) -> str:
    """Return the text of a JSON file; see `plain` for numbers that are not finite."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_bytes(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, json_text(value).encode())


def write_yaml(path: Path, value: Mapping[str, Any]) -> None:
    write_bytes(path, dump_yaml(value).encode())


def now() -> str:
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def write_status(
    files: RunFiles,
    status: State,
    started: str | None,
    ended: str | None = None,
    error: str | None = None,
    process: Process | EllipsisType | None = ...,
) -> None:
    """Write the status of a run; ``process`` is by default the current one, None: unknown.

    On a full disk, which has no space for a new file, the old file is overwritten.
    """
    process = Process(host=platform.node(), pid=os.getpid()) if process is ... else process
    record = {
        "status": status,
        "started": started,
        "ended": ended,
        "error": error,
        "process": None if process is None else process.model_dump(),
    }
    try:
        write_json(files.status, record)
    except OSError as full:
        if full.errno not in (errno.ENOSPC, errno.EDQUOT) or not files.status.exists():
            raise
        short = {**record, "error": None if error is None else error[:_SHORT_ERROR]}
        with files.status.open("r+b") as file:
            file.write(json_text(short).encode())
            file.truncate()
            os.fsync(file.fileno())


def check_complete(files: RunFiles, journal_length: int, model: bool) -> None:
    """Put the journal, of this many bytes, on the disk; OSError: files were removed or changed."""
    needed = [files.run, files.config, files.environment, files.measures, files.report, files.page]
    for path in [*needed, files.model] if model else needed:
        if not path.exists():
            raise OSError(f"{path.name} was removed by another process")
    if journal_length:
        _check_length(files.journal, journal_length)
        to_disk(files.journal)


# ---------------------------------------------------------------------------------- the journal


def append_epoch(path: Path, line: JournalLine, at: int) -> int:
    """Append one epoch to the journal, which is ``at`` bytes long; return its length now."""
    record = {"epoch": line.epoch, "time": line.time, "metrics": plain(line.metrics)}
    text = json.dumps(record, allow_nan=False).encode() + b"\n"
    if at:
        _check_length(path, at)
    with path.open("ab") as journal:
        journal.write(text)
    return at + len(text)


def _check_length(path: Path, length: int) -> None:
    if path.stat().st_size != length:
        raise OSError(f"{path.name} was changed by another process")


def trim_journal(path: Path) -> tuple[int, int]:
    """Cut a truncated last line off a journal; return its last epoch (0: none) and its length."""
    lines, end = read_journal(path)
    if path.exists() and path.stat().st_size > end:
        os.truncate(path, end)
    return max((line.epoch for line in lines), default=0), end


def read_journal(path: Path, offset: int = 0) -> tuple[list[JournalLine], int]:
    """Return the complete lines from a byte ``offset`` on, and the offset after them.

    An incomplete last line, which is being written or was truncated by a crash, is not read.
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
    lines = []
    for line in complete.splitlines():
        try:
            record = json.loads(line)
            metrics = {name: float(value) for name, value in record["metrics"].items()}
            lines.append(JournalLine(int(record["epoch"]), int(record["time"]), metrics))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue  # `journal_damage` finds that an epoch lacks
    return lines, offset + len(complete)


def _lines_of(path: Path) -> list[JournalLine]:
    try:
        return read_journal(path)[0]
    except OSError:  # which the run's damage tells
        return []


def journal_damage(stored: StoredRun) -> str:
    """Return a sentence where the journal lacks an epoch or has one twice; empty: it is whole."""
    name = stored.files.journal.name
    try:
        for expected, line in enumerate(read_journal(stored.files.journal)[0], start=1):
            if line.epoch > expected:
                return f"{name} lacks epoch {expected}"
            if line.epoch < expected:
                return f"{name} has epoch {line.epoch} twice"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror or error}"
    return ""


# ------------------------------------------------------------------------------------- reading


def is_run(folder: Path) -> bool:
    files = RunFiles(folder)
    try:
        return files.status.exists() or files.run.exists()
    except (OSError, ValueError):  # no folder can have this name
        return False


def read_json(path: Path) -> Mapping[str, Any]:
    """Return the mapping in a JSON file; empty where it is missing or damaged."""
    return _Reader().json(path, dict[str, Any], {})


def read_status(folder: Path) -> StoredRun:
    return _read_status(folder, _Reader())


def read_run(folder: Path) -> StoredRun:
    """Read a run folder back; what is missing or damaged leaves its fields empty."""
    reader = _Reader()
    stored = _read_status(folder, reader)
    files = stored.files
    manifest = reader.json(files.run, Manifest, Manifest())
    found = {
        **dict(manifest),
        "id": manifest.id or folder.name,
        "name": manifest.name or folder.name,
        "experiment": manifest.experiment or folder.parent.name,
        "config": reader.yaml(files.config),
        "environment": reader.json(files.environment, dict[str, Any], {}),
        "measures": reader.json(files.measures, dict[str, float], {}),
        "folds": reader.folds(files.folds),
    }
    for path in (files.journal, files.scalars, files.model, files.report, files.page):
        if path.exists() and not path.is_file():
            reader.damage.append(f"{path.name} cannot be read: it is no regular file")
    return stored.model_copy(update=found | {"damage": "; ".join(map(as_text, reader.damage))})


def _read_status(folder: Path, reader: _Reader) -> StoredRun:
    files = RunFiles(folder)
    status = reader.json(files.status, Status, Status())
    return StoredRun.model_construct(
        **dict(status),
        files=files,
        id=folder.name,
        name=folder.name,
        experiment=folder.parent.name,
        damage="; ".join(map(as_text, reader.damage)),
    )


class _Reader:
    """Reader of the small files of a run folder, in bounded time and memory.

    Files may be damaged or forged: no content raises an exception. ``damage`` has a sentence for
    each file that cannot be used.
    """

    def __init__(self) -> None:
        self.damage: list[str] = []

    def json(self, path: Path, kind: type[_T], empty: _T) -> _T:
        """Return the content of a JSON file as a ``kind``; ``empty`` where it is not."""
        content = self._content(path)
        if content is None:
            return empty
        try:
            return TypeAdapter(kind).validate_json(content)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
        place = ".".join(f"{part!s:.60}" for part in problem["loc"])
        text = f"{path.name}: " + (f"'{place}': " if place else "") + problem["msg"]
        if problem["type"] == "json_invalid":
            reason = problem["msg"].removeprefix("Invalid JSON: ")
            text = f"{path.name} is no JSON: {reason:.200}"
        self.damage.append(text)
        return empty

    def yaml(self, path: Path) -> Mapping[str, Any]:
        content = self._content(path)
        try:
            found = {} if content is None else read_plain(content.decode("utf-8"), path.name)
            if isinstance(found, Mapping):
                return found
            self.damage.append(f"{path.name} holds no mapping")
        except ConfigError as error:
            self.damage.append(str(error).splitlines()[0])
        except (ValueError, RecursionError) as error:
            self.damage.append(f"{path.name} is no YAML: {error!s:.200}")
        return {}

    def folds(self, path: Path) -> list[FoldMeasures]:
        content = self._content(path)
        try:
            return [] if content is None else parse_folds(content.decode("utf-8"))
        except (ValueError, OverflowError, csv.Error) as error:
            self.damage.append(f"{path.name} is no table of folds: {error!s:.200}")
            return []

    def _content(self, path: Path) -> bytes | None:
        try:
            return read_at_most(path, _LARGEST_RECORD)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.damage.append(f"{path.name} cannot be read: {error.strerror or error}")
            return None


def find_folders(root: Path, experiment: str) -> list[Path]:
    return sorted(_folders(root / experiment, "*"))


def find_experiments(root: Path) -> list[str]:
    return sorted({run.parent.relative_to(root).as_posix() for run in _folders(root, "**")})


def _folders(root: Path, below: str) -> set[Path]:
    try:  # either file makes a folder a run
        files = [f for n in ("status.json", "run.json") for f in root.glob(f"{below}/{n}")]
    except (OSError, ValueError):  # no folder can have this name
        return set()
    return {file.parent for file in files}


def find_runs(root: Path, experiment: str) -> list[StoredRun]:
    def age(run: StoredRun) -> tuple[str, float]:  # several may have begun in one second
        return run.files.folder.name[:15], run.started.timestamp() if run.started else 0.0

    return sorted(map(read_run, find_folders(root, experiment)), key=age)


# --------------------------------------------------------------------------------------- folds


def split_digest(train: NDArray[Any], test: NDArray[Any]) -> str:
    found = hashlib.sha256()
    for rows in (train, test):
        found.update(f"{len(rows)}:".encode())
        found.update(rows.astype("<i8").tobytes())
    return found.hexdigest()[:12]


def folds_text(folds: Sequence[FoldMeasures]) -> str:
    """Return folds as CSV: a line each, a column for each measure; what is missing is empty."""
    names = list(dict.fromkeys(name for fold in folds for name in fold.measures))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*_FACTS, *names])
    for fold in folds:
        cells = [repr(float(fold.measures[n])) if n in fold.measures else "" for n in names]
        facts = [fold.fold, fold.train_samples, fold.test_samples, fold.split_digest]
        writer.writerow([*facts, *cells])
    return stream.getvalue()


def parse_folds(text: str) -> list[FoldMeasures]:
    """Read what `folds_text` returned; raises ValueError where it is no such table."""
    header, *lines = list(csv.reader(io.StringIO(text), strict=True)) or [[]]
    if tuple(header[: len(_FACTS)]) != _FACTS:
        raise ValueError(f"its first columns are not {', '.join(_FACTS)}")
    folds = []
    for cells in lines:
        named = dict(zip(header, cells, strict=True))
        fold, train, test, rows = (named.pop(fact) for fact in _FACTS)
        measures = {name: float(cell) for name, cell in named.items() if cell}
        folds.append(FoldMeasures(int(fold), int(train), int(test), rows, measures))
    return folds


def summary(folds: Iterable[FoldMeasures]) -> dict[str, float]:
    """Return the mean of each measure over folds, and the standard deviation as ``test_std/…``."""
    found: dict[str, list[float]] = {}
    for name, value in (item for fold in folds for item in fold.measures.items()):
        found.setdefault(name, []).append(value)
    means = {name: statistics.fmean(values) for name, values in found.items()}
    spreads = {
        name.replace("test/", "test_std/"): (
            statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
        )
        for name, values in found.items()
        if len(values) > 1
    }
    return means | spreads
