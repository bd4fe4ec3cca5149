"""Rows as tasks of Dask, and objects that workers keep beside them.

A task for each question goes through the scheduler twice and takes four times as long as asking the
workers at once. So all are asked at once for what they are known to hold; what nobody has, because
a worker died or is new, is asked by tasks, for which Dask makes it anew.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import share
from dbgsom_plugins.engines.dask.cluster import Task, Workers

_Add = Callable[[Any, Any], Any]


class DaskShards:
    """See `dbgsom_core.api.Shards`; ``parts`` are tasks of arrays (m, D)."""

    def __init__(
        self, workers: Workers, parts: Sequence[Task], ends: Sequence[int], d: int, dtype: Any
    ) -> None:
        self._workers, self._parts = workers, list(parts)
        self.ends, self.shape, self.dtype = tuple(ends), (ends[-1], d), np.dtype(dtype)

    def take(self, rows: NDArray[np.int64]) -> DaskShards:
        """Return the shards of some rows, ascending, where they are."""
        cuts = np.searchsorted(rows, self.ends)
        parts, ends = [], [0]
        for part, (a, b) in enumerate(pairwise(cuts.tolist())):
            if a < b:
                own = rows[a:b] - self.ends[part]
                parts.append(self._workers.submit(_take, self._parts[part], own))
                ends.append(b)
        return DaskShards(self._workers, parts, ends, self.shape[1], self.dtype)

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Callable[..., Any], own: Sequence[Any]
    ) -> list[Any]:
        """Return ``ask(rows, slice(0, m), *own)`` for the rows (m, D) of each range."""
        tasks = []
        for (start, stop), one in zip(ranges, own, strict=True):
            within = list(self._within(start, stop))
            if len(within) == 1:
                part, a, b = within[0]
                given: tuple[Any, ...] = [self._parts[part]], slice(a, b)
            else:
                pieces = [
                    self._workers.submit(_take, self._parts[part], slice(a, b))
                    for part, a, b in within
                ]
                given = pieces, slice(None)
            tasks.append(self._workers.submit(_ask_rows, *given, ask, one))
        return self._workers.gather(tasks)

    def hold(self, make: Callable[..., Any], own: Sequence[Any]) -> DaskHeld:
        """Let each shard make an object, ``make(rows, *own)``."""
        return DaskHeld(self._workers, make, self._parts, own)

    def _within(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        # The parts in which rows lie, and where in them.
        part = int(np.searchsorted(self.ends, start, "right")) - 1
        while start < stop:
            first, last = self.ends[part], min(stop, self.ends[part + 1])
            yield part, start - first, last - first
            start, part = last, part + 1


class DaskHeld:
    """See `dbgsom_core.api.Shards`: objects that workers keep, and change in place."""

    def __init__(
        self, workers: Workers, make: Callable[..., Any], parts: Sequence[Task], own: Sequence[Any]
    ) -> None:
        self._workers = workers
        self._objects = {
            name: workers.submit(_keep, name, make, part, one)
            for part, one in zip(parts, own, strict=True)
            for name in [uuid.uuid4().hex]
        }
        # Which worker is asked about which objects; None: it is to be found out.
        self._at: dict[str, list[str]] | None = {}

    def ask(self, question: str, *given: Any, add: _Add | None) -> list[Any]:
        """See `dbgsom_core.api.Shards`."""
        answers: list[tuple[list[str], Any]] = []
        if self._at is None:
            self._at = self._locate()
        if self._at:
            at = self._at
            of_workers = self._workers.ask(
                lambda client: client.run(_answers, at, question, given, add, on_error="return")
            )
            for of_worker in of_workers.values():
                if not isinstance(of_worker, Exception):
                    answers.extend(of_worker)
        answered = {name for names, _ in answers for name in names}
        left = [name for name in self._objects if name not in answered]
        if left:
            self._at = None
            tasks = [
                self._workers.submit(_answer, self._objects[name], question, given) for name in left
            ]
            of_tasks = zip(left, self._workers.gather(tasks), strict=True)
            answers.extend(([name], answer) for name, answer in of_tasks)
        if add is None:
            by_name = {names[0]: answer for names, answer in answers}
            return [by_name[name] for name in self._objects]
        return [answer for _, answer in answers]

    def _locate(self) -> dict[str, list[str]]:
        # Where objects are: of several places, that with the fewest of them.
        futures = {name: task.future for name, task in self._objects.items()}
        has = self._workers.ask(lambda client: client.who_has(list(futures.values())))
        at: dict[str, list[str]] = {}
        for name, future in futures.items():
            addresses = has.get(future.key, ())
            if addresses:
                least = min(addresses, key=lambda address: (len(at.get(address, ())), address))
                at.setdefault(least, []).append(name)
        return at


# ------------------------------------------------------------------------------ on the workers

_HERE: WeakValueDictionary[str, Kept] = WeakValueDictionary()


class Kept:
    """An object that can be found by its name on the worker that has it."""

    def __init__(self, name: str, holder: Any) -> None:
        self.name, self.holder = name, holder
        _HERE[name] = self

    def __reduce__(self) -> Any:
        return Kept, (self.name, self.holder)

    def __sizeof__(self) -> int:
        return sys.getsizeof(self.holder)


def _take(X: NDArray[Any], rows: Any) -> NDArray[Any]:
    return np.asarray(X[rows])


def _ask_rows(pieces: Sequence[Any], rows: slice, ask: Callable[..., Any], own: Any) -> Any:
    X = (pieces[0] if len(pieces) == 1 else np.concatenate(pieces))[rows]
    return ask(X, slice(0, len(X)), *own)


def _keep(name: str, make: Callable[..., Any], rows: Any, own: tuple[Any, ...]) -> Kept:
    return Kept(name, make(rows, *own))


def _answer(kept: Kept, question: str, given: tuple[Any, ...]) -> Any:
    _HERE[kept.name] = kept
    return kept.holder.answer(question, *given)


async def _answers(
    at: dict[str, list[str]],
    question: str,
    given: tuple[Any, ...],
    add: _Add | None,
    dask_worker: Any = None,
) -> list[tuple[list[str], Any]]:
    # What the objects that are here answer, or the sum of that, with their names.
    here = [_HERE[name] for name in at.get(dask_worker.address, ()) if name in _HERE]
    answers: list[Any] = [None] * len(here)

    def work(worker: int, task: int) -> None:
        answers[task] = here[task].holder.answer(question, *given)

    loop, threads = asyncio.get_running_loop(), dask_worker.state.nthreads
    await loop.run_in_executor(None, share, min(threads, len(here)), len(here), work)
    names = [kept.name for kept in here]
    if add is None or not here:
        return [([name], answer) for name, answer in zip(names, answers, strict=True)]
    return [(names, reduce(add, answers))]
