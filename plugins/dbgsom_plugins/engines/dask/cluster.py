"""Which workers: those of a scheduler, of the current client, or of a cluster on this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

from dbgsom_core import __version__
from dbgsom_core.api import DataError, available_threads
from dbgsom_plugins.engines.dask.waiting import gone, patiently

_SECONDS = 8  # to reach a scheduler


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
        self._timeout = timeout
        self._stack = ExitStack()
        self._alike: set[str] = set()

    @cached_property
    def client(self) -> Any:
        """A client of distributed, of a cluster that has workers."""
        distributed = _distributed()
        if self._address is not None:
            client = self._connected(distributed)
        else:
            client = None if self._workers is not None else _current(distributed)
            if client is None:
                client = self._started(distributed)
        patiently(client, lambda one: one.wait_for_workers(1), self._timeout)
        _check_alike(client)
        return client

    def check_newcomers(self, there: Iterable[str]) -> None:
        """Find out whether workers that are new here run what runs here.

        Raises
        ------
        DataError
            One does not.
        """
        if not self._alike.issuperset(there):
            _check_alike(self.client)
            self._alike.update(there)

    @property
    def threads(self) -> int:
        """How many tasks run at once, where workers are there; else those are waited for.

        Raises
        ------
        DataError
            There are none.
        """
        if not self.client.nthreads():  # they all died before there was anything for them to do
            self._waited(lambda client: client.wait_for_workers(1))
        return max(1, int(sum(self.client.nthreads().values())))

    def run(self, function: Callable[..., Any], *given: Any) -> dict[str, Any]:
        """Return what all workers say, by their addresses, or the exception that one has met."""
        try:
            asked = self._waited(lambda client: client.run(function, *given, on_error="return"))
        except (CancelledError, OSError):  # nobody is there to be asked
            return {}
        return dict(asked)

    def who_has(self, futures: Sequence[Any]) -> dict[Any, Any]:
        """Return the addresses of the workers that hold what futures stand for, by their keys."""
        try:
            return dict(self._waited(lambda client: client.who_has(futures)))
        except (CancelledError, OSError):
            return {}

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        """Return what futures stand for.

        Raises
        ------
        DataError
            No worker, or no scheduler, has been there for too long.
        """
        return list(self._waited(lambda client: client.gather(futures), futures))

    def check_scheduler(self) -> None:
        """Find out whether there is a scheduler, after an error.

        Raises
        ------
        DataError
            There is none.
        """
        try:
            client = self.client
            client.sync(client.scheduler.ncores, callback_timeout=_SECONDS)
        except Exception as found:
            raise gone(self.client) from found

    def close(self) -> None:
        """Close what was opened here."""
        self._stack.close()

    def _waited(self, ask: Callable[[Any], Awaitable[Any]], futures: Sequence[Any] = ()) -> Any:
        return patiently(self.client, ask, self._timeout, futures)

    def _connected(self, distributed: Any) -> Any:
        try:
            _greet(distributed, self._address)
            client = distributed.Client(self._address, timeout=_SECONDS, set_as_default=False)
        except Exception as error:  # who is no scheduler may say anything
            raise DataError(
                f"no scheduler of dask answers at {self._address}: start one (dask scheduler), or "
                "leave engine.address out for workers on this machine"
            ) from error
        self._stack.enter_context(client)
        return client

    def _started(self, distributed: Any) -> Any:
        try:
            cluster = distributed.LocalCluster(
                n_workers=self._workers or available_threads(),
                threads_per_worker=1,
                processes=self._processes,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            raise DataError(
                f"dask could not start workers on this machine ({error}): a script that starts "
                "processes does its work under if __name__ == '__main__':, or takes "
                "processes: false for threads"
            ) from error
        self._stack.enter_context(cluster)
        client = distributed.Client(cluster, set_as_default=False)
        return self._stack.enter_context(client)


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


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise DataError(
            "engine dask needs the packages dask and distributed: pip install 'dbgsom-core[dask]'"
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


def _current(distributed: Any) -> Any:
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _versions() -> dict[str, str]:
    import dask
    import distributed

    return {
        "dbgsom-core": __version__,
        "dask": dask.__version__,
        "distributed": distributed.__version__,
    }


def _check_alike(client: Any) -> None:
    # Whether the workers that are there run what runs here.
    for worker, theirs in client.run(_versions, on_error="return").items():
        if isinstance(theirs, OSError):  # it has just gone
            continue
        if isinstance(theirs, Exception):
            raise DataError(
                f"the worker of dask at {worker} cannot use dbgsom-core "
                f"({type(theirs).__name__}: {theirs}): install version {__version__} there"
            ) from theirs
        for package, mine in _versions().items():
            if theirs[package] != mine:
                raise DataError(
                    f"the worker of dask at {worker} has {package} {theirs[package]}, and here it "
                    f"is {mine}: install the same version on both"
                )
