"""The search of any metric: it begins anew in each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.found import Assignment, Found

if TYPE_CHECKING:
    from dbgsom_core.engine.local import DataPass


@dataclass(frozen=True)
class PlainSearch:
    """A search that begins anew in each epoch, for any metric."""

    data: DataPass

    def assign(self, prototypes: NDArray[np.float64], positions: NDArray[np.int64]) -> Found:
        """See `Search`."""
        return self._with_totals(self.data.assign(prototypes), len(prototypes))

    def admit(
        self,
        found: Found,
        prototypes: NDArray[np.float64],
        positions: NDArray[np.int64],
        known: int,
    ) -> Found:
        """See `Search`."""
        if known == len(prototypes):
            return found
        return self._with_totals(self.data.admit(found, prototypes, known), len(prototypes))

    def nearest_two(self, prototypes: NDArray[np.float64]) -> NDArray[np.signedinteger[Any]]:
        """See `Search`."""
        return self.data.nearest(prototypes, 2)[0]

    def _with_totals(self, found: Found, n_neurons: int) -> Found:
        return Assignment(found.bmu, found.distance, self.data.totals(found, n_neurons))
