"""What samples may do in the fine-tuning phase beyond training their best-matching unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.found import Assignment, Found
from dbgsom_core.engine.local import DataPass
from dbgsom_core.som_map import SomMap

if TYPE_CHECKING:
    from dbgsom_core.engine.fast_found import FastAssignment
    from dbgsom_core.engine.linked import Classes


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
    def of(cls, bmu: NDArray[np.int64], codes: NDArray[np.int64], n_neurons: int) -> Self:
        """Count the classes of the samples that each neuron won."""
        n_classes = int(codes.max()) + 1
        if codes.min() < 0:
            labelled = codes >= 0
            bmu, counted = bmu[labelled], codes[labelled]
        else:
            counted = codes
        flat = np.bincount(bmu * n_classes + counted, minlength=n_neurons * n_classes)
        counts = flat.reshape(n_neurons, n_classes)
        return cls(codes, (counts == counts.max(axis=1, keepdims=True)) & (counts > 0))

    def strangers(self, neurons: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of which samples (n,) the class does not lead in their neuron of ``neurons`` (n,)."""
        return np.asarray((self.codes >= 0) & ~self.leads[neurons, self.codes])


def trained_by_class(data: DataPass, found: Found, som_map: SomMap, classes: ClassLeads) -> Found:
    """Return ``found`` with `winners_of_own_class` as the units, until the next pass."""
    if _is_fast(data, found):
        from dbgsom_core.engine import tuning

        return tuning.own_class(cast("FastAssignment", found), _for_loops(classes))
    winners = winners_of_own_class(data, found.bmu, som_map, classes)
    return Assignment(winners, found.distance)


def linked_totals(
    data: DataPass, found: Found, som_map: SomMap, classes: ClassLeads | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what `linked_runners_up` won: hits (K,) and sums of samples (K, D)."""
    if _is_fast(data, found):
        from dbgsom_core.engine import tuning

        return tuning.linked_totals(
            cast("FastAssignment", found), som_map.sides, _for_loops(classes)
        )
    runners_up = linked_runners_up(data, found.bmu, som_map, classes)
    n_neurons = len(som_map)
    return np.bincount(runners_up, minlength=n_neurons), data.sums(runners_up, n_neurons)


def winners_of_own_class(
    data: DataPass, bmu: NDArray[np.int64], som_map: SomMap, classes: ClassLeads
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads.

    A sample without a class, or whose class leads nowhere, keeps its BMU; equal distances go to
    the lower row.
    """
    if _is_euclidean(data):
        from dbgsom_core.engine import tuning

        return tuning.own_rows(data, bmu, som_map.prototypes, _for_loops(classes))
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
    if _is_euclidean(data):
        from dbgsom_core.engine import tuning

        return tuning.linked_rows(data, bmu, som_map.prototypes, som_map.sides, _for_loops(classes))
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


def _is_fast(data: DataPass, found: Found) -> bool:
    # Packed sums are those of samples that count once each.
    return hasattr(found, "packed_sums") and getattr(data, "weights", None) is None


def _is_euclidean(data: DataPass) -> bool:
    # Compiled loops of the engine serve dense, complete samples in this geometry.
    euclidean = getattr(data.metric, "geometry", None) == "euclidean"
    return bool(getattr(data, "is_euclidean", euclidean))


def _for_loops(classes: ClassLeads | None) -> Classes:
    from dbgsom_core.engine import tuning

    if classes is None:
        return tuning.classes_of()
    return tuning.classes_of(classes.codes, classes.leads)


def _nearest(
    data: DataPass, rows: NDArray[np.int64], som_map: SomMap, neurons: NDArray[np.int64]
) -> NDArray[np.int64]:
    if len(neurons) == 1:
        return np.full(len(rows), neurons[0])
    found = replace(data, X=data.X[rows]).assign(som_map.prototypes[neurons])
    return np.asarray(neurons[found.bmu])


def _groups(keys: NDArray[Any]) -> list[NDArray[np.int64]]:
    # The rows of each distinct key, ascending.
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]
