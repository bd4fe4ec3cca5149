"""How well the grid fits the data as a whole: neighbours of every order, in both directions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from dbgsom_core.api import MeasureComponent

if TYPE_CHECKING:
    from dbgsom_core.api import Evaluation


class TopographicProduct(MeasureComponent):
    """Topographic product P (Bauer & Pawelzik 1992) of the prototypes; 0 is best.

    Below 0 the grid has too few dimensions for the data and folds, above 0 too many; runs are
    compared by |P|. It looks at the map alone, so that it is the same for every part of the data.
    """

    greater_is_better: ClassVar[bool] = False
    zero_is_best: ClassVar[bool] = True
    reference: ClassVar[str] = "Bauer & Pawelzik 1992"

    grid_distance: Literal["euclidean", "hops"] = Field(
        default="euclidean",
        description="distance on the grid: between cells as in the paper, or along links",
    )

    def compute(self, evaluation: Evaluation) -> float:
        """Return the product, without a unit; 0 for a single neuron."""
        from dbgsom_core.api import topographic_product

        return topographic_product(evaluation.som_map, evaluation.data.pairwise, self.grid_distance)


class TopographicFunction(MeasureComponent):
    """Topographic function (Villmann et al. 1997) at one k; 0 is perfect.

    At k = 0 it is how many neighbours a neuron has on average on the grid that are none in the
    data, and in the data that are none on the grid: the number to compare maps by.
    """

    greater_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Villmann et al. 1997"

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
        """Return Φ(k) of the evaluation's samples: a number of neighbours per neuron."""
        from dbgsom_core.api import topographic_function

        if len(evaluation.som_map) < 2:
            return 0.0
        found = topographic_function(
            evaluation.som_map, evaluation.bmu, evaluation.second_bmu, self.neighbours
        )
        return found.at(self.k)
