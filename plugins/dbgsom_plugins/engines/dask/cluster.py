"""The client of a Dask cluster: calls that outlive workers, and waiting for these."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from importlib.metadata import version
from typing import Any

from dbgsom_core.api import DataError, available_threads

_SECONDS = 8  # to reach a scheduler
_LOOK = 1.0  # seconds between two looks at the cluster, in which the scheduler answers or does not
_SAID = 10.0  # seconds of waiting after which a warning is logged, again and again
_RESTARTS = 100  # of the cluster while one answer is waited for

# What workers on this machine watch of themselves takes 7 % of a core otherwise.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
}

log = logging.getLogger("dbgsom")


class Task:
    """A future of Dask, and how to get it again.

    What a worker lost Dask computes anew from its graph. What the scheduler forgot, as it does
    where somebody restarts the cluster, is submitted anew here, by ``make()``.
    """

    def __init__(self, make: Callable[[], Any], future: Any = None) -> None:
        self._make, self._future = make, make() if future is None else future

    @property
    def future(self) -> Any:
        """The future: a new one where the cluster forgot the one before."""
        if self._future.status == "cancelled":
            self._future = self._make()
        return self._future


class Workers:
    """The client of a cluster, reached when it is first needed; parameters as of `DaskEngine`."""

    def __init__(
        self, address: str | None, workers: int | None, processes: bool, timeout: float
    ) -> None:
        self._address, self._workers, self._processes = address, workers, processes
        self._timeout, self._stack = timeout, ExitStack()

    @cached_property
    def client(self) -> Any:
        """A client of distributed, of a cluster that has workers."""
        import distributed

        client = None
        if self._address is None and self._workers is None:
            with suppress(ValueError):  # there is none
                client = distributed.default_client()
        client = client or self._connect(distributed)
        wait_for(client, lambda one: one.wait_for_workers(1), self._timeout)
        here = _versions()
        for worker, theirs in client.run(_versions, on_error="return").items():
            if theirs != here and not isinstance(theirs, OSError):  # or it has just gone
                raise DataError(
                    f"the worker of dask at {worker} has {theirs}, and here it is {here}: install "
                    "the same versions on both"
                )
        return client

    @property
    def threads(self) -> int:
        """How many tasks run at once, where workers are there; else those are waited for."""
        if not self.client.nthreads():  # all died before there was anything to do
            self.wait(lambda client: client.wait_for_workers(1))
        return max(1, int(sum(self.client.nthreads().values())))

    def ask(self, ask: Callable[[Any], Awaitable[Any]]) -> dict[Any, Any]:
        """Return the mapping that ``ask(client)`` gives; empty where nobody is there to answer."""
        try:
            return dict(self.wait(ask))
        except (CancelledError, OSError):
            return {}

    def submit(self, function: Callable[..., Any], *given: Any) -> Task:
        """Return the task of a call, given tasks and lists of them among others."""

        def make() -> Any:
            key = f"dbgsom-{function.__name__.strip('_')}-{uuid.uuid4().hex}"
            with warnings.catch_warnings():  # an array that is in this process has to travel
                warnings.filterwarnings("ignore", "Sending large graph")
                return self.client.submit(function, *map(_futures, given), key=key)

        return Task(make)

    def compute(self, delayed: Sequence[Any]) -> list[Task]:
        """Return the tasks of what `dask.delayed` describes."""
        futures = self.client.compute(list(delayed))
        return [
            Task(lambda one=one: self.client.compute(one), future)  # type: ignore[misc]
            for one, future in zip(delayed, futures, strict=True)
        ]

    def gather(self, tasks: Sequence[Task]) -> list[Any]:
        """Return what calls return, also where the cluster is restarted meanwhile.

        Raises
        ------
        DataError
            Nobody has been there for too long, or a task kills workers.
        """
        from distributed import KilledWorker

        for _ in range(_RESTARTS):
            futures: list[Any] = []
            try:
                futures = [task.future for task in tasks]
                return list(self.wait(lambda client, f=futures: client.gather(f), futures))  # type: ignore[misc]
            except KilledWorker as error:
                raise DataError(
                    "workers of dask died again and again over one task "
                    f"({error.last_worker.address} was the last): give them more memory, or make "
                    "engine.shard smaller"
                ) from error
            except (CancelledError, OSError):
                if any(future.status == "error" for future in futures):
                    raise
        raise DataError(
            f"the cluster of dask was restarted {_RESTARTS} times before it answered: begin again"
        )

    def wait(self, ask: Callable[[Any], Awaitable[Any]], futures: Sequence[Any] = ()) -> Any:
        """Return what ``ask(client)`` comes to, see `wait_for`."""
        return wait_for(self.client, ask, self._timeout, futures)

    def close(self) -> None:
        """Close what was opened here."""
        self._stack.close()

    def _connect(self, distributed: Any) -> Any:
        # To the scheduler at the address, or to a cluster on this machine.
        import dask

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
            hint = (
                "a script that starts processes does its work under if __name__ == '__main__':, or "
                "takes processes: false for threads"
                if self._address is None
                else "start one (dask scheduler), or leave engine.address out for workers on this "
                "machine"
            )
            what = (
                "dask could not start workers on this machine"
                if self._address is None
                else f"no scheduler of dask answers at {self._address}"
            )
            raise DataError(f"{what} ({error}): {hint}") from error


_SESSION: ContextVar[Workers | None] = ContextVar("dbgsom_dask", default=None)


def current() -> Workers | None:
    """Return the workers of the session that this code runs in, or None."""
    return _SESSION.get()


@contextmanager
def session(
    address: str | None, workers: int | None, processes: bool, timeout: float
) -> Iterator[None]:
    """Keep workers for the length of a fit; a session within another one uses its workers."""
    if current() is not None:
        yield
        return
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise DataError(
            "engine dask needs the packages dask and distributed: pip install '.[dask]'"
        ) from error
    mine = Workers(address, workers, processes, timeout)
    token = _SESSION.set(mine)
    try:
        if address is not None:
            mine.client  # noqa: B018 # a wrong address is known before data are read
        yield
    finally:
        _SESSION.reset(token)
        mine.close()


def _futures(given: Any) -> Any:
    if isinstance(given, list) and given and isinstance(given[0], Task):
        return [task.future for task in given]
    return given.future if isinstance(given, Task) else given


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("dbgsom-core", "dask", "distributed")}


def wait_for(
    client: Any, ask: Callable[[Any], Awaitable[Any]], timeout: float, futures: Sequence[Any] = ()
) -> Any:
    """Return what ``ask(client)`` comes to, or end where nobody was there for ``timeout`` seconds.

    An answer may take as long as it likes while workers are there; while none is, Dask would wait
    for ever, and say nothing. Where it is no longer waited for, ``futures`` are cancelled.

    Raises
    ------
    DataError
        There has been no worker, or no answer of the scheduler, for so long.
    """

    async def answer_of() -> Any:
        return await ask(client)

    answer = asyncio.run_coroutine_threadsafe(answer_of(), client.loop.asyncio_loop)
    since = said = time.monotonic()
    try:
        while True:
            try:
                return answer.result(_LOOK)
            except TimeoutError:
                if answer.done():
                    return answer.result()
            now, missing = time.monotonic(), _missing(client)
            if missing is None:
                since = said = now
                continue
            if now - since >= timeout:
                raise DataError(
                    f"{missing}, for {now - since:.0f} s: start it, or workers (dask worker "
                    f"{client.scheduler.address}), and begin again, or go on from a checkpoint; "
                    "engine.timeout waits longer"
                )
            if now - said >= _SAID:
                said, waited = now, now - since
                log.warning(
                    "%s, for %.0f s: the fit waits, %.0f s at most", missing, waited, timeout
                )
    finally:
        if not answer.done():  # a gather that is cancelled itself complains in the log
            client.cancel(futures) if futures else answer.cancel()


def _missing(client: Any) -> str | None:
    # What is missing of a cluster that can work; None: nothing.
    address, workers = client.scheduler.address, None
    if client.status == "running":
        with suppress(OSError, TimeoutError):
            workers = client.sync(client.scheduler.ncores, callback_timeout=_LOOK)
    if workers is None:
        return f"the scheduler of dask at {address} does not answer"
    return None if workers else f"there is no worker of dask at {address}"
