"""The engine that holds the data in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import (
    Component,
    MetricAbilities,
    Table,
    opened_table,
    samples_in_blocks,
    samples_in_memory,
)
from dbgsom_plugins.engines.memory import memory as machine_memory

if TYPE_CHECKING:
    from dbgsom_core.api import Samples


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
        "for margins between distances, without which it is slower; without the copy the last "
        "digits of sums are others; null: the copy, and for margins 256 MiB or half of the copy",
    )

    memory: float | None = Field(
        default=None,
        ge=0,
        le=1e12,
        description="MiB of data that are held in memory; a memory-mapped table of more is read in "
        "blocks, as by the engine blocks; null: half of what this process may take",
    )

    def opened(self, X: Any) -> Table | None:
        """Return a table over X (n, D) where it is not in memory and too large for that."""
        if opened_table(X) is None:  # how much memory there is need not be asked
            return None
        most = machine_memory() / 2**21 if self.memory is None else self.memory
        return opened_table(X, above=most)

    def over(
        self, X: Any, metric: MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return ``X`` (n, D), dense or CSR, prepared by the metric, ready for passes.

        A table that `opened` returned is read in blocks.
        """
        table = self.opened(X)
        if table is not None:
            return samples_in_blocks(
                X, metric, weights, threads=self.threads, working_memory=self.working_memory
            )
        return samples_in_memory(
            X,
            metric,
            weights,
            threads=self.threads,
            chunk_rows=self.chunk_rows,
            working_memory=self.working_memory,
        )
