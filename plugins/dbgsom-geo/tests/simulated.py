"""Daily fields with known weather types: ``python simulated.py FILE [YEARS]``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_geo.netcdf import import_xarray

LATITUDES, LONGITUDES = np.arange(72.5, 27.4, -2.5), np.arange(-50.0, 41.0, 2.5)
TYPES = (  # centres of action: degrees north and east, hPa
    ((65, -20, -22), (40, -25, 14)), ((65, -20, 18), (42, -25, -12)),
    ((58, 15, 20), (55, -35, -12)), ((52, -30, 18), (60, 15, -14)),
    ((50, 5, -18), (68, -30, 8)), ((47, 10, 14), (65, 0, -10)),
)  # fmt: skip
WINTER = np.array([2.0, 1.0, 1.2, 0.8, 1.0, 0.4])  # odds in January, those in July are 1 / odds


def _bell(latitude: Any, longitude: Any, reach: float) -> NDArray[np.float64]:
    # Bells (n, R, C) around places (n,), `reach` degrees of latitude wide.
    y = LATITUDES[:, None] - np.reshape(latitude, (-1, 1, 1))
    x = (LONGITUDES - np.reshape(longitude, (-1, 1, 1))) * 0.64  # at 50 degrees north
    return np.asarray(np.exp(-(x**2 + y**2) / (2 * reach**2)))


def simulate(
    n: int, seed: int = 0, shift: float = 4.0, strength: float = 0.3, noise: float = 4.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return sea-level pressure (n, R, C) in hPa from 1 January on, and the type (n,) of each day.

    Patterns move by ``shift`` degrees and their strength changes by a factor whose logarithm has
    the deviation ``strength``; ``noise`` is that of waves, in hPa. All three are red in time.
    """
    generator = np.random.default_rng(seed)

    def red(memory: float) -> NDArray[np.float64]:
        series = generator.standard_normal(n) * np.sqrt(1 - memory**2)
        for day in range(1, n):
            series[day] += memory * series[day - 1]
        return np.asarray(series)

    season = np.cos(2 * np.pi * (np.arange(n) - 15) / 365.25)  # 1 in January, -1 in July
    types = np.zeros(n, dtype=np.int64)
    for day in range(n):
        odds = WINTER ** season[day]
        stays = day and generator.random() < 0.75
        types[day] = types[day - 1] if stays else generator.choice(len(TYPES), p=odds / odds.sum())
    fields = np.full((n, len(LATITUDES), len(LONGITUDES)), 1013.0)
    fields += 3.0 * season[:, None, None] * np.sin(np.radians(3 * LATITUDES))[:, None]
    north, east = shift * red(0.7), 1.5 * shift * red(0.7)
    factor = np.exp(strength * red(0.7)) * (1.0 + 0.3 * season)
    for kind, centres in enumerate(TYPES):
        days = np.flatnonzero(types == kind)
        for latitude, longitude, depth in centres:
            bells = _bell(latitude + north[days], longitude + east[days], 11.0)
            fields[days] += (depth * factor[days])[:, None, None] * bells
    for latitude in (32, 44, 56, 68):
        for longitude in (-45, -20, 5, 30):
            fields += noise * red(0.6)[:, None, None] * _bell(latitude, longitude, 7.0)
    return fields + 0.3 * noise * generator.standard_normal(fields.shape), types


def main(file: str, years: str = "10") -> None:
    """Write a NetCDF file with ``slp`` and the true ``type`` of each day."""
    xr = import_xarray()
    days = np.arange("1991-01-01", f"{1991 + int(years)}-01-01", dtype="datetime64[D]")
    fields, types = simulate(len(days))
    coords = {
        "time": days.astype("datetime64[ns]"),
        "lat": ("lat", LATITUDES, {"units": "degrees_north"}),
        "lon": ("lon", LONGITUDES, {"units": "degrees_east"}),
    }
    slp = (("time", "lat", "lon"), fields.astype(np.float32), {"units": "hPa"})
    made = xr.Dataset({"slp": slp, "type": ("time", types.astype(np.int32))}, coords)
    made.to_netcdf(file, engine="scipy")
    print(f"{file}: {len(days):,} days, {len(LATITUDES)} × {len(LONGITUDES)} points")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (DataError, OSError, TypeError, ValueError) as error:
        sys.exit(f"{error}\n{__doc__}")
