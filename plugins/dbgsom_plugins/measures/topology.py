"""How well neighbours in the data stay neighbours on the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dbgsom_core.api import Component

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.evaluation import Evaluation


class TopographicError(Component):
    """Share of samples whose two nearest neurons are not linked (Kiviluoto 1996), 4 neighbours.

    A map of a single neuron has no second nearest one; its error is 0.
    """

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1, of samples whose two nearest neurons are not one hop apart."""
        return _share(_steps_between_winners(evaluation).sum(axis=1) > 1)


class TopographicError8(Component):
    """Share of samples whose two nearest neurons do not touch, not even at a corner.

    The topographic error of Kiviluoto (1996) with 8 neighbours: diagonal cells count as adjacent,
    so it is never larger than `topographic_error`. The error of a single neuron is 0.
    """

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1, of samples whose two nearest neurons' cells do not touch."""
        return _share(_steps_between_winners(evaluation).max(axis=1) > 1)


def _steps_between_winners(evaluation: Evaluation) -> NDArray[np.int64]:
    """Return |dx|, |dy| between the cells of each sample's two nearest neurons, shape (n, 2)."""
    positions = evaluation.som_map.positions
    steps: NDArray[np.int64] = np.abs(positions[evaluation.bmu] - positions[evaluation.second_bmu])
    return steps


def _share(errors: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(errors) / len(errors))
