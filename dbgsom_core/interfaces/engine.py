"""Where the passes over the samples run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import issparse

from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.metrics import MetricAbilities

if TYPE_CHECKING:
    from dbgsom_core.engine.local import LocalSamples
    from dbgsom_core.interfaces.metrics import Metric


class LocalEngine(Component):
    """Run in this process with threads over chunks of rows; the data is held in memory.

    The result does not depend on the number of threads or the chunk size; where working memory
    does not suffice for a packed copy, prototypes may differ in their last digits.
    """

    name: Literal["local"] = "local"
    threads: int | None = Field(
        default=None, ge=1, description="threads; null: as many as this process may use"
    )
    chunk_rows: int = Field(default=4096, ge=1, description="rows that one task compares at a time")
    working_memory: float | None = Field(
        default=None,
        ge=0,
        description="MiB that a training may take beside the data for a packed copy of them and "
        "for bounds on distances, without which it is slower; null: the copy, and for bounds "
        "256 MiB or four times the copy, at most 1 GiB",
    )

    def over(
        self, X: Any, metric: Metric | MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> LocalSamples:
        """Return ``X`` (n, D), dense or CSR, prepared by the metric, ready for passes."""
        from dbgsom_core.engine.local import LocalSamples  # numba is slow to import
        from dbgsom_core.engine.workers import available_threads

        abilities = MetricAbilities.of(metric)
        prepared = abilities.prepared(X)
        if not issparse(prepared):
            # A view, so that what a metric remembers of these samples ends with the pass.
            prepared = np.ascontiguousarray(prepared).view()
        threads = self.threads or available_threads()
        room = None if self.working_memory is None else int(self.working_memory * 2**20)
        return LocalSamples(
            prepared, abilities, threads, self.chunk_rows, weights, working_memory=room
        )
