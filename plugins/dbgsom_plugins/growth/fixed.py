"""The classical map that does not grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from dbgsom_core.api import Birth, GrowthComponent


class Fixed(GrowthComponent):
    """No growth: a classical batch SOM of ``rows`` × ``columns`` neurons (Kohonen 2001)."""

    rows: int = Field(default=8, ge=1, description="rows of the grid")
    columns: int = Field(default=10, ge=1, description="columns of the grid")

    def start_shape(self) -> tuple[int, int]:
        """Return (rows, columns): the whole map is there from the start."""
        return self.rows, self.columns

    def grow(self, som_map: Any, state: Any) -> Sequence[Birth]:
        """Return no births."""
        return ()
