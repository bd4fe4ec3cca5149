"""Variables of the samples and what the map makes of them, as figures show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dbgsom_core.api import as_label
from dbgsom_core.errors import did_you_mean
from dbgsom_plugins.figures._drawing import shortened, text_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import MapView

_NAMED = 30  # letters of a name
_LONGEST = 6  # digits before or after the mark


class Variables(NamedTuple):
    """Some variables: ``names`` and ``values`` (K, V) of the neurons, nan for none; ``of`` all."""

    names: list[str]
    values: NDArray[np.float64]
    of: int


def names_of(view: MapView) -> list[str]:
    """Return what the features are called, in their order."""
    d = view.evaluation.som_map.prototypes.shape[1]
    if len(view.feature_names) == d:
        return [str(name) for name in view.feature_names]
    return [f"feature {column}" for column in range(d)]


def chosen(
    view: MapView, wanted: Sequence[str] | None, most: int, *, own_units: bool = True
) -> Variables:
    """Return the variables ``wanted`` by name, or the ``most`` telling ones in their order.

    Values are those of the data where that is known, or without ``own_units`` what the map sees.

    What a feature tells is the share of its variance that lies between neurons. Variables beside
    the features, `MapView.variables`, are means over the samples of a neuron.

    Raises
    ------
    ValueError
        No variable is called so.
    """
    prototypes, names = view.evaluation.som_map.prototypes, names_of(view)
    if own_units:
        prototypes = view.in_own_units(prototypes)
    if wanted is None:
        columns = np.sort(_telling(view)[:most])
        return Variables([names[one] for one in columns], prototypes[:, columns], len(names))
    found = []
    for name in wanted:
        if name in names:
            found.append(prototypes[:, names.index(name)])
        elif name in view.variables:
            found.append(_means(view, np.asarray(view.variables[name], dtype=np.float64)))
        else:
            known = [*names, *view.variables]
            some = ", ".join(as_label(one) for one in known[:12]) + ", …" * (len(known) > 12)
            raise ValueError(f"unknown variable '{name}'{did_you_mean(name, known)}; known: {some}")
    return Variables(list(wanted), np.column_stack(found), len(wanted))


def rounded(value: float, other: float) -> float:
    """Return a number with three digits of how far another one is away."""
    span = abs(value - other) or abs(value)
    return round(float(value), 2 - math.floor(math.log10(span))) + 0.0 if span > 0 else 0.0


def alike(values: Sequence[float], digits: int) -> list[str]:
    """Return numbers as words with as many decimals each: ``digits`` of how far they are apart.

    Whole numbers have none. What would be a zero, or too long, has ``digits`` of its own.
    """
    span = max(values) - min(values)
    places = digits - 1 - math.floor(math.log10(span)) if span > 0 else _LONGEST + 1
    if all(float(value).is_integer() and abs(value) < 10**_LONGEST for value in values):
        places = 0
    if not -_LONGEST < places <= _LONGEST:
        return [f"{value:.{digits}g}" for value in values]
    words = [f"{value:.{max(places, 0)}f}" for value in values]
    return [
        f"{value:.{digits}g}" if value and not float(word) else word
        for value, word in zip(values, words, strict=True)
    ]


def label_of(name: str) -> str:
    """Return a variable's name as figures show it."""
    return as_label(name, _NAMED)


def fitting_name(name: str, room: float, size: float) -> str:
    """Return a variable's name that takes at most ``room`` points in a font of this size.

    Of a category, ``Region=North``, both sides are cut: values of one column are told apart.
    """
    column, equals, value = name.partition("=")
    told = label_of(name)
    if not equals or (len(name) <= _NAMED and size * text_width(told) <= room):
        return shortened(told, room, size)
    column, value = label_of(column), label_of(value)
    value = shortened(value, max(room / 2, room - size * text_width(f"{column}=")), size)
    return f"{shortened(column, room - size * text_width(f'={value}'), size)}={value}"


def _telling(view: MapView) -> NDArray[np.intp]:
    # The features, most telling first.
    evaluation = view.evaluation
    hits, prototypes = evaluation.hits, evaluation.som_map.prototypes
    middle = np.average(prototypes, axis=0, weights=hits)
    between = np.average(np.square(prototypes - middle), axis=0, weights=hits)
    whole = np.square(evaluation.data.moments().deviation)
    shares = np.divide(between, whole, out=np.zeros_like(between), where=whole > 0)
    return np.argsort(-shares, kind="stable")


def _means(view: MapView, values: NDArray[np.float64]) -> NDArray[np.float64]:
    bmu, n_neurons = view.evaluation.bmu, len(view.evaluation.som_map)
    there = np.isfinite(values)
    counts = np.bincount(bmu[there], minlength=n_neurons)
    sums = np.bincount(bmu[there], values[there], n_neurons)
    means = np.full(n_neurons, np.nan)
    return np.asarray(np.divide(sums, counts, out=means, where=counts > 0))
