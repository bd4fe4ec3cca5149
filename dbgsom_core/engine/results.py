"""The search of a training, and what a pass returns: units and sums by neuron.

`Search` runs the passes. `SearchResult` adds up sample by sample, for any metric and weights;
`PackedResult` has exact sums of quantised samples (README.md, "Sums").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.partitions import Question, Shards
from dbgsom_core.engine.runtime import pieces
from dbgsom_core.engine.smoothing import (
    Centre,
    Neighbourhood,
    Totals,
    prototypes_from_packed_sums,
    prototypes_from_totals,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
_ROWS = 1 << 16  # samples looked up at a time


class PerSample(Protocol):
    """The unit ``bmu`` (n,) of each sample, and its ``distance`` (n,) in the metric's units.

    ``units`` are the same in their stored integer type, which may be too small for sums.
    """

    @property
    def units(self) -> NDArray[Any]: ...

    @property
    def bmu(self) -> Integers: ...

    @property
    def distance(self) -> Floats: ...


@dataclass(frozen=True)
class Assignment:
    """The best-matching unit of each sample: ``bmu`` (n,) int64 and ``distance`` (n,) float64."""

    bmu: Integers
    distance: Floats

    @property
    def units(self) -> Integers:
        """The ``bmu``, as stored."""
        return self.bmu


class Units:
    """Lazily computed best-matching unit of each sample, and its distance.

    ``find()`` returns the units (n,): int64 where the samples ``data`` are in memory, else of the
    smallest integer type, as units may then take more memory than anything else.
    """

    def __init__(self, data: Any, prototypes: Floats, find: Callable[[], NDArray[Any]]) -> None:
        self.data = data
        self.prototypes = prototypes
        self._find = find
        self._units: NDArray[Any] | None = None
        self._distance: Floats | None = None

    @property
    def units(self) -> NDArray[Any]:
        # No cached_property: that of Python 3.11 has one lock for all instances, and the thread
        # that holds it may wait for threads that need the units of shards.
        if self._units is None:
            self._units = self._find()
        return self._units

    @property
    def bmu(self) -> Any:
        units = self.units
        return units if self.data.is_in_memory else units.astype(np.int32, copy=False)

    @property
    def distance(self) -> Floats:
        if self._distance is not None:
            return self._distance
        distance: Floats = self.data.distances_to(self.prototypes, self.bmu)
        if self.data.is_in_memory:  # beside the samples it is small
            self._distance = distance
        return distance


@dataclass(frozen=True)
class Moments:
    """Weighted column means (D,) and population standard deviations (D,) of observed values."""

    mean: Floats
    deviation: Floats


# ---------------------------------------------------------------------------- sample by sample


def each_piece(assignment: PerSample, n: int) -> Iterator[tuple[slice, Integers, Floats]]:
    """Yield rows, units and distances of the first ``n`` samples, at most 65536 at a time."""
    if not isinstance(assignment, Units) or assignment.data.is_in_memory:
        for rows in pieces(n, _ROWS):
            yield rows, assignment.bmu[rows], assignment.distance[rows]
        return
    # Rows outside memory are read, or asked for, in larger pieces, once for each distance.
    data = assignment.data
    for piece in pieces(n, data.piece):
        bmu = assignment.units[piece].astype(np.int64)
        distance = data.distances_to(assignment.prototypes, bmu, piece)
        for rows in pieces(len(bmu), _ROWS):
            shifted = slice(piece.start + rows.start, piece.start + rows.stop)
            yield shifted, bmu[rows], distance[rows]


def groups(keys: NDArray[Any]) -> list[Integers]:
    """Return the rows of each distinct key, each ascending, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]


def unlinked(nearest: NDArray[np.signedinteger[Any]], links: NDArray[np.int32]) -> Flags:
    """Return for which samples (n,) the two ``nearest`` neurons (n, 2) are not linked."""
    flags = np.empty(len(nearest), dtype=bool)
    for rows in pieces(len(nearest), _ROWS):
        first, second = nearest[rows].T
        flags[rows] = (links[first] != second[:, None]).all(axis=1)
    return flags


def sum_by_unit(
    X: Any,
    weights: Floats | None,
    incomplete: bool,
    bmu: Integers,
    n_neurons: int,
    sums: Floats | None = None,
) -> tuple[Floats, Floats | None]:
    """Return the sums (K, D) by unit of samples X (n, D), dense or CSR, in row order.

    They are added to ``sums`` where given. The second result is the weight (K, D) of observed
    values of ``incomplete`` samples (with nan), else None.
    """
    from scipy.sparse import issparse

    from dbgsom_core.engine import loops  # numba is slow to import

    if bmu.min() < 0 or bmu.max() >= n_neurons:  # the loops do not check
        raise IndexError(f"best-matching units must be rows below {n_neurons}")
    if sums is None:
        sums = np.zeros((n_neurons, X.shape[1]))
    if weights is None:
        weights = np.ones(X.shape[0])
    observed = np.zeros_like(sums) if incomplete else None
    if issparse(X):
        loops.add_sparse(X.data, X.indices, X.indptr, weights, bmu, sums)
    elif observed is not None:
        loops.add_observed(loops.writeable_view(X), weights, bmu, sums, observed)
    else:
        loops.add_weighted(loops.writeable_view(X), weights, bmu, sums)
    return sums, observed


# ------------------------------------------------------------------------- classes and weights


def majority_classes(counts: NDArray[Any]) -> Flags:
    """Return the majority classes (K, C) of each neuron from their counts (K, C).

    All tied classes are marked, so that the order of classes does not matter; none in a neuron
    without labelled samples.
    """
    is_largest = counts == counts.max(axis=1, keepdims=True)
    return np.asarray(is_largest & (counts > 0))


def count_classes(
    bmu: NDArray[Any], codes: Integers, n_neurons: int, n_classes: int, weights: Any = None
) -> NDArray[Any]:
    """Return the counts (K, C) of each class by neuron, or sums of weights.

    A sample with a negative code has no class and is not counted.
    """
    if codes.min(initial=0) < 0:
        labelled = codes >= 0
        bmu = bmu[labelled]
        codes = codes[labelled]
        weights = None if weights is None else weights[labelled]
    pairs = bmu * np.int64(n_classes) + codes  # a number for each neuron and class
    counts = np.bincount(pairs, weights, n_neurons * n_classes)
    return counts.reshape(n_neurons, n_classes)


def winners_of_own_class(data: Any, bmu: Integers, prototypes: Floats, majority: Flags) -> Integers:
    """Return, for each sample (n,), the nearest neuron with its class in the majority.

    A sample without a class, or whose class has no majority, keeps its BMU; equal distances go to
    the lower row.
    """
    codes = data.codes
    winners = bmu.copy()
    misplaced = np.flatnonzero(_is_misplaced(codes, majority, bmu))
    for code in np.unique(codes[misplaced]):
        candidates = np.flatnonzero(majority[:, code])
        if len(candidates):
            rows = misplaced[codes[misplaced] == code]
            winners[rows] = _nearest(data, rows, prototypes, candidates)
    return winners


def linked_runners_up(
    data: Any,
    bmu: Integers,
    prototypes: Floats,
    links: NDArray[np.int32],
    majority: Flags | None = None,
) -> Integers:
    """Return, for each sample (n,), the nearest linked neighbour of its BMU.

    ``links`` (K, degree) are those of `Neighbourhood`. Neighbours with its class in the
    ``majority`` (K, C) come first; equal distances go to the lower row.
    """
    codes = None if majority is None else data.codes
    if data.is_euclidean:
        from dbgsom_core.engine.fine_tuning import linked_rows

        return linked_rows(data, codes, bmu, prototypes, links, majority)
    linked = [np.sort(row[row >= 0]).astype(np.int64) for row in links]
    runners_up = np.empty(len(bmu), dtype=np.int64)
    for rows in groups(bmu):
        runners_up[rows] = _nearest(data, rows, prototypes, linked[bmu[rows[0]]])
    if majority is None or codes is None:
        return runners_up
    misplaced = np.flatnonzero(_is_misplaced(codes, majority, runners_up))
    for group in groups(bmu[misplaced] * majority.shape[1] + codes[misplaced]):
        rows = misplaced[group]  # all of the same unit and class
        neighbours = linked[bmu[rows[0]]]
        candidates = neighbours[majority[neighbours, codes[rows[0]]]]
        if len(candidates):
            runners_up[rows] = _nearest(data, rows, prototypes, candidates)
    return runners_up


def _is_misplaced(codes: Integers, majority: Flags, neurons: Integers) -> Flags:
    # Mark the samples (n,) whose class is not in the majority in their neuron.
    return np.asarray((codes >= 0) & ~majority[neurons, codes])


def _nearest(data: Any, rows: Integers, prototypes: Floats, neurons: Integers) -> Integers:
    # The nearest of some neurons to each of some samples.
    if len(neurons) == 1:
        return np.full(len(rows), neurons[0])
    assignment = data.subset(rows).assign_plainly(prototypes[neurons])
    return np.asarray(neurons[assignment.bmu])


# ------------------------------------------------------------------------------ results of a pass


@dataclass
class SearchResult:
    """Result of a pass, summed sample by sample: for any metric, weights and missing values.

    ``of`` holds the units and distances of the samples. It is valid until the next pass of its
    search.
    """

    data: Any  # `Samples`, whose module imports this one
    prototypes: Floats
    of: PerSample

    @property
    def units(self) -> NDArray[Any]:
        return self.of.units

    @property
    def bmu(self) -> Integers:
        return self.of.bmu

    @property
    def distance(self) -> Floats:
        return self.of.distance

    @cached_property
    def hits(self) -> NDArray[Any]:
        """Samples of each neuron, (K,), or the sums of their weights."""
        units = self.units
        weights = self.data.weights
        hits: NDArray[Any] = np.zeros(len(self.prototypes), np.int64 if weights is None else float)
        for rows in pieces(len(units)):  # bincount copies its input
            if weights is None:
                hits += np.bincount(units[rows], minlength=len(hits))
            else:
                np.add.at(hits, units[rows], weights[rows])
        return hits

    @cached_property
    def errors(self) -> Floats:
        """Sums of the samples' distances, (K,)."""
        errors = np.zeros(len(self.prototypes))
        data = self.data
        for rows, bmu, distance in each_piece(self.of, data.n):
            if data.scatter is not None:  # the mean distance within a micro-cluster
                distance = np.hypot(distance, data.scatter[rows])
            if data.weights is not None:
                distance = data.weights[rows] * distance
            np.add.at(errors, bmu, distance)
        return errors

    @cached_property
    def total_error(self) -> float:
        return float(self.errors.sum())

    @cached_property
    def totals(self) -> Totals:
        sums, seen = self.data.sums_seen(self.units, len(self.prototypes))
        return Totals(self.hits, sums, self.errors, seen)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """Samples of each class by neuron, (K, C); None without classes."""
        data = self.data
        if data.codes is None:
            return None
        n_neurons = len(self.prototypes)
        if data.weights is not None:
            return count_classes(self.units, data.codes, n_neurons, data.n_classes, data.weights)
        counts = np.zeros((n_neurons, data.n_classes), np.int64)
        for rows in pieces(data.n):
            counts += count_classes(self.units[rows], data.codes[rows], *counts.shape)
        return counts

    def reassign_to_own_class(self, majority: Flags) -> SearchResult:
        """Return the result with each sample in the nearest neuron of its class.

        ``majority`` (K, C) marks the classes of neurons, see `winners_of_own_class`.
        """
        find = partial(winners_of_own_class, prototypes=self.prototypes, majority=majority)
        winners = self.data.of_parts(self.bmu, find)
        return replace(self, of=Assignment(winners, self.distance))

    def runner_up_totals(self, links: NDArray[np.int32], majority: Flags | None) -> Totals:
        """Return totals of the samples by their `linked_runners_up`; errors are left empty."""
        find = partial(
            linked_runners_up, prototypes=self.prototypes, links=links, majority=majority
        )
        runners_up = self.data.of_parts(self.bmu, find)
        n_neurons = len(self.prototypes)
        hits = np.bincount(runners_up, self.data.weights, n_neurons)
        sums, seen = self.data.sums_seen(runners_up, n_neurons)
        return Totals(hits, sums, np.empty(0), seen)

    def update_prototypes(self, kernel: Neighbourhood, centre: Centre | None = None) -> Floats:
        """Return the prototypes (K, D) as kernel-weighted means of the samples.

        ``centre`` makes prototypes of means. Neurons and features without weight keep their values.
        The formula stands in `smoothing`.
        """
        runners_up = None
        if kernel.link_pull > 0:
            runners_up = self.runner_up_totals(kernel.links, kernel.majority)
        return prototypes_from_totals(
            self.totals, self.prototypes, kernel, runners_up, centre, self.data.threads
        )

    def fit_prototypes(self, kernel: Neighbourhood) -> Floats:
        """Return the prototypes (K, D) that the metric's ``form`` makes of the samples.

        Samples are grouped by best-matching unit and runner-up, so that no weight of each sample
        and neuron is needed.
        """
        groups = self.bmu  # a group of samples for each neuron
        influence = kernel.weights[kernel.index.T]  # of a group (row) on each neuron
        before = self.prototypes
        n_neurons = len(before)
        if kernel.link_pull > 0:  # a group for each pair of a unit and a runner-up
            runners_up = linked_runners_up(self.data, groups, before, kernel.links, kernel.majority)
            pairs, groups = np.unique(groups * n_neurons + runners_up, return_inverse=True)
            units, neighbours = np.divmod(pairs, n_neurons)
            influence = influence[units]
            influence[np.arange(len(pairs)), neighbours] += kernel.link_pull
        data = self.data
        prototypes = data.metric.form(data.X, groups, influence, data.weights, before)
        return np.asarray(prototypes, np.float64)


class PackedResult(SearchResult):
    """Result of a pass over unweighted samples, in exact sums of packed numbers.

    Errors are of packed samples, as sums are. Units are fetched on access, which must be before the
    next pass of the same search. With ``own_class`` (K, C) samples were reassigned to neurons with
    their class in this majority.
    """

    def __init__(
        self, search: Search, spec: PassSpec, sums: PartialSums, own_class: Flags | None = None
    ) -> None:
        data = search.data
        super().__init__(data, spec.prototypes, search.units(spec, own_class))
        self.search = search
        self.spec = spec
        self.packed = sums
        self.own_class = own_class
        self.hits = sums.hits
        # Not lazy: a cached property takes longer.
        steps = sums.steps * data.quantisation.scale  # of an error of 1 in the data's units
        self.errors = sums.errors / steps
        self.total_error = float(sums.errors.sum()) / steps

    @cached_property
    def totals(self) -> Totals:
        return Totals(self.hits, self._unpacked(self.packed.sums, self.hits), self.errors)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        if self.data.codes is None or self.packed.classes is not None:
            return self.packed.classes
        return self._by_sample().class_counts

    def reassign_to_own_class(self, majority: Flags) -> PackedResult:
        sum_changes, hit_changes = self.search.total("reassigned", self.spec, majority)
        sums = self.packed._replace(
            sums=self.packed.sums + sum_changes,
            hits=self.packed.hits + hit_changes,
            linked=None,  # that of the units before
        )
        return PackedResult(self.search, self.spec, sums, majority)

    def update_prototypes(self, kernel: Neighbourhood, centre: Centre | None = None) -> Floats:
        data = self.data
        before = self.prototypes
        pull = kernel.link_pull
        if centre is not None or kernel.inhibits:
            runners_up = None
            if pull > 0:
                runners_up = self._by_sample().runner_up_totals(kernel.links, kernel.majority)
            return prototypes_from_totals(
                self.totals, before, kernel, runners_up, centre, data.threads
            )
        linked = self._linked(kernel.links, kernel.majority) if pull > 0 else None
        return prototypes_from_packed_sums(
            self.packed.sums, self.hits, before, kernel, linked, data.quantisation, data.threads
        )

    def _by_sample(self) -> SearchResult:
        return SearchResult(self.data, self.prototypes, self.of)

    def _linked(self, links: NDArray[np.int32], majority: Flags | None) -> tuple[Floats, Integers]:
        # Packed sums and hits by nearest linked neighbour, which the pass may have found already.
        linked = self.packed.linked
        linked_by = self.spec.links
        is_known = linked_by is not None and np.array_equal(linked_by, links)
        if linked is not None and is_known and majority is None:
            return linked
        return self.search.linked(self.spec, self.own_class, links, majority)

    def _unpacked(self, sums: Floats, hits: Integers) -> Floats:
        # Sums (K, D) in the data's units, from packed ones (K, depth).
        how = self.data.quantisation
        d = self.prototypes.shape[1]
        centred = sums[:, :d] / how.scale  # exact: a power of two
        return np.asarray(centred + hits[:, None] * how.centre)


# ------------------------------------------------------------------------------------ the search


class PassSpec(NamedTuple):
    """Prototypes and options of a pass, for any shard of the samples.

    ``number`` is unique within a search. The first ``known`` of the ``prototypes`` (K, D) are those
    of the last pass; 0: all are new. With ``links`` (K, degree) the pass also sums the samples by
    nearest linked neighbour.
    """

    number: int
    prototypes: Floats
    positions: Integers
    known: int
    links: NDArray[np.int32] | None = None


class PartialSums(NamedTuple):
    """Exact totals by neuron over a shard of the samples.

    ``hits`` (K,) int64, packed ``sums`` (K, depth), ``errors`` (K,) int64 in whole ``steps``,
    counts by class, int64 (K, C), or None, and packed sums and hits by nearest linked neighbour, or
    None.
    """

    hits: Integers
    sums: Floats
    errors: Integers
    steps: float
    classes: Integers | None = None
    linked: tuple[Floats, Integers] | None = None


def plus(first: Any, other: Any) -> Any:
    """Return the sum of two shards' results, which have the same steps."""
    if first is None or isinstance(first, float):
        return first
    if not isinstance(first, tuple):
        return first + other
    sums = [plus(*pair) for pair in zip(first, other, strict=True)]
    return PartialSums(*sums) if isinstance(first, PartialSums) else tuple(sums)


class Search:
    """Search for the best-matching units of all samples, epoch after epoch.

    With ``shards`` each of them searches its rows and sums them exactly, so that a map does not
    depend on how samples are divided: all in this process, partitions of a table, or shards on
    workers. Without, `Samples.assign` finds the units, and the results add up the samples. Equal
    distances go to the lowest row.
    """

    def __init__(self, data: Any, shards: Shards | None = None) -> None:
        self.data = data
        self.shards = shards
        self._passes = 0  # of the shards
        self._known = 0  # prototypes of the last one
        self._links: NDArray[np.int32] | None = None  # of the last update

    def assign(self, prototypes: Floats, positions: Integers) -> SearchResult:
        """Find the nearest prototype of every sample.

        ``prototypes`` are float64 (K, D), ``positions`` their grid cells, int (K, 2).
        """
        if self.shards is None:
            return SearchResult(self.data, prototypes, self.data.assign(prototypes))
        return self._pass(self.shards, prototypes, positions, 0)

    def assign_new_neurons(
        self, result: SearchResult, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        """Return ``result``, which is that of the first ``known`` prototypes, extended to all."""
        if self.shards is not None:
            if self._known != known:
                known = 0
            return self._pass(self.shards, prototypes, positions, known)
        new = self.data.assign(prototypes[known:])
        nearer = new.distance < result.distance
        bmu = np.where(nearer, new.bmu + known, result.bmu)
        distance = np.where(nearer, new.distance, result.distance)
        return SearchResult(self.data, prototypes, Assignment(bmu, distance))

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """Return for which samples (n,) the two nearest neurons are not linked."""
        if self.shards is not None:
            flags = self.shards.ask("unlinked", prototypes, links, add=None)
            return np.concatenate(flags)
        if len(prototypes) == 1:
            return np.zeros(self.data.n, bool)
        return unlinked(self.data.nearest_units(prototypes, 2)[0], links)

    # ------------------------------------------------------------------------ passes of the shards

    def _pass(
        self, shards: Shards, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        self._passes += 1
        links = self._links
        if links is not None and len(links) != len(prototypes):
            links = None
        spec = PassSpec(self._passes, prototypes.copy(), positions, known, links)
        sums: PartialSums | None = self.total("assign", spec)
        if sums is None:  # a prototype is too far away for packed numbers
            self._known = 0
            return SearchResult(self.data, prototypes, self.data.assign(prototypes))
        self._known = len(prototypes)
        if self.data.weights is not None:  # units of the shards, sums by sample
            return SearchResult(self.data, prototypes, self.units(spec, None))
        return PackedResult(self, spec, sums)

    def total(self, question: Question, *arguments: Any) -> Any:
        """Return the sum of all shards' answers."""
        assert self.shards is not None
        return reduce(plus, self.shards.ask(question, *arguments, add=plus))

    def units(self, spec: PassSpec, own_class: Flags | None) -> Units:
        """Return the units of a pass, which are fetched from the shards on access."""
        assert self.shards is not None
        ask = self.shards.ask

        def find() -> NDArray[Any]:
            by_shard = ask("units", spec, own_class, add=None)
            return by_shard[0] if len(by_shard) == 1 else np.concatenate(by_shard)

        return Units(self.data, spec.prototypes, find)

    def linked(
        self,
        spec: PassSpec,
        own_class: Flags | None,
        links: NDArray[np.int32],
        majority: Flags | None,
    ) -> tuple[Floats, Integers]:
        """Return packed sums and hits by nearest linked neighbour, see `Shard.linked`.

        Where questions read the rows, the next pass computes them too.
        """
        assert self.shards is not None
        self._links = links if majority is None and self.shards.rereads else None
        total: tuple[Floats, Integers] = self.total("linked", spec, own_class, links, majority)
        return total
