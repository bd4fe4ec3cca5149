"""Calls on the workers of Dask that outlive them, and a restart of all of them."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import Any

from dbgsom_core.api import DataError
from dbgsom_plugins.engines.dask.cluster import Workers

_RESTARTS = 100  # of the cluster while one answer is waited for


class Task:
    """A future of Dask, and how it is had again.

    What a worker lost Dask computes anew from its graph. What the scheduler forgot, as it does
    where somebody restarts the cluster, is asked for anew here.

    Parameters
    ----------
    make : callable
        Returns the future; called again where the last one was cancelled.
    future : Future, optional
        The first one.
    """

    def __init__(self, make: Callable[[], Any], future: Any = None) -> None:
        self.name = uuid.uuid4().hex
        self._make, self._future = make, make() if future is None else future

    @property
    def future(self) -> Any:
        """The future: a new one where the cluster forgot the one before."""
        if self._future.status == "cancelled":
            self._future = self._make()
        return self._future


def submitted(
    workers: Workers,
    function: Callable[..., Any],
    *given: Any,
    to: str | None = None,
    **own: Any,
) -> Task:
    """Return the task of a call, given tasks and lists of them among others; it is no other's.

    It runs on the worker of the address ``to`` if that is there. Nobody may wait for such a task:
    Dask does not run it again once all workers were away at the same time (2026.8).
    """
    name = getattr(function, "__name__", type(function).__name__).strip("_")

    def make() -> Any:
        arguments = {field: _futures(value) for field, value in own.items()}
        key = f"dbgsom-{name}-{uuid.uuid4().hex}"
        if to is not None:
            arguments |= {"workers": [to], "allow_other_workers": True}
        with warnings.catch_warnings():  # an array that is in this process has to travel
            warnings.filterwarnings("ignore", "Sending large graph")
            return workers.client.submit(function, *map(_futures, given), key=key, **arguments)

    return Task(make)


def computed(workers: Workers, delayed: Sequence[Any]) -> list[Task]:
    """Return the tasks of what `dask.delayed` describes."""
    futures = workers.client.compute(list(delayed))
    return [
        Task(partial(workers.client.compute, one), future)
        for one, future in zip(delayed, futures, strict=True)
    ]


def gathered(workers: Workers, tasks: Sequence[Task]) -> list[Any]:
    """Return what calls return, also where the cluster is restarted meanwhile.

    Raises
    ------
    DataError
        The cluster cannot say.
    """
    from distributed import KilledWorker

    if not tasks:
        return []
    for _ in range(_RESTARTS):
        futures: list[Any] = []
        try:
            futures = [task.future for task in tasks]
            return workers.gather(futures)
        except KilledWorker as error:
            raise DataError(
                f"workers of dask died again and again over one task ({error.last_worker.address} "
                "was the last): give them more memory, or make engine.shard smaller"
            ) from error
        except (CancelledError, OSError):
            if any(future.status == "error" for future in futures):
                raise
            workers.check_scheduler()
    raise DataError(
        f"the cluster of dask was restarted {_RESTARTS} times before it answered: begin again"
    )


def _futures(given: Any) -> Any:
    if isinstance(given, Task):
        return given.future
    if isinstance(given, list) and given and isinstance(given[0], Task):
        return [task.future for task in given]
    return given
