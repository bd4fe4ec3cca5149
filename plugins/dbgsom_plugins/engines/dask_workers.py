"""Workers of a Dask cluster: its client, calls that survive lost workers, rows that they hold."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
import warnings
import weakref
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from functools import cached_property, partial
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import dask
import dask.array as da
import distributed
import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError, range_rows
from dbgsom_plugins.engines.dask import DaskPartitions

_SECONDS = 8  # to reach a scheduler
_POLL = 1.0  # seconds between two checks of the cluster, and the time limit of each
_WARN = 10.0  # seconds of waiting from one logged warning to the next
_PAUSE = 0.2  # seconds before a restarted cluster is asked again

# Self-monitoring of workers on this machine takes 7 % of a core otherwise.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
}

log = logging.getLogger("dbgsom")


class ForgottenError(DataError):
    """The cluster does not know any more what it held, as after a restart."""


class Workers:
    """The client of a cluster, reached when it is first needed; parameters as of `DaskEngine`."""

    def __init__(self, address: str | None, workers: int | None, timeout: float) -> None:
        self._address, self._workers = address, workers
        self._timeout, self._stack = timeout, ExitStack()
        self.close = self._stack.close
        self._held: list[weakref.ref[Any]] = []  # each after what it is made of

    def keep(self, held: Any) -> None:
        """Note what ``held.renew()`` makes again after a restart."""
        self._held.append(weakref.ref(held))

    def repeated(self, ask: Callable[[], Any]) -> Any:
        """Return ``ask()``; where the cluster is restarted, its rows go there again before."""
        lost: float | None = None
        while True:
            try:
                if lost is not None:
                    self._renew()
                return ask()
            except ForgottenError as error:
                now = time.monotonic()
                if lost is None:
                    log.warning("%s: the rows are sent there again", error)
                    lost = now
                if now - lost > self._timeout:
                    raise
                time.sleep(_PAUSE)

    def _renew(self) -> None:
        self._held = [one for one in self._held if one() is not None]
        for one in self._held:
            held = one()
            if held is not None:
                held.renew()

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

    def threads(self) -> int:
        """Return how many threads the workers have."""
        if not self.client.nthreads():  # all died before there was anything to do
            self.wait(lambda client: client.wait_for_workers(1))
        return max(1, int(sum(self.client.nthreads().values())))

    def hold(self, parts: Sequence[Any]) -> tuple[list[Any], list[int]]:
        """Return futures of delayed arrays and how many rows each has, once they are there."""
        with warnings.catch_warnings():  # an array that is in this process has to travel
            warnings.filterwarnings("ignore", "Sending large graph")
            held = self.client.compute(list(parts))
        return held, self.gather([self.submit(len, part) for part in held])

    def submit(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return the future of a call, whose arguments may be futures.

        Other arguments are bound to a partial function: Dask looks into tuples.
        """
        name = getattr(function, "func", function).__name__.strip("_")
        key = f"dbgsom-{name}-{uuid.uuid4().hex}"
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
            raise ForgottenError(
                "the cluster of dask forgot what it held, as after a restart"
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
                        n_workers=self._workers,
                        threads_per_worker=1,
                        dashboard_address=":0",
                        silence_logs=logging.CRITICAL,
                    )
                self._stack.enter_context(there)
            client = distributed.Client(there, timeout=_SECONDS, set_as_default=False)
            return self._stack.enter_context(client)
        except Exception as error:
            if self._address is None:
                raise DataError(
                    f"dask could not start workers on this machine ({error}): a script that starts "
                    "processes does its work under if __name__ == '__main__':; without workers "
                    "it takes threads"
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
            is_open = futures and client.status == "running"
            client.cancel(futures) if is_open else answer.cancel()


def _missing(client: Any) -> str | None:
    # The missing part of a cluster, as a sentence; None: it can work.
    address, workers = client.scheduler.address, None
    if client.status == "running":
        with suppress(OSError, TimeoutError):
            workers = client.sync(client.scheduler.ncores, callback_timeout=_POLL)
    if workers is None:
        return f"the scheduler of dask at {address} does not answer"
    return None if workers else f"there is no worker of dask at {address}"


# ---------------------------------------------------------------------------------- partitions


class ClusterPartitions(DaskPartitions):
    """Rows that the workers of a cluster hold; Dask makes lost ones again from their source.

    After a restart the scheduler knows no source any more: ``again()`` returns the array anew.
    """

    def __init__(self, array: Any, again: Callable[[], Any], mib: float, workers: Workers) -> None:
        self._workers, self._again = workers, again
        super().__init__(array, mib)
        self.blocks: list[Any] = []
        workers.keep(self)
        workers.repeated(lambda: self.blocks or self._hold())

    def renew(self) -> None:
        array = self._again()
        if array.shape != self.shape:
            raise DataError(f"X had the shape {self.shape}, and has {array.shape} after a restart")
        self.array = array.rechunk(self.array.chunks)
        self._hold()

    def _hold(self) -> None:
        # What the array is made of may go once its blocks are there.
        self.blocks, _ = self._workers.hold(self.array.to_delayed()[:, 0].tolist())
        parts = [
            da.from_delayed(block, (stop - start, self.shape[1]), self.dtype)
            for block, (start, stop) in zip(self.blocks, pairwise(self.ends), strict=True)
        ]
        self.array = da.concatenate(parts)

    def _partition_rows(self, n: int, d: int, dtype: np.dtype[Any]) -> int:
        # The same number for each thread, so that none waits for another.
        least, threads = range_rows(d), self._workers.threads()
        turns = math.ceil(n * d * dtype.itemsize / (self._mib * 2**20) / threads)
        return least * max(1, math.ceil(n / (max(1, turns) * threads * least)))

    def _over(self, derive: Callable[[Any], Any]) -> ClusterPartitions:
        again, chunks = self._again, self.array.chunks

        def derived_again() -> Any:
            return derive(again().rechunk(chunks))

        return ClusterPartitions(derive(self.array), derived_again, self._mib, self._workers)

    def each(
        self,
        ask: Callable[..., Any],
        given: Sequence[tuple[Any, ...]],
        keep: Callable[[slice, Any], None] | None = None,
    ) -> list[Any]:
        workers = self._workers

        def answers_of_all() -> list[Any]:
            questions = zip(self.blocks, given, strict=True)
            return workers.gather(
                [workers.submit(partial(_ask, ask, more), block) for block, more in questions]
            )

        answers = workers.repeated(answers_of_all)
        if keep is None:
            return list(answers)
        for rows, answer in zip(pairwise(self.ends), answers, strict=True):
            keep(slice(*rows), answer)
        return [None] * len(answers)

    def fold(self, ask: Callable[..., Any], start: Any, given: Sequence[tuple[Any, ...]]) -> Any:
        def last_state() -> Any:
            state = start
            for block, more in zip(self.blocks, given, strict=True):
                state = self._workers.submit(partial(_ask, ask, more), block, state)
            return self._workers.gather([state])[0]

        return self._workers.repeated(last_state)

    def hold(self, make: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> WorkerParts:
        return WorkerParts(self._workers, make, self, given)

    def _compute(self, derive: Callable[[Any], Any]) -> NDArray[Any]:
        workers = self._workers

        def computed() -> Any:
            return workers.gather([workers.client.compute(derive(self.array))])[0]

        return np.asarray(workers.repeated(computed))


class WorkerParts:
    """Objects that workers hold and change in place, see `dbgsom_core.api.Partitions`.

    Dask makes a lost one again from its rows.
    """

    rereads = False

    def __init__(
        self,
        workers: Workers,
        make: Callable[..., Any],
        table: ClusterPartitions,
        given: Sequence[Any],
    ) -> None:
        self._workers, self._make, self._table, self._given = workers, make, table, given
        self.renew()
        workers.keep(self)

    def renew(self) -> None:
        self._objects = [
            self._workers.submit(partial(_make, self._make, entries), block)
            for block, entries in zip(self._table.blocks, self._given, strict=True)
        ]

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        workers, answer = self._workers, partial(_answer, question, given)

        def answers_of_all() -> list[Any]:
            return workers.gather([workers.submit(answer, one) for one in self._objects])

        return list(workers.repeated(answers_of_all))


# ------------------------------------------------------------------------------ on the workers


def _ask(ask: Callable[..., Any], given: tuple[Any, ...], block: NDArray[Any], *state: Any) -> Any:
    return ask(np.ascontiguousarray(block), *state, *given)


def _make(make: Callable[..., Any], given: tuple[Any, ...], block: NDArray[Any]) -> Any:
    return make(np.ascontiguousarray(block), *given, None, None)


def _answer(question: str, given: tuple[Any, ...], part: Any) -> Any:
    return part.answer(question, *given)
