"""Trackers, the events that observers of runs get (a run and its result), and a run's journal.

The journal, ``metrics.jsonl``, has a line for each epoch and for each point of an observer::

    {"epoch": 3, "time": <unix milliseconds>, "metrics": {"epoch/neurons": 9.0, …}}

The step of a point stands for the epoch. JSON knows no NaN: numbers that are not finite are the
strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. Several threads may append.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import shutil
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dbgsom_core.errors import PluginError
from dbgsom_core.files import open_regular, write_atomically
from dbgsom_core.interfaces.checks import CHECKS, refuse, returns
from dbgsom_core.interfaces.component import Component

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dbgsom_core.interfaces.context import EpochRecord
    from dbgsom_core.interfaces.figures import Html, MapView
    from dbgsom_core.plugins.registry import Registry

ARTIFACTS = "artifacts"
JOURNAL = "metrics.jsonl"
# The first words of what a run itself logs, and what mirrors make of it.
RESERVED = ("best", "epoch", "fold", "stability", "stability_high", "stability_low", "system",
            "test", "train")  # fmt: skip
_LONGEST = 240  # bytes of a name: file systems take 255
_NAME = re.compile(r"\w[\w\-. ]*(?<![. ])(/\w[\w\-. ]*(?<![. ]))*")
_STEPS = 1 << 63  # what trackers hold
# What a line that cannot be read raises: a journal may be damaged or forged.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
# Held while a journal changes: a tracker may have a thread of its own. `Run.log_scalar` holds it
# and calls `append_line`, which takes it again.
_lock = threading.RLock()


@dataclass(frozen=True)
class Run:
    """One run, or a sweep whose children are runs; it holds references to the environment.

    Attributes
    ----------
    id : str
        Sortable by time, unique within the experiment.
    name : str
        What a person reads in a list; children of a sweep are named by what varies.
    folder : Path
        ``<runs>/<experiment>/<id>``; exists while observers are called.
    config : mapping
        The resolved configuration: plain YAML values.
    params : mapping of str to str or number
        The few flat parameters that tell runs of an experiment apart; the same keys on every run.
    environment : mapping
        Versions, plugins, machine, git commit and dirty flag: plain JSON values.
    data : mapping
        Facts of the data: name, samples, features, digest (sha256 of X and y); with targets also
        ``baseline``, what always the most frequent class, or the mean, measures, by names.
    parent : Run or None
        The sweep that this run belongs to.
    total_epochs : int
        Upper bound of the epochs (0 for a sweep).
    varies : mapping
        Of a sweep's child: what it changes, dotted keys and plain values.
    tags : mapping of str to str, number or bool
        The user's own.
    """

    id: str
    name: str
    experiment: str
    kind: Literal["run", "sweep"]
    folder: Path
    config: Mapping[str, Any]
    params: Mapping[str, str | int | float | bool]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    parent: Run | None = None
    total_epochs: int = 0
    tags: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    varies: Mapping[str, Any] = field(default_factory=dict)

    def log_scalar(self, name: str, value: float, step: int) -> None:
        """Add a number to the run: a line in ``metrics.jsonl`` of its folder, a tracker's metric.

        A name such as ``"drift/mean"`` has one value a step, 0 or more; what comes again, as in a
        resumed run, is left out. Names that begin as the run's own (``train/``, ``test/``,
        ``epoch/``, …) are refused.
        """
        _check_name(name, "a scalar")
        if name.partition("/")[0] in RESERVED:
            raise ValueError(f"a scalar cannot be called {name!r}: such names are the run's own")
        step = operator.index(step)
        if not 0 <= step < _STEPS:
            raise ValueError(f"the step of {name!r} must be from 0 on, below 2^63, not {step!r}")
        line = JournalLine(step, int(time.time() * 1000), {name: float(value)})
        with _lock:
            if (name, step) not in self._points:
                append_line(self.folder / JOURNAL, line)
                self._points.add((name, step))

    @cached_property
    def _points(self) -> set[tuple[str, int]]:
        """Names and steps in the journal, of an interrupted process too."""
        lines = trim_journal(self.folder / JOURNAL)
        return {(name, line.epoch) for line in lines for name in line.metrics}

    def log_artifact(self, name: str, content: str | bytes | PathLike[str]) -> Path:
        """Write a file of the run whole, ``artifacts/NAME`` in its folder, and return its path.

        The content is text, bytes, or a file that is copied. Trackers
        get it at the end. The same name again replaces it.
        """
        _check_name(name, "an artefact")
        path = self.folder / ARTIFACTS / name
        if isinstance(content, str):
            content = content.encode()
        if isinstance(content, os.PathLike):
            write_atomically(path, lambda new: shutil.copyfile(content, new))
        else:
            write_atomically(path, lambda new: new.write_bytes(content))
        return path


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name) or len(os.fsencode(name)) > _LONGEST:
        raise ValueError(
            f"{what} needs a name of at most {_LONGEST} bytes: letters, digits, '_', '-', '.' and "
            f"spaces, words that begin with a letter, a digit or '_' between '/', not {name!r}"
        )


@dataclass(frozen=True)
class Variant:
    """The runs of a sweep that differ in nothing but their seed.

    Attributes
    ----------
    varies : mapping
        What tells it from the other variants: short names and plain values.
    measures : mapping of str to float
        Means over the runs.
    spread : mapping of str to float
        Standard deviations over two or more runs.
    runs : sequence of str
        Ids.
    """

    name: str
    varies: Mapping[str, Any]
    measures: Mapping[str, float]
    spread: Mapping[str, float]
    runs: Sequence[str]


@dataclass(frozen=True)
class Ranking:
    """The variants of a sweep on one data set, best first.

    Attributes
    ----------
    data : str
        The data set's name.
    measures : sequence of str
        Full names: first what decides.
    direction : {"maximize", "minimize"}
        Which end of what decides is best.
    verdict : str
        Which won, and how sure that is, as ``dbgsom compare`` says it.
    reason : str
        Why another measure decides than usual; empty: none does.
    ends : mapping
        By name of a measure which of its values are best, ``greater``, ``less`` or ``0``.
    """

    data: str
    measures: Sequence[str]
    direction: Literal["maximize", "minimize"]
    variants: Sequence[Variant]
    verdict: str = ""
    reason: str = ""
    ends: Mapping[str, str] = field(default_factory=dict)

    @property
    def best(self) -> Variant:
        """The best variant."""
        return self.variants[0]

    @property
    def ties(self) -> Sequence[Variant]:
        """The other variants whose mean is the same, rounding aside."""
        name, ties = self.measures[0], []
        best = self.best.measures.get(name, math.nan)
        for variant in self.variants[1:]:
            if math.isclose(variant.measures.get(name, math.nan), best, rel_tol=1e-12):
                ties.append(variant)
        return ties

    @property
    def keys(self) -> list[str]:
        """What varies, by its short names."""
        return list(dict.fromkeys(key for variant in self.variants for key in variant.varies))


@dataclass(frozen=True)
class SweepView:
    """A finished sweep with everything that a figure of sweeps may draw.

    Attributes
    ----------
    rankings : sequence of Ranking
        One a data set, at least one.
    title : str
        Names the sweep.
    """

    rankings: Sequence[Ranking]
    title: str = ""


@dataclass(frozen=True)
class FoldMeasures:
    """The measures of a fold, by their logged names.

    Attributes
    ----------
    fold : int
        Counted from 1.
    split_digest : str
        Of the rows to train and to test on.
    """

    fold: int
    train_samples: int
    test_samples: int
    split_digest: str
    measures: Mapping[str, float]


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes
    ----------
    measures : mapping of str to float
        Final values under their logged names (``train/quantization_error``, ``test/accuracy``).
    run : Run or None
        The run that has this result.
    folds : sequence of FoldMeasures
        The measures of each fold of a cross-validation, whose means are in ``measures``.
    view : MapView or None
        The trained map as figures see it; None for a sweep.
    model : ClusterModel or None
        The saved pipeline (prepare steps and estimator): has ``save(path)`` and ``predict(X)``.
    checkpoints : mapping of int to ClusterModel
        The same of the map as it was after some epochs, where that is asked for.
    example : array (m, D) or None
        A few raw input rows, for signatures.
    children : sequence of (Run, measures)
        The finished runs of a sweep.
    tables : mapping of str to callable
        ``assignments``, ``neurons`` and ``links``: each yields columns by names, rows by rows.
    rankings : sequence of Ranking
        Which variant of a sweep is best, on each data set.
    notes : sequence of str
        Sentences for a reader of the report (warnings, parts left out).
    verdict : str
        What the run ends with: how sure its clusters are, or which few rows carry the squared
        error.
    failed : mapping of str to str
        Runs of a sweep that failed, by name, and why.
    """

    measures: Mapping[str, float]
    history: Sequence[EpochRecord] = ()
    folds: Sequence[FoldMeasures] = ()
    figures: Mapping[str, Figure | Html] = field(default_factory=dict)
    view: MapView | None = None
    model: Any = None
    checkpoints: Mapping[int, Any] = field(default_factory=dict)
    example: Any = None
    children: Sequence[tuple[Run, Mapping[str, float]]] = ()
    tables: Mapping[str, Callable[[], Iterator[Mapping[str, Any]]]] = field(default_factory=dict)
    rankings: Sequence[Ranking] = ()
    notes: Sequence[str] = ()
    verdict: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", masked(self.notes))  # errors of libraries may hold any


@dataclass(frozen=True)
class Page:
    """Where people look at the runs of a tracker.

    Attributes
    ----------
    command : sequence of str
        What serves the page while it runs, on this machine alone; empty where it is served already.
    environment : mapping of str to str
        Variables to set for the command.
    """

    address: str
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class TrackerComponent(Component):
    """Base of trackers: settings from which an observer of the run is made.

    Attributes
    ----------
    is_default : bool
        Whether runs are sent there whose configuration has no key ``tracking``.
    addresses : tuple of str
        How the addresses of models begin that ``fetch_model`` knows: ``("runs:/", "models:/")``.
    store_field : str
        The field that ``--store`` of a command fills; empty: there is one store.
    how_to_open : method ``() -> str``, or None
        The command or address that shows the runs.
    mirror : method ``(folder) -> bool or None``, or None
        Brings the tracker up to date with the folder of a run that has ended, for ``dbgsom sync``;
        doing it twice is as good as once. False: nothing had to be sent.
    mirrored : method ``(folder) -> bool``, or None
        Whether it was sent the folder as it is, by the folder alone.
    page : method ``(experiment, folder, port) -> Page``, or None
        Where ``dbgsom ui`` shows an experiment, or the run with this folder; each may be None. A
        command serves it at this port.
    fetch_model : method ``(address, folder) -> Path``, or None
        Puts the model file that an address means into a folder, without running anything;
        ``addresses`` says which it knows.
    register : method ``(folder, name, alias) -> str``, or None
        Makes the model of a finished run a version of a named one, with an alias unless that is
        None, and returns its address.
    """

    KIND: ClassVar[str] = "tracker"
    is_default: ClassVar[bool] = False
    addresses: ClassVar[tuple[str, ...]] = ()
    store_field: ClassVar[str] = ""
    how_to_open: ClassVar[Callable[..., str] | None] = None
    mirror: ClassVar[Callable[..., bool | None] | None] = None
    mirrored: ClassVar[Callable[..., bool] | None] = None
    page: ClassVar[Callable[..., Page] | None] = None
    fetch_model: ClassVar[Callable[..., Path] | None] = None
    register: ClassVar[Callable[..., str] | None] = None

    @abstractmethod
    def observer(self) -> object:
        """Return a fresh object with any of the four lifecycle hooks as methods, undecorated.

        The run waits for each: a tracker that talks to a network owns its thread and its timeouts.
        What one raises is a note in the report. It may also have ``prepare()``, called as soon as
        the configuration is known to be good, to import what its thread needs, and ``close()``,
        called at the end, also where no run began.
        """


def tracker_classes(registry: Registry) -> dict[str, type[TrackerComponent]]:
    """Return the classes of all trackers by name, without broken ones."""
    classes: dict[str, Any] = {}
    for name in registry.names("tracker"):
        with suppress(PluginError):
            classes[name] = registry.find("tracker", name)
    return classes


def _check_observer(tracker: Any, answer: Any) -> Any:
    if answer is None or isinstance(answer, type):
        refuse(answer, "an object with lifecycle hooks")
    return answer


CHECKS["tracker"] = {
    "observer": _check_observer,
    "how_to_open": returns(str),
    "page": returns(Page),
}


# ------------------------------------------------------------------------------------ the journal


@dataclass(frozen=True)
class JournalLine:
    """A line of the journal; ``time`` is in milliseconds since 1970."""

    epoch: int
    time: int
    metrics: Mapping[str, float]

    @property
    def is_epoch(self) -> bool:
        """Whether it is an epoch of the run, not a point that an observer logged."""
        return any(name.startswith("epoch/") for name in self.metrics)


def append_line(path: Path, line: JournalLine) -> None:
    """Append a line to a journal, whole or not at all."""
    content = json.dumps(plain(vars(line)), allow_nan=False).encode() + b"\n"
    with _lock:
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as journal:
                journal.write(content)
        except OSError:
            with suppress(OSError):  # part of a line would spoil the next one
                os.truncate(path, size)
            raise


def read_journal(path: Path, offset: int = 0) -> tuple[list[JournalLine], int]:
    """Return the complete lines from a byte ``offset`` on, and the offset after them.

    An incomplete last line, which is being written or was truncated by a crash, is not read.
    """
    try:
        with open_regular(path) as journal:
            journal.seek(offset)
            content = journal.read()
    except FileNotFoundError:
        return [], offset
    complete = content[: content.rfind(b"\n") + 1]
    lines = []
    for text in complete.splitlines():
        with suppress(*_UNREADABLE):
            record = json.loads(text)
            metrics = {name: float(value) for name, value in record["metrics"].items()}
            lines.append(JournalLine(int(record["epoch"]), int(record["time"]), metrics))
    return lines, offset + len(complete)


def trim_journal(path: Path) -> list[JournalLine]:
    """Cut a truncated last line off a journal, and return the others."""
    with _lock:
        lines, end = read_journal(path)
        if path.exists() and path.stat().st_size > end:
            os.truncate(path, end)
    return lines


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's types: numpy scalars unwrapped, numbers not finite as strings."""
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


# ------------------------------------------------------------- what may be shown and written

_LONGEST_LINE, _MOST_LINES = 500, 100  # characters of a line of a message, and lines


def cut_message(text: str) -> str:
    """Return a message of at most 100 lines of at most 500 characters; the middle is left out."""
    lines, half = text.split("\n"), _LONGEST_LINE // 2 - 2
    shown = []
    for line in lines[:_MOST_LINES]:
        shown.append(line if len(line) <= _LONGEST_LINE else f"{line[:half]} … {line[-half:]}")
    if len(lines) > _MOST_LINES:
        shown.append(f"and {len(lines) - _MOST_LINES} more")
    return "\n".join(shown)


_REFERENCE = r"\$\{env:[^}]*\}"
# A password may hold "/" and "@": where a colon comes first, all up to the last "@" is hidden.
_USER = re.compile(r"(?<!/)//(?!/)(?P<user>[^\s\"<>:]{0,200}:[^\s\"<>]{0,500}|[^/\s\"<>]{1,500})@")
_USER_REFERENCE = re.compile(rf"[^:\s@]*:?({_REFERENCE})+")
_TOKEN = re.compile(  # by orderByKey MLflow's page sorts
    r"(?i)([?&;#][\w.\-]*(?:token|(?<!orderBy)key|secret|passw(?:or)?d|pwd|passphrase"
    rf"|auth|sig|signature|credentials?)=)(?!{_REFERENCE})[^&#\s\"'<>]+"
)


def masked(value: Any) -> Any:
    """Return plain values whose addresses have ``***`` in place of passwords and tokens.

    References to the environment stay as they are written, and so do keys.
    """
    if isinstance(value, Mapping):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _USER.sub(_masked_user, value)
    return _TOKEN.sub(r"\1***", text)


def _masked_user(match: re.Match[str]) -> str:
    return match[0] if _USER_REFERENCE.fullmatch(match["user"]) else "//***@"
