"""Which workers: those of a scheduler, of the current client, or of a cluster on this machine.

They are waited for as long as somebody is there to give an answer, and calls on them outlive them.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from importlib.metadata import version
from typing import Any

from dbgsom_core import __version__
from dbgsom_core.api import DataError, available_threads

_SECONDS = 8  # to reach a scheduler
_LOOK = 1.0  # seconds between two looks at the cluster
_ANSWERED = 1.0  # seconds in which the scheduler answers a look, or does not
_LOST = 8.0  # seconds after which a connection to the scheduler is taken for lost
_SAID = 10.0  # seconds of waiting after which it is said, and said again
_RESTARTS = 100  # of the cluster while one answer is waited for
_BEGIN_AGAIN = "and begin again, or go on from a checkpoint"

# What workers on this machine watch of themselves takes 7 % of a core otherwise.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "1s",
}

log = logging.getLogger("dbgsom")


class Task:
    """A future of Dask, and how it is had again.

    What a worker lost Dask computes anew from its graph. What the scheduler forgot, as it does
    where somebody restarts the cluster, is asked for anew here, by ``make()``.
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
    """The client of a cluster, reached when it is first asked for.

    Parameters
    ----------
    address, workers, processes
        See `DaskEngine`.
    timeout : float
        Seconds that an answer is waited for while nobody is there to give it.
    """

    def __init__(
        self, address: str | None, workers: int | None, processes: bool, timeout: float
    ) -> None:
        self._address, self._workers, self._processes = address, workers, processes
        self._timeout, self._stack = timeout, ExitStack()

    @cached_property
    def client(self) -> Any:
        """A client of distributed, of a cluster that has workers."""
        distributed, client = _distributed(), None
        if self._address is None and self._workers is None:
            with suppress(ValueError):  # there is none
                client = distributed.default_client()
        client = client or self._opened(distributed)
        patiently(client, lambda one: one.wait_for_workers(1), self._timeout)
        _check_alike(client)
        return client

    @property
    def threads(self) -> int:
        """How many tasks run at once, where workers are there; else those are waited for."""
        if not self.client.nthreads():  # they all died before there was anything for them to do
            self._waited(lambda client: client.wait_for_workers(1))
        return max(1, int(sum(self.client.nthreads().values())))

    def run(self, function: Callable[..., Any], *given: Any) -> dict[str, Any]:
        """Return what all workers say, by their addresses, or the exception that one has met."""
        return self._asked(lambda client: client.run(function, *given, on_error="return"))

    def who_has(self, futures: Sequence[Any]) -> dict[Any, Any]:
        """Return the addresses of the workers that hold what futures stand for, by their keys."""
        return self._asked(lambda client: client.who_has(futures))

    def _asked(self, ask: Callable[[Any], Awaitable[Any]]) -> dict[Any, Any]:
        try:
            return dict(self._waited(ask))
        except (CancelledError, OSError):  # nobody is there to be asked
            return {}

    def submitted(self, function: Callable[..., Any], *given: Any) -> Task:
        """Return the task of a call, given tasks and lists of them among others; no other's."""

        def make() -> Any:
            key = f"dbgsom-{function.__name__.strip('_')}-{uuid.uuid4().hex}"
            with warnings.catch_warnings():  # an array that is in this process has to travel
                warnings.filterwarnings("ignore", "Sending large graph")
                return self.client.submit(function, *map(_futures, given), key=key)

        return Task(make)

    def computed(self, delayed: Sequence[Any]) -> list[Task]:
        """Return the tasks of what `dask.delayed` describes."""
        futures = self.client.compute(list(delayed))
        return [
            Task(lambda one=one: self.client.compute(one), future)  # type: ignore[misc]
            for one, future in zip(delayed, futures, strict=True)
        ]

    def gathered(self, tasks: Sequence[Task]) -> list[Any]:
        """Return what calls return, also where the cluster is restarted meanwhile.

        Raises
        ------
        DataError
            The cluster cannot say: nobody has been there for too long, or a task kills workers.
        """
        from distributed import KilledWorker

        for _ in range(_RESTARTS):
            futures: list[Any] = []
            try:
                futures = [task.future for task in tasks]
                return list(self._waited(lambda client, f=futures: client.gather(f), futures))  # type: ignore[misc]
            except KilledWorker as error:
                raise DataError(
                    "workers of dask died again and again over one task "
                    f"({error.last_worker.address} was the last): give them more memory, or make "
                    "engine.shard smaller"
                ) from error
            except (CancelledError, OSError):
                if any(future.status == "error" for future in futures):
                    raise
                try:
                    client = self.client
                    client.sync(client.scheduler.ncores, callback_timeout=_SECONDS)
                except Exception as found:
                    raise gone(self.client) from found
        raise DataError(
            f"the cluster of dask was restarted {_RESTARTS} times before it answered: begin again"
        )

    def close(self) -> None:
        """Close what was opened here."""
        self._stack.close()

    def _waited(self, ask: Callable[[Any], Awaitable[Any]], futures: Sequence[Any] = ()) -> Any:
        return patiently(self.client, ask, self._timeout, futures)

    def _opened(self, distributed: Any) -> Any:
        # Of the scheduler at the address, or of a cluster on this machine.
        import dask

        there: Any = self._address
        if there is not None:
            try:
                _greet(distributed, there)
                client = distributed.Client(there, timeout=_SECONDS, set_as_default=False)
            except Exception as error:  # who is no scheduler may say anything
                raise DataError(
                    f"no scheduler of dask answers at {there}: start one (dask scheduler), or "
                    "leave engine.address out for workers on this machine"
                ) from error
            return self._stack.enter_context(client)
        try:
            with dask.config.set(_QUIET):
                there = distributed.LocalCluster(
                    n_workers=self._workers or available_threads(),
                    threads_per_worker=1,
                    processes=self._processes,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
        except RuntimeError as error:
            raise DataError(
                f"dask could not start workers on this machine ({error}): a script that starts "
                "processes does its work under if __name__ == '__main__':, or takes "
                "processes: false for threads"
            ) from error
        self._stack.enter_context(there)
        return self._stack.enter_context(distributed.Client(there, set_as_default=False))


_SESSION: ContextVar[Workers | None] = ContextVar("dbgsom_dask", default=None)


def current() -> Workers | None:
    """Return the workers of the session that one is in, or None."""
    return _SESSION.get()


@contextmanager
def session(
    address: str | None, workers: int | None, processes: bool, timeout: float
) -> Iterator[None]:
    """Keep workers at hand; within another session its own are used."""
    if current() is not None:
        yield
        return
    mine = Workers(address, workers, processes, timeout)
    token = _SESSION.set(mine)
    try:
        _distributed()
        if address is not None:
            mine.client  # noqa: B018 # nobody is to wait for data to hear of a wrong address
        yield
    finally:
        _SESSION.reset(token)
        mine.close()


def _futures(given: Any) -> Any:
    if isinstance(given, Task):
        return given.future
    if isinstance(given, list) and given and isinstance(given[0], Task):
        return [task.future for task in given]
    return given


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise DataError(
            "engine dask needs the packages dask and distributed: pip install '.[dask]'"
        ) from error
    return distributed


def _greet(distributed: Any, address: str | None) -> None:
    # A client waits for ever (dask 2026.8) where somebody listens who says nothing.
    if address is None or address.startswith("inproc:"):
        return

    async def greeted() -> None:
        known = distributed.Security().get_connection_args("client")
        there = await distributed.comm.connect(address, timeout=_SECONDS, **known)
        await there.close()

    with ThreadPoolExecutor(1) as apart:  # a notebook has a loop of its own in this thread
        apart.submit(asyncio.run, asyncio.wait_for(greeted(), _SECONDS)).result()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("dbgsom-core", "dask", "distributed")}


def _check_alike(client: Any) -> None:
    # Whether the workers that are there run what runs here.
    here = _versions()
    for worker, theirs in client.run(_versions, on_error="return").items():
        if isinstance(theirs, OSError):  # it has just gone
            continue
        if isinstance(theirs, Exception):
            raise DataError(
                f"the worker of dask at {worker} cannot use dbgsom-core "
                f"({type(theirs).__name__}: {theirs}): install version {__version__} there"
            ) from theirs
        for package, mine in here.items():
            if theirs[package] != mine:
                raise DataError(
                    f"the worker of dask at {worker} has {package} {theirs[package]}, and here it "
                    f"is {mine}: install the same version on both"
                )


# -------------------------------------------------------------------------------- waiting


def patiently(
    client: Any, ask: Callable[[Any], Awaitable[Any]], timeout: float, futures: Sequence[Any] = ()
) -> Any:
    """Return what ``ask(client)`` comes to, or end where nobody was there for ``timeout`` seconds.

    An answer may take as long as it likes while workers are there; while none is, Dask would wait
    for ever, and say nothing. Where it is no longer waited for, ``futures`` are cancelled.

    Raises
    ------
    DataError
        There has been no worker, or no answer of the scheduler, for so long; or the connection to
        the scheduler has been lost for 8 seconds.
    """

    async def asked() -> Any:
        return await ask(client)

    answer = asyncio.run_coroutine_threadsafe(asked(), client.loop.asyncio_loop)
    since = said = time.monotonic()
    try:
        while True:
            try:
                return answer.result(_LOOK)
            except TimeoutError:
                if answer.done():
                    return answer.result()
            now, is_lost = time.monotonic(), client.status != "running"
            who = None if is_lost else _missing(client)
            if not is_lost and who is None:
                since = said = now
                continue
            if is_lost and now - since >= _LOST:
                raise gone(client)
            who = who or f"the scheduler of dask at {client.scheduler.address} does not answer"
            if now - since >= timeout:
                raise DataError(
                    f"{who}, for {now - since:.0f} s: look after it, or start workers (dask worker "
                    f"{client.scheduler.address}), {_BEGIN_AGAIN}; engine.timeout waits longer"
                )
            if now - said >= _SAID:
                said, waited = now, now - since
                log.warning("%s, for %.0f s: the fit waits, %.0f s at most", who, waited, timeout)
    finally:
        if not answer.done():  # a gather that is cancelled itself complains in the log
            client.cancel(futures) if futures else answer.cancel()


def gone(client: Any) -> DataError:
    """Return the error of a scheduler that is no longer there."""
    address = client.scheduler.address
    return DataError(f"the scheduler of dask at {address} is gone: start it {_BEGIN_AGAIN}")


def _missing(client: Any) -> str | None:
    # Who is not there; None: workers are.
    address = client.scheduler.address
    try:
        workers = client.sync(client.scheduler.ncores, callback_timeout=_ANSWERED)
    except (OSError, TimeoutError):
        return f"the scheduler of dask at {address} does not answer"
    return None if workers else f"there is no worker of dask at {address}"
