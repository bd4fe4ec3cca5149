"""The batch update: new prototypes from what neurons won, smoothed over the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.majorities import ClassLeads
from dbgsom_core.engine.results import Found
from dbgsom_core.som_map.grid import SomMap
from dbgsom_core.training.fine_tuning import is_fast, linked_runners_up, linked_totals, updated_fast
from dbgsom_core.training.task import Task, weighed


def batch_update(
    som_map: SomMap,
    task: Task,
    found: Found,
    width: float,
    pull: float = 0.0,
    classes: ClassLeads | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) as kernel-weighted means of all samples.

    W_j = Σ_i h(hops(bmu_i, j)) x_i / Σ_i h(hops(bmu_i, j)) (Kohonen 2001, eq. 3.34), summed over
    neurons instead of samples. A neuron that nothing reaches keeps its prototype. With a ``pull``
    each sample also weighs that much, besides its h, in the linked neighbour of its BMU that lies
    nearest to it (`linked_totals`). A metric with ``form`` makes its prototypes itself.
    """
    data, n_neurons = weighed(task, found), len(som_map)
    weights = np.asarray(
        task.kernel.weight(np.arange(som_map.diameter + 1, dtype=np.float64), width), np.float64
    )
    pull = pull if n_neurons > 1 else 0.0
    if _forms(task, weights):
        runners_up = linked_runners_up(data, found.bmu, som_map, classes) if pull > 0 else None
        influence = weights[som_map.hops]
        return formed(data, som_map.prototypes, influence, found.bmu, pull, runners_up)
    if is_fast(data, found) and task.centre is None:
        return updated_fast(found, som_map, weights, pull, classes)
    from dbgsom_core.engine.smoothing import reach_of, smoothed

    won = data.totals(found, n_neurons)
    reach = reach_of(weights, float(won.hits.sum()))

    def over_map(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return smoothed(som_map.hops, weights, reach, won.hits, sums, data.threads)

    sums, reached = over_map(won.sums)
    seen = None if won.seen is None else over_map(won.seen)[0]
    if pull > 0:
        pulled_hits, pulled_sums, pulled_seen = linked_totals(data, found, som_map, classes)
        reached = reached + pull * pulled_hits
        sums = sums + pull * pulled_sums
        seen = None if seen is None or pulled_seen is None else seen + pull * pulled_seen
    return _means(som_map.prototypes, sums, reached, seen, task.centre)


def _forms(task: Task, weights: NDArray[np.float64]) -> bool:
    # Whether the metric makes the prototypes at a kernel with these weights by hops.
    if task.forms_below is None:
        return False
    neighbours = float(weights[1] / weights[0]) if len(weights) > 1 else 0.0
    return neighbours <= task.forms_below


def _means(
    before: NDArray[np.float64],
    sums: NDArray[np.float64],
    reached: NDArray[np.float64],
    seen: NDArray[np.float64] | None,
    centre: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None,
) -> NDArray[np.float64]:
    # A feature that nothing observed reaches keeps its value, as a neuron without samples does.
    if seen is None:
        from dbgsom_core.engine.smoothing import means

        after = means(before, sums, reached)
    else:
        observed = (seen > 0) & (reached[:, None] > 0)
        after = np.divide(sums, seen, out=before.copy(), where=observed)
    if centre is not None:
        alive = reached > 0
        after[alive] = centre(after[alive])
    return after


def formed(
    data: LocalSamples,
    so_far: NDArray[np.float64],
    influence: NDArray[np.float64],
    bmu: NDArray[np.int64],
    pull: float = 0.0,
    runners_up: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) that the metric's ``form`` makes of the samples.

    Parameters
    ----------
    data : LocalSamples
    so_far : float64 array (K, D)
        Kept where nothing reaches a neuron.
    influence : float64 array (K, K)
        The kernel's weight of one neuron's samples in another.
    bmu : int array (n,)
    pull : float
        What a sample weighs besides in its runner-up.
    runners_up : int array (n,), optional
        Samples that share best-matching unit and runner-up form a group: there are few, so the
        samples need not be held twice.
    """
    units = bmu
    if runners_up is not None:
        pairs, units = np.unique(bmu * len(so_far) + runners_up, return_inverse=True)
        winners, seconds = np.divmod(pairs, len(so_far))
        influence = influence[winners]
        influence[np.arange(len(pairs)), seconds] += pull
    metric = data.metric
    assert metric.form is not None
    prototypes = np.asarray(metric.form(data.X, units, influence, data.weights, so_far), np.float64)
    if prototypes.shape != so_far.shape:
        raise ValueError(
            f"form of metric {metric.name} returned shape {prototypes.shape}, not {so_far.shape}"
        )
    return prototypes


def smoothed_over_links(
    som_map: SomMap, hits: NDArray[Any], weights: NDArray[np.float64], centre: Any = None
) -> NDArray[np.float64]:
    """Return each prototype averaged with those of its linked neighbours.

    m_i = Σ_j n_j h_ij m_j / Σ_j n_j h_ij over the neuron i itself and its linked neighbours j,
    with n_j the hits of j and h_ij the kernel at no or one hop. It is the sum of the batch map
    with prototypes in place of the means of the samples, cut after one hop. The option was asked
    for as Kohonen (2001), eq. 3.80; that page was not at hand, so what counts is the formula here.
    A neuron that neither has hits nor a neighbour with hits keeps its prototype.

    Parameters
    ----------
    som_map : SomMap
        The map with K neurons; it is not changed.
    hits : array (K,)
    weights : float64 array (2,)
        The kernel at no and at one hop.
    centre : callable, optional
        The metric's, which turns means into prototypes.

    Returns
    -------
    float64 array (K, D)
    """
    hops = som_map.hops
    influence = (weights[0] * (hops == 0) + weights[1] * (hops == 1)) * np.asarray(hits, np.float64)
    reached = influence.sum(axis=1)
    means = influence @ som_map.prototypes
    prototypes = som_map.prototypes.copy()
    alive = reached > 0
    means = means[alive] / reached[alive, None]
    prototypes[alive] = means if centre is None else centre(means)
    return prototypes
