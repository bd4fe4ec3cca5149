"""The rows of shards as a table, and what is known of all of them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import islice, pairwise
from typing import Any
from weakref import proxy

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean.blocks import Frame
from dbgsom_core.engine.euclidean.packing import PackedSamples, frame_of, middle_of, room_for
from dbgsom_core.engine.moments import columns_of
from dbgsom_core.engine.ranges import (
    Ask,
    Elsewhere,
    Held,
    Question,
    Shards,
    each_of,
    each_range,
)
from dbgsom_core.engine.shards import Pass, Shard
from dbgsom_core.engine.tables import BlockTable, not_finite, row_numbers
from dbgsom_core.engine.workers import available_threads


class ShardTable(BlockTable, Elsewhere):
    """The rows of shards as a table.

    What shards have packed is in the frame of all rows, and kept as long as the table is.
    """

    def __init__(self, shards: Shards, failure: type[Exception] = ValueError) -> None:
        super().__init__(shards.shape, np.dtype(shards.dtype), failure)
        self.shards, self._passes = shards, 0
        self._answers: dict[tuple[Any, bytes], list[Any]] = {}

    def read(
        self, start: int, stop: int, out: NDArray[Any] | None = None
    ) -> NDArray[np.floating[Any]]:
        """See `BlockTable.read`: the rows are brought here."""
        return self.shards.read(start, stop)

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Ask, own: Sequence[Any]
    ) -> list[Any]:
        """Ask the shards, unless they were asked ahead; see `ranges.each_range`."""
        if self._answers and all(one is None for one in own):
            known = self._answers.get(_named((list(ranges), ask)))
            if known is not None:
                return known
        return list(self.shards.each_range(ranges, ask, own))

    def ask_ahead(self, questions: Sequence[Question]) -> None:
        """Ask at once what will be asked without weights, where a question costs a way there."""
        new = [one for one in questions if _named(one) not in self._answers]
        if not new:
            return
        ranges = [one for of_question, _ in new for one in of_question]
        which = [i for i, (of_question, _) in enumerate(new) for _ in of_question]
        asks = [ask for _, ask in new]
        answers = iter(self.shards.each_range(ranges, partial(each_of, asks), which))
        for one in new:
            self._answers[_named(one)] = list(islice(answers, len(one[0])))

    def picked(self, rows: Any) -> BlockTable:
        """Return some rows as a table: where they are if they ascend."""
        numbers = row_numbers(rows, len(self))
        if len(numbers) and (np.diff(numbers) > 0).all():
            return ShardTable(self.shards.picked(numbers), self.failure)
        return super().picked(rows)

    def finite_or_where(self, rows: int) -> tuple[int, int] | None:
        """See `BlockTable.finite_or_where`: the shards look, and learn what comes next."""
        ends = self.shards.ends
        finite = list(pairwise(ends)), _not_finite
        self.ask_ahead([finite, columns_of(self), middle_of(self)])
        found = each_range(self, *finite, 1)
        for start, bad in zip(ends, found, strict=False):
            if bad is not None:
                return start + bad[0], bad[1]
        return None

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        if not len(rows):
            return np.empty((0, self.shape[1]), self.dtype)
        distinct, places = np.unique(rows, return_inverse=True)
        return self.shards.picked(distinct).read(0, len(distinct))[places]

    @cached_property
    def packed(self) -> PackedSamples:
        """What is known of all rows that are packed, and room for one."""
        return self._packed(frame_of(self, 1), np.float32)

    def doubled(self) -> PackedSamples:
        """Return the same for blocks of float64."""
        return self._packed(self.packed.frame, np.float64)

    def _packed(self, frame: Frame, dtype: Any) -> PackedSamples:
        room = room_for(self.shape[1], np.arange(1, dtype=np.int32), dtype)
        # Their number alone is asked for; in a circle what workers hold would wait to be collected.
        all_rows: Any = proxy(self)
        return PackedSamples(all_rows, room, *frame, available_threads())

    def held(self, metric: Any) -> Held:
        """Return the shards, packed."""
        if self._held is None:
            make = partial(Shard, metric=metric, frame=self.packed.frame, n=len(self))
            self._held = self.shards.hold(make)
        return self._held

    _held: Held | None = None

    def next_pass(self, *what: Any) -> Pass:
        """Return a pass that is none of those before."""
        self._passes += 1
        return Pass(self._passes, *what)


def _named(question: Question) -> tuple[Any, bytes]:
    # Functions are pickled by their names, with what they are given.
    return tuple(question[0]), pickle.dumps(question[1])


def _not_finite(X: NDArray[Any], rows: slice, weights: None) -> tuple[int, int] | None:
    return not_finite(X[rows])
