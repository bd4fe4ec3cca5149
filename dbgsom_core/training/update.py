"""The batch update: new prototypes from what neurons won, smoothed over the map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Neighbourhood, SearchResult, leading
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.checkpoint import TrainingState
from dbgsom_core.training.config import TrainingConfig
from dbgsom_core.training.schedule import Schedule


def updated(
    config: TrainingConfig,
    schedule: Schedule,
    state: TrainingState,
    found: SearchResult,
    width: float,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) after the update of the next epoch.

    In fine-tuning by classes a sample with a class trains the nearest neuron in which its class is
    in the majority. Which classes these are stays from where width and pull have reached their
    ends: neurons that went on changing sides would never come to rest. A line of one column takes
    no pull: it is in order, and would only come to stand in pairs.
    """
    som_map, epoch = state.som_map, len(state.history) + 1
    if schedule.phase(epoch) == "growing":
        return batch_update(som_map, config, found, width)
    counts = found.class_counts if config.growing.class_tuning else None
    if counts is not None and not (schedule.is_final(epoch) and state.majority is not None):
        state.majority = leading(counts)
    if state.majority is not None:
        found = found.trained_by_class(state.majority)
    in_order = som_map.grid.is_line and som_map.prototypes.shape[1] == 1
    pull = 0.0 if in_order else schedule.pull(epoch)
    return batch_update(som_map, config, found, width, pull, state.majority)


def batch_update(
    som_map: SomMap,
    config: TrainingConfig,
    found: SearchResult,
    width: float,
    pull: float = 0.0,
    leads: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron that nothing reaches keeps its prototype. With a ``pull``
    each sample also weighs that much, besides its h, in the linked neighbour of its BMU that lies
    nearest to it, first among those in which its class ``leads`` (K, C). A metric with ``form``
    makes its prototypes itself.
    """
    counted = found if config.robust is None else found.reweighed(config.robust)
    weights, table = kernel_weights(som_map, config, width)
    around = Neighbourhood(som_map.graph, weights, pull if len(som_map) > 1 else 0.0, leads, table)
    metric = config.data.metric
    beside = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
    if metric.form is not None and beside <= metric.forms_below:
        return counted.formed(around)
    return counted.updated(around, config.centre)


def kernel_weights(
    som_map: SomMap, config: TrainingConfig, width: float
) -> tuple[NDArray[np.float64], NDArray[np.uint16] | None]:
    """Return the kernel's weights (H,), and which of them holds for which neurons (K, K).

    None in place of the latter: that of the hops between them.
    """
    reads = config.weighing.reads
    if reads == "hops":
        table, values = None, np.arange(som_map.diameter + 1, dtype=np.float64)
    else:
        table, values = som_map.table(reads)
    return np.asarray(config.weight(values, width), np.float64), table


def smoothed_before_growth(
    som_map: SomMap, config: TrainingConfig, hits: NDArray[Any], width: float
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) averaged over links with the kernel of an epoch."""
    if config.weighing.reads == "hops":
        weights, table = np.asarray(config.weight(np.arange(2.0), width), np.float64), None
    else:
        weights, table = kernel_weights(som_map, config, width)
    return smoothed_over_links(som_map, hits, weights, config.centre, table)


def smoothed_over_links(
    som_map: SomMap,
    hits: NDArray[Any],
    weights: NDArray[np.float64],
    centre: Any = None,
    table: NDArray[np.uint16] | None = None,
) -> NDArray[np.float64]:
    """Return each prototype averaged with those of its linked neighbours, (K, D).

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the ``hits`` of j and h_ij the kernel's ``weights`` at no or one hop, or as the
    ``table`` says. It is the sum of the batch map with prototypes in place of the means of the
    samples, cut after one hop (after Kohonen 2001, eq. 3.80). A neuron that neither has hits nor a
    neighbour with hits keeps its prototype. ``centre`` turns means into prototypes.
    """
    hops = som_map.hops
    near = weights[0] * (hops == 0) + weights[1] * (hops == 1)
    if table is not None:
        near = np.maximum(weights[table] * (hops <= 1), 0.0)
    influence = near * np.asarray(hits, np.float64)
    reached = influence.sum(axis=1)
    means = influence @ som_map.prototypes
    prototypes = som_map.prototypes.copy()
    alive = reached > 0
    means = means[alive] / reached[alive, None]
    prototypes[alive] = means if centre is None else centre(means)
    return prototypes
