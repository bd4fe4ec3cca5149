"""What an engine is: where the samples are, and where passes over them run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dbgsom_core.interfaces.metrics import MetricAbilities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dbgsom_core.engine.contract import Samples
    from dbgsom_core.engine.local import LocalSamples
    from dbgsom_core.interfaces.metrics import Metric


@runtime_checkable
class Engine(Protocol):
    """Holds samples and passes over them; only what is of the size of the map leaves it.

    What it hands out is described in `dbgsom_core.api`: `Samples`, which give moments, searches
    and answers; `Search`, of which each pass takes prototypes (K, D) and returns `Found`, totals of
    size K; units and distances of samples exist behind lazy accessors. A map does not depend on
    the engine: its bits are those of the built-in one, `local`.
    """

    def over(
        self, X: Any, metric: MetricAbilities, weights: NDArray[np.float64] | None = None
    ) -> Samples:
        """Return samples ``X`` (n, D), ready for passes.

        Parameters
        ----------
        X : float array (n, D) or CSR matrix
            As users give them: ``metric.prepared`` brings them into the space of the map.
        metric : MetricAbilities
            With what it learned. What it lacks is None.
        weights : float64 array (n,), optional
        """


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
        MiB that a training may take beside the data; as `local` explains.
    """
    import numpy as np
    from scipy.sparse import issparse

    from dbgsom_core.engine.local import LocalSamples  # numba is slow to import
    from dbgsom_core.engine.workers import available_threads
    from dbgsom_core.interfaces.geometry import euclidean

    abilities = MetricAbilities.of(metric)
    prepared = abilities.prepared(X)
    if not issparse(prepared):
        # A view, so that what a metric remembers of these samples ends with the pass.
        prepared = np.ascontiguousarray(prepared).view()
        if abilities.is_euclidean and abilities.judge is not None:
            abilities.judge(euclidean, abilities, prepared)
    room = None if working_memory is None else int(working_memory * 2**20)
    return LocalSamples(
        prepared,
        abilities,
        threads or available_threads(),
        chunk_rows,
        weights,
        working_memory=room,
    )
