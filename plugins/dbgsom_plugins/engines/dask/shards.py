"""Shards as tasks of Dask: what a worker lost is computed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_plugins.engines.dask.cluster import Workers
from dbgsom_plugins.engines.dask.held import DaskHeld
from dbgsom_plugins.engines.dask.tasks import Task, gathered, submitted


class DaskShards:
    """See `dbgsom_core.api.Shards`; ``parts`` are tasks of arrays (m, D)."""

    def __init__(
        self, workers: Workers, parts: Sequence[Task], ends: Sequence[int], d: int, dtype: Any
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

    def spread(self, values: NDArray[Any]) -> list[Task]:
        """Return tasks of the values (n,) beside the rows of each shard."""
        return [submitted(self._workers, _same, values[a:b]) for a, b in pairwise(self.ends)]

    def hold(self, make: Callable[[NDArray[Any]], Any]) -> DaskHeld:
        """Let each shard make an object of its rows."""
        return DaskHeld(self._workers, make, self._parts)

    def _within(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        # The parts in which rows lie, and where in them.
        part = int(np.searchsorted(self.ends, start, "right")) - 1
        while start < stop:
            first, last = self.ends[part], min(stop, self.ends[part + 1])
            yield part, start - first, last - first
            start, part = last, part + 1


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
