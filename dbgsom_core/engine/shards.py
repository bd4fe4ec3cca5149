"""Rows of a table that are elsewhere: a shard finds units of its own, and sums add up exactly.

What a shard remembers (units, bounds, the order of its rows) changes no answer. A pass is told
once: later questions name its number, and newcomers follow on the prototypes of the pass before. A
shard that does not know of it, because the process that held it is gone, says so, is told all of
it, and does the pass that it is asked about first: a lost shard costs time and no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, Literal, NamedTuple

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
        No prototypes: those of the pass of this number, for shards that have done it.
    known : int
        How many of them the pass before had, where the others are admitted to it; 0: none was.
    doubled : bool
        Whether blocks are of float64.
    after : int
        The pass whose prototypes and positions come before these; 0: these are all.
    """

    number: int
    prototypes: NDArray[np.float64] | None
    positions: NDArray[np.int64] | None = None
    known: int = 0
    doubled: bool = False
    after: int = 0

    def again(self) -> Pass:
        """Return what names it to shards that have done it."""
        return Pass(self.number, None)

    def following(self, number: int) -> Pass:
        """Return the newcomers alone, for shards that have done the pass of this number."""
        assert self.prototypes is not None
        assert self.positions is not None
        newcomers = self.prototypes[self.known :], self.positions[self.known :]
        return Pass(self.number, *newcomers, self.known, self.doubled, number)


class Tuning(NamedTuple):
    """How fine-tuning moves samples, beside the classes that they have.

    Attributes
    ----------
    own : bool array (K, C) or None
        Where a class leads, and its samples go.
    links : int32 array (K, degree) or None
        The linked neighbours that are asked for, see `MapGraph`; None: the units themselves are.
    leads : bool array (K, C) or None
        Where a class leads among linked neighbours.
    """

    own: NDArray[np.bool_] | None = None
    links: NDArray[np.int32] | None = None
    leads: NDArray[np.bool_] | None = None


class Counts(NamedTuple):
    """Class counts (K, C) are asked for, with C their number of classes."""

    n_classes: int


# What may be asked of a pass: packed sums (K, depth), class counts, packed sums and hits after
# fine-tuning.
Wish = Literal["sums"] | Counts | Tuning


class Won(NamedTuple):
    """What neurons won in some rows, in numbers that add up exactly.

    Attributes
    ----------
    hits, errors : int64 arrays (K,)
        Errors are in whole steps.
    counts : int64 array (3,)
        Rows with another unit than in the pass before, rows in doubt, what newcomers gained.
    more : tuple
        What was wished for, see `Wish`.
    """

    hits: NDArray[np.int64]
    errors: NDArray[np.int64]
    counts: NDArray[np.int64]
    more: tuple[Any, ...]


class Added(NamedTuple):
    """What neurons won, added up sample by sample.

    Attributes
    ----------
    sums, hits, errors : float64 (K, D), int64 or float64 (K,) and float64 (K,) arrays
    """

    sums: NDArray[np.float64]
    hits: NDArray[Any]
    errors: NDArray[np.float64]


def plus(one: Any, other: Any) -> Any:
    """Return the sum of two answers, arrays or tuples of them; None where one of them is."""
    if one is None or other is None:
        return None
    if not isinstance(one, tuple):
        return one + other
    both = [plus(*pair) for pair in zip(one, other, strict=True)]
    return type(one)(*both) if hasattr(one, "_fields") else tuple(both)


def linked_by(links: NDArray[np.int32]) -> MapGraph:
    """Return a graph that knows of hops (K, K) none but the first: 2 stands for all others."""
    hops = np.full((len(links), len(links)), 2, np.uint16)
    rows, columns = np.nonzero(links >= 0)
    hops[rows, links[rows, columns]] = 1
    np.fill_diagonal(hops, 0)
    return MapGraph(hops, links)


class _UnknownPassError(Exception):
    """A pass of this number was not done here."""


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
        self._search, self._now = self._new(False), Pass(-1, None)
        self._found: Any = None

    def __reduce__(self) -> Any:
        return Shard, self._recipe

    def __sizeof__(self) -> int:
        return 2 * int(self._data.X.nbytes)

    def answer(self, question: str, *given: Any, **own: Any) -> Any:
        """Return the answer to a question, the name of another method; ``own`` are of the rows.

        None: the question is about a pass that was not done here, and does not tell all of it.
        """
        with self._lock:
            self._search.data = self._data = replace(self._whole, **own)
            try:
                return getattr(self, question)(*given)
            except _UnknownPassError:
                return None

    # ------------------------------------------------------------------------- questions

    def won(self, now: Pass, wishes: Sequence[Wish]) -> Won:
        """Find units."""
        found, search = self._at(now), self._search
        changed = round(found.moved * len(self._data.X))
        counts = np.array([changed, search.doubts, search.gained if self._now.known else 0])
        more = tuple(self.more(now, wish) for wish in wishes)
        return Won(found.hits, search.whole_errors, counts, more)

    def more(self, now: Pass, wish: Wish) -> Any:
        """Return what is wished for of a pass."""
        found = self._at(now)
        if isinstance(wish, Counts):
            return self.class_counts(now, np.zeros((len(found.hits), wish.n_classes), np.int64))
        if isinstance(wish, str):
            return found.packed_sums.copy()
        if wish.own is not None:
            found = found.trained_by_class(wish.own)
        if wish.links is not None:
            found = found.linked_to(linked_by(wish.links), wish.leads)
        return found.packed_sums.copy(), found.hits.copy()

    def told(self, now: Pass) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return unit and distance of each row."""
        found = self._at(now)
        return found.bmu.astype(np.int32), found.distance

    def units(self, now: Pass) -> NDArray[np.int32]:
        """Return the unit of each row."""
        return np.asarray(self._at(now).bmu.astype(np.int32))

    def ended(
        self, now: Pass, links: NDArray[np.int32], all_told: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.float64]]:
        """Return whether the two nearest neurons of each row are linked, and its unit.

        And its distance to that, or nothing of it.
        """
        units, distance = self.told(now) if all_told else (self.units(now), np.empty(0))
        prototypes = self._now.prototypes
        assert prototypes is not None
        return self._search.unlinked(prototypes, linked_by(links)), units, distance

    def hits(self, now: Pass, so_far: NDArray[Any], how: Tuning) -> NDArray[Any]:
        """Add to hits (K,) how many rows every neuron won, or their weights."""
        return self._hit(so_far, self._exact_units(now, how))

    def added(self, now: Pass, so_far: Added, how: Tuning, errors: bool) -> Added:
        """Add what neurons won to what they won in the rows before these, sample by sample."""
        data, units = self._data, self._exact_units(now, how)
        sums, wrong = so_far.sums.copy(), so_far.errors.copy()
        add_won(data.X, data.weights, units, sums)
        if errors:
            distance = self._at(now).distance
            np.add.at(wrong, units, distance if data.weights is None else data.weights * distance)
        return Added(sums, self._hit(so_far.hits, units), wrong)

    def class_counts(self, now: Pass, so_far: NDArray[Any]) -> NDArray[Any]:
        """Add to counts (K, C) how many rows of each class every neuron won, or their weights."""
        data, counts = self._data, so_far.copy()
        assert data.codes is not None
        labelled = np.flatnonzero(data.codes >= 0)
        units = self._at(now).bmu[labelled], data.codes[labelled]
        np.add.at(counts, units, 1 if data.weights is None else data.weights[labelled])
        return counts

    def summed(self, so_far: NDArray[np.float64], units: NDArray[Any]) -> NDArray[np.float64]:
        """Add to sums (M, D) the rows of each of the ``units`` (m,), in their order."""
        sums = so_far.copy()
        add_won(self._data.X, self._data.weights, units.astype(np.int64), sums)
        return sums

    def unlinked(
        self, prototypes: NDArray[np.float64], links: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Return of which rows the two nearest neurons are not linked."""
        if not self._has(prototypes):
            self._now, self._found = Pass(-1, None), None
        return self._search.unlinked(prototypes, linked_by(links))

    def of_rows(self, method: str, *given: Any) -> Any:
        """Return what a method of samples in memory says of each row."""
        return getattr(self._data, method)(*given)

    # ----------------------------------------------------------------------- inner parts

    def _at(self, now: Pass) -> Any:
        # What the pass found: it is done where it was not.
        if now.number == self._now.number:
            return self._found
        now = self._whole_of(now)
        assert now.prototypes is not None
        if now.doubled != (self._search.samples.one.itemsize == 8):
            self._search, self._found = self._new(now.doubled), None
        search = self._search
        if now.known and now.positions is not None:
            before = now.prototypes[: now.known], now.positions[: now.known]
            found = self._found if self._has(before[0]) else search.assign(*before)
            found = search.admit(found, now.prototypes, now.positions, now.known)
        else:
            found = search.assign(now.prototypes, now.positions)
        self._now, self._found = now, found
        return found

    def _whole_of(self, now: Pass) -> Pass:
        before = self._now
        if now.prototypes is None or now.after not in (0, before.number):
            raise _UnknownPassError
        if not now.after:
            return now
        assert before.prototypes is not None
        assert before.positions is not None
        prototypes = np.concatenate([before.prototypes, now.prototypes])
        positions = np.concatenate([before.positions, now.positions])
        return now._replace(prototypes=prototypes, positions=positions, after=0)

    def _exact_units(self, now: Pass, how: Tuning) -> NDArray[np.int64]:
        found, data = self._at(now), self._data
        prototypes = self._now.prototypes
        assert prototypes is not None
        exact = PlainFound(data, prototypes, found)
        units = exact.bmu if how.own is None else exact.trained_by_class(how.own).bmu
        if how.links is None:
            return units
        return linked_runners_up(data, units, prototypes, linked_by(how.links), how.leads)

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
