"""Records of epochs, as callbacks get them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.som_map.som_map import Change, SomMap


class GrowthEvent(NamedTuple):
    """A birth: in which epoch, beside which parent (row), at which (x, y), as they were then."""

    epoch: int
    parent: int
    position: tuple[int, int]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training.

    Attributes
    ----------
    epoch, epochs : int
        The epoch that ran, from 1, and the upper bound of epochs.
    width : float
        Kernel width in hops.
    neurons : int
        Neurons after the epoch's births and deaths.
    births : tuple of GrowthEvent
        The neurons born in this epoch, also those of an `Insert`.
    quantization_error : float
        Mean distance of the training samples to their best-matching unit under the updated
        prototypes, newborns included.
    movement : float
        Root mean square step of the prototypes over the data's ‖std(X)‖ (no unit).
    seconds : float
        Time since training began.
    changes : tuple of Death or Insert
        What else changed the map before those births; rows and cells are those before the change.
    """

    epoch: int
    epochs: int
    phase: Literal["growing", "fine"]
    width: float
    neurons: int
    births: tuple[GrowthEvent, ...]
    quantization_error: float
    movement: float
    seconds: float
    changes: tuple[Change, ...] = ()

    @property
    def som_map(self) -> SomMap:
        """The map after this epoch, a copy that is yours, while callbacks are told of it.

        Raises
        ------
        AttributeError
            The epoch is over.
        """
        return copy.deepcopy(self._trained())

    @property
    def prototypes(self) -> NDArray[np.float64]:
        """The prototypes (K, D) after this epoch, a copy that is yours, as `som_map`."""
        return self._trained().prototypes.copy()

    def _trained(self) -> SomMap:
        trained: SomMap | None = vars(self).get("_som_map")
        if trained is None:
            raise AttributeError(
                "the map of an epoch can only be read while its callbacks run: copy it there"
            )
        return trained

    def show(self, som_map: SomMap | None) -> None:
        """Attach the map that callbacks may read, or detach it with None."""
        if som_map is None:
            vars(self).pop("_som_map", None)
        else:
            vars(self)["_som_map"] = som_map


def ignore_epoch(record: EpochRecord) -> None:
    """Do nothing with an epoch: the callback of a training without callbacks."""
