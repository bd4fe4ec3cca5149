"""Days of any calendar: by their ISO texts, in a row, and around the year."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Spells = list[tuple[int, int]]
SEASONS = ("DJF", "MAM", "JJA", "SON")
_ISO = re.compile(r"(-?\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?.*")
_BEFORE = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])  # days before each month
_BEFORE_LEAP = _BEFORE + (np.arange(12) > 1)


class Days(NamedTuple):
    """Years, months from 1, and days since a common beginning, of samples (n,)."""

    years: Ints
    months: Ints
    numbers: Floats


def days_of(annotations: Mapping[str, NDArray[Any]], who: str) -> Days:
    """Return the days of samples by their annotation ``time``, which ``who`` asks for.

    Their calendar is seen from themselves: without a 31st each month has 30 days, without a 29th of
    February a year has 365. DataError where there is no time, or one that is no ISO date.
    """
    if "time" not in annotations:
        cure = "read the data with 'netcdf', keep a column of dates called time (id: time), or"
        raise DataError(f"{who} needs the 'time' of each sample: {cure} leave {who} out")
    texts = np.asarray(annotations["time"]).astype(str).tolist()
    found = [_ISO.fullmatch(text) for text in texts]
    if not all(found):
        bad = texts[found.index(None)]
        raise DataError(f"{who} reads times such as 2001-12-31, and {bad!r} is none: write it so")
    parts = np.array([[int(part or 0) for part in one.groups()] for one in found if one])
    years, months, days, hours, minutes = parts.T
    if not (days == 31).any():
        numbers = 360 * years + 30 * (months - 1) + days
    elif not ((months == 2) & (days == 29)).any():
        numbers = 365 * years + _BEFORE[months - 1] + days
    else:
        first = ((years - 1970) * 12 + months - 1).astype("datetime64[M]").astype("datetime64[D]")
        numbers = first.astype(np.int64) + days
    return Days(years, months, numbers + (hours + minutes / 60) / 24)


def transition_counts(units: NDArray[Any], days: Days, n_units: int) -> tuple[Ints, Spells, float]:
    """Return counts (K, K) of what followed what, spells (unit, length), and a step in days.

    A step is the most frequent difference in time. A gap ends a spell, whose length is in steps.
    """
    order = np.argsort(days.numbers, kind="stable")
    gaps = np.round(np.diff(days.numbers[order]), 4)
    lengths, counts = np.unique(gaps[gaps > 0], return_counts=True)
    step = float(lengths[counts.argmax()]) if len(lengths) else 1.0
    follows = gaps == step
    units = np.asarray(units)[order]
    counts = np.zeros((n_units, n_units), dtype=np.int64)
    np.add.at(counts, (units[:-1][follows], units[1:][follows]), 1)
    ends = np.flatnonzero(np.append(~follows | (units[1:] != units[:-1]), True))
    spells = zip(units[ends].tolist(), np.diff(ends, prepend=-1).tolist(), strict=True)
    return counts, list(spells), step


def days_of_year(dates: Ints, calendar: str) -> tuple[Ints, int]:
    """Return the day of the year (n,), from 0, of dates (n, year month day …), and the last + 1.

    The 29th of February has a place in every calendar but that of 360 days.
    """
    months, days = dates[:, 1], dates[:, 2]
    if calendar == "360_day":
        return 30 * (months - 1) + days - 1, 360
    return _BEFORE_LEAP[months - 1] + days - 1, 366


def lacks_days(day: Ints, used: Ints, n_days: int, window: int) -> bool:
    """Return whether days of the year (n,) leave a hole in the window of a day that is used (m,).

    A hole is farther from every day than they usually are from each other: so are those at the ends
    of winters alone, and not the 29th of February or what lies between monthly values.
    """
    known = np.unique(day)
    apart = np.abs(np.arange(n_days)[:, None] - known)
    usual = np.median(np.diff(known, append=known[0] + n_days))
    hole = np.minimum(apart, n_days - apart).min(axis=1) > usual
    around = np.unique(used)[:, None] + np.arange(window) - window // 2
    return bool(hole[around % n_days].any())


def winters(years: Ints, months: Ints, kept: set[int]) -> tuple[list[int], Ints]:
    """Return the kept months in the order of a season, and the year (n,) that samples count to.

    Where December and January are kept and not all months are, a year begins at the first month of
    that winter: December 2000 counts to 2001, and so does November where it is kept as well.
    """
    first = 12 if {12, 1} <= kept and len(kept) < 12 else 1
    while first > 1 and first - 1 in kept:
        first -= 1
    order = [one for one in (*range(first, 13), *range(1, first)) if one in kept]
    return order, years + ((first > 1) & (months >= first))


def climatology(X: NDArray[np.floating], day: Ints, n_days: int, window: int) -> Floats:
    """Return the means (n_days, D) of samples X (n, D) in ``window`` days around each day.

    ``day`` (n,) is the day of the year, which is a circle. Every value weighs the same, missing
    ones are left out, and what has none in its window is nan.
    """
    known = ~np.isnan(X)
    middle = np.nansum(X, axis=0, dtype=np.float64) / np.maximum(1, known.sum(axis=0))
    order, sizes = np.argsort(day, kind="stable"), np.bincount(day, minlength=n_days)
    groups = np.split(order, np.cumsum(sizes)[:-1])
    sums = np.stack([np.nansum(X[rows] - middle, axis=0) for rows in groups])
    counts = np.stack([known[rows].sum(axis=0) for rows in groups])
    around = (np.arange(n_days)[:, None] + np.arange(window) - window // 2) % n_days
    totals = np.stack([counts[some].sum(axis=0) for some in around])
    pooled = np.stack([sums[some].sum(axis=0) for some in around])
    return np.asarray(middle + pooled / np.where(totals, totals, np.nan))
