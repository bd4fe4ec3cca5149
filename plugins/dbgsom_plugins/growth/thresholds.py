"""Which neurons grow: thresholds of their errors, and classes that they mix."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from dbgsom_core.api import DataSummary, SomMap

LEAST_BITS = 0.5  # of a neuron's class entropy, as Qu et al. (2021)
LEAST_SAMPLES = 8  # fewer tell no border from chance
LEAST_NEURONS = 16  # before an entropy is tested
_REACH = 2  # hops
_DEVIATIONS = 4.0


def _check_number(value: Any) -> Any:
    if value == "auto":
        raise ValueError(
            "must be a number: 'auto' is for the estimator's own spreading_factor, beside growth"
        )
    return value


# A number, while estimators know a word besides.
SpreadingFactor = Annotated[float, BeforeValidator(_check_number)]


def classical(summary: DataSummary, spreading_factor: float) -> float:
    """GT = -D*ln(SF) for D variables in 0..1 (Alahakoon et al. 2000, eq. 4)."""
    return -summary.n_features * math.log(spreading_factor)


def auto(summary: DataSummary, spreading_factor: float) -> float:
    """GT = -4/3*ln(SF)*sqrt(n)*s, s = root mean square distance of n samples to their centre.

    Ours. In the Euclidean metric s is ‖std(X)‖. A map at rest has errors near GT, and the error of
    a neuron is its hits times its mean distance, so the map grows with the square root of n and
    does not depend on the scale of the data. The 4/3 makes room for notches that are filled.
    """
    return -4 / 3 * math.log(spreading_factor) * math.sqrt(summary.n_samples) * summary.spread


def statistics_enhanced(
    summary: DataSummary, lambda_: float | None, spreading_factor: float
) -> float:
    """GT = λ*‖std(X)‖ (Qu et al. 2019, eq. 5; λ in [100, 120] there).

    None: λ = 150*(-ln SF), the form of the dbgsom package.
    """
    factor = 150.0 * -math.log(spreading_factor) if lambda_ is None else lambda_
    return factor * summary.deviation


def class_entropy(class_counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Shannon entropy (K,) in bits of class counts (K, C); 0 without a sample."""
    totals = class_counts.sum(axis=1, keepdims=True)
    shares = np.divide(class_counts, totals, out=np.zeros(class_counts.shape), where=totals > 0)
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1) + 0.0)


def mixing_neurons(som_map: SomMap, class_counts: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which neurons (K,) mix classes, where the classes around them change.

    A neuron mixes classes when it won eight samples with a class or more and their entropy is at
    least half a bit (Qu et al. 2021). More neurons help where the shares of the classes differ
    between the neurons up to two hops away: Pearson's χ² of their counts, r live neurons by c
    classes, is then above its expectation f = (r - 1)(c - 1) by four standard deviations √(2f).
    Where labels are drawn by lot it hardly ever is, and the map does not grow on them.
    """
    counts = np.asarray(class_counts, dtype=np.float64)
    return _at_borders(som_map, counts, class_entropy(counts) >= LEAST_BITS)


def significant_entropy(som_map: SomMap, class_counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the class entropy (K,) of neurons in bits, 0 where more neurons would not help.

    The guard is that of `mixing_neurons`; a map of less than 16 neurons, which may be too coarse,
    grows without it.
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
