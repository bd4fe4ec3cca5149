"""Growing thresholds: how large an error makes a neuron grow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataSummary


def knobs(rule: str, by_lambda: bool) -> set[str]:
    """Return the fields of `Directed` that a threshold rule uses."""
    if rule == "entropy":
        return {"entropy_threshold"}
    if rule == "statistics_enhanced":
        return {"scale", "lambda_"} if by_lambda else {"scale", "spreading_factor"}
    return {"spreading_factor"}


def classical(summary: DataSummary, spreading_factor: float) -> float:
    """GT = -D*ln(SF) for D variables (Vasighi & Amini 2017; Alahakoon et al. 2000, eq. 4).

    Meant for data that is scaled to 0..1.
    """
    return -summary.n_features * math.log(spreading_factor)


def auto(summary: DataSummary, spreading_factor: float) -> float:
    """GT = -4/3*ln(SF)*sqrt(n)*s, s = root mean square distance of n samples to their centre.

    Ours. In the Euclidean metric s is ‖std(X)‖. A map at rest has errors near GT, and the error of
    a neuron is its hits times its mean distance, so the map grows with the square root of n and
    does not depend on the scale of the data. The 4/3 makes room for the notches that are filled
    besides: without it maps of small tables have fewer than ten samples a neuron, and their
    topographic error on new samples is above that of a fixed grid (tests/benchmarks/README.md).
    """
    return -4 / 3 * math.log(spreading_factor) * math.sqrt(summary.n_samples) * summary.spread


def statistics_enhanced(summary: DataSummary, lambda_: float) -> float:
    """GT = λ*‖std(X)‖ (Qu et al. 2019, eq. 5; λ in [100, 120] there)."""
    return lambda_ * summary.deviation


def statistics_enhanced_by_spread(summary: DataSummary, spreading_factor: float) -> float:
    """GT = 150*(-ln SF)*‖std(X)‖, the form of the dbgsom package."""
    return 150.0 * -math.log(spreading_factor) * summary.deviation


def class_entropy(class_counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Shannon entropy of each neuron's classes in bits (Qu et al. 2021).

    Parameters
    ----------
    class_counts : array (K, C)
        Samples of each class won by each neuron.

    Returns
    -------
    float64 array (K,)
        Between 0 and log2(C); 0 for a neuron that won no sample.
    """
    totals = class_counts.sum(axis=1, keepdims=True)
    shares = np.divide(class_counts, totals, out=np.zeros(class_counts.shape), where=totals > 0)
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1) + 0.0)
