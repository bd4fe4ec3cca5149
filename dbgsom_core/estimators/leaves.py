"""What the leaves of a tree of maps answer, and what users of an estimator see of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.results import Assignment, Found
from dbgsom_core.estimators.labels import evidence_of, label_neurons
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.som_map.grid import SomMap
from dbgsom_core.som_map.tree import Descent, Tree, descend, leaf_map, stand_ins
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target
from dbgsom_core.training.vertical import ChildMaps, is_vertical, root_error


@dataclass(frozen=True)
class LeafAnswers:
    """Answers of all L leaves of a tree.

    Attributes
    ----------
    labels : array (L,)
        A dead leaf carries the label of the nearest live one within its map.
    probabilities : float64 array (L, C) or None
    hits : array (L,)
        Training samples that ended in each leaf, or the sum of their weights.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float64] | None
    hits: NDArray[Any]

    @classmethod
    def of(
        cls,
        labeller: Labeller,
        tree: Tree,
        data: LocalSamples,
        leaf: NDArray[np.int64],
        target: Target | None,
    ) -> Self:
        """Ask the labeller about all leaves at once.

        Parameters
        ----------
        labeller : Labeller
        tree : Tree
        data : LocalSamples
            The training samples, n of them.
        leaf : int64 array (n,)
            The leaf in which each ended.
        target : Target or None
            Theirs.
        """
        evidence = evidence_of(leaf_map(tree), leaf, data.weights, target)
        hits = np.asarray(evidence.hits)
        answers = label_neurons(labeller, evidence, data)
        answering = stand_ins(tree, data, hits)
        shares = answers.probabilities
        return cls(answers.labels[answering], None if shares is None else shares[answering], hits)


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

    def _grow_children(
        self, parts: Parts, data: LocalSamples, found: Found, target: Target | None
    ) -> None:
        # After the root is trained and kept. A copy trains: what it learns of a child stays there.
        if not is_vertical(parts):
            return
        trainer: Any = copy.copy(self)
        trainer.init, trainer.callbacks, trainer.verbose = "pca", None, 0
        children = ChildMaps(parts, trainer._train, root_error(data))
        children.grow(self.som_map_, data, found, target)

    def _label_leaves(
        self: Any, parts: Parts, data: LocalSamples, found: Assignment, target: Target | None
    ) -> Assignment:
        """Label the leaves and return where the samples end, as units among the leaves."""
        # After the root's neurons are labelled; without child maps its neurons are the leaves.
        self._tree = Tree.of(self.som_map_)
        if len(self._tree.maps) == 1:
            self.leaf_labels_ = self.neuron_labels_
            self.leaf_hit_counts_ = self.hit_counts_
            self._leaf_probabilities = self._probabilities
            return found
        ended = descend(self._tree, data)
        answers = LeafAnswers.of(parts.labeller, self._tree, data, ended.leaf, target)
        self.leaf_labels_, self._leaf_probabilities = answers.labels, answers.probabilities
        self.leaf_hit_counts_ = answers.hits
        self._n_features_out = len(self._tree)
        if target is None:  # numbers of clusters mean nothing before the leaves are numbered
            self.neuron_labels_ = _labels_of_neurons(self._tree, answers)
        return Assignment(ended.leaf, ended.distance)

    def _to_live_leaves(self, data: LocalSamples) -> Descent:
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


def _labels_of_neurons(tree: Tree, answers: LeafAnswers) -> NDArray[Any]:
    # One label for each neuron of the root: with a child map that of most of its samples.
    roots = tree.paths[:, 0]
    return np.array(
        [
            _most_frequent(answers.labels[roots == neuron], answers.hits[roots == neuron])
            for neuron in range(len(tree.maps[0]))
        ],
        dtype=answers.labels.dtype,
    )


def _most_frequent(labels: Sequence[Any], hits: NDArray[np.int64]) -> Any:
    distinct, rows = np.unique(labels, return_inverse=True)
    return distinct[np.bincount(rows, weights=hits).argmax()]
