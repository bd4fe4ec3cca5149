"""Shards of rows on workers of a Dask cluster: its client, and calls that survive lost workers."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import dask
import distributed
import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, available_threads

_SECONDS = 8  # to reach a scheduler
_POLL = 1.0  # seconds between two checks of the cluster, and the time limit of each
_WARN = 10.0  # seconds of waiting from one logged warning to the next

# Self-monitoring of workers on this machine takes 7 % of a core otherwise.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
}

log = logging.getLogger("dbgsom")


class Workers:
    """The client of a cluster, reached when it is first needed; parameters as of `DaskEngine`."""

    def __init__(
        self, address: str | None, workers: int | None, processes: bool, timeout: float
    ) -> None:
        self._address, self._workers, self._processes = address, workers, processes
        self._timeout, self._stack = timeout, ExitStack()
        self.close = self._stack.close

    @cached_property
    def client(self) -> Any:
        client = None
        if self._address is None and self._workers is None:
            with suppress(ValueError):  # there is none
                client = distributed.default_client()
        client = client or self._connect()
        wait_for(client, lambda some: some.wait_for_workers(1), self._timeout)
        here = _versions()
        for worker, theirs in client.run(_versions, on_error="return").items():
            if theirs != here and not isinstance(theirs, OSError):  # or it has just gone
                raise DataError(
                    f"the worker of dask at {worker} has {theirs}, and here it is {here}: install "
                    "the same versions on both"
                )
        return client

    def cuts(self, shape: tuple[int, ...], dtype: Any, most: float) -> list[int]:
        """Return the ends of shards of rows (n, D), each of at most about so many MiB."""
        if not self.client.nthreads():  # all died before there was anything to do
            self.wait(lambda client: client.wait_for_workers(1))
        threads = max(1, int(sum(self.client.nthreads().values())))
        # The same number for each thread, so that none waits for another.
        n, d = shape
        turns = math.ceil(n * d * np.dtype(dtype).itemsize / (most * 2**20) / threads)
        shards = max(1, min(max(turns, 1) * threads, n))
        return [n * shard // shards for shard in range(shards + 1)]

    def submit(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return the future of a call, whose arguments may be futures and lists of them."""
        key = f"dbgsom-{function.__name__.strip('_')}-{uuid.uuid4().hex}"
        with warnings.catch_warnings():  # an array that is in this process has to travel
            warnings.filterwarnings("ignore", "Sending large graph")
            return self.client.submit(function, *given, key=key)

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        """Return what calls return; DataError where no worker comes back, or a task kills them."""
        try:
            return list(self.wait(lambda client: client.gather(futures), futures))
        except distributed.KilledWorker as error:
            raise DataError(
                "workers of dask died again and again over one task "
                f"({error.last_worker.address} was the last): give them more memory, or make "
                "engine.shard smaller"
            ) from error
        except (CancelledError, OSError) as error:
            if any(future.status == "error" for future in futures):
                raise
            raise DataError(
                f"the cluster of dask forgot what it held ({error}), as after a restart: begin "
                "again, or go on from a checkpoint"
            ) from error

    def wait(self, ask: Callable[[Any], Awaitable[Any]], futures: Sequence[Any] = ()) -> Any:
        return wait_for(self.client, ask, self._timeout, futures)

    def _connect(self) -> Any:
        # Connect to the scheduler at the address, or to a cluster on this machine.
        there: Any = self._address
        try:
            if there is None:
                with dask.config.set(_QUIET):
                    there = distributed.LocalCluster(
                        n_workers=self._workers or available_threads(),
                        threads_per_worker=1,
                        processes=self._processes,
                        dashboard_address=None,
                        silence_logs=logging.CRITICAL,
                    )
                self._stack.enter_context(there)
            client = distributed.Client(there, timeout=_SECONDS, set_as_default=False)
            return self._stack.enter_context(client)
        except Exception as error:
            if self._address is None:
                raise DataError(
                    f"dask could not start workers on this machine ({error}): a script that starts "
                    "processes does its work under if __name__ == '__main__':, or takes "
                    "processes: false for threads"
                ) from error
            raise DataError(
                f"no scheduler of dask answers at {self._address} ({error}): start one (dask "
                "scheduler), or leave engine.address out for workers on this machine"
            ) from error


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("dbgsom-core", "dask", "distributed")}


def wait_for(
    client: Any, ask: Callable[[Any], Awaitable[Any]], timeout: float, futures: Sequence[Any] = ()
) -> Any:
    """Return the result of ``ask(client)``; DataError where no worker or scheduler was there for
    ``timeout`` seconds.

    While there are workers a result may take any time; without one Dask would wait for ever and
    log nothing. When waiting ends early, ``futures`` are cancelled.
    """

    async def answer_of() -> Any:
        return await ask(client)

    answer = asyncio.run_coroutine_threadsafe(answer_of(), client.loop.asyncio_loop)
    since = warned = time.monotonic()
    try:
        while True:
            try:
                return answer.result(_POLL)
            except TimeoutError:
                if answer.done():
                    return answer.result()
            now, missing = time.monotonic(), _missing(client)
            if missing is None:
                since = warned = now
                continue
            if now - since >= timeout:
                raise DataError(
                    f"{missing}, for {now - since:.0f} s: start it, or workers (dask worker "
                    f"{client.scheduler.address}), and begin again, or go on from a checkpoint; "
                    "engine.timeout waits longer"
                )
            if now - warned >= _WARN:
                warned = now
                log.warning(
                    "%s, for %.0f s: the fit waits, %.0f s at most", missing, now - since, timeout
                )
    finally:
        if not answer.done():  # a gather that is cancelled itself complains in the log
            client.cancel(futures) if futures else answer.cancel()


def _missing(client: Any) -> str | None:
    # The missing part of a cluster, as a sentence; None: it can work.
    address, workers = client.scheduler.address, None
    if client.status == "running":
        with suppress(OSError, TimeoutError):
            workers = client.sync(client.scheduler.ncores, callback_timeout=_POLL)
    if workers is None:
        return f"the scheduler of dask at {address} does not answer"
    return None if workers else f"there is no worker of dask at {address}"


# -------------------------------------------------------------------------------------- shards


class DaskShards:
    """See `dbgsom_core.api.Shards`; ``parts`` are futures of arrays (m, D)."""

    def __init__(
        self, workers: Workers, parts: Sequence[Any], ends: Sequence[int], d: int, dtype: Any
    ) -> None:
        self._workers, self._parts = workers, list(parts)
        self.ends, self.shape, self.dtype = tuple(ends), (ends[-1], d), np.dtype(dtype)

    def take(self, rows: NDArray[np.int64]) -> DaskShards:
        cuts = np.searchsorted(rows, self.ends)
        parts, ends = [], [0]
        for part, (a, b) in enumerate(pairwise(cuts.tolist())):
            if a < b:
                local = rows[a:b] - self.ends[part]
                parts.append(self._workers.submit(_take, self._parts[part], local))
                ends.append(b)
        return DaskShards(self._workers, parts, ends, self.shape[1], self.dtype)

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Callable[..., Any], own: Sequence[Any]
    ) -> list[Any]:
        tasks = []
        for (start, stop), args in zip(ranges, own, strict=True):
            pieces, part = [], int(np.searchsorted(self.ends, start, "right")) - 1
            while start < stop:  # parts in which rows lie
                first, last = self.ends[part], min(stop, self.ends[part + 1])
                pieces.append((self._parts[part], slice(start - first, last - first)))
                start, part = last, part + 1
            if len(pieces) == 1:
                parts, rows = [pieces[0][0]], pieces[0][1]
            else:
                parts = [self._workers.submit(_take, *piece) for piece in pieces]
                rows = slice(None)
            tasks.append(self._workers.submit(_ask_rows, parts, rows, ask, args))
        return self._workers.gather(tasks)

    def hold(self, make: Callable[..., Any], own: Sequence[Any]) -> DaskParts:
        return DaskParts(self._workers, make, self._parts, own)


class DaskParts:
    """Objects that workers hold and change in place, see `dbgsom_core.api.Shards`.

    Dask makes a lost one again from its rows.
    """

    def __init__(
        self, workers: Workers, make: Callable[..., Any], parts: Sequence[Any], own: Sequence[Any]
    ) -> None:
        self._workers = workers
        self._objects = [
            workers.submit(_make, make, part, args) for part, args in zip(parts, own, strict=True)
        ]

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        submit = self._workers.submit
        return self._workers.gather([submit(_answer, x, question, given) for x in self._objects])


# ------------------------------------------------------------------------------ on the workers


def _take(X: NDArray[Any], rows: Any) -> NDArray[Any]:
    return np.asarray(X[rows])


def _ask_rows(pieces: Sequence[Any], rows: slice, ask: Callable[..., Any], args: Any) -> Any:
    X = (pieces[0] if len(pieces) == 1 else np.concatenate(pieces))[rows]
    return ask(X, slice(0, len(X)), *args)


def _make(make: Callable[..., Any], rows: Any, args: tuple[Any, ...]) -> Any:
    return make(rows, *args)


def _answer(holder: Any, question: str, given: tuple[Any, ...]) -> Any:
    return holder.answer(question, *given)
