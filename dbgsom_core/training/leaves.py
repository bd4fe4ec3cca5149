"""What the leaves of a tree of maps answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.results import Samples
from dbgsom_core.interfaces.labellers import Labeller
from dbgsom_core.som_map.tree import Tree, leaf_map, stand_ins
from dbgsom_core.training.labels import evidence_of, label_neurons
from dbgsom_core.training.targets import Target


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
        data: Samples,
        leaf: NDArray[np.int64],
        target: Target | None,
    ) -> Self:
        """Ask the labeller about all leaves at once.

        Parameters
        ----------
        labeller : Labeller
        tree : Tree
        data : Samples
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


def labels_of_neurons(tree: Tree, answers: LeafAnswers) -> NDArray[Any]:
    """Return a label for each neuron of the root: with a child map that of most of its samples."""
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
