"""The engine of this process: the data is held in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from dbgsom_core.api import (
    DataError,
    EngineComponent,
    MetricComponent,
    available_memory,
    samples_in_memory,
)

if TYPE_CHECKING:
    from dbgsom_core.api import Samples


class LocalEngine(EngineComponent):
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
        description="MiB of data that are held in memory; more in a file is refused; null: half of "
        "what this process may take",
    )

    def opened(self, X: Any) -> None:
        """Raise DataError for what is in a file and does not fit in memory."""
        if not stays_outside(X):
            return
        most = available_memory() / 2**21 if self.memory is None else self.memory
        size = X.shape[0] * X.shape[1] * X.dtype.itemsize / 2**20
        if size > most:
            raise DataError(
                f"X has {size:.0f} MiB, more than the {most:.0f} that engine local holds in "
                "memory: take engine: dask, which reads the rows where they are"
            )

    def over(self, X: Any, metric: MetricComponent, weights: Any = None) -> Samples:
        return samples_in_memory(
            X,
            metric,
            weights,
            threads=self.threads,
            chunk_rows=self.chunk_rows,
            working_memory=self.working_memory,
        )


def stays_outside(X: Any) -> bool:
    """Return whether X (n, D) has slices of numbers that are not in an array of this process."""
    import numpy as np  # a configuration is checked without it

    if isinstance(X, np.ndarray) and not isinstance(X, np.memmap):
        return False
    if len(getattr(X, "shape", ())) != 2 or hasattr(X, "iloc"):
        return False
    from scipy.sparse import issparse

    try:
        kind = np.dtype(X.dtype).kind
    except (AttributeError, TypeError):
        return False
    return kind in "fiub" and X.shape[1] > 0 and hasattr(X, "__getitem__") and not issparse(X)
