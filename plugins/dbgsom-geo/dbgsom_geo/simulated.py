"""Daily fields with known weather types: ``python -m dbgsom_geo.simulated FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LATITUDES = np.arange(72.5, 27.4, -2.5)
LONGITUDES = np.arange(-50.0, 41.0, 2.5)
# Centres of action of six types: latitude, longitude and hPa; a blocking, a zonal flow, and so on.
TYPES = (
    ((65, -20, -22), (40, -25, 14)),
    ((65, -20, 18), (42, -25, -12)),
    ((58, 15, 20), (55, -35, -12)),
    ((52, -30, 18), (60, 15, -14)),
    ((50, 5, -18), (68, -30, 8)),
    ((47, 10, 14), (65, 0, -10)),
)
WINTER = np.array([2.0, 1.0, 1.2, 0.8, 1.0, 0.4])  # how much more frequent than in summer
STAYS = 0.75  # probability that the next day is of the same type


def bump(latitude: Any, longitude: Any, reach: float = 11.0) -> NDArray[np.float64]:
    """Return bells (n, R, C) around places (n,) in degrees, ``reach`` degrees of latitude wide."""
    y = LATITUDES[None, :, None] - np.reshape(latitude, (-1, 1, 1))
    x = (LONGITUDES[None, None, :] - np.reshape(longitude, (-1, 1, 1))) * 0.64  # at 50 degrees
    return np.asarray(np.exp(-(x**2 + y**2) / (2 * reach**2)))


def red(n: int, generator: np.random.Generator, memory: float) -> NDArray[np.float64]:
    """Return a red series (n,) of variance 1: x(t) = memory x(t - 1) + noise."""
    noise = generator.standard_normal(n) * np.sqrt(1 - memory**2)
    for t in range(1, n):
        noise[t] += memory * noise[t - 1]
    return noise


def simulate(
    n: int, seed: int = 0, shift: float = 4.0, strength: float = 0.3, noise: float = 4.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return sea-level pressure (n, R, C) in hPa from 1 January on, and the type (n,) of each day.

    Patterns move by ``shift`` degrees and change in strength by the share ``strength`` (standard
    deviations, with a memory of days). ``noise`` is that of waves, in hPa, red in space and time.
    """
    generator = np.random.default_rng(seed)
    season = np.cos(2 * np.pi * (np.arange(n) - 15) / 365.25)  # 1 in January, -1 in July
    types = np.zeros(n, dtype=np.int64)
    for day in range(n):
        odds = WINTER ** season[day]
        stays = day and generator.random() < STAYS
        types[day] = types[day - 1] if stays else generator.choice(len(TYPES), p=odds / odds.sum())
    fields = np.full((n, len(LATITUDES), len(LONGITUDES)), 1013.0)
    fields += 3.0 * season[:, None, None] * np.sin(np.radians(3 * LATITUDES))[:, None]
    north, east = (shift * red(n, generator, 0.7) for _ in range(2))
    factor = np.exp(strength * red(n, generator, 0.7)) * (1.0 + 0.3 * season)
    for kind, centres in enumerate(TYPES):
        days = np.flatnonzero(types == kind)
        for latitude, longitude, depth in centres:
            bells = bump(latitude + north[days], longitude + 1.5 * east[days])
            fields[days] += (depth * factor[days])[:, None, None] * bells
    for latitude in (32, 44, 56, 68):
        for longitude in (-45, -20, 5, 30):
            wave = red(n, generator, 0.6)[:, None, None]
            fields += noise * wave * bump(latitude, longitude, 7.0)
    return fields + 0.3 * noise * generator.standard_normal(fields.shape), types


def main() -> None:
    """Write a NetCDF file with ``slp`` and the true ``type`` of each day."""
    parser = argparse.ArgumentParser(prog="python -m dbgsom_geo.simulated", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    import xarray as xr

    days = np.arange("1991-01-01", f"{1991 + given.years}-01-01", dtype="datetime64[D]")
    fields, types = simulate(len(days), given.seed)
    slp = {"long_name": "sea-level pressure", "units": "hPa"}
    coords = {
        "time": days.astype("datetime64[ns]"),
        "lat": ("lat", LATITUDES, {"units": "degrees_north"}),
        "lon": ("lon", LONGITUDES, {"units": "degrees_east"}),
    }
    variables = {
        "slp": (("time", "lat", "lon"), fields.astype(np.float32), slp),
        "type": ("time", types.astype(np.int32)),
    }
    xr.Dataset(variables, coords).to_netcdf(given.file, engine="scipy")
    print(f"{given.file}: {len(days):,} days, {len(LATITUDES)} × {len(LONGITUDES)} points")


if __name__ == "__main__":
    main()
