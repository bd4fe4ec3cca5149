"""Starts that are taken from somewhere: samples, or numbers that are given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Component, Start


class Sample(Component):
    """Training samples drawn by lot with ``random_state``, each once (Forgy 1965)."""

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        """Return the prototypes (K, D)."""
        return np.asarray(start.samples(len(start)))


class Array(Component):
    """Prototypes that are given, in the space of the prepared samples."""

    values: tuple[tuple[float, ...], ...] = Field(
        description="one list of numbers for each first neuron, in row-major order"
    )

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        """Return the prototypes (K, D)."""
        return np.array(self.values, dtype=np.float64)
