"""Places of grid points in names of features: ``50.0N 10.0W``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_PLACE = re.compile(r"(\d+\.\d+)([NS]) (\d+\.\d+)([EW])")
_LATITUDE = re.compile(r"(\d+\.\d+)([NS])\b")


class Grid(NamedTuple):
    """The grid points that D features stand for.

    ``latitudes`` (R,) go from north to south, ``longitudes`` (C,) from west to east without a jump;
    ``cells`` (D,) are the places of the features in the flattened rectangle.
    """

    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    cells: NDArray[np.intp]

    def fields(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return values (K, D) as fields (K, R, C), nan at points that no feature stands for."""
        shape = (len(values), len(self.latitudes), len(self.longitudes))
        flat = np.full((shape[0], shape[1] * shape[2]), np.nan)
        flat[:, self.cells] = values
        return flat.reshape(shape)


def name_of(latitude: float, longitude: float) -> str:
    """Return the name of a place in degrees, rounded to 0.0001: ``50.0N 10.0W``."""
    east = (longitude + 180.0) % 360.0 - 180.0
    return " ".join(
        f"{_digits(value)}{ends[bool(value < 0)]}"
        for value, ends in ((latitude, "NS"), (east, "EW"))
    )


def _digits(degrees: float) -> str:
    whole, _, rest = f"{abs(degrees):.4f}".partition(".")
    return f"{whole}.{rest.rstrip('0') or '0'}"


def latitudes_of(names: Sequence[str]) -> list[float] | None:
    """Return the latitudes that names say, in degrees; None where one says none."""
    found = [_LATITUDE.match(name) for name in names]
    return [_signed(one) for one in found if one] if names and all(found) else None


def grid_of(names: Sequence[str]) -> Grid | None:
    """Return the grid of features by their names; None where they name no places."""
    found = [_PLACE.fullmatch(name) for name in names]
    if not names or not all(found):
        return None
    places = np.array([(_signed(one), _signed(one, 3)) for one in found if one])
    latitudes = np.unique(places[:, 0])[::-1]
    # Longitudes begin behind the widest gap, so that a region across 180 degrees stays whole.
    longitudes = np.unique(places[:, 1])
    gaps = np.diff(longitudes, append=longitudes[0] + 360.0)
    start = (int(gaps.argmax()) + 1) % len(longitudes)
    longitudes = np.concatenate([longitudes[start:], longitudes[:start] + 360.0])
    rows = np.searchsorted(-latitudes, -places[:, 0])
    columns = np.searchsorted(longitudes, longitudes[0] + (places[:, 1] - longitudes[0]) % 360.0)
    return Grid(latitudes, longitudes, rows * len(longitudes) + columns)


def _signed(place: re.Match[str], first: int = 1) -> float:
    return float(place[first]) * (-1.0 if place[first + 1] in "SW" else 1.0)
