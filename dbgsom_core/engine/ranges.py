"""Rows that may be elsewhere: fixed ranges of them are asked, however they are divided."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.workers import share

# What is asked of some rows of X (n, D), with their own weights (m,) or None.
Ask = Callable[[Any, slice, Any], Any]
# The ranges of rows, as (start, stop), and what is asked of each.
Question = tuple[list[tuple[int, int]], Ask]
# Adds an answer to another.
Add = Callable[[Any, Any], Any]


class Elsewhere(ABC):
    """Rows that are not in this process."""

    @abstractmethod
    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Ask, own: Sequence[Any]
    ) -> list[Any]:
        """Ask of the rows of each range, with what is their ``own``, where they are."""


def each_range(
    X: Any,
    ranges: Sequence[tuple[int, int]],
    ask: Ask,
    threads: int,
    weights: NDArray[np.float64] | None = None,
) -> list[Any]:
    """Return ``ask(X, rows, weights of rows)`` for the rows of each range (start, stop).

    Of an X that is `Elsewhere` rows are asked where they are: ``ask`` is then pickled, and its X an
    array of the rows of one range. Of a table that is best read ``in_order`` one range is asked
    after the other.
    """
    own = [None if weights is None else weights[start:stop] for start, stop in ranges]
    if isinstance(X, Elsewhere):
        return X.each_range(ranges, ask, own)
    answers: list[Any] = [None] * len(ranges)

    def work(worker: int, task: int) -> None:
        answers[task] = ask(X, slice(*ranges[task]), own[task])

    share(1 if getattr(X, "in_order", False) else threads, len(ranges), work)
    return answers


def each_of(asks: Sequence[Ask], X: Any, rows: slice, which: int) -> Any:
    """Ask one of several questions: so all are asked at once."""
    return asks[which](X, rows, None)


class Held(Protocol):
    """Objects, one for each shard, where its rows are."""

    def ask(
        self,
        question: str,
        *given: Any,
        own: dict[str, Any],
        among: Sequence[int] | None = None,
        add: Add | None = None,
    ) -> list[Any]:
        """Return ``answer(question, *given, **own)`` of each object, or of those ``among`` them.

        What is ``own`` was spread over the shards. Where ``add`` is given answers add up exactly
        and are wanted as one sum: they may be added up on the way, in any order; None is no answer
        of an object that is new, and makes the sum None.
        """


class Shards(Protocol):
    """Rows (n, D) of float32 or float64 in shards that are elsewhere, on workers of a cluster say.

    Functions and what they are given are pickled. A shard that is lost is made anew from where its
    rows came from.

    Attributes
    ----------
    shape : (n, D)
    dtype : numpy.dtype
    ends : tuple of int
        The rows at which shards begin, and n.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ends: tuple[int, ...]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows, brought here."""

    def picked(self, rows: NDArray[np.int64]) -> Shards:
        """Return the shards of some rows, ascending, where they are."""

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Ask, own: Sequence[Any]
    ) -> list[Any]:
        """Return ``ask(rows, slice(0, m), own)`` for the rows (m, D) of each range."""

    def spread(self, values: NDArray[Any]) -> Any:
        """Return a token for values (n,) that are beside the rows of each shard."""

    def hold(self, make: Callable[[NDArray[Any]], Any]) -> Held:
        """Let each shard make an object of its rows, and of them again where it was lost."""
