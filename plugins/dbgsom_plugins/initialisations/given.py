"""Starts that are taken from somewhere: samples, or numbers that are given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dbgsom_core.api import Component, Start

_EXAMPLE = tuple((0.5 * i, float(i), 1.0, -1.0) for i in range(6))  # 2 × 3 neurons, 4 features


class Sample(Component):
    """Training samples drawn by lot with ``random_state``, each once (Forgy 1965)."""

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        """Return the prototypes (K, D)."""
        return np.asarray(start.samples(len(start)))


class Array(Component):
    """Prototypes that are given, in the space of the prepared samples."""

    values: tuple[tuple[float, ...], ...] = Field(
        examples=[_EXAMPLE],
        description="one list of numbers for each first neuron, in row-major order",
    )

    @field_validator("values")
    @classmethod
    def _is_a_table(cls, values: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if not values or not values[0] or len(set(map(len, values))) > 1:
            raise ValueError("must be lists of numbers, all of the same length and none empty")
        return values

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        """Return the prototypes (K, D)."""
        return np.array(self.values, dtype=np.float64)
