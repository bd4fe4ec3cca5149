"""How well neighbours in the data stay neighbours on the grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dbgsom_core.api import MeasureComponent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class TopographicError(MeasureComponent):
    """Share of samples whose two nearest neurons are not linked (Kiviluoto 1996).

    A map of a single neuron has no second nearest one; its error is 0.
    """

    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Kiviluoto 1996"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1, of samples whose two nearest neurons are not one hop apart."""
        return _share(evaluation.som_map.hops[evaluation.bmu, evaluation.second_bmu] > 1)


class TopographicError8(MeasureComponent):
    """Share of samples whose two nearest neurons do not touch, not even at a corner.

    The topographic error of Kiviluoto (1996) with 8 neighbours on a square grid: diagonal cells
    count as adjacent, so it is never larger than `topographic_error`. The error of a single neuron
    is 0.
    """

    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Kiviluoto 1996"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1, of samples whose two nearest neurons' cells do not touch."""
        som_map, first, second = evaluation.som_map, evaluation.bmu, evaluation.second_bmu
        far = som_map.hops[first, second] > 1  # others touch
        pairs, counts = np.unique(
            first[far] * len(som_map) + second[far], return_counts=True
        )  # few of them, many samples
        cells = (som_map.positions[unit] for unit in np.divmod(pairs, len(som_map)))
        apart = som_map.grid.steps(*cells, over_corners=True) > 1
        return float(counts[apart].sum() / len(first))


class CombinedError(MeasureComponent):
    """Mean length of the way from a sample to its nearest prototype and on to the second nearest.

    The way leads along links of the grid, each as long as its two prototypes lie apart, and is the
    shortest (Kaski & Lagus 1996). It tells quantization and topology in one number, in the
    metric's units; where the two nearest neurons are linked it costs nothing but their distance.
    """

    greater_is_better: ClassVar[bool] = False
    in_metric_units: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Kaski & Lagus 1996"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the mean length; that to the nearest prototype for a single neuron."""
        return float(evaluation.combined_errors.mean())


def _share(errors: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(errors) / len(errors))
