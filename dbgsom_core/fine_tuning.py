"""What samples may do in the fine-tuning phase beyond training their best-matching unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.local import Assignment, DataPass
from dbgsom_core.som_map import SomMap


def linked_runners_up(data: DataPass, bmu: NDArray[np.int64], som_map: SomMap) -> NDArray[np.int64]:
    """Return, for each sample, the linked neighbour of its BMU that lies nearest to it.

    Parameters
    ----------
    data : DataPass
        Samples (n, D).
    bmu : int array (n,)
    som_map : SomMap
        Connected, with at least two neurons.

    Returns
    -------
    int64 array (n,)
        Equal distances go to the lower row.
    """
    runners_up = np.empty(len(bmu), dtype=np.int64)
    for neuron, rows in enumerate(_rows_by(bmu, len(som_map))):
        if len(rows):
            linked = np.asarray(som_map.neighbours(neuron))
            runners_up[rows] = linked[_nearest(data, rows, som_map.prototypes[linked])]
    return runners_up


def winners_of_own_class(
    data: DataPass, found: Assignment, class_codes: NDArray[np.int64], som_map: SomMap
) -> NDArray[np.int64]:
    """Return, for each sample, the nearest neuron in which its class is in the majority.

    In a tie for the majority every tied class counts, so the result does not depend on how the
    classes are numbered. A sample without a class (a negative code), or whose class is nowhere in
    the majority, keeps its BMU.

    Returns
    -------
    int64 array (n,)
    """
    labelled = class_codes >= 0
    counts = np.zeros((len(som_map), int(class_codes.max()) + 1))
    np.add.at(counts, (found.bmu[labelled], class_codes[labelled]), 1.0)
    leads = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    winners = found.bmu.copy()
    strangers = labelled & ~leads[found.bmu, class_codes]
    for code in np.unique(class_codes[strangers]):
        own = np.flatnonzero(leads[:, code])
        rows = np.flatnonzero(strangers & (class_codes == code))
        if len(own):
            winners[rows] = own[_nearest(data, rows, som_map.prototypes[own])]
    return winners


def _nearest(data: DataPass, rows: NDArray[Any], prototypes: NDArray[Any]) -> NDArray[np.int64]:
    return replace(data, X=data.X[rows]).assign(prototypes).bmu


def _rows_by(bmu: NDArray[np.int64], n_neurons: int) -> list[NDArray[np.int64]]:
    order = np.argsort(bmu, kind="stable")
    bounds = np.searchsorted(bmu[order], np.arange(1, n_neurons))
    return np.split(order, bounds)
