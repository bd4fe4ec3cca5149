"""Fine-tuning: the end of a training, in which the map no longer grows and samples may do more.

`schedule` says when it begins, how wide the kernel is in it and how the pull is eased in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import Found
from dbgsom_core.engine.majorities import leading
from dbgsom_core.interfaces.growth import GrowthAbilities
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.task import Task
from dbgsom_core.training.update import batch_update


@dataclass(frozen=True)
class FineTuning:
    """What a growth strategy leaves to the end; its fields are documented in `GrowthComponent`.

    Attributes
    ----------
    share : float
        Of the epochs, in [0, 1), at least.
    growing_epochs : int or None
        After so many epochs it begins at the latest.
    link_pull : float
        What each sample weighs besides in the linked neighbour nearest to it.
    class_tuning : bool
        A sample with a class trains the nearest neuron in which its class is in the majority.
        Which classes these are stays from where width and pull have reached their ends: neurons
        that went on changing sides would never come to rest.
    """

    share: float = 0.0
    growing_epochs: int | None = None
    link_pull: float = 0.0
    class_tuning: bool = False

    @classmethod
    def of(cls, growing: GrowthAbilities) -> Self:
        """Return what the fields of a growth strategy say."""
        return cls(
            growing.fine_tuning,
            growing.growing_epochs,
            float(growing.link_pull),
            growing.class_tuning,
        )

    def epochs(self, total: int) -> int:
        """Return how many of so many epochs it takes; one at least is left to growth."""
        epochs = int(total * self.share)
        if self.growing_epochs is not None and epochs > 0:
            epochs = max(epochs, total - self.growing_epochs)
        return min(epochs, total - 1)

    def leads(
        self, found: Found, before: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """Return which classes lead in a neuron (K, C), as ``before`` where that is given.

        None: classes do not matter.
        """
        counts = found.class_counts if self.class_tuning else None
        return before if counts is None or before is not None else leading(counts)

    def updated(
        self,
        som_map: SomMap,
        task: Task,
        found: Found,
        width: float,
        pull: float,
        leads: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Return the prototypes (K, D) after the update of one epoch, with so much of the pull.

        A line of one column takes none: it is in order, and would only come to stand in pairs.
        """
        if som_map.grid.is_line and som_map.prototypes.shape[1] == 1:
            pull = 0.0
        if leads is None:
            return batch_update(som_map, task, found, width, pull)
        return batch_update(som_map, task, found.trained_by_class(leads), width, pull, leads)
