"""Rows of a table that are elsewhere: a shard finds units of its own, and sums add up exactly.

What a shard remembers (units, bounds, the order of its rows) changes no answer. One that is new,
because the process that held it is gone, does the pass that it is asked about first: a lost shard
costs time and no bit.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.aligned import for_loops
from dbgsom_core.engine.contract import MapGraph
from dbgsom_core.engine.euclidean.blocks import Frame
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.found import PlainFound, linked_runners_up
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.sums import add_won


class Pass(NamedTuple):
    """What a pass looks for, so that any shard can do it.

    Attributes
    ----------
    number : int
        No two passes over the same rows have the same.
    prototypes, positions : float64 array (K, D), int array (K, 2) or None
    known : int
        How many of them the pass before had, where the others are admitted to it; 0: none was.
    doubled : bool
        Whether blocks are of float64.
    """

    number: int
    prototypes: NDArray[np.float64]
    positions: NDArray[np.int64] | None = None
    known: int = 0
    doubled: bool = False


class Won(NamedTuple):
    """What neurons won in some rows, in numbers that add up exactly.

    Attributes
    ----------
    sums, hits, errors : float64 (K, depth), int64 (K,) and int64 (K,) arrays
        Packed, and errors in whole steps.
    counts : int64 array (3,)
        Rows with another unit than in the pass before, rows in doubt, what newcomers gained.
    """

    sums: NDArray[np.float64]
    hits: NDArray[np.int64]
    errors: NDArray[np.int64]
    counts: NDArray[np.int64]


class Added(NamedTuple):
    """What neurons won, added up sample by sample.

    Attributes
    ----------
    sums, hits, errors : float64 (K, D), int64 or float64 (K,) and float64 (K,) arrays
    """

    sums: NDArray[np.float64]
    hits: NDArray[Any]
    errors: NDArray[np.float64]


class Tuning(NamedTuple):
    """How fine-tuning moves samples, beside the classes that they have.

    Attributes
    ----------
    own : bool array (K, C) or None
        Where a class leads, and its samples go.
    graph : MapGraph or None
        Of the linked neighbours that are asked for; None: the units themselves are.
    leads : bool array (K, C) or None
        Where a class leads among linked neighbours.
    """

    own: NDArray[np.bool_] | None = None
    graph: MapGraph | None = None
    leads: NDArray[np.bool_] | None = None


def plus(one: Any, other: Any) -> Any:
    """Return the sum of two answers, arrays or tuples of them."""
    if not isinstance(one, tuple):
        return one + other
    both = [plus(*pair) for pair in zip(one, other, strict=True)]
    return type(one)(*both) if hasattr(one, "_fields") else tuple(both)


class Shard:
    """Some rows of a table, packed in the frame of the whole of it.

    It is pickled as its rows; the lock keeps two who ask at once apart.

    Parameters
    ----------
    X : float array (m, D)
        Complete.
    metric : MetricCalls
        Euclidean.
    frame : Frame
    n : int
        Rows of the whole table.
    """

    def __init__(self, X: NDArray[Any], metric: MetricCalls, frame: Frame, n: int) -> None:
        self._recipe = X, metric, frame, n
        self._whole = self._data = LocalSamples(np.ascontiguousarray(for_loops(X)), metric)
        self._frame, self._n, self._lock = frame, n, Lock()
        self._number, self._search = -1, self._new(False)
        self._found: Any = None

    def __reduce__(self) -> Any:
        return Shard, self._recipe

    def __sizeof__(self) -> int:
        return 2 * int(self._data.X.nbytes)

    def answer(self, question: str, *given: Any, **own: Any) -> Any:
        """Return the answer to a question, the name of another method; ``own`` are of the rows."""
        with self._lock:
            self._search.data = self._data = replace(self._whole, **own)
            return getattr(self, question)(*given)

    # ------------------------------------------------------------------------- questions

    def won(self, now: Pass) -> Won:
        """Find units."""
        found, search = self._at(now), self._search
        changed = round(found.moved * len(self._data.X))
        counts = np.array([changed, search.doubts, search.gained if now.known else 0])
        return Won(found.packed_sums.copy(), found.hits, search.whole_errors, counts)

    def tuned(self, now: Pass, how: Tuning) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return packed sums and hits after fine-tuning."""
        found = self._at(now)
        if how.own is not None:
            found = found.trained_by_class(how.own)
        if how.graph is not None:
            found = found.linked_to(how.graph, how.leads)
        return found.packed_sums.copy(), found.hits

    def told(self, now: Pass) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return unit and distance of each row."""
        found = self._at(now)
        return found.bmu.astype(np.int32), found.distance

    def units(self, now: Pass) -> NDArray[np.int32]:
        """Return the unit of each row."""
        return np.asarray(self._at(now).bmu.astype(np.int32))

    def hits(self, so_far: NDArray[Any], now: Pass, how: Tuning) -> NDArray[Any]:
        """Add to hits (K,) how many rows every neuron won, or their weights."""
        return self._hit(so_far, self._exact_units(now, how))

    def added(self, so_far: Added, now: Pass, how: Tuning, errors: bool) -> Added:
        """Add what neurons won to what they won in the rows before these, sample by sample."""
        data, units = self._data, self._exact_units(now, how)
        sums, wrong = so_far.sums.copy(), so_far.errors.copy()
        add_won(data.X, data.weights, units, sums)
        if errors:
            distance = self._at(now).distance
            np.add.at(wrong, units, distance if data.weights is None else data.weights * distance)
        return Added(sums, self._hit(so_far.hits, units), wrong)

    def class_counts(self, so_far: NDArray[Any], now: Pass) -> NDArray[Any]:
        """Add to counts (K, C) how many rows of each class every neuron won, or their weights."""
        data, counts = self._data, so_far.copy()
        assert data.codes is not None
        labelled = np.flatnonzero(data.codes >= 0)
        units = self._at(now).bmu[labelled], data.codes[labelled]
        np.add.at(counts, units, 1 if data.weights is None else data.weights[labelled])
        return counts

    def unlinked(self, prototypes: NDArray[np.float64], graph: MapGraph) -> NDArray[np.bool_]:
        """Return of which rows the two nearest neurons are not linked."""
        if not self._has(prototypes):
            self._number, self._found = -1, None
        return self._search.unlinked(prototypes, graph)

    def of_rows(self, method: str, *given: Any) -> Any:
        """Return what a method of samples in memory says of each row."""
        return getattr(self._data, method)(*given)

    # ----------------------------------------------------------------------- inner parts

    def _at(self, now: Pass) -> Any:
        # What the pass found: it is done where it was not.
        if now.number == self._number:
            return self._found
        if now.doubled != (self._search.samples.one.itemsize == 8):
            self._search, self._found = self._new(now.doubled), None
        search = self._search
        if now.known and now.positions is not None:
            before = now.prototypes[: now.known], now.positions[: now.known]
            found = self._found if self._has(before[0]) else search.assign(*before)
            found = search.admit(found, now.prototypes, now.positions, now.known)
        else:
            found = search.assign(now.prototypes, now.positions)
        self._number, self._found = now.number, found
        return found

    def _exact_units(self, now: Pass, how: Tuning) -> NDArray[np.int64]:
        data = self._data
        exact = PlainFound(data, now.prototypes, self._at(now))
        units = exact.bmu if how.own is None else exact.trained_by_class(how.own).bmu
        if how.graph is None:
            return units
        return linked_runners_up(data, units, now.prototypes, how.graph, how.leads)

    def _hit(self, so_far: NDArray[Any], units: NDArray[np.int64]) -> NDArray[Any]:
        hits, weights = so_far.copy(), self._data.weights
        np.add.at(hits, units, 1 if weights is None else weights)
        return hits

    def _has(self, prototypes: NDArray[np.float64]) -> bool:
        return self._found is not None and np.array_equal(self._found.prototypes, prototypes)

    def _new(self, doubled: bool) -> FastSearch:
        packed = PackedSamples.of(self._data.X, self._data.threads, self._frame, self._n)
        search = FastSearch(self._data, packed)
        search.remember(doubled)
        return search
