"""Engines: storage of samples, and passes over them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from dbgsom_core.interfaces.component import Component, guarded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.partitions import Partitions
    from dbgsom_core.engine.samples import Samples
    from dbgsom_core.interfaces.metrics import MetricComponent


class EngineComponent(Component):
    """Base of engines, which hold samples and pass over them: only results of the map's size leave.

    What it hands out are `Samples`, or a class derived from them that finds units itself. A map
    does not depend on the engine: its bits are those of `local`.

    Attributes
    ----------
    out_of_memory : bool
        True where `opened` takes what ``opened`` of a data set returns.
    lazily : method ``(X, ask) -> collection``, or None
        What ``ask(rows)`` says of each row of X, a lazy collection of the package that the engine
        has its name from.
    """

    KIND: ClassVar[str] = "engine"
    out_of_memory: ClassVar[bool] = False
    lazily: ClassVar[Callable[..., Any] | None] = None

    @abstractmethod
    def over(
        self, X: Any, metric: MetricComponent, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return samples ``X`` (n, D), an array or a CSR matrix, ready for passes.

        They are as users give them: ``metric.prepared`` brings them into the space of the map.
        ``metric`` is with what it learned.
        """

    def opened(self, X: Any) -> Partitions | None:
        """Return the rows of X where they are, which go to `over` as they are.

        None: X is to be an array. `DataError`: it cannot be one.
        """
        return None

    def session(self) -> AbstractContextManager[Any]:
        """Return what is entered for the length of a fit, where connections are to be closed."""
        return nullcontext()


def samples_in_memory(
    X: Any,
    metric: MetricComponent,
    weights: NDArray[np.float64] | None = None,
    *,
    threads: int | None = None,
    chunk_rows: int = 4096,
    working_memory: float | None = None,
) -> Samples:
    """Return `Samples` held in this process, as the engine `local` makes them.

    Parameters
    ----------
    X, metric, weights
        As of `EngineComponent.over`.
    threads : int, optional
        As many as this process may use without it.
    chunk_rows : int
        Rows that one task compares at a time.
    working_memory : float, optional
        MiB that a training may take beside the data.
    """
    from dbgsom_core.engine.samples import Samples  # numba is slow to import

    return Samples.of(
        X,
        guarded(metric),
        weights,
        threads,
        chunk_rows=chunk_rows,
        working_memory=None if working_memory is None else int(working_memory * 2**20),
    )


def samples_in_partitions(
    X: Partitions,
    metric: MetricComponent,
    weights: NDArray[np.float64] | None = None,
    *,
    threads: int | None = None,
    chunk_rows: int = 4096,
) -> Samples:
    """Return `Samples` in partitions: each pass runs where the rows are, and sums come back.

    Parameters
    ----------
    X : Partitions
        Complete. Few rows are held in memory.
    metric, weights, threads, chunk_rows
        As of `samples_in_memory`.

    Raises
    ------
    DataError
        The metric is not Euclidean, or prepares samples.
    """
    from dbgsom_core.engine.partitioned import samples_of  # numba is slow to import
    from dbgsom_core.engine.runtime import available_threads

    threads = threads or available_threads()
    of_rows: Any = {"weights": weights, "threads": threads, "chunk_rows": chunk_rows}
    return samples_of(X, guarded(metric), **of_rows)
