"""Around a run: its callbacks (folder, plugins, display, trackers), and the signals that end it.

Imports are few: trackers prepare while the modules of a run are imported.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config import Experiment, load_experiment
from dbgsom_core.errors import ConfigError
from dbgsom_core.experiments.trackers import Run, tracker_classes
from dbgsom_core.interfaces.component import RAISED, Component, guarded, is_own, who
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.interfaces.stopping import STOP, Stop
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.plugins.validation_messages import format_errors
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.training.callbacks import call

log = logging.getLogger("dbgsom")

Tracking = Sequence[tuple[str, Component]]


class Callbacks:
    """The callbacks of a run, modules or objects with lifecycle hooks, called in the given order.

    The ``required`` one, without which a run is worth nothing (the run folder), is called first,
    and what it raises ends the run. It may have ``write_results(run, result)``, called before
    figures are drawn. Observers of trackers may have ``prepare()`` and ``close()``. ``notes`` tell
    the reader of the report which callbacks failed.
    """

    def __init__(self, callbacks: Sequence[Any], required: Any = None) -> None:
        self._required = required
        self._others: list[tuple[str, Any]] = []  # with their names
        self._trackers: list[tuple[str, Any]] = []
        for callback in callbacks:
            if callback is not required:
                name = getattr(callback, "__name__", type(callback).__name__)
                self._others.append((f"observer {name}", callback))
        self.notes: list[str] = []
        self._failures: set[tuple[str, str]] = set()  # names, and methods that failed

    def add_tracker(self, name: str, observer: Any) -> None:
        self._trackers.append((name, observer))

    def notify(self, hook: str, **event: Any) -> list[tuple[str, Any]]:
        """Call a lifecycle hook with the arguments that each callback accepts."""
        self.notify_required(hook, **event)
        return self.notify_others(hook, **event)

    def notify_required(self, hook: str, **event: Any) -> None:
        """Call the required callback alone; what it raises is raised."""
        call(self._required, hook, event)

    def notify_others(self, hook: str, **event: Any) -> list[tuple[str, Any]]:
        """Call the others, also where one of them raises; return the name and answer of each."""
        return self._call_each([*self._others, *self._trackers], hook, event)

    def on_epoch(self, run: Any, epoch: EpochRecord) -> str:
        """Call all with an epoch; return the name of the first that answered `STOP`, or nothing."""
        answers = self.notify("dbgsom_epoch_finished", run=run, epoch=epoch)
        return next((name for name, answer in answers if answer is STOP), "")

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Call ``prepare()`` of trackers before the ``with`` block and ``close()`` after it."""
        self._call_each(self._trackers, "prepare", {})
        try:
            yield
        finally:
            self._call_each(self._trackers, "close", {})

    def report(self, name: str, method: str, error: BaseException) -> None:
        """Note that a callback failed, once for each of its methods, and log it."""
        note = f"{name} failed in {method} ({type(error).__name__}: {error})"
        if (name, method) not in self._failures:  # it may fail in every epoch
            self.notes.append(note)
        self._failures.add((name, method))
        log.warning("%s; the run goes on", note)
        log.debug("traceback of %s", name, exc_info=error)

    def _call_each(
        self, callbacks: Sequence[tuple[str, Any]], method: str, event: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        answers = []
        for name, callback in callbacks:
            try:
                answers.append((name, call(callback, method, _lend(event, callback))))
            except RAISED as error:
                self.report(name, method, error)
        return answers


def _lend(event: dict[str, Any], callback: Any) -> dict[str, Any]:
    """Return an event with a copy of the result, which changes of third parties do not reach."""
    if "result" not in event or is_own(callback):
        return event
    from dbgsom_core.interfaces.validation import read_only  # numpy is slow to import

    return event | {"result": read_only(event["result"])}


def make_callbacks(tracking: Tracking, registry: Registry, extra: Sequence[Any] = ()) -> Callbacks:
    """Return the callbacks of a run: the run folder, plugins with hooks, ``extra``, trackers."""
    folder = run_folder_of(tracking, registry).observer()
    callbacks = Callbacks([*registry.observers, *extra], required=folder)
    others = [guarded(tracker) for key, tracker in tracking if key != "run_folder"]
    # Mirrors come last, as they send what the others have written.
    for tracker in sorted(others, key=lambda tracker: tracker.mirror is not None):
        name = who(tracker)
        try:
            callbacks.add_tracker(name, tracker.observer())
        except RAISED as error:
            callbacks.report(name, "observer", error)
    return callbacks


@contextmanager
def session(
    experiment: Experiment, registry: Registry, extra: Sequence[Any] = ()
) -> Iterator[Callbacks]:
    """Yield the callbacks of a run, prepared, which SIGTERM ends as Ctrl-C does."""
    with ended_by_term():
        callbacks = make_callbacks(experiment.tracking, registry, extra)
        with callbacks.prepared():
            yield callbacks


class EpochCallback:
    """The callback of a run's fit: notifies callbacks, and ends the training on their request."""

    vital = True

    def __init__(self, callbacks: Callbacks, run: Run) -> None:
        self._callbacks, self._run = callbacks, run
        self.stopped_by = ""  # the callback that ended the training

    def __call__(self, epoch: EpochRecord) -> Stop | None:
        self.stopped_by = self._callbacks.on_epoch(self._run, epoch)
        return STOP if self.stopped_by else None

    def begin(self, phase: str) -> None:
        """Call ``dbgsom_run_phase`` of displays, no hook of plugins: measuring, say."""
        log.info("%s", phase)
        self._callbacks.notify_others("dbgsom_run_phase", run=self._run, phase=phase)

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        """Return itself: a clone of the estimator has the same run."""
        return self


# ----------------------------------------------------------------------------------------- signals


class Interrupted(KeyboardInterrupt):
    """The process received SIGTERM."""


@contextmanager
def ended_by_term() -> Iterator[None]:
    """End the ``with`` block by KeyboardInterrupt when SIGTERM comes, as when Ctrl-C is typed."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) in (signal.SIG_IGN, None):
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted("asked to end by SIGTERM")


# ---------------------------------------------------------------------------------------- trackers


def run_folder_of(tracking: Tracking, registry: Registry) -> Any:
    """Return the tracker that writes run folders, which is always on."""
    return dict(tracking).get("run_folder") or registry.build("tracker", "run_folder")


def runs_folder(experiment: Experiment, registry: Registry) -> Path:
    return Path(run_folder_of(experiment.tracking, registry).path)


def tracking_of(stored: StoredRun, registry: Registry) -> Tracking:
    """Return the trackers in the configuration of a run folder."""
    known = {key: value for key, value in stored.config.items() if key == "tracking"}
    rest = {"experiment": "trackers", "dataset": "iris", "measures": [], "figures": []}
    return load_experiment({**rest, **known}, registry=registry).tracking


def default_tracking(registry: Registry) -> Tracking:
    usual = (name for name, tracker in tracker_classes(registry).items() if tracker.is_default)
    return [(name, build_tracker(name, registry)) for name in usual]


def build_tracker(name: str, registry: Registry, **values: Any) -> Any:
    """Return a tracker with these fields; raises `ConfigError` where they are wrong."""
    try:
        return registry.build("tracker", {"name": name, **values})
    except ValidationError as error:
        cls = registry.find("tracker", name)
        messages = "; ".join(format_errors(error, cls, values, f"tracker {name}"))
        raise ConfigError(messages) from error


def mirror_ended(stored: StoredRun, tracking: Tracking) -> None:
    """Let trackers mirror a run that has ended in another process."""
    for name, tracker in tracking:
        mirror = guarded(tracker).mirror
        if mirror is not None:
            try:
                mirror(stored.files.folder)
            except Exception as error:
                log.warning("%s was not updated: %s", name, error)


log = logging.getLogger("dbgsom")
