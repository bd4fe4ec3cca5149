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

from dbgsom_core.engine.partitions import Parts, pieces
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

    ``find()`` returns the units (n,), int64 for samples in memory, else of the smallest integer
    type.
    """

    def __init__(self, data: Any, prototypes: Floats, find: Callable[[], NDArray[Any]]) -> None:
        self.data, self.prototypes, self._find = data, prototypes, find
        self._units: NDArray[Any] | None = None
        self._distance: Floats | None = None

    @property
    def units(self) -> NDArray[Any]:
        # No cached_property: that of Python 3.11 has one lock for all instances, and the thread
        # that holds it may wait for threads that need the units of parts.
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


@dataclass(frozen=True)
class Moments:
    """Weighted column means (D,) and population standard deviations (D,) of observed values."""

    mean: Floats
    deviation: Floats


# ---------------------------------------------------------------------------- sample by sample


def each_piece(found: Any, n: int) -> Iterator[tuple[slice, Integers, Floats]]:
    """Yield rows, units and distances of the first ``n`` samples, at most 65536 at a time."""
    in_memory = found.units.dtype == np.int64
    size = _ROWS if in_memory else found.data.piece
    for some in pieces(n, size):
        bmu = found.units[some].astype(np.int64, copy=False)
        if in_memory:
            distance = found.distance[some]
        else:
            distance = found.data.distances_to(found.prototypes, bmu, some)
        for rows in pieces(len(bmu), _ROWS):
            start = some.start
            yield slice(start + rows.start, start + rows.stop), bmu[rows], distance[rows]


def groups(keys: NDArray[Any]) -> list[Integers]:
    """Return the rows of each distinct key, each ascending, in the order of the keys."""
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows)]


def unlinked(nearest: NDArray[np.signedinteger[Any]], links: NDArray[np.int32]) -> Flags:
    """Return for which samples (n,) the two ``nearest`` neurons (n, 2) are not linked."""
    found = np.empty(len(nearest), dtype=bool)
    for rows in pieces(len(nearest), _ROWS):
        first, second = nearest[rows].T
        found[rows] = (links[first] != second[:, None]).all(axis=1)
    return found


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
    sums = np.zeros((n_neurons, X.shape[1])) if sums is None else sums
    observed = np.zeros_like(sums) if incomplete else None
    weights = np.ones(X.shape[0]) if weights is None else weights
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
    return np.asarray((counts == counts.max(axis=1, keepdims=True)) & (counts > 0))


def count_classes(
    bmu: NDArray[Any], codes: Integers, n_neurons: int, n_classes: int, weights: Any = None
) -> NDArray[Any]:
    """Return the counts (K, C) of each class by neuron, or sums of weights.

    A sample with a negative code has no class and is not counted.
    """
    if codes.min(initial=0) < 0:
        labelled = codes >= 0
        bmu, codes = bmu[labelled], codes[labelled]
        weights = None if weights is None else weights[labelled]
    flat = np.bincount(bmu * np.int64(n_classes) + codes, weights, n_neurons * n_classes)
    return flat.reshape(n_neurons, n_classes)


def winners_of_own_class(data: Any, bmu: Integers, prototypes: Floats, majority: Flags) -> Integers:
    """Return, for each sample (n,), the nearest neuron with its class in the majority.

    A sample without a class, or whose class has no majority, keeps its BMU; equal distances go to
    the lower row.
    """
    codes, winners = data.codes, bmu.copy()
    others = np.flatnonzero(_misplaced(codes, majority, bmu))
    for code in np.unique(codes[others]):
        own = np.flatnonzero(majority[:, code])
        rows = others[codes[others] == code]
        if len(own):
            winners[rows] = _nearest(data, rows, prototypes, own)
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
    others = np.flatnonzero(_misplaced(codes, majority, runners_up))
    for group in groups(bmu[others] * majority.shape[1] + codes[others]):
        rows = others[group]
        neighbours = linked[bmu[rows[0]]]
        own = neighbours[majority[neighbours, codes[rows[0]]]]
        if len(own):
            runners_up[rows] = _nearest(data, rows, prototypes, own)
    return runners_up


def _misplaced(codes: Integers, majority: Flags, neurons: Integers) -> Flags:
    # Mark the samples (n,) whose class is not in the majority in their neuron.
    return np.asarray((codes >= 0) & ~majority[neurons, codes])


def _nearest(data: Any, rows: Integers, prototypes: Floats, neurons: Integers) -> Integers:
    if len(neurons) == 1:
        return np.full(len(rows), neurons[0])
    found = data.subset(rows).assign_plainly(prototypes[neurons])
    return np.asarray(neurons[found.bmu])


# ------------------------------------------------------------------------------ results of a pass


@dataclass
class SearchResult:
    """Result of a pass, summed sample by sample: for any metric, weights and missing values.

    ``of`` holds the units and distances of the samples. It is valid until the next pass of its
    search.
    """

    data: Any
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
        units, weights = self.units, self.data.weights
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
        errors, data = np.zeros(len(self.prototypes)), self.data
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
        units, size = self.units, (len(self.prototypes), data.n_classes)
        if data.weights is not None:
            return count_classes(units, data.codes, *size, data.weights)
        counts = np.zeros(size, np.int64)
        for rows in pieces(data.n):
            counts += count_classes(units[rows], data.codes[rows], *size)
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
        runners_up, n_neurons = self.data.of_parts(self.bmu, find), len(self.prototypes)
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
        influence, units, before = kernel.weights[kernel.index.T], self.bmu, self.prototypes
        if kernel.link_pull > 0:
            runners_up = linked_runners_up(self.data, units, before, kernel.links, kernel.majority)
            pairs, units = np.unique(units * len(before) + runners_up, return_inverse=True)
            bmu, runners_up = np.divmod(pairs, len(before))
            influence = influence[bmu]
            influence[np.arange(len(pairs)), runners_up] += kernel.link_pull
        metric = self.data.metric
        made = metric.form(self.data.X, units, influence, self.data.weights, before)
        return np.asarray(made, np.float64)


class PackedResult(SearchResult):
    """Result of a pass over unweighted samples, in exact sums of packed numbers.

    Errors are of packed samples, as sums are. Units are fetched on access, which must be before the
    next pass of the same search. With ``own`` (K, C) samples were reassigned to neurons with their
    class in this majority.
    """

    def __init__(self, search: Search, spec: PassSpec, won: PartialSums, own: Any = None) -> None:
        data, self.search, self.spec, self.won, self.own = search.data, search, spec, won, own
        super().__init__(data, spec.prototypes, search.units(spec, own))
        self.packed_sums, self.hits = won.sums, won.hits
        # Not lazy: a cached property takes longer.
        steps = won.steps * data.quantisation.scale  # of an error of 1 in the data's units
        self.errors, self.total_error = won.errors / steps, float(won.errors.sum()) / steps

    @cached_property
    def totals(self) -> Totals:
        return Totals(self.hits, self._unpacked(self.packed_sums, self.hits), self.errors)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        if self.data.codes is None or self.won.classes is not None:
            return self.won.classes
        return self._by_sample().class_counts

    def reassign_to_own_class(self, majority: Flags) -> PackedResult:
        sums, hits = self.search.total("reassigned", self.spec, majority)
        won = self.won._replace(sums=self.won.sums + sums, hits=self.won.hits + hits, linked=None)
        return PackedResult(self.search, self.spec, won, majority)

    def runner_up_totals(self, links: NDArray[np.int32], majority: Flags | None) -> Totals:
        sums, hits = self._linked(links, majority)
        return Totals(hits, self._unpacked(sums, hits), np.empty(0))

    def update_prototypes(self, kernel: Neighbourhood, centre: Centre | None = None) -> Floats:
        data, before, pull = self.data, self.prototypes, kernel.link_pull
        if centre is not None or kernel.inhibits:
            runners_up = None
            if pull > 0:
                runners_up = self._by_sample().runner_up_totals(kernel.links, kernel.majority)
            return prototypes_from_totals(
                self.totals, before, kernel, runners_up, centre, data.threads
            )
        linked = self._linked(kernel.links, kernel.majority) if pull > 0 else None
        return prototypes_from_packed_sums(
            self.packed_sums, self.hits, before, kernel, linked, data.quantisation, data.threads
        )

    def _by_sample(self) -> SearchResult:
        return SearchResult(self.data, self.prototypes, self.of)

    def _linked(self, links: NDArray[np.int32], majority: Flags | None) -> tuple[Floats, Integers]:
        # Packed sums and hits by nearest linked neighbour, which the pass may have found already.
        linked, linked_by = self.won.linked, self.spec.links
        is_known = majority is None and linked_by is not None and np.array_equal(linked_by, links)
        if linked is not None and is_known:
            return linked
        return self.search.linked(self.spec, self.own, links, majority)

    def _unpacked(self, sums: Floats, hits: Integers) -> Floats:
        # Sums (K, D) in the data's units, from packed ones (K, depth).
        how = self.data.quantisation
        exact = sums[:, : self.prototypes.shape[1]] / how.scale  # exact: a power of two
        return np.asarray(exact + hits[:, None] * how.centre)


# ------------------------------------------------------------------------------------ the search


class PassSpec(NamedTuple):
    """Prototypes and options of a pass, for any part of the samples.

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
    """Exact totals by neuron over a part of the samples.

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
    """Return the sum of two parts' results, which have the same steps."""
    if first is None or isinstance(first, float):
        return first
    if not isinstance(first, tuple):
        return first + other
    both = [plus(*pair) for pair in zip(first, other, strict=True)]
    return type(first)(*both) if isinstance(first, PartialSums) else tuple(both)


class Search:
    """Search for the best-matching units of all samples, epoch after epoch.

    With ``parts`` each of them searches its rows and sums them exactly, so that a map does not
    depend on how samples are divided: all in this process, partitions of a table, or shards on
    workers. Without, `Samples.assign` finds the units, and the results add up the samples. Equal
    distances go to the lowest row.
    """

    def __init__(self, data: Any, parts: Parts | None = None) -> None:
        self.data, self.parts = data, parts
        self._passes, self._known = 0, 0  # passes of the parts; prototypes of the last one
        self._links: NDArray[np.int32] | None = None  # of the last update

    def assign(self, prototypes: Floats, positions: Integers) -> SearchResult:
        """Find the nearest prototype of every sample.

        ``prototypes`` are float64 (K, D), ``positions`` their grid cells, int (K, 2).
        """
        if self.parts is None:
            return SearchResult(self.data, prototypes, self.data.assign(prototypes))
        return self._pass(self.parts, prototypes, positions, 0)

    def assign_new_neurons(
        self, found: SearchResult, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        """Return ``found``, the result for the first ``known`` prototypes, extended to all."""
        if self.parts is not None:
            known = known if self._known == known else 0
            return self._pass(self.parts, prototypes, positions, known)
        new = self.data.assign(prototypes[known:])
        nearer = new.distance < found.distance
        bmu = np.where(nearer, new.bmu + known, found.bmu)
        distance = np.where(nearer, new.distance, found.distance)
        return SearchResult(self.data, prototypes, Assignment(bmu, distance))

    def unlinked(self, prototypes: Floats, links: NDArray[np.int32]) -> Flags:
        """Return for which samples (n,) the two nearest neurons are not linked."""
        if self.parts is not None:
            flags = self.parts.ask("unlinked", prototypes, links, add=None)
            return np.concatenate(flags)
        if len(prototypes) == 1:
            return np.zeros(self.data.n, bool)
        return unlinked(self.data.nearest_units(prototypes, 2)[0], links)

    # ------------------------------------------------------------------------ passes of the parts

    def _pass(
        self, parts: Parts, prototypes: Floats, positions: Integers, known: int
    ) -> SearchResult:
        self._passes += 1
        links = self._links
        links = links if links is not None and len(links) == len(prototypes) else None
        spec = PassSpec(self._passes, prototypes.copy(), positions, known, links)
        won: PartialSums | None = self.total("assign", spec)
        if won is None:  # a prototype is too far away for packed numbers
            self._known = 0
            return SearchResult(self.data, prototypes, self.data.assign(prototypes))
        self._known = len(prototypes)
        if self.data.weights is not None:  # units of the parts, sums by sample
            return SearchResult(self.data, prototypes, self.units(spec, None))
        return PackedResult(self, spec, won)

    def total(self, question: str, *given: Any) -> Any:
        """Return the sum of all parts' answers."""
        assert self.parts is not None
        return reduce(plus, self.parts.ask(question, *given, add=plus))

    def units(self, spec: PassSpec, own: Flags | None) -> Units:
        """Return the units of a pass, which are fetched from the parts on access."""
        assert self.parts is not None
        fetch = partial(self.parts.ask, "units", spec, own, add=None)

        def find() -> NDArray[Any]:
            each = fetch()
            return each[0] if len(each) == 1 else np.concatenate(each)

        return Units(self.data, spec.prototypes, find)

    def linked(
        self, spec: PassSpec, own: Flags | None, links: NDArray[np.int32], majority: Flags | None
    ) -> tuple[Floats, Integers]:
        """Return packed sums and hits by nearest linked neighbour, see `Part.linked`.

        Where questions read the rows, the next pass computes them too.
        """
        assert self.parts is not None
        self._links = links if majority is None and self.parts.rereads else None
        total: tuple[Floats, Integers] = self.total("linked", spec, own, links, majority)
        return total
