"""How well the prototypes fit the data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dbgsom_core.api import MeasureComponent, NotedValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class QuantizationError(MeasureComponent):
    """Mean distance of the samples to their best-matching unit, in the metric's units.

    Where neurons have child maps it is the distance to the leaf at the end of a sample's way down.
    """

    greater_is_better: ClassVar[bool] = False
    in_metric_units: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Kohonen 2001"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the mean distance of the evaluation's samples to their nearest prototype."""
        return float(evaluation.leaf_distance.mean())


class DeadNeurons(MeasureComponent):
    """How many neurons are the best-matching unit of no sample."""

    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the number of neurons without a hit among the evaluation's samples.

        Where these are drawn from more, and hits of all of them are known, it is that of all.
        """
        whole, known, note = evaluation.drawn_from, evaluation.all_hits, ""
        if whole and known is not None:
            note = f"of all {whole} samples"
        elif whole:
            n = len(evaluation.bmu)
            note = f"of {n} of {whole} samples, among all there may be fewer"
        hits = known if whole and known is not None else evaluation.hits
        return NotedValue(float(np.count_nonzero(hits == 0)), note)


class MapEntropy(MeasureComponent):
    """Entropy of how the samples spread over the neurons, in bits.

    log2 of the number of neurons where all won equally many; 0 where one won all.
    """

    greater_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Shannon 1948"

    def compute(self, evaluation: Evaluation) -> float:
        """Return Σ over the neurons of -hits/n · log2(hits/n), in bits."""
        shares = evaluation.hits[evaluation.hits > 0] / len(evaluation.bmu)
        return float(-(shares * np.log2(shares)).sum()) + 0.0


class Distortion(MeasureComponent):
    """Mean squared distance to the winner and its neighbours, weighted by closeness on the grid.

    A neuron ``h`` hops from the winner counts with exp(-h²/2) over its number of hits; neurons
    without hits are left out. Samples that were drawn count with the hits that all would have.
    """

    greater_is_better: ClassVar[bool] = False
    in_metric_units: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Vasighi & Amini 2017"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        """Return the distortion of the evaluation's samples, in the metric's units squared."""
        squares, n = evaluation.won_squares, len(evaluation.bmu)
        hops, hits = evaluation.som_map.hops, evaluation.hits
        if squares is not None:
            found = float((squares * _shares(hops, hits)).sum() / n)
        else:
            found = distortion(evaluation.chunks(), evaluation.bmu, hops, hits)
        note = f"of {n} samples, for {evaluation.n_all}" if evaluation.drawn_from else ""
        return NotedValue(found * n / evaluation.n_all, note)


def distortion(
    chunks: Iterable[tuple[slice, NDArray[np.float64]]],
    winners: NDArray[np.integer],
    hops: NDArray[np.integer],
    hit_counts: NDArray[np.integer],
) -> float:
    """Return the distortion measure of Vasighi & Amini (2017): DM of the conformance vectors.

    DM is the mean over the samples x of Σ over the neurons i with hits of
    exp(-hops(i, winner)²/2) · d(x, w_i)² / hits_i.

    Parameters
    ----------
    chunks : iterable of (rows, distances (m, K))
        Blocks that together cover all n samples.
    winners : int array (n,)
        The best-matching unit of each sample.
    hops : int array (K, K)
        Graph distances between the neurons, in links.
    hit_counts : int array (K,)
        Hits of each neuron; those with 0 are left out.

    Returns
    -------
    float
        In the distance's units squared.
    """
    live = hit_counts > 0
    shares = _shares(hops, hit_counts)[:, live]
    per_sample = np.empty(len(winners))  # summed once at the end: no chunk size changes a bit
    for rows, distances in chunks:
        weighted = distances[:, live] ** 2
        weighted *= shares[winners[rows]]
        per_sample[rows] = weighted.sum(axis=1)
    return float(per_sample.mean())


def _shares(hops: NDArray[np.integer], hit_counts: NDArray[np.integer]) -> NDArray[np.float64]:
    # What a squared distance counts, (K, K) by winner and neuron: 0 for neurons without hits.
    closeness = np.exp(-(hops.astype(np.float64) ** 2) / 2)
    live = hit_counts > 0
    shares = np.zeros(hops.shape)
    np.divide(closeness, hit_counts, out=shares, where=live)
    return shares
