"""Which samples are how near on the map: all in one ring around a neuron are equally far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from dbgsom_core.api import grid_distances
from dbgsom_plugins.measures._nearest_loops import ring_worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class Rings:
    """The samples of an evaluation in the order of their neurons, and how near those are.

    Attributes
    ----------
    k : int
    units, hits : int arrays (n,), (K,)
    by_unit, ends : int64 arrays (n,), (K,)
        The samples of the first neuron, ascending, then those of the second; where those of each
        end.
    """

    def __init__(self, evaluation: Evaluation, k: int, grid_distance: Literal["euclidean", "hops"]):
        self.k, self.units, self.hits = k, evaluation.bmu, evaluation.hits
        self._som_map, self._distance = evaluation.som_map, grid_distance
        # Short numbers sort in time linear in n.
        short = self.units.astype(np.min_scalar_type(len(self.hits)))
        self.by_unit, self.ends = np.argsort(short, kind="stable"), np.cumsum(self.hits)

    def worth(self, neurons: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what a sample of these neurons (u,) makes of others, by their neuron: (u, K, 2).

        The mean of max(0, rank - k), and the probability that it is among the k nearest.
        """
        apart = grid_distances(self._som_map, neurons, self._distance)
        squares = np.rint(np.square(apart)).astype(np.int64)
        short = squares.astype(np.min_scalar_type(int(squares.max())))
        found = np.empty((*squares.shape, 2))
        order = np.argsort(short, axis=1, kind="stable")
        ring_worth(order, squares, self.hits, neurons, self.k, found)
        return found

    def samples(self, neurons: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples of some neurons, those of each ascending."""
        ends, hits = self.ends, self.hits
        parts = [self.by_unit[ends[one] - hits[one] : ends[one]] for one in neurons.tolist()]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)
