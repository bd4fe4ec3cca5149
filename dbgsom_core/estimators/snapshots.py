"""The map of an epoch in the middle of a training, kept so that a fit can end there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dbgsom_core.errors import CheckpointError
from dbgsom_core.estimators.checkpoints import Checkpoints, Facts
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.training.checkpoint import Checkpointer, TrainingState
from dbgsom_core.training.stopping import BY_CALLBACK


@dataclass(frozen=True)
class Snapshot(Checkpoints):
    """A checkpoint at which training ends: a fit to the same samples has the map of that epoch.

    It trains no epoch; labels, novelty and all else that an estimator knows are those of this map.
    Who gives it as ``checkpoint`` answers for it that samples and parameters are those of the
    training.

    Attributes
    ----------
    history : sequence of EpochRecord
        The epochs up to this one.
    """

    history: Sequence[EpochRecord] = ()

    def keep(self, epoch: EpochRecord) -> None:
        """Write the map of an epoch, while callbacks are told of it."""
        state = TrainingState(epoch.som_map, [epoch], epoch.epochs, stopped=BY_CALLBACK)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write({}, {(): state}, None)

    def progress(self, facts: Facts, random_state: Any = None) -> Checkpointer:
        """Return the training as it was, at its end.

        Raises
        ------
        CheckpointError
            Nothing was kept, or it cannot be read.
        """
        found = self._read()
        if found is None:
            raise CheckpointError(f"there is no {self.path}")
        states = found["states"]
        states[()] = replace(states[()], history=list(self.history) or states[()].history)
        return Checkpointer(states)

    def ended(self) -> None:
        """Leave it where it is."""
