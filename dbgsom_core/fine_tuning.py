"""What samples may do in the fine-tuning phase beyond training their best-matching unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.found import Assignment, Found
from dbgsom_core.engine.local import DataPass
from dbgsom_core.som_map import SomMap

if TYPE_CHECKING:
    from dbgsom_core.engine.fast.assignment import FastAssignment


@dataclass(frozen=True)
class ClassLeads:
    """Which classes are in the majority in each neuron.

    In a tie every tied class leads, so nothing depends on how the classes are numbered.

    Attributes
    ----------
    codes : int array (n,)
        Classes 0..C-1 of the samples; negative for a sample without a class.
    leads : bool array (K, C)
        All False for a neuron that won no labelled sample.
    """

    codes: NDArray[np.int64]
    leads: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        bmu: NDArray[np.int64],
        codes: NDArray[np.int64],
        n_neurons: int,
        n_classes: int | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> Self:
        """Count the classes of the samples that each neuron won."""
        n_classes = int(codes.max()) + 1 if n_classes is None else n_classes
        counts = count_classes(bmu, codes, n_neurons, n_classes, weights)
        return cls(codes, (counts == counts.max(axis=1, keepdims=True)) & (counts > 0))

    def strangers(self, neurons: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of which samples (n,) the class does not lead in their neuron of ``neurons`` (n,)."""
        return np.asarray((self.codes >= 0) & ~self.leads[neurons, self.codes])


def count_classes(
    bmu: NDArray[np.int64],
    codes: NDArray[np.int64],
    n_neurons: int,
    n_classes: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Return how many samples of each class every neuron won, (K, C), or their weights' sums.

    A sample with a negative code has no class and is not counted.
    """
    if codes.min(initial=0) < 0:
        labelled = codes >= 0
        bmu, codes = bmu[labelled], codes[labelled]
        weights = None if weights is None else weights[labelled]
    flat = np.bincount(bmu * n_classes + codes, weights, n_neurons * n_classes)
    return flat.reshape(n_neurons, n_classes)


def trained_by_class(data: DataPass, found: Found, som_map: SomMap, classes: ClassLeads) -> Found:
    """Return ``found`` with `winners_of_own_class` as the units, until the next pass."""
    if is_fast(data, found):
        from dbgsom_core.engine.fast import tuning

        return tuning.own_class(cast("FastAssignment", found), tuning.classes_of(classes))
    winners = winners_of_own_class(data, found.bmu, som_map, classes)
    return Assignment(winners, found.distance)


def linked_totals(
    data: DataPass, found: Found, som_map: SomMap, classes: ClassLeads | None = None
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
    from dbgsom_core.engine.fast.update import updated

    return updated(cast("FastAssignment", found), som_map, weights, pull, classes)


def winners_of_own_class(
    data: DataPass, bmu: NDArray[np.int64], som_map: SomMap, classes: ClassLeads
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads.

    A sample without a class, or whose class leads nowhere, keeps its BMU; equal distances go to
    the lower row.
    """
    if data.is_euclidean:
        from dbgsom_core.engine.fast import tuning

        return tuning.own_rows(data, bmu, som_map.prototypes, tuning.classes_of(classes))
    winners = bmu.copy()
    strangers = np.flatnonzero(classes.strangers(bmu))
    for code in np.unique(classes.codes[strangers]):
        own = np.flatnonzero(classes.leads[:, code])
        rows = strangers[classes.codes[strangers] == code]
        if len(own):
            winners[rows] = _nearest(data, rows, som_map, own)
    return winners


def linked_runners_up(
    data: DataPass,
    bmu: NDArray[np.int64],
    som_map: SomMap,
    classes: ClassLeads | None = None,
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the linked neighbour of its BMU that lies nearest to it.

    Among the neighbours those in which its class leads come first, where ``classes`` are given.
    The map is connected and has at least two neurons; equal distances go to the lower row.
    """
    if data.is_euclidean:
        from dbgsom_core.engine.fast import tuning

        return tuning.linked_rows(
            data, bmu, som_map.prototypes, som_map.sides, tuning.classes_of(classes)
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


def is_fast(data: DataPass, found: Found) -> bool:
    """Say whether a fast search found this, whose packed sums are of samples that count once."""
    return hasattr(found, "packed_sums") and data.weights is None


def _nearest(
    data: DataPass, rows: NDArray[np.int64], som_map: SomMap, neurons: NDArray[np.int64]
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
