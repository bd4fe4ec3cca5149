"""How well the prototypes fit the data, and neighbours in it stay neighbours on the grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class _Cost(MeasureComponent):
    greater_is_better = False
    bounds = (0.0, math.inf)


class QuantizationError(_Cost):
    """Mean distance of the samples to their best-matching unit, in the metric's units.

    Where neurons have child maps it is the distance to the leaf at the end of a sample's way down.
    """

    in_metric_units = True
    reference = "Kohonen 2001"

    def compute(self, evaluation: Evaluation) -> float:
        return float(evaluation.leaf_distance.mean())


class DeadNeurons(_Cost):
    """How many neurons are the best-matching unit of no sample."""

    def compute(self, evaluation: Evaluation) -> NotedValue:
        hits, note = evaluation.hits, ""
        if evaluation.drawn_from:
            n = len(evaluation.bmu)
            note = f"of {n} of {evaluation.drawn_from} samples, among all there may be fewer"
            if evaluation.all_hits is not None:
                hits, note = evaluation.all_hits, f"of all {evaluation.drawn_from} samples"
        return NotedValue(float(np.count_nonzero(hits == 0)), note)


class MapEntropy(MeasureComponent):
    """Entropy of how the samples spread over the neurons, in bits.

    log2 of the number of neurons where all won equally many; 0 where one won all.
    """

    greater_is_better = True
    bounds = (0.0, math.inf)
    reference = "Shannon 1948"

    def compute(self, evaluation: Evaluation) -> float:
        shares = evaluation.hits[evaluation.hits > 0] / len(evaluation.bmu)
        return float(-(shares * np.log2(shares)).sum()) + 0.0


class Distortion(_Cost):
    """Mean squared distance to the winner and its neighbours, weighted by closeness on the grid.

    A neuron ``h`` hops from the winner counts with exp(-h²/2) over its number of hits; neurons
    without hits are left out. Samples that were drawn count with the hits that all would have. The
    hits grow with the samples, so that runs measure the training part alone.
    """

    training_only = True
    in_metric_units = True
    reference = "Vasighi & Amini 2017"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        n, hops = len(evaluation.bmu), evaluation.som_map.hops
        found = distortion(evaluation.chunks(), evaluation.bmu, hops, evaluation.hits)
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
    """
    live = hit_counts > 0
    closeness = np.exp(-(hops[:, live].astype(np.float64) ** 2) / 2)
    shares = closeness / hit_counts[live]
    per_sample = np.empty(len(winners))  # summed once at the end: no chunk size changes a bit
    for rows, distances in chunks:
        weighted = distances[:, live] ** 2
        weighted *= shares[winners[rows]]
        per_sample[rows] = weighted.sum(axis=1)
    return float(per_sample.mean())


class TopographicError(_Cost):
    """Share of samples whose two nearest neurons are not linked (Kiviluoto 1996).

    A map of a single neuron has no second nearest one; its error is 0.
    """

    bounds = (0.0, 1.0)
    reference = "Kiviluoto 1996"

    def compute(self, evaluation: Evaluation) -> float:
        errors = evaluation.som_map.hops[evaluation.bmu, evaluation.second_bmu] > 1
        return float(np.count_nonzero(errors) / len(errors))


class TopographicError8(_Cost):
    """Share of samples whose two nearest neurons do not touch, not even at a corner.

    The topographic error of Kiviluoto (1996) with 8 neighbours on a square grid: diagonal cells
    count as adjacent, so it is never larger than `topographic_error`. The error of a single neuron
    is 0.
    """

    bounds = (0.0, 1.0)
    reference = "Kiviluoto 1996"

    def compute(self, evaluation: Evaluation) -> float:
        som_map = evaluation.som_map
        cells = som_map.positions[evaluation.bmu], som_map.positions[evaluation.second_bmu]
        errors = som_map.grid.steps(*cells, over_corners=True) > 1
        return float(np.count_nonzero(errors) / len(errors))


class CombinedError(_Cost):
    """Mean length of the way from a sample to its nearest prototype and on to the second nearest.

    The way leads along links of the grid, each as long as its two prototypes lie apart, and is the
    shortest (Kaski & Lagus 1996). It tells quantization and topology in one number, in the
    metric's units; where the two nearest neurons are linked it costs nothing but their distance.
    """

    in_metric_units = True
    reference = "Kaski & Lagus 1996"

    def compute(self, evaluation: Evaluation) -> float:
        return float(evaluation.combined_errors.mean())


class TopographicProduct(MeasureComponent):
    """Topographic product P (Bauer & Pawelzik 1992) of the prototypes; 0 is best.

    Below 0 the grid has too few dimensions for the data and folds, above 0 too many; runs are
    compared by |P|. It looks at the map alone, so that it is the same for every part of the data.
    """

    greater_is_better = False
    zero_is_best = True
    reference = "Bauer & Pawelzik 1992"

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean",
        description="distance on the grid: between cells as in the paper, or along links",
    )

    def compute(self, evaluation: Evaluation) -> float:
        from dbgsom_core.api import topographic_product

        return topographic_product(evaluation.som_map, evaluation.data.pairwise, self.grid_distance)


class TopographicFunction(_Cost):
    """Topographic function (Villmann et al. 1997) at one k; 0 is perfect.

    At k = 0 it is how many neighbours a neuron has on average on the grid that are none in the
    data, and in the data that are none on the grid: the number to compare maps by.
    """

    reference = "Villmann et al. 1997"

    k: int = Field(
        default=0,
        ge=-(10**6),
        le=10**6,
        description="above 0: neighbours in the data more than k apart on the grid; "
        "below 0: on the grid more than -k apart in the data; 0: those of 1 and -1",
    )
    neighbours: Literal[4, 8] = Field(
        default=8,
        description="how the grid is measured: 8 counts diagonal steps as in the paper, 4 hops",
    )

    def compute(self, evaluation: Evaluation) -> float:
        from dbgsom_core.api import topographic_function

        if len(evaluation.som_map) < 2:
            return 0.0
        found = topographic_function(
            evaluation.som_map, evaluation.bmu, evaluation.second_bmu, self.neighbours
        )
        return found.at(self.k)
