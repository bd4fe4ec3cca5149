"""Maps of a fixed size: the classical batch SOM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from dbgsom_core.api import Birth, GrowthComponent
from dbgsom_plugins.growth.base import LINK_PULL

_MOST = 10**5  # neurons of a fixed map


class Fixed(GrowthComponent):
    """No growth: a classical batch SOM of ``rows`` × ``columns`` neurons (Kohonen 2001).

    With ``fine_tuning`` and a ``link_pull`` it is fine-tuned as grown maps are. With ``wrap`` it is
    a torus, on which no neuron lies at an edge. Rows and columns are those of the map as it is
    drawn; on the hexagonal grid every second row lies half a cell to the right.
    """

    rows: int = Field(default=8, ge=1, le=_MOST, description="rows of the grid")
    columns: int = Field(default=10, ge=1, le=_MOST, description="columns of the grid")
    fine_tuning: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the epochs kept at the end for fine-tuning at the final width",
    )
    link_pull: float = Field(default=0.0, ge=0, le=1, description=LINK_PULL)
    wrap: bool = Field(
        default=False,
        description="close the map to a torus: neurons of the first and the last column, and of "
        "the first and the last row, are linked, too; at least 3 rows and columns, on the "
        "hexagonal grid an even number of rows",
    )

    @model_validator(mode="after")
    def _can_be_held(self) -> Self:
        if self.rows * self.columns > _MOST:
            raise ValueError(f"rows × columns must be at most {_MOST}")
        if self.link_pull > 0 and self.fine_tuning == 0:
            raise ValueError("link_pull has no effect without fine_tuning; give 0.2, say")
        return self

    def start_shape(self) -> tuple[int, int]:
        """Return (rows, columns): the whole map is there from the start."""
        return self.rows, self.columns

    def grow(self, som_map: Any, state: Any) -> Sequence[Birth]:
        """Return no births."""
        return ()
