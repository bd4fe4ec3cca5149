"""Shards as futures of Dask: what a worker lost is computed anew from its task."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_plugins.engines.dask.cluster import Workers

_NUMBERS = itertools.count()


class DaskShards:
    """See `dbgsom_core.api.Shards`; ``parts`` are futures of arrays (m, D)."""

    def __init__(
        self, workers: Workers, parts: Sequence[Any], ends: Sequence[int], d: int, dtype: Any
    ) -> None:
        self._workers, self._parts = workers, list(parts)
        self.ends, self.shape, self.dtype = tuple(ends), (ends[-1], d), np.dtype(dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows, brought here."""
        if start >= stop:
            return np.empty((0, self.shape[1]), self.dtype)
        found = [
            submitted(self._workers, _rows, self._parts[part], a, b)
            for part, a, b in self._within(start, stop)
        ]
        return np.concatenate(gathered(self._workers, found))

    def picked(self, rows: NDArray[np.int64]) -> DaskShards:
        """Return the shards of some rows, ascending, where they are."""
        cuts = np.searchsorted(rows, self.ends)
        parts, ends = [], [0]
        for part, (a, b) in enumerate(pairwise(cuts.tolist())):
            if a < b:
                own = rows[a:b] - self.ends[part]
                parts.append(submitted(self._workers, _taken, self._parts[part], own))
                ends.append(b)
        return DaskShards(self._workers, parts, ends, self.shape[1], self.dtype)

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Callable[..., Any], own: Sequence[Any]
    ) -> list[Any]:
        """Return ``ask(rows, slice(0, m), own)`` for the rows (m, D) of each range."""
        inside: dict[int, list[int]] = {}
        places, futures = [], []
        for number, (start, stop) in enumerate(ranges):
            within = list(self._within(start, stop))
            if len(within) == 1:
                inside.setdefault(within[0][0], []).append(number)
                continue
            pieces = [
                submitted(self._workers, _rows, self._parts[part], a, b) for part, a, b in within
            ]
            places.append([number])
            futures.append(submitted(self._workers, _asked_together, pieces, ask, own[number]))
        for part, numbers in inside.items():
            first = self.ends[part]
            cuts = [(ranges[i][0] - first, ranges[i][1] - first, own[i]) for i in numbers]
            places.append(numbers)
            futures.append(submitted(self._workers, _asked, self._parts[part], cuts, ask))
        answers: list[Any] = [None] * len(ranges)
        for numbers, told in zip(places, gathered(self._workers, futures), strict=True):
            for number, answer in zip(numbers, told, strict=True):
                answers[number] = answer
        return answers

    def spread(self, values: NDArray[Any]) -> list[Any]:
        """Return futures of the values (n,) beside the rows of each shard."""
        return [submitted(self._workers, _same, values[a:b]) for a, b in pairwise(self.ends)]

    def hold(self, make: Callable[[NDArray[Any]], Any]) -> DaskHeld:
        """Let each shard make an object of its rows."""
        return DaskHeld(self._workers, [submitted(self._workers, make, p) for p in self._parts])

    def _within(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        # The parts in which rows lie, and where in them.
        part = int(np.searchsorted(self.ends, start, "right")) - 1
        while start < stop:
            first, last = self.ends[part], min(stop, self.ends[part + 1])
            yield part, start - first, last - first
            start, part = last, part + 1


class DaskHeld:
    """See `dbgsom_core.api.Held`: objects that workers keep, and change in place."""

    def __init__(self, workers: Workers, objects: Sequence[Any]) -> None:
        self._workers, self._objects = workers, objects

    def ask(
        self, question: str, *given: Any, own: dict[str, Any], among: Sequence[int] | None = None
    ) -> list[Any]:
        """Return ``answer(question, *given, **own)`` of each object, or of those ``among`` them."""
        which = range(len(self._objects)) if among is None else among
        futures = [
            submitted(
                self._workers, _answer, self._objects[i], question, given,
                **{name: spread[i] for name, spread in own.items()},
            )
            for i in which
        ]  # fmt: skip
        return gathered(self._workers, futures)


def submitted(workers: Workers, function: Callable[..., Any], *given: Any, **own: Any) -> Any:
    """Return the future of a call; no other call shares it."""
    name = getattr(function, "__name__", type(function).__name__).strip("_")
    key = f"dbgsom-{name}-{next(_NUMBERS)}-{uuid.uuid4().hex[:12]}"
    return workers.client.submit(function, *given, key=key, **own)


def gathered(workers: Workers, futures: Sequence[Any]) -> list[Any]:
    """Return what futures hold.

    Raises
    ------
    DataError
        The cluster cannot say.
    """
    from distributed import KilledWorker

    try:
        return list(workers.client.gather(list(futures)))
    except KilledWorker as error:
        raise DataError(
            f"workers of dask died again and again over one task ({error.last_worker.address} was "
            "the last): give them more memory, or make engine.shard smaller"
        ) from error
    except (CancelledError, OSError) as error:
        raise DataError(
            f"the scheduler of dask is gone ({type(error).__name__}: {error}): start it and begin "
            "again, or go on from a checkpoint"
        ) from error


# ------------------------------------------------------------------------------ on the workers


def _rows(X: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    return X[start:stop]


def _taken(X: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    return X[rows]


def _same(values: Any) -> Any:
    return values


def _asked(X: NDArray[Any], cuts: Sequence[Any], ask: Callable[..., Any]) -> list[Any]:
    return [ask(X[a:b], slice(0, b - a), own) for a, b, own in cuts]


def _asked_together(pieces: Sequence[Any], ask: Callable[..., Any], own: Any) -> list[Any]:
    X = np.concatenate(pieces)
    return [ask(X, slice(0, len(X)), own)]


def _answer(holder: Any, question: str, given: tuple[Any, ...], **own: Any) -> Any:
    return holder.answer(question, *given, **own)
