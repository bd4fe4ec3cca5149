"""Days of samples, of any calendar, by their ISO texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEASONS = ("DJF", "MAM", "JJA", "SON")
_ISO = re.compile(r"(-?\d{4,})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?.*")
_BEFORE = np.concatenate([[0], np.cumsum([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])])


class Days(NamedTuple):
    """When samples (n,) were: years, months from 1, and days since a common beginning.

    The calendar is seen from the days themselves: without a 31st each month has 30 days, without a
    29th of February a year has 365.
    """

    years: NDArray[np.int64]
    months: NDArray[np.int64]
    numbers: NDArray[np.float64]

    @property
    def seasons(self) -> NDArray[np.int64]:
        """The season of each sample, as a place in ``SEASONS``."""
        return self.months % 12 // 3

    def steps(self) -> tuple[NDArray[np.intp], NDArray[np.bool_], float]:
        """Return the order in time, what follows at once, and the length of a step in days.

        The order (n,) sorts the samples; of each but the last (n - 1,) it is said whether the next
        one in that order follows after one step. A step is the most frequent difference in time.
        """
        order = np.argsort(self.numbers, kind="stable")
        gaps = np.round(np.diff(self.numbers[order]), 4)
        lengths, counts = np.unique(gaps[gaps > 0], return_counts=True)
        step = float(lengths[counts.argmax()]) if len(lengths) else 1.0
        return order, gaps == step, step


def days_of(annotations: Mapping[str, NDArray[Any]], who: str) -> Days:
    """Return the days of samples by their annotation ``time``.

    Raises
    ------
    ValueError
        There is none, or it holds no ISO dates. ``who`` asks for it.
    """
    if "time" not in annotations:
        raise ValueError(
            f"{who} needs the day of each sample, and the data keep no 'time' beside them: read "
            "them with the data set 'netcdf', keep a column of dates called time (id: time), or "
            f"leave {who} out"
        )
    texts = np.asarray(annotations["time"]).astype(str).tolist()
    found = [_ISO.fullmatch(text) for text in texts]
    if not all(found):
        bad = texts[found.index(None)]
        raise ValueError(f"{who} reads times such as 2001-12-31, and {bad!r} is none: write it so")
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


def transition_counts(
    units: NDArray[Any], days: Days, n_units: int
) -> tuple[NDArray[np.int64], list[tuple[int, int]], float]:
    """Return the counts (K, K) of what followed what, and the spells in order.

    A spell is (unit, number of samples in a row); a gap in time ends it. The last number is the
    length of a step in days.
    """
    order, follows, step = days.steps()
    units = np.asarray(units)[order]
    counts = np.zeros((n_units, n_units), dtype=np.int64)
    np.add.at(counts, (units[:-1][follows], units[1:][follows]), 1)
    ends = np.flatnonzero(np.append(~follows | (units[1:] != units[:-1]), True))
    lengths = np.diff(ends, prepend=-1)
    return counts, list(zip(units[ends].tolist(), lengths.tolist(), strict=True)), step
