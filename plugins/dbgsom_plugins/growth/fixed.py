"""The classical map that does not grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from dbgsom_core.api import Birth, GrowthComponent

_MOST = 10**5  # neurons


class Fixed(GrowthComponent):
    """No growth: a classical batch SOM of ``rows`` × ``columns`` neurons (Kohonen 2001).

    With ``wrap`` it is a torus, on which no neuron lies at an edge.

    Notes
    -----
    Rows and columns are those of the map as it is drawn. On the hexagonal grid every second row
    lies half a cell to the right.
    """

    rows: int = Field(default=8, ge=1, le=_MOST, description="rows of the grid")
    columns: int = Field(default=10, ge=1, le=_MOST, description="columns of the grid")

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
        return self

    def start_shape(self) -> tuple[int, int]:
        """Return (rows, columns): the whole map is there from the start."""
        return self.rows, self.columns

    def grow(self, som_map: Any, state: Any) -> Sequence[Birth]:
        """Return no births."""
        return ()
