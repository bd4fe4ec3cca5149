"""Anomalies from a smoothed climatology by day of year."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BEFORE = np.concatenate([[0], np.cumsum([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30])])


def days_of_year(
    months: NDArray[np.int64], days: NDArray[np.int64], calendar: str
) -> tuple[NDArray[np.int64], int]:
    """Return the day of year of each date, from 0, and how many there are.

    The 29th of February has a place of its own in every calendar but that of 360 days, so that the
    days behind it are the same in all years.
    """
    if calendar == "360_day":
        return 30 * (months - 1) + days - 1, 360
    return _BEFORE[months - 1] + days - 1, 366


def climatology(
    X: NDArray[np.floating], day: NDArray[np.int64], n_days: int, window: int
) -> NDArray[np.float64]:
    """Return the mean (n_days, D) of the samples X (n, D) in ``window`` days around each day.

    ``day`` (n,) is the day of year. Every sample weighs the same, the year is a circle, and days
    without a sample in their window are nan.
    """
    middle = X.mean(axis=0, dtype=np.float64)  # taken off, so that sums keep their digits
    sums, counts = np.zeros((n_days, X.shape[1])), np.bincount(day, minlength=n_days)
    order = np.argsort(day, kind="stable")
    for one, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        if len(rows):
            sums[one] = (X[rows] - middle).sum(axis=0, dtype=np.float64)
    around = (np.arange(n_days)[:, None] + np.arange(window) - window // 2) % n_days
    totals = counts[around].sum(axis=1)
    pooled = np.stack([sums[some].sum(axis=0) for some in around])
    with np.errstate(invalid="ignore"):
        return np.asarray(middle + pooled / np.where(totals, totals, np.nan)[:, None])
