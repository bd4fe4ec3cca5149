"""The engine that reads the data in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import (
    Component,
    MetricAbilities,
    Samples,
    Table,
    opened_table,
    samples_in_blocks,
)


class BlocksEngine(Component):
    """Read the data where it lies, block by block, in every epoch: it may be larger than memory.

    A memory-mapped .npy, and anything else that has a shape, a dtype and slices (a dataset of h5py
    or zarr); float32 or float64 without missing values, metric euclidean. The map is that of the
    engine ``local``, to the bit. Of each row 8 bytes are kept at most in a training: its unit, 2
    or for more than 65536 neurons 4, and what later epochs leave out comparisons by.
    """

    threads: int | None = Field(
        default=None, ge=1, le=1024, description="threads; null: as many as this process may use"
    )
    block: float = Field(
        default=1.0, gt=0, le=65536, description="MiB of the data that each thread reads at a time"
    )

    working_memory: float | None = Field(
        default=None,
        ge=0,
        le=1e12,
        description="MiB that a training may keep of rows beside their units, to compare less in "
        "later epochs; null: 6 bytes a row, which suffice for about 250 neurons; with less, or "
        "more neurons, only the first rows profit",
    )

    def opened(self, X: Any) -> Table | None:
        """Return a table over X (n, D) of more than a block, where blocks of rows can be had."""
        return opened_table(X, above=self.block)

    def over(
        self, X: Any, metric: MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return ``X`` (n, D) ready for passes; what fits in one block is held in memory."""
        return samples_in_blocks(
            X,
            metric,
            weights,
            threads=self.threads,
            block=self.block,
            working_memory=self.working_memory,
        )
