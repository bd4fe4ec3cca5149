"""The callbacks of a run: its folder, plugins with hooks, the display, and its trackers.

Little is imported here: trackers prepare while what a run needs is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dbgsom_core.config import Experiment, parse_experiment
from dbgsom_core.config.sections import findings_of
from dbgsom_core.errors import ConfigError
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import RAISED, guarded, who
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.interfaces.stopping import STOP, Stop
from dbgsom_core.interfaces.trackers import Run, TrackerAbilities
from dbgsom_core.plugins.callbacks import Callbacks
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder import StoredRun
from dbgsom_core.runs.signals import shutdown

log = private_logger("dbgsom")

Tracking = Sequence[tuple[str, Component]]


def make_callbacks(tracking: Tracking, registry: Registry, extra: Sequence[Any] = ()) -> Callbacks:
    """Return the callbacks of a run: the run folder, plugins with hooks, ``extra``, trackers.

    Those that mirror run folders come last: they send what the others log.
    """
    folder = run_folder_of(tracking, registry).observer()
    trackers: dict[int, str] = {}
    before: list[Any] = []
    mirrors: list[Any] = []
    failed: list[tuple[str, BaseException]] = []
    for key, tracker in tracking:
        if key == "run_folder":
            continue
        name = who("tracker", tracker)
        try:
            observer = guarded("tracker", tracker, "observer")()
        except RAISED as error:
            failed.append((name, error))
            continue
        trackers[id(observer)] = name
        (before if TrackerAbilities.of(tracker).mirror is None else mirrors).append(observer)
    others = [*registry.observers, *extra, *before, *mirrors]
    callbacks = Callbacks(others, required=folder, trackers=trackers)
    for name, reason in failed:
        callbacks.report(name, "observer", reason)
    return callbacks


@contextmanager
def session(
    experiment: Experiment, registry: Registry, extra: Sequence[Any] = ()
) -> Iterator[Callbacks]:
    """Handle signals and prepare trackers for a run, or a sweep of such runs."""
    with shutdown.handling():
        callbacks = make_callbacks(experiment.tracking, registry, extra)
        with callbacks.prepared():
            yield callbacks


class EpochCallback:
    """The callback of a run's fit: passes each epoch on, and ends the training where asked to.

    What the run folder raises ends it, or a signal, or a callback that answers `STOP`.
    """

    vital = True

    def __init__(self, callbacks: Callbacks, run: Run, touch: Callable[[], None]) -> None:
        self._callbacks, self._run, self._touch = callbacks, run, touch
        self._stopped_by = ""

    def __call__(self, epoch: EpochRecord) -> Stop | None:
        """Pass an epoch on; return `STOP` where a callback did."""
        self._stopped_by = self._callbacks.on_epoch(self._run, epoch)
        self._touch()
        shutdown.check()
        return STOP if self._stopped_by else None

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        """Return itself: a clone of the estimator has the same run."""
        return self

    def early_end(self, estimator: Any) -> tuple[str, ...]:
        """Return a sentence on what ended the training before its last epoch; none: nothing did."""
        if not estimator.stopped_by_:
            return ()
        ran, kept = estimator.n_iter_, estimator.kept_epoch_
        which = "" if kept == ran else f", and the map is that of epoch {kept}"
        return (
            f"{self._stopped_by or estimator.stopped_by_} ended the training after {ran} of at "
            f"most {estimator.history_[-1].epochs} epochs{which}",
        )


def run_folder_of(tracking: Tracking, registry: Registry) -> Any:
    """Return the tracker that writes run folders, which is always on."""
    return dict(tracking).get("run_folder") or registry.build("tracker", "run_folder")


def runs_folder(experiment: Experiment, registry: Registry) -> Path:
    """Return the folder under which the runs of this experiment are kept."""
    return Path(run_folder_of(experiment.tracking, registry).path)


def tracking_of(stored: StoredRun, registry: Registry) -> Tracking:
    """Return the trackers that the configuration in a run folder names.

    Plugins of its other parts need not be installed any more.
    """
    known = {key: value for key, value in stored.config.items() if key == "tracking"}
    rest = {"experiment": "trackers", "dataset": "iris", "measures": [], "figures": []}
    return parse_experiment({**rest, **known}, registry).tracking


def default_tracking(registry: Registry) -> Tracking:
    """Return the trackers of runs whose configuration names none."""
    usual = (name for name, tracker in registry.trackers().items() if tracker.is_default)
    return [(name, build_tracker(name, registry)) for name in usual]


def build_tracker(name: str, registry: Registry, **values: Any) -> Any:
    """Return a tracker by name; what is wrong with it is a `ConfigError`."""
    try:
        return registry.build("tracker", {"name": name, **values})
    except ValidationError as error:
        found = "; ".join(said.removeprefix("Value error, ") for _, _, said in findings_of(error))
        raise ConfigError(f"tracker {name}: {found}") from error


def mirror_ended(stored: StoredRun, tracking: Tracking) -> None:
    """Let trackers mirror a run that has ended in another process."""
    for name, tracker in tracking:
        mirror = TrackerAbilities.of(tracker).mirror
        if mirror is not None:
            try:
                mirror(stored.files.folder)
            except Exception as error:
                log.warning("%s was not brought up to date: %s", name, error)
