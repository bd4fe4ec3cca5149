"""Engines: storage of samples, and passes over them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dbgsom_core.interfaces.component import Abilities, Component
from dbgsom_core.interfaces.metrics import MetricAbilities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.partitions import Partitions
    from dbgsom_core.engine.samples import LocalSamples, Samples
    from dbgsom_core.interfaces.metrics import Metric


@runtime_checkable
class Engine(Protocol):
    """Holds samples and passes over them; only what is of the size of the map leaves it.

    What it hands out are `Samples`, or a class derived from them that finds units itself. A map
    does not depend on the engine: its bits are those of `local`.

    Optional capabilities
        ``opened(X) -> Partitions or None``: the rows of X where they are, which go to `over` as
        they are; None: X is to be an array. `DataError`: it cannot be one.
        ``out_of_memory``: True where `opened` takes what `Dataset.opened` returns.
        ``session() -> context manager``: entered for the length of a fit, where connections say
        must be given back.
        ``lazily(X, ask)``: what ``ask(rows)`` says of each row of X, a lazy collection of the
        package that the engine has its name from.
    """

    def over(
        self, X: Any, metric: MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return samples ``X`` (n, D), an array or a CSR matrix, ready for passes.

        They are as users give them: ``metric.prepared`` brings them into the space of the map.
        ``metric`` is with what it learned.
        """


@dataclass(frozen=True)
class EngineAbilities(Abilities):
    """Capabilities of an engine; see `Engine`. A missing method is None."""

    kind: ClassVar[str] = "engine"
    defaults: ClassVar[Component] = Component()

    over: Any = None
    opened: Callable[[Any], Any] | None = None
    out_of_memory: bool = False
    session: Callable[[], AbstractContextManager[Any]] | None = None
    lazily: Callable[[Any, Callable[[Any], Any]], Any] | None = None


def at_work(engine: Engine) -> AbstractContextManager[Any]:
    """Return the engine's ``session()``, to be entered for the length of a fit."""
    session = EngineAbilities.of(engine).session
    return nullcontext() if session is None else session()


def samples_in_memory(
    X: Any,
    metric: Metric | MetricAbilities,
    weights: NDArray[np.float64] | None = None,
    *,
    threads: int | None = None,
    chunk_rows: int = 4096,
    working_memory: float | None = None,
) -> LocalSamples:
    """Return `Samples` held in this process, as the engine `local` makes them.

    Parameters
    ----------
    X, metric, weights
        As of `Engine.over`.
    threads : int, optional
        As many as this process may use without it.
    chunk_rows : int
        Rows that one task compares at a time.
    working_memory : float, optional
        MiB that a training may take beside the data.
    """
    from dbgsom_core.engine.samples import LocalSamples  # numba is slow to import

    return LocalSamples.of(
        X,
        MetricAbilities.of(metric),
        weights,
        threads,
        chunk_rows=chunk_rows,
        working_memory=None if working_memory is None else int(working_memory * 2**20),
    )


def samples_in_partitions(
    X: Partitions,
    metric: Metric | MetricAbilities,
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
    return samples_of(X, MetricAbilities.of(metric), **of_rows)
