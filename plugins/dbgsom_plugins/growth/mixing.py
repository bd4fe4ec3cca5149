"""Which neurons mix classes that more neurons could tell apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import SomMap
from dbgsom_plugins.growth.thresholds import class_entropy

LEAST_BITS = 0.5  # of a neuron's class entropy, as Qu et al. (2021)
LEAST_SAMPLES = 8  # fewer tell no border from chance
LEAST_NEURONS = 16  # before an entropy is tested
_REACH = 2  # hops
_DEVIATIONS = 4.0


def mixing_neurons(som_map: SomMap, class_counts: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which neurons mix classes, where the classes around them change by more than chance.

    A neuron mixes classes when it won eight samples with a class or more and their entropy is at
    least half a bit (Qu et al. 2021). More neurons help where the shares of the classes differ
    between the neurons up to two hops away: Pearson's χ² of their counts, r live neurons by c
    classes, is then above its expectation f = (r - 1)(c - 1) by four standard deviations √(2f).
    Where labels are drawn by lot it hardly ever is, and the map does not grow on them.

    Parameters
    ----------
    som_map : SomMap
    class_counts : array (K, C)

    Returns
    -------
    bool array (K,)
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    return _at_borders(som_map, counts, class_entropy(counts) >= LEAST_BITS)


def significant_entropy(som_map: SomMap, class_counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the class entropy (K,) of neurons in bits, 0 where more neurons would not help.

    The guard is that of `mixing_neurons`. A map of less than 16 neurons grows without it: it may
    be too coarse for borders that lie within its neurons.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    entropy = class_entropy(counts)
    if len(som_map) < LEAST_NEURONS:
        return entropy
    return np.where(_at_borders(som_map, counts, entropy > 0), entropy, 0.0)


def _at_borders(
    som_map: SomMap, counts: NDArray[np.float64], mixed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    # Which of the mixed neurons have samples enough, and classes around them that change.
    won = counts.sum(axis=1)
    mixed = mixed & (won >= LEAST_SAMPLES)
    rows = np.flatnonzero(mixed)
    if not len(rows):
        return mixed
    near = (som_map.hops[rows] <= _REACH).astype(np.float64)
    around = near @ counts
    total = around.sum(axis=1)
    # χ² = Σ T²/(n p) - N over neurons and classes, with n of a neuron and p = N_c/N of a class.
    squares = np.divide(counts**2, won[:, None], out=np.zeros_like(counts), where=won[:, None] > 0)
    ratios = np.divide(near @ squares, around, out=np.zeros_like(around), where=around > 0)
    statistic = total * (ratios.sum(axis=1) - 1)
    freedom = (near @ (won > 0) - 1) * ((around > 0).sum(axis=1) - 1)
    mixed[rows] = statistic > freedom + _DEVIATIONS * math.sqrt(2) * np.sqrt(freedom)
    return mixed
