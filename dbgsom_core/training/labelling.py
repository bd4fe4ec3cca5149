"""Labels of neurons, and fitted labellers that predict from micro-clusters around a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.results import Assignment, Flags, Floats, Integers, PerSample
from dbgsom_core.engine.runtime import one_blas_thread
from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.smoothing import Totals
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.component import guarded, who
from dbgsom_core.interfaces.context import Context, EpochRecord
from dbgsom_core.interfaces.labellers import (
    LabelEvidence,
    LabellerComponent,
    LazyEvidence,
    Surroundings,
)
from dbgsom_core.interfaces.metrics import MetricComponent
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Descent, Tree, descend, fallback_leaves, leaf_map
from dbgsom_core.training.groups import (
    BLOCK,
    Members,
    MicroClusters,
    group_samples,
    leave_one_out,
)
from dbgsom_core.training.targets import AS_GIVEN, Target, TargetTransform

_LEARN_FROM = 5000  # training samples of a labeller at most, evenly spaced, or if more
_LEARN_FROM_A_GROUP = 20  # for each leaf and class
_MOST_NUMBERS = 1 << 22  # of samples that a labeller of classes reads, but for the first of these

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TrainedMap:
    """A trained map with child maps, and the training samples."""

    tree: Tree
    samples: Samples
    assignment: PerSample  # best-matching neurons of the first map
    leaf_bmu: PerSample  # best-matching leaves
    target: Target | None
    seed: tuple[int, ...] = (0,)  # seed and records are the labeller's context
    epochs: tuple[EpochRecord, ...] = ()
    totals: Totals | None = None  # totals by leaf, where known

    @property
    def has_gaps(self) -> bool:
        """Whether some samples have no number as their target."""
        target = self.target
        return target is not None and target.classes is None and not target.known.all()

    def evidence(self, som_map: SomMap, assignment: PerSample) -> LabelEvidence:
        """Return a labeller's evidence on the first map, or on all leaves as one map.

        It is of the samples whose number is known; those without a class are among it.
        """
        data = self.samples
        target = self.target
        y = None
        classes = None
        if target is not None and self.has_gaps:
            rows = np.flatnonzero(target.known)
            units = assignment.bmu[rows].astype(np.int64, copy=False)
            data = data.subset(rows)
            target = target.subset(rows)
            assignment = Assignment(units, assignment.distance[rows])
        if target is not None:
            y = target.y
            classes = target.classes
            data = data.with_classes(target.codes, 0 if classes is None else len(classes))
        exact = data.found(som_map.prototypes, assignment)
        return LazyEvidence(
            som_map=som_map,
            bmu=assignment.units,
            bmu_of=lambda: assignment.bmu,
            hits=exact.hits,
            y=y,
            classes=classes,
            class_counts=exact.class_counts,
            weights=data.weights,
            errors=exact.errors,
            context=Context(data, assignment, self.seed, self.epochs),
        )


class Labels(NamedTuple):
    """Labels of K neurons, or of the L leaves of a tree.

    A neuron without samples has the label of the nearest neuron with samples in its map.
    """

    labels: NDArray[Any]  # (K,), or (K, Q) of a labeller with Q columns
    probabilities: Floats | None  # (K, C)
    hits: NDArray[Any]  # (K,): training samples won, or the sum of their weights
    centres: Floats | None = None  # (C, D), to which samples are assigned, not to neurons


def label_units(
    labeller: LabellerComponent, evidence: LabelEvidence, metric: MetricComponent
) -> Labels:
    """Call the labeller; neurons without labelled samples take the nearest neuron's label."""
    prototypes = evidence.som_map.prototypes
    counts = evidence.class_counts
    known = (evidence.hits if counts is None else counts.sum(axis=1)) > 0
    nearest = np.arange(len(prototypes))
    if not known.all():
        live = np.flatnonzero(known)
        others = Samples(prototypes[~known], metric)
        nearest[~known] = live[others.assign(prototypes[live]).bmu]
    calls: Any = guarded(labeller)
    centres = None if calls.centres is None else calls.centres(evidence)
    if centres is not None:
        centres = np.ascontiguousarray(centres, np.float64)
        labels = Samples(prototypes, metric).assign(centres).bmu.astype(np.int64)
        return Labels(labels, None, np.asarray(evidence.hits), centres)
    labels = np.asarray(calls.label(evidence))
    _check_columns(labeller, "label", labels)
    is_answer = calls.needs_target and calls.answer is None  # else `answer` has it
    if is_answer and evidence.classes is not None:
        strange = labels[known][~np.isin(labels[known], evidence.classes)]
        if len(strange):
            raise ComponentError(
                f"{who(labeller)}: label answered {strange.tolist()[0]!r}, which is no "
                "class of the targets"
            )
    shares = None
    if calls.probabilities is not None and evidence.classes is not None:
        shares = np.asarray(calls.probabilities(evidence))[nearest]
    return Labels(labels[nearest], shares, np.asarray(evidence.hits))


def _check_columns(labeller: LabellerComponent, method: str, answers: NDArray[Any]) -> None:
    """Raise ComponentError where answers do not have the labeller's declared columns."""
    columns = guarded(labeller).columns
    shape = () if columns is None else (len(columns),)
    if answers.shape[1:] != shape:
        its = "it names no columns" if columns is None else f"its columns are {', '.join(columns)}"
        raise ComponentError(
            f"{who(labeller)}: {method} returned shape {answers.shape}, not "
            f"{(len(answers), *shape)}; {its}"
        )


@dataclass(frozen=True)
class FittedLabeller:
    """A labeller that predicts from the micro-clusters around a sample, with its fitted state.

    They are those with a class, or all with their mean target.
    """

    labeller: Any  # with ``answer``, as the core calls it
    centres: Floats  # (M, D)
    weights: Floats  # (M,)
    values: NDArray[Any]  # (M,), numbers of classes, or mean targets
    units: Integers  # (M,), leaves, ascending
    prototypes: Floats  # (L, D) of all leaves
    n_classes: int  # 0 where targets are numbers
    state: State
    limits: Floats | None = None  # (2,): least and largest of numeric targets
    transform: TargetTransform = AS_GIVEN  # undone in answers

    @classmethod
    def from_clusters(
        cls,
        labeller: LabellerComponent,
        clusters: MicroClusters,
        prototypes: Floats,
        metric: MetricComponent,
        classes: NDArray[Any] | None,
        state: State,
        transform: TargetTransform,
    ) -> Self:
        """Return the labeller of a map's micro-clusters; without ``classes`` for numbers."""
        assert clusters.labels is not None
        assert clusters.units is not None
        rows = np.arange(len(clusters.weights))
        if clusters.labelled is not None:
            rows = np.flatnonzero(clusters.labelled)
        values = clusters.labels[rows]
        if classes is not None:
            values = np.searchsorted(classes, values)
        return cls(
            labeller=labeller,
            centres=clusters.centres(prototypes, metric)[rows],
            weights=clusters.weights[rows],
            values=values,
            units=clusters.units[rows],
            prototypes=prototypes,
            n_classes=0 if classes is None else len(classes),
            state=state,
            limits=clusters.limits,
            transform=transform,
        )

    def surroundings(self, data: Samples, near: tuple[NDArray[Any], NDArray[Any]]) -> Surroundings:
        """Return the surroundings of samples with nearest groups ``near`` (m, k)."""
        rows, distances = near
        X: NDArray[Any] = np.empty((data.n, 0))
        too_wide = issparse(data.X) and data.X.shape[1] > self.labeller.sparse_columns
        if self.labeller.reads_samples and not too_wide:
            X = data.completed(self.prototypes)
        weights = self.weights.take(rows)
        units = self.units.take(rows)
        values = self.values.take(rows)
        return Surroundings(distances, weights, values, units, X, self.n_classes, self.limits)

    def __call__(self, data: Samples) -> Floats:
        """Return class probabilities (n, C), or numbers (n,) or (n, Q), for prepared samples."""
        parts: dict[int, Floats] = {}

        def answer(rows: slice, part: Samples) -> None:
            near = part.nearest(self.centres, self.labeller.neighbours)
            with one_blas_thread():
                answers = self.labeller.answer(self.surroundings(part, near), self.state)
            parts[rows.start] = np.asarray(answers, dtype=np.float64)

        data.in_parts(BLOCK, answer)
        return self.transform.undo(np.concatenate([parts[start] for start in sorted(parts)]))


def fit_labeller(
    labeller: LabellerComponent, trained: TrainedMap, clusters: MicroClusters, members: Members
) -> FittedLabeller | None:
    """Fit the labeller to the micro-clusters of a map; None where it labels neurons only.

    It learns by leave-one-out: each sample is removed from its own group, by ``members``, and
    from the group's mean target.
    """
    calls: Any = guarded(labeller)
    target = trained.target
    if target is None or calls.answer is None:
        return None
    data = trained.samples
    tree = trained.tree
    fresh = FittedLabeller.from_clusters(
        calls, clusters, tree.weights, data.metric, target.classes, {}, target.transform
    )
    rows = np.flatnonzero(target.known)
    limit = _most_learnt_from(fresh)
    if len(rows) > limit:
        rows = rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]
    part = data if len(rows) == data.n else data.subset(rows)
    group_of = members(rows)
    if clusters.labelled is not None:  # the labeller has no groups without a target
        number = np.cumsum(clusters.labelled) - 1
        group_of = number[group_of]
    near = part.nearest(fresh.centres, calls.neighbours)
    is_own = near[0] == group_of[:, None]
    y: NDArray[Any]
    if target.codes is not None:
        numbers = None
        y = target.codes[rows]
    else:
        numbers = y = np.asarray(target.y[rows], np.float64)
    around = leave_out(fresh.surroundings(part, near), is_own, numbers, part.weights)
    state = calls.learn(around, y, part.weights, leaf_map(tree))
    return replace(fresh, state=dict(state))


def _most_learnt_from(labeller: FittedLabeller) -> int:
    n_groups = len(labeller.units)  # before bisection
    if labeller.n_classes:
        n_groups = len(np.unique(labeller.units * labeller.n_classes + labeller.values))
    limit = _LEARN_FROM_A_GROUP * n_groups
    if labeller.n_classes and labeller.labeller.reads_samples:
        limit = min(limit, _MOST_NUMBERS // labeller.prototypes.shape[1])
    return max(_LEARN_FROM, limit)


def leave_out(
    around: Surroundings,
    mine: Flags,
    y: Floats | None,
    weights: Floats | None,
) -> Surroundings:
    """Remove each sample from its own group, marked in ``mine`` (m, k), and from its mean."""
    values = around.values
    before = around.weights
    distances, left, order = leave_one_out(around.distances, before, mine, weights)
    if y is not None:
        after = np.empty_like(before)
        np.put_along_axis(after, order, left, 1)
        ratio = np.ones_like(before)
        np.divide(before, after, out=ratio, where=mine & (after > 0))
        values = values + (values - y[:, None]) * (ratio - 1)
    return replace(
        around,
        distances=distances,
        weights=left,
        values=np.take_along_axis(values, order, 1),
        units=np.take_along_axis(around.units, order, 1),
    )


class Threshold(NamedTuple):
    """Of two classes the one of this code is answered from this probability on."""

    code: int
    probability: float


@dataclass(frozen=True)
class Predictor:
    """Prediction for prepared samples by a labelled tree of L leaves."""

    tree: Tree
    leaves: Labels
    labeller: FittedLabeller | None  # None: predict the leaves' labels
    classes: NDArray[Any] | None  # (C,)
    threshold: Threshold | None = None  # None: the most probable class is answered

    def descend(self, data: Samples) -> Descent:
        """Return the leaves of samples among neurons with training samples, which have labels."""
        return descend(self.tree, data, self.tree.live(self.leaves.hits))

    def labels(self, data: Samples) -> NDArray[Any]:
        if self.leaves.centres is not None:
            return data.assign(self.leaves.centres).bmu.astype(np.int64)
        if self.labeller is None:
            return np.asarray(self.leaves.labels[self.descend(data).leaf])
        answers = self.labeller(data)
        return answers if self.classes is None else self.decide(answers)

    def decide(self, probabilities: Floats) -> NDArray[Any]:
        """Return the class (n,) that is answered to class probabilities (n, C)."""
        assert self.classes is not None
        if self.threshold is None:
            return np.asarray(self.classes[probabilities.argmax(axis=1)])
        code, least = self.threshold
        is_positive = probabilities[:, code] >= least
        return np.asarray(self.classes[np.where(is_positive, code, 1 - code)])

    def probabilities(self, data: Samples) -> Floats:
        """Return class probabilities (n, C); AttributeError where the labeller gives none."""
        if self.labeller is not None:
            return self.labeller(data)
        if self.leaves.probabilities is None:
            raise AttributeError("the map's labeller has no probabilities")
        return np.asarray(self.leaves.probabilities[self.descend(data).leaf])


@dataclass(frozen=True)
class LabelledMap:
    """Labels of neurons and leaves, and the micro-clusters that they were learnt from."""

    neurons: Labels
    leaves: Labels
    clusters: MicroClusters  # of all samples
    members: Members
    labeller: FittedLabeller | None


def label_map(labeller: LabellerComponent, trained: TrainedMap) -> LabelledMap:
    """Label a trained map by its training samples."""
    tree = trained.tree
    samples = trained.samples
    target = trained.target
    neurons, leaves = _labels(labeller, trained)
    if target is not None:
        neurons = neurons._replace(labels=target.transform.undo(neurons.labels))
        leaves = leaves._replace(labels=target.transform.undo(leaves.labels))
    if trained.has_gaps:  # the labels are of some samples, the hits of all
        exact = samples.found(tree.maps[0].prototypes, trained.assignment)
        hits = np.bincount(trained.leaf_bmu.bmu, samples.weights, len(tree))
        neurons = neurons._replace(hits=exact.hits)
        leaves = leaves._replace(hits=exact.hits if len(tree.maps) == 1 else hits)
    clusters, members = group_samples(samples, trained.leaf_bmu, len(tree), target, trained.totals)
    fitted = fit_labeller(labeller, trained, clusters, members)
    if fitted is None:
        return LabelledMap(neurons, leaves, clusters, members, None)
    # A leaf's label is the prediction for its prototype.
    answers = fitted(Samples(tree.weights, samples.metric))
    classes = None if target is None else target.classes
    if classes is None:
        _check_columns(labeller, "answer", answers)
        leaves = leaves._replace(labels=answers)
    else:
        labels = classes[answers.argmax(axis=1)]
        leaves = leaves._replace(labels=labels, probabilities=answers)
    if len(tree.maps) == 1:
        neurons = leaves
    return LabelledMap(neurons, leaves, clusters, members, fitted)


def _labels(labeller: LabellerComponent, trained: TrainedMap) -> tuple[Labels, Labels]:
    # Labels of the neurons of the first map, and of all leaves, labelled as one map.
    tree = trained.tree
    samples = trained.samples
    evidence = trained.evidence(tree.maps[0], trained.assignment)
    neurons = leaves = label_units(labeller, evidence, samples.metric)
    if len(tree.maps) == 1:
        return neurons, leaves
    evidence = trained.evidence(leaf_map(tree), trained.leaf_bmu)
    leaves = label_units(labeller, evidence, samples.metric)
    rows = fallback_leaves(tree, samples, leaves.hits)
    shares = leaves.probabilities
    if shares is not None:
        shares = shares[rows]
    leaves = leaves._replace(labels=leaves.labels[rows], probabilities=shares)
    if trained.target is None:  # clusters are numbered by leaves
        neurons = neurons._replace(labels=most_frequent(tree, leaves.labels, leaves.hits))
    return neurons, leaves


def most_frequent(tree: Tree, labels: NDArray[Any], hits: NDArray[Any]) -> NDArray[Any]:
    """Return for each neuron of the first map the label (L,) of most samples on leaves below."""
    found = []
    for neuron in range(len(tree.maps[0])):
        below = tree.paths[:, 0] == neuron
        distinct, rows = np.unique(labels[below], return_inverse=True)
        found.append(distinct[np.bincount(rows, weights=hits[below]).argmax()])
    return np.array(found, dtype=labels.dtype)
