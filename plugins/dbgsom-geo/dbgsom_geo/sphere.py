"""Between latitude and longitude in degrees and points on the unit sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError


def to_sphere(degrees: NDArray[Any]) -> NDArray[Any]:
    """Return unit vectors (n, 3) for latitudes and longitudes (n, 2), in the same dtype.

    DataError where there are not two columns, or a latitude lies beyond a pole.
    """
    if degrees.ndim != 2 or degrees.shape[1] != 2:
        shape = f"not shape {degrees.shape}"
        raise DataError(f"haversine takes two columns, latitude and longitude, {shape}")
    worst = float(np.abs(degrees[:, 0]).max(initial=0.0))
    if worst > 90:
        cure = "give latitude, then longitude"
        raise DataError(f"a latitude of {worst:g} degrees lies beyond the pole; {cure}")
    latitude, longitude = np.radians(degrees.astype(np.float64)).T
    across = np.cos(latitude)
    points = [across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)]
    return np.column_stack(points).astype(degrees.dtype)


def to_degrees(points: NDArray[Any]) -> NDArray[np.float64]:
    """Return latitude and longitude (n, 2) in degrees for points (n, 3) of any length."""
    x, y, z = np.asarray(points, dtype=np.float64).T
    return np.degrees(np.column_stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)]))


def on_sphere(points: NDArray[Any]) -> NDArray[Any]:
    """Return points (K, 3) pulled to the unit sphere; the centre of the earth goes to 0, 0."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    pulled = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 1e-12)
    pulled[lengths[:, 0] <= 1e-12] = (1.0, 0.0, 0.0)
    return np.asarray(pulled)
