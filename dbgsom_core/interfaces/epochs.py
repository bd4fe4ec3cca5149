"""What is told of each epoch of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class GrowthEvent(NamedTuple):
    """One neuron was born: in which epoch, beside which parent (row), at which (x, y)."""

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
    phase : {"growing", "fine"}
    width : float
        Kernel width in hops.
    neurons : int
        Neurons after the epoch's births.
    births : tuple of GrowthEvent
        The neurons born in this epoch.
    quantization_error : float
        Mean distance of the training samples to their best-matching unit under the updated
        prototypes, newborns included.
    movement : float
        Root mean square step of the prototypes over the data's ‖std(X)‖ (no unit).
    seconds : float
        Time since training began.
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
