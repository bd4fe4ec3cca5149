"""What a pass over samples finds: their units, what each neuron won, the update that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.tables import pieces

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Centre = Callable[[Floats], Floats]
_ROWS = 1 << 16  # samples looked up at a time


class PerSample(Protocol):
    """The unit ``bmu`` (n,) of each sample, and its ``distance`` (n,) in the metric's units."""

    @property
    def bmu(self) -> Integers: ...

    @property
    def distance(self) -> Floats: ...


@dataclass(frozen=True)
class Assignment:
    """The best-matching unit of each sample: ``bmu`` (n,) int64 and ``distance`` (n,) float64."""

    bmu: Integers
    distance: Floats


class Units:
    """The nearest of ``prototypes`` of each sample, found when first looked up.

    ``find()`` returns them, int64 (n,) of samples in memory, else of any integer type: it may be
    too small to compute with. Distances are made when looked up.
    """

    def __init__(self, data: Any, prototypes: Floats, find: Callable[[], NDArray[Any]]) -> None:
        self.data, self.prototypes, self._find = data, prototypes, find
        self._units: NDArray[Any] | None = None
        self._distance: Floats | None = None

    @property
    def units(self) -> NDArray[Any]:
        # A cached_property of Python 3.11 has one lock: threads that find those of parts would wait
        # for the one that finds those of the whole, and this one for them.
        if self._units is None:
            self._units = self._find()
        return self._units

    @property
    def bmu(self) -> Any:
        units = self.units
        return units if units.dtype == np.int64 else units.astype(np.int32, copy=False)

    @property
    def distance(self) -> Floats:
        if self._distance is not None:
            return self._distance
        distance: Floats = self.data.distances_to(self.prototypes, self.bmu)
        if self.units.dtype == np.int64:  # in memory, beside which it is small
            self._distance = distance
        return distance


class MapGraph(NamedTuple):
    """How the K neurons of a map are linked.

    ``hops`` (K, K) uint16 are the least numbers of links between them, ``links`` (K, degree) int32
    the linked neighbours of each, -1 for none; itself where nothing links it.
    """

    hops: NDArray[np.uint16]
    links: NDArray[np.int32]


@dataclass(frozen=True)
class Neighbourhood:
    """How samples train the neurons around their units in one update.

    ``weights`` (H,) are the kernel at each number of hops; some may be negative. A sample weighs
    ``pull`` besides in the linked neighbour of its unit that lies nearest to it, first among those
    in which its class ``leads`` (K, C). ``table`` (K, K) is which of the weights a neuron (row)
    learns with from samples of another (column), in the order of distance; None: that of the hops.
    """

    graph: MapGraph
    weights: Floats
    pull: float = 0.0
    leads: Flags | None = None
    table: NDArray[np.uint16] | None = None

    @property
    def which(self) -> NDArray[np.uint16]:
        return self.graph.hops if self.table is None else self.table

    @property
    def inhibits(self) -> bool:
        """Whether some weights are negative."""
        lowest: float = min(self.weights.tolist())  # they are few, and looked at in each pass
        return lowest < 0


@dataclass(frozen=True)
class Totals:
    """What each neuron won, weighted where samples are.

    ``hits`` (K,) are int64, or float64 with weights; ``sums`` (K, D) of the samples, of what is
    observed; ``errors`` (K,) of their distances. Where values are missing ``seen`` (K, D) are the
    hits of each neuron in which a feature was observed.
    """

    hits: NDArray[Any]
    sums: Floats
    errors: Floats
    seen: Floats | None = None


@dataclass(frozen=True)
class Moments:
    """Weighted column means (D,) and population standard deviations (D,) of what is observed."""

    mean: Floats
    deviation: Floats


# ---------------------------------------------------------------------------- sample by sample


def units_of(found: Any) -> NDArray[Any]:
    """Return the units (n,) as they are kept: to be looked up, and not to be computed with."""
    found = getattr(found, "of", found)
    return found.units if isinstance(found, Units) else found.bmu


def each_piece(found: Any, n: int) -> Iterator[tuple[slice, Integers, Floats]]:
    """Yield rows, units and distances of the first ``n`` samples, at most 65536 at a time."""
    found, units = getattr(found, "of", found), units_of(found)
    in_memory = units.dtype == np.int64
    size = _ROWS if in_memory else found.data.piece
    for first in range(0, n, size):
        some = slice(first, min(first + size, n))
        bmu = units[some].astype(np.int64, copy=False)
        distance = (
            found.distance[some]
            if in_memory
            else found.data.distances_to(found.prototypes, bmu, some)
        )
        for start in range(0, len(bmu), _ROWS):
            rows = slice(start, min(start + _ROWS, len(bmu)))
            yield slice(first + rows.start, first + rows.stop), bmu[rows], distance[rows]


def groups(keys: NDArray[Any]) -> list[Integers]:
    """Return the rows of each distinct key, each ascending, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]


def unlinked(nearest: NDArray[np.signedinteger[Any]], links: NDArray[np.int32]) -> Flags:
    """Return of which samples (n,) the two ``nearest`` neurons (n, 2) are not linked."""
    found = np.empty(len(nearest), dtype=bool)
    for start in range(0, len(nearest), _ROWS):
        first, second = nearest[start : start + _ROWS].T
        found[start : start + _ROWS] = (links[first] != second[:, None]).all(axis=1)
    return found


def _add_in_order(out: Floats, units: NDArray[Any], values: Floats) -> None:
    # Add the values (m,) of units to out (K,), in their order whatever m is.
    if out.any():
        np.add.at(out, units, values)
    else:
        out += np.bincount(units, values, len(out))


def won_sums(
    X: Any,
    weights: Floats | None,
    incomplete: bool,
    bmu: Integers,
    n_neurons: int,
    sums: Floats | None = None,
) -> tuple[Floats, Floats | None]:
    """Return the sums (K, D) of samples X (n, D), dense or CSR, that each neuron won, in row order.

    They are added to ``sums`` where those are given. And of ``incomplete`` samples, with nan, the
    weights (K, D) of what was observed, else None.
    """
    from scipy.sparse import issparse

    from dbgsom_core.engine import loops  # numba is slow to import

    if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
        raise IndexError(f"best-matching units must be rows below {n_neurons}")
    sums = np.zeros((n_neurons, X.shape[1])) if sums is None else sums
    seen = np.zeros_like(sums) if incomplete else None
    weights = np.ones(X.shape[0]) if weights is None else weights
    if issparse(X):
        loops.add_sparse(X.data, X.indices, X.indptr, weights, bmu, sums)
    elif seen is not None:
        loops.add_observed(loops.writeable_view(X), weights, bmu, sums, seen)
    else:
        loops.add_weighted(loops.writeable_view(X), weights, bmu, sums)
    return sums, seen


# ------------------------------------------------------------------------- classes and weights


def leading(counts: NDArray[Any]) -> Flags:
    """Return which classes are in the majority in each neuron, from their counts (K, C).

    In a tie every tied class leads, so nothing depends on how the classes are numbered; none does
    in a neuron that won no labelled sample.
    """
    return np.asarray((counts == counts.max(axis=1, keepdims=True)) & (counts > 0))


def count_classes(
    bmu: NDArray[Any], codes: Integers, n_neurons: int, n_classes: int, weights: Any = None
) -> NDArray[Any]:
    """Return how many samples of each class every neuron won, (K, C), or their weights' sums.

    A sample with a negative code has no class and is not counted.
    """
    if codes.min(initial=0) < 0:
        labelled = codes >= 0
        bmu, codes = bmu[labelled], codes[labelled]
        weights = None if weights is None else weights[labelled]
    flat = np.bincount(bmu * np.int64(n_classes) + codes, weights, n_neurons * n_classes)
    return flat.reshape(n_neurons, n_classes)


def smoothed_weights(distance: Floats, weights: Floats, gamma: float) -> Floats:
    """Return the weights (n,) that samples have in one robust epoch.

    s_i = 1 - √(1 - exp(-γ d_i²)) for the distance d_i to the best-matching unit (D'Urso, De
    Giovanni & Massari 2019, smoothed self-organizing map), times the samples' own. They are scaled
    to keep their sum, so that what depends on the number of samples still fits.
    """
    smoothed = weights * (1.0 - np.sqrt(-np.expm1(-gamma * np.square(distance))))
    total = smoothed.sum()
    # When every sample is far from every prototype none of them is an outlier.
    return smoothed * (weights.sum() / total) if total > 0 else weights


def winners_of_own_class(data: Any, bmu: Integers, prototypes: Floats, leads: Flags) -> Integers:
    """Return, for each sample (n,), the nearest neuron in which its class leads.

    A sample without a class, or whose class leads nowhere, keeps its BMU; equal distances go to
    the lower row.
    """
    codes, winners = data.codes, bmu.copy()
    others = np.flatnonzero(_misplaced(codes, leads, bmu))
    for code in np.unique(codes[others]):
        own = np.flatnonzero(leads[:, code])
        rows = others[codes[others] == code]
        if len(own):
            winners[rows] = _nearest(data, rows, prototypes, own)
    return winners


def linked_runners_up(
    data: Any, bmu: Integers, prototypes: Floats, graph: MapGraph, leads: Flags | None = None
) -> Integers:
    """Return, for each sample (n,), the linked neighbour of its BMU that lies nearest to it.

    Among the neighbours those in which its class leads come first, where ``leads`` are given.
    The map is connected and has at least two neurons; equal distances go to the lower row.
    """
    codes = None if leads is None else data.codes
    if data.is_euclidean:
        from dbgsom_core.engine.fine_tuning import linked_rows

        return linked_rows(data, codes, bmu, prototypes, graph.links, leads)
    linked = [np.sort(row[row >= 0]).astype(np.int64) for row in graph.links]
    runners_up = np.empty(len(bmu), dtype=np.int64)
    for rows in groups(bmu):
        runners_up[rows] = _nearest(data, rows, prototypes, linked[bmu[rows[0]]])
    if leads is None or codes is None:
        return runners_up
    others = np.flatnonzero(_misplaced(codes, leads, runners_up))
    for group in groups(bmu[others] * leads.shape[1] + codes[others]):
        rows = others[group]
        neighbours = linked[bmu[rows[0]]]
        own = neighbours[leads[neighbours, codes[rows[0]]]]
        if len(own):
            runners_up[rows] = _nearest(data, rows, prototypes, own)
    return runners_up


def _misplaced(codes: Integers, leads: Flags, neurons: Integers) -> Flags:
    # Of which samples (n,) the class does not lead in their neuron.
    return np.asarray((codes >= 0) & ~leads[neurons, codes])


def _nearest(data: Any, rows: Integers, prototypes: Floats, neurons: Integers) -> Integers:
    if len(neurons) == 1:
        return np.full(len(rows), neurons[0])
    found = data.subset(rows).assign_plainly(prototypes[neurons])
    return np.asarray(neurons[found.bmu])


# ------------------------------------------------------------------------------ pass and search


def updated_from(
    won: Totals,
    before: Floats,
    around: Neighbourhood,
    pulled: Totals | None,
    centre: Centre | None,
    threads: int,
) -> Floats:
    """Return the prototypes (K, D) that follow from what neurons ``won``.

    With negative weights a weighted mean may lie anywhere. A prototype then goes the step
    Σ h (x - m) / Σ |h|, which is the whole way to the mean where no weight is negative and never
    longer than the farthest sample is away; it stays where inhibition prevails.
    """
    from dbgsom_core.engine.smoothing import means, reach_of, smoothed  # numba is slow to import

    hops, weights, pull = around.which, around.weights, around.pull
    reach = reach_of(weights, float(won.hits.sum()))
    sums, reached = smoothed(hops, weights, reach, won.hits, won.sums, threads)
    seen = won.seen
    if seen is not None:
        seen = smoothed(hops, weights, reach, won.hits, seen, threads)[0]
    if pulled is not None:
        reached = reached + pull * pulled.hits
        sums = sums + pull * pulled.sums
        seen = None if seen is None or pulled.seen is None else seen + pull * pulled.seen
    # A feature that nothing observed reaches keeps its value, as a neuron without samples does.
    if around.inhibits:
        amount = smoothed(hops, np.abs(weights), reach, won.hits, won.sums[:, :1], threads)[1]
        held = reached[:, None] if seen is None else seen
        total = amount[:, None] + (0.0 if pulled is None else pull * pulled.hits[:, None])
        steps = np.divide(
            sums - held * before, total, out=np.zeros(before.shape), where=(held > 0) & (total > 0)
        )
        after = before + steps
    elif seen is None:
        after = means(before, sums, reached)
    else:
        observed = (seen > 0) & (reached[:, None] > 0)
        after = np.divide(sums, seen, out=before.copy(), where=observed)
    if centre is not None:
        alive = reached > 0
        after[alive] = centre(after[alive])
    return after


@dataclass
class SearchResult:
    """What one pass found, added up sample by sample: for any metric, weights, missing values.

    ``of`` knows the units and distances of the samples, ``moved`` is the share of them whose unit
    is another one than in the pass before. It is valid until the next pass of its search.
    """

    data: Any
    prototypes: Floats
    of: PerSample
    moved: float = 1.0

    @property
    def bmu(self) -> Integers:
        return self.of.bmu

    @property
    def distance(self) -> Floats:
        return self.of.distance

    @cached_property
    def hits(self) -> NDArray[Any]:
        """How many samples each neuron won, (K,), or the sums of their weights."""
        units, weights = units_of(self.of), self.data.weights
        hits: NDArray[Any] = np.zeros(len(self.prototypes), np.int64 if weights is None else float)
        for start in range(0, len(units), _ROWS):  # to count takes memory
            rows = slice(start, start + _ROWS)
            if weights is None:
                hits += np.bincount(units[rows], minlength=len(hits))
            else:
                _add_in_order(hits, units[rows], weights[rows])
        return hits

    @cached_property
    def errors(self) -> Floats:
        """Sums of the samples' distances, (K,)."""
        errors, data = np.zeros(len(self.prototypes)), self.data
        for rows, bmu, distance in each_piece(self.of, data.n):
            if data.scatter is not None:  # samples lie about evenly around what stands for them
                distance = np.hypot(distance, data.scatter[rows])
            if data.weights is not None:
                distance = data.weights[rows] * distance
            _add_in_order(errors, bmu, distance)
        return errors

    @cached_property
    def total_error(self) -> float:
        return float(self.errors.sum())

    @cached_property
    def totals(self) -> Totals:
        sums, seen = self.data.sums_seen(units_of(self.of), len(self.prototypes))
        return Totals(self.hits, sums, self.errors, seen)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """How many samples of each class each neuron won, (K, C); None without classes."""
        data = self.data
        if data.codes is None:
            return None
        units, size = units_of(self.of), (len(self.prototypes), data.n_classes)
        if data.weights is not None:
            return count_classes(units, data.codes, *size, data.weights)
        counts = np.zeros(size, np.int64)
        for rows in pieces(0, data.n):
            counts += count_classes(units[rows], data.codes[rows], *size)
        return counts

    def exactly(self) -> SearchResult:
        """Return the same with every total added up in float64, sample by sample."""
        return self

    def reweighed(self, gamma: float) -> SearchResult:
        """Return the same with samples weighed by how far away they are, `smoothed_weights`."""
        weights = smoothed_weights(self.distance, self.data.sample_weights, gamma)
        return SearchResult(
            replace(self.data, weights=weights), self.prototypes, self.of, self.moved
        )

    def trained_by_class(self, leads: Flags) -> SearchResult:
        """Return it with each sample moved to the nearest neuron in which its class leads.

        ``leads`` (K, C) says which classes lead in a neuron. A sample without a class, or whose
        class leads nowhere, stays; equal distances go to the lower row.
        """
        find = partial(winners_of_own_class, prototypes=self.prototypes, leads=leads)
        winners = self.data.of_parts(self.bmu, find)
        return replace(self, of=Assignment(winners, self.distance))

    def linked_totals(self, graph: MapGraph, leads: Flags | None) -> Totals:
        """Return what the linked neighbours won that lie nearest to the samples of their units.

        Neighbours in which a sample's class leads come first, where ``leads`` (K, C) are given.
        Their errors are left empty.
        """
        find = partial(linked_runners_up, prototypes=self.prototypes, graph=graph, leads=leads)
        seconds, n_neurons = self.data.of_parts(self.bmu, find), len(self.prototypes)
        hits = np.bincount(seconds, self.data.weights, n_neurons)
        sums, seen = self.data.sums_seen(seconds, n_neurons)
        return Totals(hits, sums, np.empty(0), seen)

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> Floats:
        """Return the prototypes (K, D) as kernel-weighted means of what neurons won.

        ``centre`` is what makes a prototype of a mean. A neuron, or a feature, that nothing reaches
        keeps its value.
        """
        pulled = self.linked_totals(around.graph, around.leads) if around.pull > 0 else None
        return updated_from(self.totals, self.prototypes, around, pulled, centre, self.data.threads)

    def formed(self, around: Neighbourhood) -> Floats:
        """Return the prototypes (K, D) that the metric's ``form`` makes of the samples.

        Samples that share best-matching unit and runner-up form a group: there are few, so the
        samples need not be held twice.
        """
        influence, units, so_far = around.weights[around.which.T], self.bmu, self.prototypes
        if around.pull > 0:
            seconds = linked_runners_up(self.data, units, so_far, around.graph, around.leads)
            pairs, units = np.unique(units * len(so_far) + seconds, return_inverse=True)
            winners, runners_up = np.divmod(pairs, len(so_far))
            influence = influence[winners]
            influence[np.arange(len(pairs)), runners_up] += around.pull
        metric = self.data.metric
        made = metric.form(self.data.X, units, influence, self.data.weights, so_far)
        prototypes = np.asarray(made, np.float64)
        if prototypes.shape != so_far.shape:
            raise ValueError(
                f"form of metric {metric.name} returned shape "
                f"{prototypes.shape}, not {so_far.shape}"
            )
        return prototypes


@dataclass
class Search:
    """Finds units epoch after epoch, anew or by a ``fast`` search, for any metric and weights.

    ``prototypes`` are float64 (K, D), ``positions`` their grid cells, int (K, 2). Equal distances
    go to the lowest row.
    """

    data: Any
    fast: Search | None = None
    _before: Integers | None = None

    def assign(self, prototypes: Floats, positions: Integers) -> SearchResult:
        """Find the nearest prototype of every sample."""
        if self.fast is not None:
            return self._weighted(prototypes, self.fast.assign(prototypes, positions))
        return self._found(prototypes, self.data.assign(prototypes))

    def admit(
        self, found: SearchResult, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        """Return the last result, for the first ``known`` prototypes, extended to all."""
        if known == len(prototypes):
            return found
        if self.fast is not None:
            admitted = self.fast.admit(found, prototypes, positions, known)
            return self._weighted(prototypes, admitted)
        new = self.data.assign(prototypes[known:])
        nearer = new.distance < found.distance
        bmu = np.where(nearer, new.bmu + known, found.bmu)
        distance = np.where(nearer, new.distance, found.distance)
        return self._found(prototypes, Assignment(bmu, distance))

    def unlinked(self, prototypes: Floats, graph: MapGraph) -> Flags:
        """Return of which samples (n,) the two nearest neurons are not linked."""
        if self.fast is not None:
            return self.fast.unlinked(prototypes, graph)
        if len(prototypes) == 1:
            return np.zeros(self.data.n, bool)
        return unlinked(self.data.nearest_units(prototypes, 2)[0], graph.links)

    def _found(self, prototypes: Floats, of: PerSample) -> SearchResult:
        moved = 1.0 if self._before is None else float(np.mean(self._before != of.bmu))
        self._before = of.bmu
        return SearchResult(self.data, prototypes, of, moved)

    def _weighted(self, prototypes: Floats, found: SearchResult) -> SearchResult:
        return SearchResult(self.data, prototypes, found.of, found.moved)
