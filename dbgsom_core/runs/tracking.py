"""The trackers of a run: as its observers, and which ones a stored run was told to.

Little is imported here: trackers get ready while what a run needs is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dbgsom_core.config import is_sweep, load_experiment, load_sweep
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.guard import guarded, who
from dbgsom_core.interfaces.privacy import Secrets, hiding
from dbgsom_core.interfaces.trackers import TrackerAbilities
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.plugins.registry import Registry
from dbgsom_core.runs.folder.store import StoredRun
from dbgsom_core.runs.patience import PATIENCE, PatientObserver


def make_observers(
    tracking: Sequence[tuple[str, Component]],
    registry: Registry,
    extra: Sequence[Any] = (),
    patience: float = PATIENCE,
) -> Observers:
    """Return the observers of a run: the run folder, plugins with hooks, ``extra``, trackers.

    A tracker that does not answer within ``patience`` seconds is given up. Those that mirror run
    folders come last: they send what the others log, and before them the run folder looks once
    more at what those logged when the run had finished.
    """
    trackers: list[Any] = [tracker for name, tracker in tracking if name != "run_folder"]
    trackers.sort(key=_mirrors)
    first = run_folder_of(tracking, registry).observer()
    called = [who("tracker", tracker) for tracker in trackers]
    others: list[Any] = [
        PatientObserver(name, guarded("tracker", tracker, "observer"), patience)
        for name, tracker in zip(called, trackers, strict=True)
    ]
    names = {id(one): name for one, name in zip(others, called, strict=True)}
    at = sum(not _mirrors(tracker) for tracker in trackers)
    others[at:at] = [first.afterwards()] if hasattr(first, "afterwards") else []
    return Observers([*registry.observers, *extra, *others], vital=first, names=names)


def _mirrors(tracker: Any) -> bool:
    return TrackerAbilities.of(tracker).mirror is not None


@contextmanager
def expecting_a_run(observers: Observers, *secrets: Secrets) -> Iterator[None]:
    """Let trackers get ready for what is to begin in here, and put away what they had for it.

    ``secrets`` are hidden in what they say.
    """
    trackers = [one for one in observers.others if isinstance(one, PatientObserver)]
    with hiding(*secrets):
        for tracker in trackers:
            tracker.prepare()
        try:
            yield
        finally:
            for tracker in trackers:
                tracker.close()


def run_folder_of(tracking: Sequence[tuple[str, Component]], registry: Registry) -> Any:
    """Return the tracker that writes run folders, which is always on."""
    return dict(tracking).get("run_folder") or registry.build("tracker", "run_folder")


def tracking_of(stored: StoredRun, registry: Registry) -> Sequence[tuple[str, Component]]:
    """Return the trackers that the configuration in a run folder names.

    Raises
    ------
    ConfigError
        The configuration cannot be read here; missing packages are named.
    """
    from dbgsom_core.runs.components import packages_named

    config = stored.files.config
    with packages_named(stored.files, registry):
        if is_sweep(config):
            return load_sweep(config, registry=registry).children[0].experiment.tracking
        return load_experiment(config, registry=registry).tracking
