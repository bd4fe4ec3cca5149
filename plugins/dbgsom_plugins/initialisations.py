"""Where the first prototypes lie: spread over the samples, drawn, or given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from dbgsom_core.api import Component, Start


class Pca(Component):
    """Spread a grid untwisted over the plane of the first two principal axes.

    The longer side of the grid, as it lies in the plane, lies along the first axis; the grid
    reaches one standard deviation to either side of the mean. The sign of an axis is that of its
    largest entry. Where the covariance of all samples would take long, the axes are those of 8192
    of them, evenly spaced. A missing value counts as the mean of its column.
    """

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        """Return the prototypes (K, D)."""
        first, second = start.principal_axes()
        x, y = start.plane_positions.T
        along_x, along_y = (first, second) if np.ptp(x) >= np.ptp(y) else (second, first)
        offsets = np.outer(_centred(x), along_x) + np.outer(_centred(y), along_y)
        return np.asarray(start.moments.mean + offsets)


class Random(Component):
    """Column means + ``scale`` * column range * N(0, 1), drawn with ``random_state``.

    On range-scaled data and at the default this is the start of Vasighi & Amini (2017).
    """

    scale: float = Field(
        default=0.1, gt=0, le=1e6, description="deviation of the noise, in ranges of the column"
    )

    def prototypes(self, start: Start) -> NDArray[np.float64]:
        """Return the prototypes (K, D)."""
        low, high = start.extremes()
        noise = start.rng.standard_normal((len(start), start.n_features))
        return np.asarray(start.moments.mean + self.scale * (high - low) * noise)


def _centred(places: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = places.min(), places.max()
    return np.asarray((2.0 * places - (low + high)) / ((high - low) or 1.0))


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
