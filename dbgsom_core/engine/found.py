"""What a pass found, added up sample by sample: for any metric, with weights or missing values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.contract import (
    Assignment,
    Centre,
    MapGraph,
    Neighbourhood,
    PerSample,
    Totals,
)
from dbgsom_core.engine.majorities import count_classes, smoothed_weights, strangers
from dbgsom_core.engine.per_sample import add_in_order, count_units, each_piece, groups, units_of
from dbgsom_core.engine.samples import PlainSamples
from dbgsom_core.engine.tables import pieces


@dataclass(frozen=True)
class PlainResult:
    """See `Found`; ``of`` knows the units and distances of the samples."""

    samples: PlainSamples
    prototypes: NDArray[np.float64]
    of: PerSample
    moved: float = 1.0

    @property
    def bmu(self) -> NDArray[np.int64]:
        """See `Found`."""
        return self.of.bmu

    @property
    def distance(self) -> NDArray[np.float64]:
        """See `Found`."""
        return self.of.distance

    @cached_property
    def hits(self) -> NDArray[Any]:
        """See `Found`."""
        return count_units(units_of(self.of), self.samples.weights, len(self.prototypes))

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """See `Found`."""
        errors, samples = np.zeros(len(self.prototypes)), self.samples
        for rows, bmu, distance in each_piece(self.of, samples.n):
            if samples.scatter is not None:  # samples lie about evenly around what stands for them
                distance = np.hypot(distance, samples.scatter[rows])
            if samples.weights is not None:
                distance = samples.weights[rows] * distance
            add_in_order(errors, bmu, distance)
        return errors

    @cached_property
    def total_error(self) -> float:
        """See `Found`."""
        return float(self.errors.sum())

    @cached_property
    def totals(self) -> Totals:
        """See `Found`."""
        sums, seen = self.samples.sums_seen(units_of(self.of), len(self.prototypes))
        return Totals(self.hits, sums, self.errors, seen)

    @cached_property
    def class_counts(self) -> NDArray[Any] | None:
        """See `Found`."""
        samples = self.samples
        if samples.codes is None:
            return None
        units, size = units_of(self.of), (len(self.prototypes), samples.n_classes)
        if samples.weights is not None:
            return count_classes(units, samples.codes, *size, samples.weights)
        parts = pieces(0, samples.n)
        return sum(
            (count_classes(units[rows], samples.codes[rows], *size) for rows in parts),
            np.zeros(size, np.int64),
        )

    def exactly(self) -> PlainResult:
        """See `Found`."""
        return self

    def reweighed(self, gamma: float) -> PlainResult:
        """See `Found`."""
        weights = smoothed_weights(self.distance, self.samples.sample_weights, gamma)
        return replace(self, samples=replace(self.samples, weights=weights))

    def trained_by_class(self, leads: NDArray[np.bool_]) -> PlainResult:
        """See `Found`."""
        winners = self.samples.of_parts(
            self.bmu,
            partial(winners_of_own_class, prototypes=self.prototypes, leads=leads),
        )
        return replace(self, of=Assignment(winners, self.distance))

    def linked_totals(self, graph: MapGraph, leads: NDArray[np.bool_] | None) -> Totals:
        """See `Found`; nobody needs their errors, which are left empty."""
        seconds = self.samples.of_parts(
            self.bmu,
            partial(linked_runners_up, prototypes=self.prototypes, graph=graph, leads=leads),
        )
        n_neurons = len(self.prototypes)
        hits = np.bincount(seconds, self.samples.weights, n_neurons)
        sums, seen = self.samples.sums_seen(seconds, n_neurons)
        return Totals(hits, sums, np.empty(0), seen)

    def updated(self, around: Neighbourhood, centre: Centre | None = None) -> NDArray[np.float64]:
        """See `Found`."""
        from dbgsom_core.engine.smoothing import updated_from  # numba is slow to import

        won = self.totals
        pulled = self.linked_totals(around.graph, around.leads) if around.pull > 0 else None
        return updated_from(won, self.prototypes, around, pulled, centre, self.samples.threads)

    def formed(self, around: Neighbourhood) -> NDArray[np.float64]:
        """See `Found`.

        Samples that share best-matching unit and runner-up form a group: there are few, so the
        samples need not be held twice.
        """
        influence, units, so_far = around.weights[around.which.T], self.bmu, self.prototypes
        if around.pull > 0:
            seconds = linked_runners_up(self.samples, units, so_far, around.graph, around.leads)
            pairs, units = np.unique(units * len(so_far) + seconds, return_inverse=True)
            winners, runners_up = np.divmod(pairs, len(so_far))
            influence = influence[winners]
            influence[np.arange(len(pairs)), runners_up] += around.pull
        samples = self.samples
        form = samples.metric.form
        if form is None:
            raise ValueError(f"metric {samples.metric.name} forms no prototypes")
        made = form(samples.X, units, influence, samples.weights, so_far)
        prototypes = np.asarray(made, np.float64)
        if prototypes.shape != so_far.shape:
            raise ValueError(
                f"form of metric {samples.metric.name} returned shape "
                f"{prototypes.shape}, not {so_far.shape}"
            )
        return prototypes


def winners_of_own_class(
    samples: PlainSamples,
    bmu: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    leads: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the nearest neuron in which its class leads.

    A sample without a class, or whose class leads nowhere, keeps its BMU; equal distances go to
    the lower row.
    """
    codes = _codes(samples)
    if samples.is_euclidean:
        from dbgsom_core.engine.euclidean.fine_tuning import own_rows

        return own_rows(samples, codes, bmu, prototypes, leads)
    winners = bmu.copy()
    others = np.flatnonzero(strangers(codes, leads, bmu))
    for code in np.unique(codes[others]):
        own = np.flatnonzero(leads[:, code])
        rows = others[codes[others] == code]
        if len(own):
            winners[rows] = _nearest(samples, rows, prototypes, own)
    return winners


def linked_runners_up(
    samples: PlainSamples,
    bmu: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    graph: MapGraph,
    leads: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return, for each sample (n,), the linked neighbour of its BMU that lies nearest to it.

    Among the neighbours those in which its class leads come first, where ``leads`` are given.
    The map is connected and has at least two neurons; equal distances go to the lower row.
    """
    codes = None if leads is None else _codes(samples)
    if samples.is_euclidean:
        from dbgsom_core.engine.euclidean.fine_tuning import linked_rows

        return linked_rows(samples, codes, bmu, prototypes, graph.links, leads)
    linked = [np.sort(row[row >= 0]).astype(np.int64) for row in graph.links]
    runners_up = np.empty(len(bmu), dtype=np.int64)
    for rows in groups(bmu):
        runners_up[rows] = _nearest(samples, rows, prototypes, linked[bmu[rows[0]]])
    if leads is None or codes is None:
        return runners_up
    others = np.flatnonzero(strangers(codes, leads, runners_up))
    for group in groups(bmu[others] * leads.shape[1] + codes[others]):
        rows = others[group]
        neighbours = linked[bmu[rows[0]]]
        own = neighbours[leads[neighbours, codes[rows[0]]]]
        if len(own):
            runners_up[rows] = _nearest(samples, rows, prototypes, own)
    return runners_up


def _codes(samples: PlainSamples) -> NDArray[np.int64]:
    if samples.codes is None:
        raise ValueError("samples have no classes")
    return samples.codes


def _nearest(
    samples: PlainSamples,
    rows: NDArray[np.int64],
    prototypes: NDArray[np.float64],
    neurons: NDArray[np.int64],
) -> NDArray[np.int64]:
    if len(neurons) == 1:
        return np.full(len(rows), neurons[0])
    found = samples.subset(rows).assign_plainly(prototypes[neurons])
    return np.asarray(neurons[found.bmu])
