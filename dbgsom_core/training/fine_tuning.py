"""What samples may do in the fine-tuning phase beyond training their best-matching unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.majorities import ClassLeads
from dbgsom_core.engine.results import Assignment, Found
from dbgsom_core.som_map.grid import SomMap

if TYPE_CHECKING:
    from dbgsom_core.engine.euclidean.assignment import FastAssignment


def trained_by_class(
    data: LocalSamples, found: Found, som_map: SomMap, classes: ClassLeads
) -> Found:
    """Return ``found`` with `winners_of_own_class` as the units, until the next pass."""
    if is_fast(data, found):
        from dbgsom_core.engine.euclidean import fine_tuning

        return fine_tuning.own_class(cast("FastAssignment", found), fine_tuning.classes_of(classes))
    winners = winners_of_own_class(data, found.bmu, som_map, classes)
    return Assignment(winners, found.distance)


def linked_totals(
    data: LocalSamples, found: Found, som_map: SomMap, classes: ClassLeads | None = None
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64] | None]:
    """Return what `linked_runners_up` won: hits (K,), sums and seen (K, D) as in `Totals`."""
    runners_up = linked_runners_up(data, found.bmu, som_map, classes)
    n_neurons = len(som_map)
    hits = np.bincount(runners_up, data.weights, n_neurons)
    return hits, *data.sums_seen(runners_up, n_neurons)


def updated_fast(
    found: Found,
    som_map: SomMap,
    weights: NDArray[np.float64],
    pull: float,
    classes: ClassLeads | None,
) -> NDArray[np.float64]:
    """Return the prototypes (K, D) of `train.batch_update` for what `is_fast`.

    ``weights`` (H,) is the kernel at each number of hops.
    """
    from dbgsom_core.engine.euclidean.update import updated

    return updated(
        cast("FastAssignment", found), som_map.prototypes, som_map.graph, weights, pull, classes
    )


def winners_of_own_class(
    data: LocalSamples, bmu: NDArray[np.int64], som_map: SomMap, classes: ClassLeads
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads.

    A sample without a class, or whose class leads nowhere, keeps its BMU; equal distances go to
    the lower row.
    """
    if data.is_euclidean:
        from dbgsom_core.engine.euclidean import fine_tuning

        return fine_tuning.own_rows(data, bmu, som_map.prototypes, fine_tuning.classes_of(classes))
    winners = bmu.copy()
    strangers = np.flatnonzero(classes.strangers(bmu))
    for code in np.unique(classes.codes[strangers]):
        own = np.flatnonzero(classes.leads[:, code])
        rows = strangers[classes.codes[strangers] == code]
        if len(own):
            winners[rows] = _nearest(data, rows, som_map, own)
    return winners


def linked_runners_up(
    data: LocalSamples,
    bmu: NDArray[np.int64],
    som_map: SomMap,
    classes: ClassLeads | None = None,
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the linked neighbour of its BMU that lies nearest to it.

    Among the neighbours those in which its class leads come first, where ``classes`` are given.
    The map is connected and has at least two neurons; equal distances go to the lower row.
    """
    if data.is_euclidean:
        from dbgsom_core.engine.euclidean import fine_tuning

        return fine_tuning.linked_rows(
            data, bmu, som_map.prototypes, som_map.links, fine_tuning.classes_of(classes)
        )
    linked = [np.asarray(som_map.neighbours(neuron)) for neuron in range(len(som_map))]
    runners_up = np.empty(len(bmu), dtype=np.int64)
    for rows in _groups(bmu):
        runners_up[rows] = _nearest(data, rows, som_map, linked[bmu[rows[0]]])
    if classes is None:
        return runners_up
    strangers = np.flatnonzero(classes.strangers(runners_up))
    for group in _groups(bmu[strangers] * classes.leads.shape[1] + classes.codes[strangers]):
        rows = strangers[group]
        neighbours = linked[bmu[rows[0]]]
        own = neighbours[classes.leads[neighbours, classes.codes[rows[0]]]]
        if len(own):
            runners_up[rows] = _nearest(data, rows, som_map, own)
    return runners_up


def is_fast(data: LocalSamples, found: Found) -> bool:
    """Say whether a fast search found this, whose packed sums are of samples that count once."""
    return hasattr(found, "packed_sums") and data.weights is None


def _nearest(
    data: LocalSamples, rows: NDArray[np.int64], som_map: SomMap, neurons: NDArray[np.int64]
) -> NDArray[np.int64]:
    if len(neurons) == 1:
        return np.full(len(rows), neurons[0])
    found = data.subset(rows).assign(som_map.prototypes[neurons])
    return np.asarray(neurons[found.bmu])


def _groups(keys: NDArray[Any]) -> list[NDArray[np.int64]]:
    # The rows of each distinct key, ascending.
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]
