"""What users of an estimator see of the leaves, the neurons without a child map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.results import Samples
from dbgsom_core.som_map.grid import SomMap
from dbgsom_core.som_map.tree import Descent, Tree, descend


class WithLeaves:
    """Mixin of the estimators: growing child maps, and looking at the leaves.

    Attributes
    ----------
    leaf_labels_ : array (L,)
    leaf_hit_counts_ : int array (L,)
    """

    som_map_: SomMap
    leaf_labels_: NDArray[Any]
    leaf_hit_counts_: NDArray[Any]
    _leaf_probabilities: NDArray[np.float64] | None
    _tree: Tree

    def _to_live_leaves(self, data: Samples) -> Descent:
        # Only neurons that won a training sample have something to say.
        return descend(self._tree, data, self._tree.live(self.leaf_hit_counts_))

    def _live_leaves(self: Any, X: Any) -> NDArray[np.int64]:
        leaves: NDArray[np.int64] = self._to_live_leaves(self._samples(X)).leaf
        return leaves

    def _descend(self: Any, X: Any) -> Descent:
        return descend(self._tree, self._samples(X))

    def bmu_path(self, X: Any) -> NDArray[np.int64]:
        """Return the way of each sample down the maps.

        Parameters
        ----------
        X : array-like (n, D)

        Returns
        -------
        int64 array (n, depth)
            The first column is `bmu`, a row of ``weights_``. The second is a row of the child map
            ``som_map_.children[…]`` of that neuron, and so on; -1 where there is none.
        """
        check_is_fitted(self)
        return self._descend(X).path

    @property
    def leaf_weights_(self: Any) -> NDArray[np.floating[Any]]:
        """Prototypes of the leaves, the neurons without a child map, shape (L, D)."""
        check_is_fitted(self)
        return np.asarray(self._tree.weights.astype(self.weights_.dtype))

    @property
    def leaf_paths_(self) -> NDArray[np.int64]:
        """Rows of the neurons that lead to each leaf, as in `bmu_path`, shape (L, depth)."""
        check_is_fitted(self)
        return self._tree.paths
