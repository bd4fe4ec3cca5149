"""The engine that holds the data in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import Component, MetricAbilities, Samples, samples_in_memory


class LocalEngine(Component):
    """Run in this process with threads over chunks of rows; the data is held in memory.

    The result does not depend on the number of threads or the chunk size; where working memory
    does not suffice for a packed copy, prototypes may differ in their last digits.
    """

    threads: int | None = Field(
        default=None, ge=1, le=1024, description="threads; null: as many as this process may use"
    )
    chunk_rows: int = Field(
        default=4096, ge=1, le=2**31 - 1, description="rows that one task compares at a time"
    )
    working_memory: float | None = Field(
        default=None,
        ge=0,
        le=1e12,
        description="MiB that a training may take beside the data for a packed copy of them and "
        "for bounds on distances, without which it is slower; null: the copy, and for bounds "
        "256 MiB or four times the copy, at most 1 GiB",
    )

    def over(
        self, X: Any, metric: MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return ``X`` (n, D), dense or CSR, prepared by the metric, ready for passes."""
        return samples_in_memory(
            X,
            metric,
            weights,
            threads=self.threads,
            chunk_rows=self.chunk_rows,
            working_memory=self.working_memory,
        )
