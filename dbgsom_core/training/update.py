"""Width, pull and classes of an epoch's batch update, whose formula is in `engine.smoothing`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Flags, Floats, SearchResult, majority_classes
from dbgsom_core.engine.smoothing import Centre, Neighbourhood
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.schedule import Schedule
from dbgsom_core.training.state import TrainingConfig, TrainingState


def update_prototypes(
    config: TrainingConfig,
    schedule: Schedule,
    state: TrainingState,
    result: SearchResult,
    width: float,
) -> Floats:
    """Return the prototypes (K, D) after the update of the next epoch.

    ``result`` is that of the search among the prototypes so far. In fine-tuning by classes a sample
    with a class trains the nearest neuron with its class in the majority. Majorities are fixed once
    width and pull are final, so that training converges.
    """
    som_map = state.som_map
    epoch = state.next_epoch
    kernel = config.kernel
    metric = config.data.metric
    if schedule.phase(epoch) == "growing":
        return batch_update(som_map, kernel, metric, result, width)
    if config.growth.class_tuning and result.class_counts is not None:
        is_fixed = state.majority is not None and schedule.is_final(epoch)
        if not is_fixed:
            state.majority = majority_classes(result.class_counts)
    if state.majority is not None:
        result = result.reassign_to_own_class(state.majority)
    pull = schedule.pull(epoch)
    if som_map.grid.is_line and som_map.prototypes.shape[1] == 1:
        pull = 0.0  # such a line is in order: a pull would only pair neurons
    return batch_update(som_map, kernel, metric, result, width, pull, state.majority)


def batch_update(
    som_map: SomMap,
    kernel: Any,
    metric: MetricComponent,
    result: SearchResult,
    width: float,
    pull: float = 0.0,
    majority: Flags | None = None,
) -> Floats:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron without weight keeps its prototype. With a ``pull`` each
    sample also has this weight in the nearest linked neighbour of its BMU, neighbours with its
    class in the ``majority`` (K, C) first. A metric with ``form`` makes its prototypes itself.
    """
    weights, index = kernel_weights(som_map, kernel, width)
    if len(som_map) == 1:
        pull = 0.0  # there is no neighbour
    neighbourhood = Neighbourhood(weights, index, som_map.links_or_self, pull, majority)
    if metric.form is not None:
        neighbour_weight = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
        if neighbour_weight <= metric.forms_below:
            return result.fit_prototypes(neighbourhood)
    return result.update_prototypes(neighbourhood, metric.centre)


def kernel_weights(som_map: SomMap, kernel: Any, width: float) -> tuple[Floats, NDArray[np.uint16]]:
    """Return the kernel's weights (H,), and the index of each pair of neurons' weight (K, K)."""
    if kernel.reads == "hops":
        index = som_map.hops
        distances = np.arange(som_map.diameter + 1, dtype=np.float64)
    else:
        index, distances = som_map.table(kernel.reads)
    return np.asarray(kernel.weight(distances, width), np.float64), index


def smooth_over_links(
    som_map: SomMap,
    hits: NDArray[Any],
    weights: Floats,
    index: NDArray[np.uint16],
    centre: Centre | None = None,
) -> Floats:
    """Return each prototype averaged with those of its linked neighbours, (K, D).

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the ``hits`` of j and h_ij = weights[index[i, j]] the kernel's weights, 0 for negative
    ones. It is the batch update with prototypes instead of the means of samples, cut off after
    one hop (after Kohonen 2001, eq. 3.80). A neuron without hits, also in its neighbours, keeps its
    prototype. ``centre`` makes prototypes of means.
    """
    near = np.maximum(weights[index] * (som_map.hops <= 1), 0.0)
    influence = near * np.asarray(hits, np.float64)
    reached = influence.sum(axis=1)
    alive = reached > 0
    means = (influence @ som_map.prototypes)[alive] / reached[alive, None]
    prototypes = som_map.prototypes.copy()
    prototypes[alive] = means if centre is None else centre(means)
    return prototypes
