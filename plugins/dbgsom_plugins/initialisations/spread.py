"""Starts that follow from how the samples spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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
