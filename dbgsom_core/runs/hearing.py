"""What a run's estimator tells of each epoch, and what ended its training."""

from __future__ import annotations

from typing import Any

from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.stopping import STOP, Stop
from dbgsom_core.interfaces.trackers import Run
from dbgsom_core.plugins.observers import Observers
from dbgsom_core.runs.ends import asked


class Heard:
    """Tells of each epoch; what the run folder raises, or a signal, ends the training.

    So does an observer that answers `STOP`.
    """

    vital = True

    def __init__(self, observers: Observers, run: Run) -> None:
        self._observers, self._run = observers, run
        self._stopper = ""

    def __call__(self, epoch: EpochRecord) -> Stop | None:
        """Tell of an epoch; return `STOP` where somebody said so."""
        self._stopper = self._observers.stopper(self._run, epoch)
        asked.check()
        return STOP if self._stopper else None

    def end_told(self, estimator: Any) -> tuple[str, ...]:
        """Return a sentence on what ended the training before its last epoch; none: nothing did."""
        if not estimator.stopped_by_:
            return ()
        ran, kept = estimator.n_iter_, estimator.kept_epoch_
        which = "" if kept == ran else f", and the map is that of epoch {kept}"
        return (
            f"{self._stopper or estimator.stopped_by_} ended the training after {ran} of at most "
            f"{estimator.history_[-1].epochs} epochs{which}",
        )
