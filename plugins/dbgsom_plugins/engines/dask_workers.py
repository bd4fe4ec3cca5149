"""Workers of a Dask cluster, and rows that they hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import dask
import distributed
import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_plugins.engines.dask_partitions import DaskPartitions, ask_block

_SECONDS = 8  # to reach a scheduler
_POLL = 1.0  # seconds between two looks for workers


@contextmanager
def connect(address: str | None, n_workers: int | None, timeout: float) -> Iterator[Workers]:
    """Provide the workers of a scheduler, of a cluster that ends with it, or of the current client.

    Parameters are those of `DaskEngine`.
    """
    # An array of this process has to travel, of which dask warns.
    travels = {"distributed.admin.large-graph-warning-threshold": "1PB"}
    with dask.config.set(travels), ExitStack() as stack:
        options: dict[str, Any] = {"timeout": _SECONDS, "set_as_default": False}
        if address is None:
            options |= {"n_workers": n_workers, "threads_per_worker": 1}
            options |= {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
        try:
            if address is None and n_workers is None:
                client = distributed.default_client()
            else:
                client = stack.enter_context(distributed.Client(address, **options))
            client.wait_for_workers(1, timeout)
            client.get_versions(check=True, packages=["dbgsom_core"])  # warns
        except Exception as error:
            raise DataError(
                f"dask has no workers at {address or 'this machine'} ({error}): start a scheduler "
                "and workers before; a script that starts processes does its work under "
                "if __name__ == '__main__':"
            ) from error
        yield Workers(client, timeout)


@dataclass(frozen=True)
class Workers:
    """The client of a cluster; ``timeout`` is as of `DaskEngine`."""

    client: Any
    timeout: float

    def gather(self, futures: Sequence[Any]) -> list[Any]:
        """Return the results of futures; DataError where none can come.

        Without a worker Dask would wait for ever.
        """
        seen = time.monotonic()
        try:
            while not self._are_done(futures):
                now = time.monotonic()
                if self.client.nthreads():
                    seen = now
                elif now - seen > self.timeout:
                    raise DataError(
                        f"there is no worker of dask at {self.client.scheduler.address}, for "
                        f"{now - seen:.0f} s: start it, and go on from a checkpoint; "
                        "engine.timeout waits longer"
                    )
            return list(self.client.gather(futures))
        except (distributed.KilledWorker, CancelledError, OSError) as error:
            raise DataError(
                f"the cluster of dask gave up ({type(error).__name__}: {error}); begin again, or "
                "go on from a checkpoint; a smaller engine.shard takes less memory"
            ) from error

    def _are_done(self, futures: Sequence[Any]) -> bool:
        try:
            with self.client.as_current():
                distributed.wait(futures, _POLL)
        except TimeoutError:
            return False
        return True


class WorkerPartitions(DaskPartitions):
    """Rows that the workers of a cluster hold; Dask makes lost ones again from their source."""

    def __init__(self, array: Any, mib: float, workers: Workers) -> None:
        super().__init__(array, mib)
        self._workers = workers
        self.array = workers.client.persist(self.array)
        self._blocks = workers.client.compute(self.array.to_delayed()[:, 0].tolist())

    def _with(self, array: Any) -> WorkerPartitions:
        return WorkerPartitions(array, self._mib, self._workers)

    def _submit(self, ask: Any, given: tuple[Any, ...], block: Any, *state: Any) -> Any:
        # Other arguments are bound: Dask looks into tuples.
        return self._workers.client.submit(
            partial(ask_block, ask, given), block, *state, pure=False
        )

    def each(
        self,
        ask: Callable[..., Any],
        given: Sequence[tuple[Any, ...]],
        keep: Callable[[slice, Any], None] | None = None,
    ) -> list[Any]:
        questions = zip(self._blocks, given, strict=True)
        futures = [self._submit(ask, entries, block) for block, entries in questions]
        answers = self._workers.gather(futures)
        if keep is not None:
            for rows, answer in zip(pairwise(self.ends), answers, strict=True):
                keep(slice(*rows), answer)
        return answers

    def fold(self, ask: Callable[..., Any], start: Any, given: Sequence[tuple[Any, ...]]) -> Any:
        state = start
        for block, entries in zip(self._blocks, given, strict=True):
            state = self._submit(ask, entries, block, state)
        return self._workers.gather([state])[0]

    def hold(self, make: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> WorkerParts:
        parts = []
        for block, entries in zip(self._blocks, given, strict=True):
            parts.append(self._submit(make, (*entries, None, None), block))
        return WorkerParts(self._workers, parts)

    def _compute(self, array: Any) -> NDArray[Any]:
        return np.asarray(self._workers.gather([self._workers.client.compute(array)])[0])


@dataclass(frozen=True)
class WorkerParts:
    """Objects that workers hold and change in place, see `dbgsom_core.api.Partitions`.

    Dask makes a lost one again from its rows.
    """

    workers: Workers
    parts: Sequence[Any]
    rereads = False

    def ask(self, question: str, *given: Any, add: Callable[[Any, Any], Any] | None) -> list[Any]:
        answer, client = partial(_answer, question, given), self.workers.client
        return self.workers.gather([client.submit(answer, part, pure=False) for part in self.parts])


def _answer(question: str, given: tuple[Any, ...], part: Any) -> Any:
    return part.answer(question, *given)
