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
        return _share(np.add(*_steps_between_winners(evaluation)) > 1)


class TopographicError8(Component):
    """Share of samples whose two nearest neurons do not touch, not even at a corner.

    The topographic error of Kiviluoto (1996) with 8 neighbours: diagonal cells count as adjacent,
    so it is never larger than `topographic_error`. The error of a single neuron is 0.
    """

    greater_is_better: ClassVar[bool] = False

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1, of samples whose two nearest neurons' cells do not touch."""
        return _share(np.maximum(*_steps_between_winners(evaluation)) > 1)


def _steps_between_winners(evaluation: Evaluation) -> list[NDArray[np.int64]]:
    """Return |dx| and |dy| between the cells of each sample's two nearest neurons, (n,) each."""
    first, second = evaluation.bmu, evaluation.second_bmu
    return [np.abs(place[first] - place[second]) for place in evaluation.som_map.positions.T]


def _share(errors: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(errors) / len(errors))
