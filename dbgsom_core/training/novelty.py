"""How unusual a sample is: its distance beside those that its neuron saw in training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.som_map.som_map import SomMap

MAP_SAMPLES = 10.0  # how many of the map's distances each neuron is given beside its own
_ROUNDING = 1e-12  # a spread below this share of the mean distance is rounding, not spread


@dataclass(frozen=True)
class Novelty:
    """What each neuron knows of the distances of its training samples.

    A neuron's mean and standard deviation are those of the distances of the samples that it won
    together with ten more that are spread like the distances of all samples: mean m and
    deviation s of the whole map. With n own distances d they are

        mean = (Σ d + 10 m) / (n + 10),
        deviation² = (Σ (d - mean)² + 10 (s² + (m - mean)²)) / (n + 10),

    so a neuron with many samples goes by its own, one with few by the map's, and one without any
    is the map. If all distances of the training are equal, so that s is 0, m stands for every
    deviation; if they are all 0, the mean length of the map's links does.

    Attributes
    ----------
    means, deviations : float64 arrays (K,)
        In the units of the metric; no deviation is 0.
    offset : float
        The score below which a sample is an outlier.
    """

    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    offset: float

    @classmethod
    def of(
        cls,
        som_map: SomMap,
        metric: MetricCalls,
        bmu: NDArray[np.int64],
        distance: NDArray[np.float64],
        contamination: float,
        weights: NDArray[np.float64] | None = None,
    ) -> Novelty:
        """Learn from the training samples.

        Parameters
        ----------
        som_map : SomMap
            The trained map, K neurons.
        metric : MetricCalls
        bmu, distance : arrays (n,)
            The best-matching unit of each training sample, and the distance to it.
        contamination : float
            The share of the training samples that ``offset`` leaves below itself, at most.
        weights : float64 array (n,), optional
            Sample weights: a weight of 2 is the sample twice.
        """
        n_neurons = len(som_map)
        mean = float(np.average(distance, weights=weights))
        variance = float(np.average(np.square(distance - mean), weights=weights))
        if variance <= (_ROUNDING * mean) ** 2:
            variance = (mean or _link_length(som_map, metric)) ** 2
        hits = _sums(bmu, None, weights, n_neurons) + MAP_SAMPLES
        means = (_sums(bmu, distance, weights, n_neurons) + MAP_SAMPLES * mean) / hits
        nearer = means[bmu]  # than usual; in place, for there may be many samples
        nearer -= distance
        squares = _sums(bmu, np.square(nearer), weights, n_neurons)
        of_map = MAP_SAMPLES * (variance + np.square(mean - means))
        deviations = np.sqrt((squares + of_map) / hits)
        nearer /= deviations[bmu]
        return cls(means, deviations, _quantile(nearer, weights, contamination))

    def scores(
        self, units: NDArray[np.int64], distance: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return (mean - distance) / deviation of the neurons ``units`` (m,), shape (m,)."""
        return np.asarray((self.means[units] - distance) / self.deviations[units])


def _link_length(som_map: SomMap, metric: MetricCalls) -> float:
    prototypes = som_map.prototypes
    distances = LocalSamples(prototypes, metric).pairwise(prototypes, prototypes)
    lengths = distances[som_map.hops == 1]
    return float(lengths.mean()) if lengths.any() else 1.0


def _sums(
    bmu: NDArray[np.int64],
    values: NDArray[np.float64] | None,
    weights: NDArray[np.float64] | None,
    n_neurons: int,
) -> NDArray[np.float64]:
    if values is not None and weights is not None:
        values = values * weights
    added = np.bincount(bmu, weights if values is None else values, n_neurons)
    return np.asarray(added, dtype=np.float64)


def _quantile(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None, share: float
) -> float:
    # The smallest value up to which at least this share of the weight lies; values may change
    # their order.
    if weights is None:
        rank = math.ceil(share * len(values)) - 1
        values.partition(rank)
        return float(values[rank])
    order = np.argsort(values, kind="stable")
    filled = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(filled, share * filled[-1])])
