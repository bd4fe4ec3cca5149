"""Figures of merit of a fitted map, on its own and of samples laid beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.local import LocalSamples, Samples
from dbgsom_core.estimators.lazy import by_rows
from dbgsom_core.estimators.validation import weights_of
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.topology import (
    TopographicFunction,
    topographic_function,
    topographic_product,
)
from dbgsom_core.som_map.tree import Tree, descend
from dbgsom_core.training.fitted_metric import FittedMetric


class FiguresOfMerit:
    """Errors of samples, and how well the map unfolds: what needs no measure of the plugins."""

    som_map_: SomMap
    hit_counts_: NDArray[Any]
    _metric: FittedMetric
    _tree: Tree

    if TYPE_CHECKING:  # the map's

        def _samples(self, X: Any) -> Samples: ...

        def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
            """See `FittedMap`."""

    def calculate_quantization_error(self, X: Any, sample_weight: Any = None) -> float:
        """Return the mean distance of samples X (n, D) to their best-matching units.

        Where neurons have child maps it is the distance to the leaf at the end of `bmu_path`.
        ``sample_weight`` (n,) weighs the samples in the mean.

        Raises
        ------
        ValueError
            X cannot be used, or the weights are not n numbers of at least 0, one of them above.
        """
        apart = np.asarray(self._apart(X))  # lazy collections are computed once, in partitions
        return float(np.average(apart, weights=weights_of(apart, sample_weight)))

    @by_rows
    def _apart(self, X: Any) -> NDArray[np.float64]:
        return descend(self._tree, self._samples(X)).distance

    def topographic_function(self, X: Any, neighbours: Literal[4, 8] = 8) -> TopographicFunction:
        """Return the topographic function (Villmann et al. 1997) of the map on samples X (n, D).

        Parameters
        ----------
        X : array-like (n, D)
        neighbours : {8, 4}
            8: the paper's maximum norm on the grid; 4: hops along the map's links.

        Returns
        -------
        (k, phi)
            Whole numbers -m … m and Φ at each; see `som_map.topology.topographic_function`.

        Raises
        ------
        ValueError
            ``neighbours`` is neither 4 nor 8.
        """
        if neighbours not in (4, 8):
            raise ValueError(f"neighbours must be 4 or 8, not {neighbours!r}")
        nearest = np.atleast_2d(np.asarray(self.bmu(X, min(2, len(self.som_map_)))).T)
        return topographic_function(self.som_map_, nearest[0], nearest[-1], neighbours)

    @property
    def average_distances_(self) -> NDArray[np.float64]:
        """Mean distance of each prototype to its linked neighbours (U-matrix height), (K,)."""
        prototypes = self._prototypes()
        apart = prototypes.pairwise(prototypes.X, prototypes.X)
        return self.som_map_.mean_over_links(apart)

    @property
    def densities_(self) -> NDArray[np.float64]:
        """Hits of each neuron per unit of mean distance to its neighbours, (K,)."""
        return np.asarray(self.hit_counts_ / np.maximum(self.average_distances_, 1e-300))

    @property
    def topographic_product_(self) -> float:
        """The topographic product (Bauer & Pawelzik 1992), computed when asked for."""
        prototypes = self._prototypes()
        return topographic_product(self.som_map_, prototypes.pairwise)

    def _prototypes(self) -> LocalSamples:
        check_is_fitted(self)
        # They are prepared already, so they are compared as they are.
        return LocalSamples(self.som_map_.prototypes, self._metric.abilities)
