"""Labels of neurons, and fitted labellers that predict from micro-clusters around a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from dbgsom_core.engine.metric_calls import MetricCalls
from dbgsom_core.engine.results import Assignment, PerSample, Totals, units_of
from dbgsom_core.engine.runtime import one_blas_thread
from dbgsom_core.engine.samples import LocalSamples, Samples
from dbgsom_core.errors import ComponentError
from dbgsom_core.interfaces.context import Context
from dbgsom_core.interfaces.epochs import EpochRecord
from dbgsom_core.interfaces.guard import guarded, who
from dbgsom_core.interfaces.labellers import (
    LabelEvidence,
    LabellerComponent,
    LazyEvidence,
    Surroundings,
    point_answers,
)
from dbgsom_core.interfaces.measures import Evaluation, LazyEvaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.tree import Descent, Tree, descend, fallback_leaves, leaf_map
from dbgsom_core.training.groups import (
    BLOCK,
    Members,
    MicroClusters,
    Nearest,
    leave_one_out,
    nearest_groups,
)
from dbgsom_core.training.targets import Target

_LEARN_FROM = 5000  # training samples of a labeller at most, evenly spaced, or if more
_LEARN_FROM_A_GROUP = 20  # for each leaf and class
_MOST_NUMBERS = 1 << 22  # of samples that a labeller of classes reads, but for the first of these

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TrainedMap:
    """A trained map with child maps, and the training samples."""

    tree: Tree
    samples: Samples
    found: PerSample  # best-matching neurons of the first map
    leaf_bmu: PerSample  # best-matching leaves
    target: Target | None
    seed: tuple[int, ...] = (0,)  # seed and records are the labeller's context
    epochs: tuple[EpochRecord, ...] = ()
    totals: Totals | None = None  # totals by leaf, where known

    def subset(self, rows: NDArray[np.intp], y: NDArray[np.float64]) -> TrainedMap:
        """Return the map with some of the samples and their targets ``y``."""
        found, leaf_bmu = (
            Assignment(units.bmu[rows].astype(np.int64, copy=False), units.distance[rows])
            for units in (self.found, self.leaf_bmu)
        )
        samples = self.samples.subset(rows)
        return replace(
            self, samples=samples, found=found, leaf_bmu=leaf_bmu, target=Target(y), totals=None
        )

    def evidence(self, som_map: SomMap, won: PerSample) -> LabelEvidence:
        """Return a labeller's evidence on the first map, or on all leaves as one map."""
        y = classes = None
        data = self.samples
        if self.target is not None:
            y, classes = self.target.y, self.target.classes
            data = data.with_classes(self.target.codes, 0 if classes is None else len(classes))
        exact = data.found(som_map.prototypes, won)
        fields: dict[str, Any] = {
            "som_map": som_map, "hits": exact.hits, "y": y, "classes": classes,
            "class_counts": exact.class_counts, "weights": data.weights, "errors": exact.errors,
            "context": Context(data, won, self.seed, self.epochs),
        }  # fmt: skip
        if hasattr(won, "units"):  # samples outside memory
            return LazyEvidence(bmu=units_of(won), bmu_of=lambda: won.bmu, **fields)
        return LabelEvidence(bmu=won.bmu, **fields)


class Labels(NamedTuple):
    """Labels of K neurons, or of the L leaves of a tree.

    A neuron without samples has the label of the nearest neuron with samples in its map.
    """

    labels: NDArray[Any]  # (K,), or (K, Q) of several numbers each
    probabilities: NDArray[np.float64] | None  # (K, C)
    hits: NDArray[Any]  # (K,): training samples won, or the sum of their weights

    @classmethod
    def of(cls, labeller: LabellerComponent, evidence: LabelEvidence, data: Samples) -> Self:
        """Call the labeller; neurons without labelled samples take the nearest neuron's label."""
        prototypes, counts = evidence.som_map.prototypes, evidence.class_counts
        nearest = np.arange(len(prototypes))
        known = (evidence.hits if counts is None else counts.sum(axis=1)) > 0
        if not known.all():
            live = np.flatnonzero(known)
            others = LocalSamples(prototypes[~known], data.metric)
            nearest[~known] = live[others.assign(prototypes[live]).bmu]
        labeller = guarded(labeller)
        labels = np.asarray(labeller.label(evidence))
        if not (labeller.several_targets and labels.ndim == 2):
            _check_columns(labeller, "label", labels)
        is_answer = labeller.needs_target and labeller.answer is None  # else `answer` has it
        if is_answer and evidence.classes is not None:
            strange = labels[known][~np.isin(labels[known], evidence.classes)]
            if len(strange):
                told = f"label answered {strange.tolist()[0]!r}, which is no class of the targets"
                raise ComponentError(f"{who(labeller)}: {told}")
        shares = None
        if labeller.probabilities is not None and evidence.classes is not None:
            shares = np.asarray(labeller.probabilities(evidence))[nearest]
        return cls(labels[nearest], shares, np.asarray(evidence.hits))


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
    centres: NDArray[np.float64]  # (M, D)
    weights: NDArray[np.float64]  # (M,)
    values: NDArray[Any]  # (M,), numbers of classes, or mean targets
    units: NDArray[np.int64]  # (M,), leaves, ascending
    prototypes: NDArray[np.float64]  # (L, D) of all leaves
    n_classes: int  # 0 where targets are numbers
    state: State
    limits: NDArray[np.float64] | None = None  # (2,): least and largest of numeric targets

    @classmethod
    def from_clusters(
        cls,
        labeller: LabellerComponent,
        clusters: MicroClusters,
        prototypes: NDArray[np.float64],
        metric: MetricCalls,
        classes: NDArray[Any] | None,
        state: State,
    ) -> Self:
        """Return the labeller of a map's micro-clusters; without ``classes`` for numbers."""
        assert clusters.labels is not None
        assert clusters.units is not None
        centres = clusters.centres(prototypes, metric)
        rows = np.arange(len(centres))
        if classes is not None and clusters.labelled is not None:
            rows = np.flatnonzero(clusters.labelled)
        labels, units = clusters.labels[rows], clusters.units[rows]
        values = labels if classes is None else np.searchsorted(classes, labels)
        count = 0 if classes is None else len(classes)
        weights = clusters.weights[rows]
        limits, centres = clusters.limits, centres[rows]
        return cls(labeller, centres, weights, values, units, prototypes, count, state, limits)

    @classmethod
    def of(
        cls,
        labeller: LabellerComponent,
        trained: TrainedMap,
        clusters: MicroClusters,
        members: Members,
    ) -> Self | None:
        """Fit the labeller; None where it labels neurons only.

        It learns by leave-one-out: each sample is removed from its own group, by ``members``, and
        from the group's mean target.
        """
        calls: Any = guarded(labeller)
        target = trained.target
        if target is None or calls.answer is None:
            return None
        data, tree = trained.samples, trained.tree
        fresh = cls.from_clusters(calls, clusters, tree.weights, data.metric, target.classes, {})
        known = np.arange(data.n) if target.codes is None else np.flatnonzero(target.codes >= 0)
        n_groups = len(fresh.units)  # before bisection
        if fresh.n_classes:
            n_groups = len(np.unique(fresh.units * fresh.n_classes + fresh.values))
        limit = _LEARN_FROM_A_GROUP * n_groups
        if fresh.n_classes and calls.reads_samples:
            limit = min(limit, _MOST_NUMBERS // tree.weights.shape[1])
        limit = max(_LEARN_FROM, limit)
        if len(known) > limit:
            known = known[np.linspace(0, len(known) - 1, limit).astype(np.int64)]
        part = data if len(known) == data.n else data.subset(known)
        own = members(known)
        if clusters.labelled is not None:  # skip groups without a class
            own = (np.cumsum(clusters.labelled) - 1)[own]
        near = nearest_groups(part, fresh.centres, calls.neighbours)
        numbers = None if target.codes is not None else np.asarray(target.y[known], np.float64)
        is_own = near[0] == own[:, None]
        around = leave_out(fresh.surroundings(part, near), is_own, numbers, part.weights)
        y = numbers if target.codes is None else target.codes[known]
        return replace(fresh, state=dict(calls.learn(around, y, part.weights, leaf_map(tree))))

    def surroundings(self, data: Samples, near: Nearest) -> Surroundings:
        """Return the surroundings of samples with nearest groups ``near`` (m, k)."""
        rows, distances = near
        X: NDArray[Any] = np.empty((data.n, 0))
        is_sparse, most = issparse(data.X), self.labeller.sparse_columns
        if self.labeller.reads_samples and (not is_sparse or data.X.shape[1] <= most):
            X = data.completed(self.prototypes) if data.incomplete else data.X[0 : data.n]
            X = cast("Any", X).toarray() if is_sparse else X
        weights, units = self.weights.take(rows), self.units.take(rows)
        values, limits = self.values.take(rows), self.limits
        return Surroundings(distances, weights, values, units, X, self.n_classes, limits)

    def __call__(self, data: Samples) -> NDArray[np.float64]:
        """Return class probabilities (n, C), or numbers (n,) or (n, Q), for prepared samples."""
        parts: dict[int, NDArray[np.float64]] = {}

        def answer(rows: slice, part: Samples) -> None:
            near = nearest_groups(part, self.centres, self.labeller.neighbours)
            with one_blas_thread():
                answers = self.labeller.answer(self.surroundings(part, near), self.state)
            parts[rows.start] = np.asarray(answers, dtype=np.float64)

        data.in_parts(BLOCK, answer)
        return np.concatenate([parts[start] for start in sorted(parts)])


def leave_out(
    around: Surroundings,
    mine: NDArray[np.bool_],
    y: NDArray[np.float64] | None,
    weights: NDArray[np.float64] | None,
) -> Surroundings:
    """Remove each sample from its own group, marked in ``mine`` (m, k), and from its mean."""
    values, held = around.values, around.weights
    distances, left, order = leave_one_out(around.distances, held, mine, weights)
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
class MultiOutputLabeller:
    """A fitted labeller for each of T targets; ``single`` for one target with gaps."""

    each: tuple[FittedLabeller, ...]
    single: bool

    def __call__(self, data: Samples) -> NDArray[np.float64]:
        return _stack_outputs([labeller(data) for labeller in self.each], self.single)

    @property
    def state(self) -> State:
        """The states of all labellers, with names ``TARGET_NUMBER.NAME``."""
        return {
            f"{number}.{name}": array
            for number, one in enumerate(self.each)
            for name, array in one.state.items()
        }

    @staticmethod
    def states(state: State, count: int) -> list[State]:
        found: list[dict[str, NDArray[Any]]] = [{} for _ in range(count)]
        for name, array in state.items():
            number, dot, own = name.partition(".")
            if dot and number.isdecimal() and int(number) < count:
                found[int(number)][own] = array
        return list(found)


def _stack_outputs(columns: Sequence[NDArray[Any]], single: bool) -> NDArray[np.float64]:
    return np.asarray(columns[0] if single else np.column_stack(columns), dtype=np.float64)


@dataclass(frozen=True)
class Predictor:
    """Prediction for prepared samples by a labelled tree of L leaves."""

    tree: Tree
    leaves: Labels
    labeller: FittedLabeller | MultiOutputLabeller | None  # None: predict the leaves' labels
    classes: NDArray[Any] | None  # (C,)

    def descend(self, data: Samples) -> Descent:
        """Return the leaves of samples among neurons with training samples, which have labels."""
        return descend(self.tree, data, self.tree.live(self.leaves.hits))

    def labels(self, data: Samples) -> NDArray[Any]:
        if self.labeller is None:
            return np.asarray(self.leaves.labels[self.descend(data).leaf])
        answers = self.labeller(data)
        return answers if self.classes is None else self.classes[answers.argmax(axis=1)]

    def probabilities(self, data: Samples) -> NDArray[np.float64]:
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
    labeller: FittedLabeller | MultiOutputLabeller | None
    # By target, of the samples with a known value, for several targets or one with gaps.
    outputs: tuple[MicroClusters, ...] = ()

    @classmethod
    def of(cls, labeller: LabellerComponent, trained: TrainedMap) -> LabelledMap:
        """Label the map by its training samples.

        Each of several targets is learnt separately, from the samples with a known value.
        """
        target, tree = trained.target, trained.tree
        outputs = None if target is None else target.outputs
        if target is None or outputs is None:
            return cls._label_one(labeller, trained)
        samples, leaf_bmu, fitted = trained.samples, trained.leaf_bmu, None
        parts = [trained.subset(rows, y) for rows, y in outputs]
        if guarded(labeller).several_targets:
            of_neurons, of_leaves = (one.labels for one in _labels(labeller, trained))
            known = [MicroClusters.of(p.samples, p.leaf_bmu, len(tree), p.target)[0] for p in parts]
        else:
            single = target.y.ndim == 1
            each = [cls._label_one(labeller, part) for part in parts]
            known = [one.clusters for one in each]
            of_neurons = _stack_outputs([one.neurons.labels for one in each], single)
            of_leaves = _stack_outputs([one.leaves.labels for one in each], single)
            learnt = tuple(one.labeller for one in each if isinstance(one.labeller, FittedLabeller))
            fitted = MultiOutputLabeller(learnt, single) if learnt else None
        clusters, members = MicroClusters.of(samples, leaf_bmu, len(tree), None, trained.totals)
        hits = won = samples.found(tree.maps[0].prototypes, trained.found).hits
        if len(tree.maps) > 1:
            won = np.bincount(leaf_bmu.bmu, samples.weights, len(tree))
        neurons = Labels(np.asarray(of_neurons, np.float64), None, hits)
        leaves = Labels(np.asarray(of_leaves, np.float64), None, won)
        return cls(neurons, leaves, clusters, members, fitted, tuple(known))

    @classmethod
    def _label_one(cls, labeller: LabellerComponent, trained: TrainedMap) -> LabelledMap:
        # For classes, or a number without gaps.
        tree, samples, target = trained.tree, trained.samples, trained.target
        neurons, leaves = _labels(labeller, trained)
        clusters, members = MicroClusters.of(
            samples, trained.leaf_bmu, len(tree), target, trained.totals
        )
        fitted = FittedLabeller.of(labeller, trained, clusters, members)
        if fitted is not None:  # a neuron's label is the prediction for its prototype
            answers = fitted(LocalSamples(tree.weights, samples.metric))
            classes = None if target is None else target.classes
            if classes is None:
                _check_columns(labeller, "answer", answers)
                leaves = leaves._replace(labels=answers)
            else:
                labels = classes[answers.argmax(axis=1)]
                leaves = leaves._replace(labels=labels, probabilities=answers)
            neurons = leaves if len(tree.maps) == 1 else neurons
        return cls(neurons, leaves, clusters, members, fitted)


def _labels(labeller: LabellerComponent, trained: TrainedMap) -> tuple[Labels, Labels]:
    # Labels of the neurons of the first map, and of all leaves, labelled as one map.
    tree, samples = trained.tree, trained.samples
    neurons = leaves = Labels.of(labeller, trained.evidence(tree.maps[0], trained.found), samples)
    if len(tree.maps) > 1:
        leaves = Labels.of(labeller, trained.evidence(leaf_map(tree), trained.leaf_bmu), samples)
        rows, shares = fallback_leaves(tree, samples, leaves.hits), leaves.probabilities
        shares = None if shares is None else shares[rows]
        leaves = Labels(leaves.labels[rows], shares, leaves.hits)
        if trained.target is None:  # clusters are numbered by leaves
            labels = []  # of a neuron with a child map: that of most of its samples
            for neuron in range(len(tree.maps[0])):
                below = tree.paths[:, 0] == neuron
                distinct, rows = np.unique(leaves.labels[below], return_inverse=True)
                labels.append(distinct[np.bincount(rows, weights=leaves.hits[below]).argmax()])
            neurons = neurons._replace(labels=np.array(labels, dtype=leaves.labels.dtype))
    return neurons, leaves


@dataclass(frozen=True)
class ValidationMonitor:
    """Evaluations for stopping rules that need targets.

    Predictions are those of the map so far, before child maps.
    """

    labeller: LabellerComponent
    data: Samples  # the training samples
    target: Target
    validation: tuple[Samples, Target] | None

    def evaluations(
        self,
        som_map: SomMap,
        found: PerSample,
        seed: tuple[int, ...],
        epochs: tuple[EpochRecord, ...],
    ) -> tuple[Evaluation, Evaluation]:
        """Return evaluations on the training and on the held-out samples with known targets.

        Labelling is lazy, on first prediction. Raises ValueError where no target is known.
        """
        tree, classes = Tree.of(som_map), self.target.classes

        @cache
        def predictor() -> Predictor:
            won = self.data.lasting(som_map.prototypes, found)
            trained = TrainedMap(tree, self.data, won, won, self.target, seed, epochs)
            labelled = LabelledMap.of(self.labeller, trained)
            return Predictor(tree, labelled.leaves, labelled.labeller, classes)

        def predictions(data: Samples) -> NDArray[Any]:
            return point_answers(guarded(self.labeller), predictor().labels(data))

        def probabilities(data: Samples) -> NDArray[np.float64]:
            return predictor().probabilities(data)

        def evaluate_on(
            data: Samples, target: Target, training_of: Callable[[], Evaluation] | None = None
        ) -> Evaluation:
            known = target.known
            if not known.any():
                raise ValueError(
                    "none of the samples that a stopping rule measures has a target: increase its "
                    "validation share, or use a measure that needs no target"
                )
            if not known.all():
                data, target = data.subset(np.flatnonzero(known)), target.of(known)
            y = target.y  # labels beside None are an object array: use the classes' dtype
            if target.classes is not None and target.codes is not None:
                y = target.classes[target.codes]
            return LazyEvaluation(
                som_map,
                data,
                y,
                classes=target.classes,
                probabilities_of=None if classes is None else probabilities,
                training_of=training_of,
                predictions_of=predictions,
            )

        train = evaluate_on(self.data, self.target)
        if self.validation is None:
            return train, train
        return train, evaluate_on(*self.validation, training_of=lambda: train)
