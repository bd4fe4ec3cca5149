"""Answers from more than the winning neuron: groups of samples, and what a labeller learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.blas import one_blas_thread
from dbgsom_core.engine.contract import PerSample
from dbgsom_core.engine.local import LocalSamples, Samples
from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.per_sample import units_of
from dbgsom_core.interfaces.labellers import Labeller, LabellerAbilities, Surroundings
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Tree, leaf_map
from dbgsom_core.training.places import (
    Near,
    Places,
    each_block,
    places_of,
    without_themselves,
)
from dbgsom_core.training.summaries import Summaries
from dbgsom_core.training.targets import Target

_LEARN_FROM = 5000  # samples at most, evenly spaced, or so many for each group:
_LEARN_FROM_A_GROUP = 20  # of a leaf and class

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Groups:
    """What leaves won of each class, in parts, or at all where targets are numbers: M groups.

    Attributes
    ----------
    places : float64 array (M, D)
        See `Surroundings`.
    weights : float64 array (M,)
    values : array (M,)
        Numbers of classes, or mean targets.
    units : int64 array (M,)
        Their leaves, ascending; for one leaf the numbers of classes do.
    prototypes : float64 array (L, D)
        Of all leaves.
    n_classes : int
    """

    places: NDArray[np.float64]
    weights: NDArray[np.float64]
    values: NDArray[Any]
    units: NDArray[np.int64]
    prototypes: NDArray[np.float64]
    n_classes: int

    @classmethod
    def of(
        cls,
        summaries: Summaries,
        prototypes: NDArray[np.float64],
        metric: MetricCalls,
        classes: NDArray[Any] | None,
    ) -> Self:
        """Return the groups of what a map remembers; targets are numbers without ``classes``."""
        assert summaries.labels is not None
        assert summaries.units is not None
        places = places_of(summaries, prototypes, metric)
        rows = np.arange(len(places))
        if classes is not None and summaries.labelled is not None:
            rows = np.flatnonzero(summaries.labelled)
        labels, units = summaries.labels[rows], summaries.units[rows]
        values = labels if classes is None else np.searchsorted(classes, labels)
        n_classes = 0 if classes is None else len(classes)
        return cls(places[rows], summaries.weights[rows], values, units, prototypes, n_classes)

    @cached_property
    def where(self) -> Places:
        """The places, to be looked for."""
        return Places(self.places)

    @property
    def n_whole(self) -> int:
        """How many there would be if none were in parts."""
        if not self.n_classes:
            return len(self.units)
        return len(np.unique(self.units * self.n_classes + self.values))

    def around(self, data: Samples, near: Near, reads_samples: bool) -> Surroundings:
        """Return the surroundings of samples to which these groups (m, k) are nearest."""
        rows, distances = near
        X: NDArray[Any] = np.empty((data.n, 0))
        if reads_samples and not issparse(data.X):
            X = data.completed(self.prototypes) if data.incomplete else data.X[0 : data.n]
        return Surroundings(
            distances,
            self.weights.take(rows),
            self.values.take(rows),
            self.units.take(rows),
            X,
            self.n_classes,
        )

    def of_samples(
        self, units: NDArray[np.int64], codes: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """Return the group of each training sample: of its leaf and class."""
        keys, wanted = self.units, units
        if codes is not None:
            keys, wanted = keys * self.n_classes + self.values, units * self.n_classes + codes
        return np.searchsorted(keys, wanted)


def _left_out(
    around: Surroundings,
    mine: NDArray[np.bool_],
    y: NDArray[np.float64] | None,
    weights: NDArray[np.float64] | None,
) -> Surroundings:
    # Each sample taken out of its own group, the entry that is ``mine`` (m, k), of its mean target
    # as well.
    values, held = around.values, around.weights
    distances, left, order = without_themselves(around.distances, held, mine, weights)
    if y is not None:
        kept = np.empty_like(held)
        np.put_along_axis(kept, order, left, 1)
        change = np.divide(held, kept, out=np.ones_like(held), where=mine & (kept > 0)) - 1
        values = values + (values - y[:, None]) * change
    return replace(
        around,
        distances=distances,
        weights=left,
        values=np.take_along_axis(values, order, 1),
        units=np.take_along_axis(around.units, order, 1),
    )


@dataclass(frozen=True)
class Answering:
    """A labeller that answers from surroundings, and what it learnt.

    Attributes
    ----------
    labeller : LabellerAbilities
    groups : Groups
    state : mapping of str to array
    """

    labeller: LabellerAbilities
    groups: Groups
    state: State

    @classmethod
    def of(
        cls,
        labeller: Labeller,
        tree: Tree,
        summaries: Summaries,
        samples: Samples,
        ended: PerSample,
        target: Target | None,
        own: NDArray[np.int64] | None = None,
    ) -> Self | None:
        """Let the labeller learn from samples that ended in leaves of a tree; None where it answers
        neuron by neuron.

        ``own`` (n,): which summary each sample is in, where a leaf may have several.
        """
        if target is None or LabellerAbilities.of(labeller).answer is None:
            return None
        groups = Groups.of(summaries, tree.weights, samples.metric, target.classes)
        if own is not None and summaries.labelled is not None:
            own = (np.cumsum(summaries.labelled) - 1)[own]  # those of no class are no groups
        return cls.learnt(labeller, leaf_map(tree), groups, samples, ended, target, own)

    @classmethod
    def learnt(
        cls,
        labeller: Labeller,
        som_map: SomMap,
        groups: Groups,
        data: Samples,
        found: PerSample,
        target: Target,
        own: NDArray[np.int64] | None = None,
    ) -> Self:
        """Let the labeller learn from training samples ``data`` that ended in leaves ``found``.

        ``own`` (n,): their groups, where a leaf may have several.
        """
        abilities = LabellerAbilities.of(labeller)
        told = np.arange(data.n) if target.codes is None else np.flatnonzero(target.codes >= 0)
        most = max(_LEARN_FROM, _LEARN_FROM_A_GROUP * groups.n_whole)
        if len(told) > most:
            told = told[np.linspace(0, len(told) - 1, most).astype(np.int64)]
        part = data if len(told) == data.n else data.subset(told)
        codes = None if target.codes is None else target.codes[told]
        numbers = np.asarray(target.y[told], dtype=np.float64) if codes is None else None
        near = groups.where.nearest(part, abilities.neighbours)
        around = groups.around(part, near, abilities.reads_samples)
        if own is None:
            own = groups.of_samples(units_of(found)[told].astype(np.int64), codes)
        else:
            own = own[told]
        around = _left_out(around, near[0] == own[:, None], numbers, part.weights)
        y = numbers if codes is None else codes
        state = abilities.learn(around, y, part.weights, som_map)
        return cls(abilities, groups, dict(state))

    def __call__(self, data: Samples) -> NDArray[np.float64]:
        """Return class probabilities (n, C) or numbers (n,) for prepared samples."""
        k, where = self.labeller.neighbours, self.groups.where
        parts: dict[int, NDArray[np.float64]] = {}

        def answer(rows: slice, part: Samples) -> None:
            parts[rows.start] = self.answers(part, where.nearest(part, k))

        each_block(data, answer)
        return np.concatenate([parts[start] for start in sorted(parts)])

    def answers(self, data: Samples, near: Near) -> NDArray[np.float64]:
        """Return the same for a block of samples to which these groups are nearest."""
        around = self.groups.around(data, near, self.labeller.reads_samples)
        with one_blas_thread():
            answers = self.labeller.answer(around, self.state)
        return np.asarray(answers, dtype=np.float64)

    def of_prototypes(
        self, prototypes: NDArray[np.float64], metric: MetricCalls
    ) -> NDArray[np.float64]:
        """Return the same for prototypes (K, D)."""
        return self(LocalSamples(prototypes, metric))
