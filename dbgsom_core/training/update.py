"""The batch update of the prototypes (Kohonen 2001), and what fine-tuning adds to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import (
    Centre,
    Flags,
    Floats,
    Neighbourhood,
    SearchResult,
    majority_classes,
)
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
    som_map, epoch = state.som_map, state.next_epoch
    kernel, metric = config.kernel, config.data.metric
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
    weights, table = kernel_weights(som_map, kernel, width)
    if len(som_map) == 1:
        pull = 0.0  # there is no neighbour
    neighbourhood = Neighbourhood(som_map.graph, weights, pull, majority, table)
    if metric.form is not None:
        neighbour_weight = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
        if neighbour_weight <= metric.forms_below:
            return result.fit_prototypes(neighbourhood)
    return result.update_prototypes(neighbourhood, metric.centre)


def kernel_weights(
    som_map: SomMap, kernel: Any, width: float, max_hops: int | None = None
) -> tuple[Floats, NDArray[np.uint16] | None]:
    """Return the kernel's weights (H,), and the index of each pair of neurons' weight (K, K).

    The index is None for a kernel of hops: the weights are then by the number of hops, from 0 to
    ``max_hops`` or the map's diameter.
    """
    if kernel.reads == "hops":
        most = som_map.diameter if max_hops is None else max_hops
        table, distances = None, np.arange(most + 1, dtype=np.float64)
    else:
        table, distances = som_map.table(kernel.reads)
    return np.asarray(kernel.weight(distances, width), np.float64), table


def smooth_over_links(
    som_map: SomMap,
    hits: NDArray[Any],
    weights: Floats,
    centre: Centre | None = None,
    table: NDArray[np.uint16] | None = None,
) -> Floats:
    """Return each prototype averaged with those of its linked neighbours, (K, D).

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the ``hits`` of j and h_ij the kernel's ``weights`` at 0 or 1 hops, or indexed by
    ``table``. It is the batch update with prototypes instead of the means of samples, cut off after
    one hop (after Kohonen 2001, eq. 3.80). A neuron without hits, also in its neighbours, keeps its
    prototype. ``centre`` makes prototypes of means.
    """
    hops = som_map.hops
    if table is None:
        near = weights[0] * (hops == 0) + weights[1] * (hops == 1)
    else:
        near = np.maximum(weights[table] * (hops <= 1), 0.0)
    influence = near * np.asarray(hits, np.float64)
    reached = influence.sum(axis=1)
    alive = reached > 0
    means = (influence @ som_map.prototypes)[alive] / reached[alive, None]
    prototypes = som_map.prototypes.copy()
    prototypes[alive] = means if centre is None else centre(means)
    return prototypes
