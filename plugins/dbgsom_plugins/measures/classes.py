"""How the classes of the samples lie on a map; samples without a class do not count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from dbgsom_core.api import MeasureComponent
from dbgsom_plugins.measures.labels import with_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class Purity(MeasureComponent):
    """Share of samples whose class is the most frequent one among those that their neuron won."""

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Manning, Raghavan & Schütze 2008"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1; it grows with the number of neurons."""
        won = _won(evaluation, "purity")
        return float(won.most.sum() / won.hits.sum())


class Entropy(MeasureComponent):
    """Entropy of the classes within a neuron in bits, averaged over the labelled samples.

    0 where every neuron won samples of one class, log2 of the number of classes at most.
    """

    greater_is_better: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Shannon 1948"

    def compute(self, evaluation: Evaluation) -> float:
        """Return Σ over neurons and classes of -n_kc/n · log2(n_kc/n_k), in bits."""
        won = _won(evaluation, "entropy")
        shares = won.counts / won.hits[won.neurons]
        return float(-(won.counts * np.log2(shares)).sum() / won.hits.sum()) + 0.0


class ClassScatter(MeasureComponent):
    """Over how many separate regions of the map a class is scattered, averaged over the classes.

    A region of a class is a set of linked neurons that all won some of its samples (class scatter
    index of Elend & Kramer 2019, with 4 neighbours); 1 is best. Neurons with child maps are not
    told apart from the others.
    """

    greater_is_better: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")
    bounds: ClassVar[tuple[float, float]] = (1.0, math.inf)
    reference: ClassVar[str] = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the mean number of regions of a class, at least 1."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        won = _won(evaluation, "class_scatter", leaves=False)
        n_classes, n_pairs = int(won.classes.max()) + 1, len(won.counts)
        keys = won.neurons * n_classes + won.classes  # ascending
        linked = evaluation.som_map.links[won.neurons].T.astype(np.int64)
        beside = np.where(linked >= 0, linked * n_classes + won.classes, -1)
        place = np.minimum(np.searchsorted(keys, beside), n_pairs - 1)
        link, pair = np.nonzero(keys[place] == beside)
        edges = np.ones(len(pair), bool), (pair, place[link, pair])
        graph = csr_array(edges, shape=(n_pairs, n_pairs))
        regions, _ = connected_components(graph, directed=False)
        return int(regions) / n_classes


class _Won(NamedTuple):
    """Classes among what neurons won, only where there is a sample: ``counts`` (P,) of ``classes``.

    ``neurons`` (P,) ascend, and so do the classes 0..C-1 of one; ``hits`` (K,) are all labelled
    samples of a neuron, ``most`` (K,) those of its most frequent class.
    """

    neurons: NDArray[np.int64]
    classes: NDArray[np.int64]
    counts: NDArray[np.int64]
    hits: NDArray[np.int64]
    most: NDArray[np.int64]


def _won(evaluation: Evaluation, measure: str, leaves: bool = True) -> _Won:
    # With leaves of the neurons at the end of a sample's way down, else of those of the first map.
    if evaluation.y is None:
        raise ValueError(f"{measure} counts classes, and there are no targets: y is missing")
    units = evaluation.leaf if leaves else evaluation.bmu
    y, neurons = with_classes(evaluation, measure, evaluation.y, units)
    classes, codes = np.unique(y, return_inverse=True)
    pairs, counts = np.unique(neurons * len(classes) + codes.ravel(), return_counts=True)
    neurons, codes = np.divmod(pairs, len(classes))
    hits = np.bincount(neurons, counts).astype(np.int64)
    most = np.zeros_like(hits)
    np.maximum.at(most, neurons, counts)
    return _Won(neurons, codes, counts, hits, most)
