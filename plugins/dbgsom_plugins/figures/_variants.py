"""What the variants of a sweep changed, as figures of sweeps show it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dbgsom_core.api import as_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Ranking

LENGTH = 18  # letters of a value
_FEW = 8  # numbers with a tick each
_WIDE = 100  # how many times the least number the largest one is on a logarithmic axis


class Axis(NamedTuple):
    """One thing that varies, or a measure: ``places`` (V,) of the variants, nan for none.

    ``ticks`` are places with words; without any, places are the numbers themselves.
    """

    name: str
    places: NDArray[np.float64]
    ticks: list[tuple[float, str]]


def axis_of(ranking: Ranking, key: str) -> Axis:
    """Return what the variants have for a key that varies: numbers as such, else in order.

    Places of positive numbers of which some are a hundred times others are their logarithms. Few
    numbers have a tick each, many those at the ends.
    """
    values = [variant.varies.get(key) for variant in ranking.variants]
    known = [value for value in values if value is not None]
    if known and all(_is_number(value) for value in known):
        places = np.array([math.nan if value is None else float(value) for value in values])
        numbers = np.unique(places[np.isfinite(places)])
        told_of = numbers if len(numbers) <= _FEW else numbers[[0, -1]]
        if numbers[0] > 0 and numbers[-1] >= _WIDE * numbers[0]:
            return Axis(key, np.log10(places), [(math.log10(one), f"{one:g}") for one in told_of])
        few = len(numbers) <= _FEW
        return Axis(key, places, [(float(one), f"{one:g}") for one in told_of] if few else [])
    words = [told(value) for value in values]
    order = sorted(set(words))
    ticks = [(float(place), word) for place, word in enumerate(order)]
    return Axis(key, np.array([float(order.index(word)) for word in words]), ticks)


def measured(ranking: Ranking, name: str) -> NDArray[np.float64]:
    """Return the means (V,) of a measure, nan where a variant has none."""
    return np.array([variant.measures.get(name, math.nan) for variant in ranking.variants])


def told(value: Any) -> str:
    """Return a value as figures show it."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "true", False: "false"}[value]
    return as_label(value, LENGTH)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
