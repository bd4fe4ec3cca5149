"""How long an answer of a cluster is waited for: as long as somebody is there to give it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dbgsom_core.api import DataError

_LOOK = 1.0  # seconds between two looks at the cluster
_ANSWERED = 1.0  # seconds in which the scheduler answers a look, or does not
_LOST = 8.0  # seconds after which a connection to the scheduler is taken for lost
_SAID = 10.0  # seconds of waiting after which it is said, and said again
_BEGIN_AGAIN = "and begin again, or go on from a checkpoint"

log = logging.getLogger("dbgsom")


def patiently(
    client: Any,
    ask: Callable[[Any], Awaitable[Any]],
    timeout: float,
    futures: Sequence[Any] = (),
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
    absence = _Absence(client, timeout)
    try:
        while True:
            try:
                return answer.result(_LOOK)
            except TimeoutError:
                if answer.done():
                    return answer.result()
                absence.look()
    finally:
        if not answer.done():  # a gather that is cancelled itself complains in the log
            client.cancel(futures) if futures else answer.cancel()


class _Absence:
    """For how long nobody has been there."""

    def __init__(self, client: Any, timeout: float) -> None:
        self._client, self._timeout = client, timeout
        self._since = self._said = time.monotonic()

    def look(self) -> None:
        """Look whether workers are there; say it where none has been for a while, or end."""
        client, now = self._client, time.monotonic()
        is_lost = client.status != "running"
        workers = None if is_lost else _workers(client)
        if workers:
            self._since = self._said = now
            return
        address, waited = client.scheduler.address, now - self._since
        if is_lost and waited >= _LOST:
            raise gone(client)
        who = (
            f"the scheduler of dask at {address} does not answer"
            if workers is None
            else f"there is no worker of dask at {address}"
        )
        if waited >= self._timeout:
            cure = "look after it" if workers is None else f"start some (dask worker {address})"
            raise DataError(
                f"{who}, for {waited:.0f} s: {cure} {_BEGIN_AGAIN}; engine.timeout waits longer"
            )
        if now - self._said >= _SAID:
            self._said = now
            log.warning("%s, for %.0f s: the fit waits, %.0f s at most", who, waited, self._timeout)


def gone(client: Any) -> DataError:
    """Return the error of a scheduler that is no longer there."""
    address = client.scheduler.address
    return DataError(f"the scheduler of dask at {address} is gone: start it {_BEGIN_AGAIN}")


def _workers(client: Any) -> int | None:
    # How many workers there are; None: the scheduler has not said.
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=_ANSWERED))
    except (OSError, TimeoutError):
        return None
