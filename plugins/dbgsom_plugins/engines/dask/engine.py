"""The engine `dask`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dbgsom_core.api import (
    Component,
    DataError,
    MetricAbilities,
    Samples,
    Table,
    opened_table,
    samples_in_blocks,
    samples_in_memory,
)


class DaskEngine(Component):
    """Let the workers of a Dask cluster hold the data and find units; needs the extra ``dask``.

    For dask arrays and data frames, .npy files that the workers can open, and arrays, which travel
    with their tasks; float32 or float64 without missing values, metric euclidean. Prototypes go to
    the workers once a pass, and sums come back. The map is that of the engine ``local``, to the
    bit, whatever the partitions and workers, and whether workers die. Without an address the
    current client's cluster is used, or one on this machine for the length of a fit.
    """

    of_this_machine: ClassVar[tuple[str, ...]] = ("address",)

    address: str | None = Field(
        default=None, min_length=1, description="the scheduler's, as tcp://host:8786"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="processes of a cluster on this machine; null: the current client's cluster, "
        "or as many as this process may use threads",
    )
    processes: bool = Field(
        default=True, description="whether the workers on this machine are processes, or threads"
    )
    shard: float = Field(
        default=128.0, gt=0, le=65536, description="MiB of the data that one task holds, at most"
    )

    timeout: float = Field(
        default=60.0,
        gt=0,
        le=1e6,
        description="seconds that a fit waits while no worker is there, which it says after 10, or "
        "while the scheduler does not answer; then it ends",
    )

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.address is not None and self.workers is not None:
            raise ValueError("an address and workers: give one of them")
        return self

    @contextmanager
    def session(self) -> Iterator[None]:
        """Keep the workers for the length of a fit."""
        from dbgsom_plugins.engines.dask.cluster import session

        with session(self.address, self.workers, self.processes, self.timeout):
            yield

    def opened(self, X: Any) -> Table | None:
        """Return a table over X (n, D): of shards in a fit, else one that is read in blocks."""
        from dbgsom_plugins.engines.dask.cluster import current

        workers, is_dask = current(), type(X).__module__.startswith("dask")
        table = None if is_dask else opened_table(X)
        if workers is None or not (is_dask or getattr(table, "path", None)):
            return table
        return opened_table(self._shards(X if is_dask else table, workers))

    def over(
        self, X: Any, metric: MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return ``X`` (n, D), a table that `opened` returned or an array, ready for passes."""
        from dbgsom_plugins.engines.dask.cluster import current

        workers = current()
        if opened_table(X) is None:
            if workers is None:
                return samples_in_memory(X, metric, weights)
            if not isinstance(X, np.ndarray):
                raise DataError(
                    f"engine dask takes no {type(X).__name__}: make X dense, or take engine: local"
                )
            X = self._shards(X, workers)
        return samples_in_blocks(X, metric, weights)

    def lazily(self, X: Any, ask: Callable[[Any], Any]) -> Any:
        """Return what is said of each row of a dask collection as a lazy dask array.

        ``ask(rows)`` returns an array with an entry for each row; it is pickled.
        """
        from dbgsom_plugins.engines.dask.sources import lazily

        return lazily(X, ask)

    def _shards(self, X: Any, workers: Any) -> Any:
        from dbgsom_plugins.engines.dask.sources import shards_of

        return shards_of(X, workers, self.shard)
