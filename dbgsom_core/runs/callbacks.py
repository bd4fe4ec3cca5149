"""Callbacks of a run (its folder, plugins, display, trackers), and signals that end it.

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
from dbgsom_core.experiments.callbacks import Callbacks
from dbgsom_core.experiments.trackers import Run, tracker_classes
from dbgsom_core.interfaces.component import RAISED, Component, guarded, who
from dbgsom_core.interfaces.context import EpochRecord
from dbgsom_core.interfaces.stopping import STOP, Stop
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.plugins.validation_messages import format_errors
from dbgsom_core.runs.folder import StoredRun

log = logging.getLogger("dbgsom")

Tracking = Sequence[tuple[str, Component]]


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
