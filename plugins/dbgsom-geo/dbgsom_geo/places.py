"""Places of grid points in names of features: ``50.0N 10.0W``, or ``50.0N 10.0W anomaly``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_PLACE = re.compile(r"(\d+\.\d+)([NS]) (\d+\.\d+)([EW])(?: anomaly)?")


class Grid(NamedTuple):
    """Latitudes (R,) from north, longitudes (C,) from west, and the cells (D,) of D features."""

    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    cells: NDArray[np.intp]

    def fields(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return values (K, D) as fields (K, R, C), nan at points that no feature stands for."""
        rows, columns = len(self.latitudes), len(self.longitudes)
        flat = np.full((len(values), rows * columns), np.nan)
        flat[:, self.cells] = values
        return flat.reshape(-1, rows, columns)


def name_of(latitude: float, longitude: float) -> str:
    """Return the name of a place in degrees, rounded to 0.0001: ``50.0N 10.0W``."""
    north = round(float(latitude), 4)
    east = round((float(longitude) + 180.0) % 360.0 - 180.0, 4)
    return f"{abs(north)}{'S' if north < 0 else 'N'} {abs(east)}{'W' if east < 0 else 'E'}"


def places_of(names: Sequence[str]) -> NDArray[np.float64] | None:
    """Return latitudes and longitudes (D, 2) of features by their names; None: one names none."""
    found = [_PLACE.fullmatch(str(name)) for name in names]
    if not names or not all(found):
        return None
    places = [(float(one[1]), one[2] == "S", float(one[3]), one[4] == "W") for one in found if one]
    north, south, east, west = np.transpose(places)
    return np.column_stack([north * (1 - 2 * south), east * (1 - 2 * west)])


def grid_of(names: Sequence[str]) -> Grid | None:
    """Return the grid of features by their names; None where one names no place."""
    places = places_of(names)
    if places is None:
        return None
    latitudes, longitudes = np.unique(places[:, 0])[::-1], np.unique(places[:, 1])
    # Longitudes begin behind the widest gap, so that a region across 180 degrees stays whole.
    gaps = np.diff(longitudes, append=longitudes[0] + 360.0)
    start = (int(gaps.argmax()) + 1) % len(longitudes)
    longitudes = np.concatenate([longitudes[start:], longitudes[:start] + 360.0])
    rows = np.searchsorted(-latitudes, -places[:, 0])
    east = longitudes[0] + (places[:, 1] - longitudes[0]) % 360.0
    return Grid(latitudes, longitudes, rows * len(longitudes) + np.searchsorted(longitudes, east))
