"""The rows of shards as a table, and what is known of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.euclidean.blocks import Frame
from dbgsom_core.engine.euclidean.packing import PackedSamples, frame_of, room_for
from dbgsom_core.engine.ranges import Ask, Elsewhere, Held, Shards, each_range
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

    def read(
        self, start: int, stop: int, out: NDArray[Any] | None = None
    ) -> NDArray[np.floating[Any]]:
        """See `BlockTable.read`: the rows are brought here."""
        return self.shards.read(start, stop)

    def each_range(
        self, ranges: Sequence[tuple[int, int]], ask: Ask, own: Sequence[Any]
    ) -> list[Any]:
        """Ask the shards; see `ranges.each_range`."""
        return list(self.shards.each_range(ranges, ask, own))

    def picked(self, rows: Any) -> BlockTable:
        """Return some rows as a table: where they are if they ascend."""
        numbers = row_numbers(rows, len(self))
        if len(numbers) and (np.diff(numbers) > 0).all():
            return ShardTable(self.shards.picked(numbers), self.failure)
        return super().picked(rows)

    def finite_or_where(self, rows: int) -> tuple[int, int] | None:
        """See `BlockTable.finite_or_where`: the shards look."""
        ends = self.shards.ends
        found = each_range(self, list(pairwise(ends)), _not_finite, 1)
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
        room, all_rows = (
            room_for(self.shape[1], np.arange(1, dtype=np.int32), dtype),
            cast(Any, self),
        )
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


def _not_finite(X: NDArray[Any], rows: slice, weights: None) -> tuple[int, int] | None:
    return not_finite(X[rows])
