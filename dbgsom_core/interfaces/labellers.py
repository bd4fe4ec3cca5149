"""Labellers, and the evidence that they get."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from dbgsom_core.interfaces.component import Component, default

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.interfaces.context import Context, FloatArray, IntArray
    from dbgsom_core.som_map.som_map import SomMap


@dataclass(frozen=True)
class LabelEvidence:
    """What a labeller sees of a trained map.

    Attributes
    ----------
    som_map : SomMap
        The trained map with K neurons.
    bmu : int array (n,)
        The best-matching unit of each training sample.
    hits : int array (K,)
        Training samples won by each neuron.
    y : array (n,) or None
        The training targets: classes as given, or float64 numbers after the ``target_transform`` of
        a regressor, of the samples with a known one.
    classes : array (C,) or None
        The sorted distinct labels, when y holds classes.
    class_counts : int array (K, C) or None
        Training samples of each class won by each neuron; samples without a class are not counted.
    weights : float64 array (n,) or None
        Sample weights. ``hits``, ``class_counts`` and ``errors`` are then float64 sums of them.
    errors : float64 array (K,) or None
        Sum of the distances of the samples that each neuron won, in the metric's units.
    context : Context
        What it may ask of the run while it is called: distances, the samples of a neuron, a seeded
        generator, the epochs of the map.
    kept : dict
        Empty at first: where a labeller keeps what it computes, for when it is called again with
        the same evidence and other settings, such as each of several numbers of clusters.
    """

    som_map: SomMap
    bmu: IntArray
    hits: IntArray | FloatArray
    y: NDArray[Any] | None = None
    classes: NDArray[Any] | None = None
    class_counts: IntArray | FloatArray | None = None
    weights: FloatArray | None = None
    errors: FloatArray | None = None
    context: Context | None = None
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class LazyEvidence(LabelEvidence):
    """Evidence whose ``bmu`` is made on demand by ``bmu_of``: samples are not in memory."""

    bmu_of: Callable[[], IntArray] | None = None

    @property  # type: ignore[misc] # the constructor sets it, too: to nothing
    def bmu(self) -> IntArray:
        assert self.bmu_of is not None
        return self.bmu_of()

    @bmu.setter
    def bmu(self, given: IntArray) -> None:
        pass


@dataclass(frozen=True)
class Surroundings:
    """What a map knows around each of m samples: the groups of training samples nearest to it.

    A group is what a neuron won of one class, or all that it won where targets are numbers, at the
    mean of its samples (the prototype, where the metric forms those). A sample of the training is
    taken away from its own group.

    Attributes
    ----------
    distances : float64 array (m, k)
        In the metric's units, nearest first.
    weights : float64 array (m, k)
        How many samples the groups hold, or the sum of their weights; 0 for none.
    values : array (m, k)
        The number 0, 1, … of their class, int64, or their mean target, float64.
    units : int64 array (m, k)
        Their neurons.
    X : float array (m, D)
        The samples as the metric prepares them, a missing value as that of the nearest neuron, for
        a labeller that ``reads_samples``; of width 0 for others, and where they are sparse and of
        more than its ``sparse_columns``.
    n_classes : int
        0 where targets are numbers.
    limits : float64 array (2,) or None
        The least and the largest target of the training, where targets are numbers.
    """

    distances: FloatArray
    weights: FloatArray
    values: NDArray[Any]
    units: IntArray
    X: FloatArray
    n_classes: int = 0
    limits: FloatArray | None = None


class LabellerComponent(Component):
    """Base of labellers: they give each neuron the answer for the samples that it wins.

    Attributes
    ----------
    needs_target : bool
        True when `label` reads ``y`` or ``class_counts``.
    estimators : tuple of str or None
        The kinds (``vq``, ``classifier``, ``regressor``) that it can answer for; the others refuse
        it. None: every kind.
    columns : tuple of str or None
        The names of the numbers that it answers with, where they are several for one target,
        ``("q10", "q50", "q90")`` say: `label` then returns (K, Q) and `answer` (m, Q), and a
        regressor predicts (n, Q).
    point_column : int
        The number of that column which stands for the target itself in ``score``, prediction
        intervals and measures.
    reads_samples : bool
        True when it looks at ``X`` of `Surroundings`.
    sparse_columns : int
        Up to so many columns sparse samples stand in ``X``, too.
    centres : method ``(evidence) -> float array (C, D) or None``, or None
        For clusters that are the samples nearest to each of C centres, by the metric and in its own
        space: a neuron has the number of the centre nearest to its prototype, and `label` is not
        called. None: neurons have the clusters that `label` says, and samples those of neurons.
    file_fields : tuple of str
        The fields that name files: what is not in the working directory is looked for in the folder
        of the configuration.
    probabilities : method ``(evidence) -> array (K, C)``, or None
        Class probabilities per neuron, rows sum to 1.
    answer : method ``(around, state) -> array``, or None
        The answer for each sample from its `Surroundings`, class probabilities (m, C), numbers
        (m,), or (m, Q) of Q ``columns``, in place of what `label` says of its neuron. It is called
        from several threads, each with some samples.
    learn : method ``(around, y, weights, som_map) -> mapping of names to arrays``
        Needed with ``answer``: what that gets as ``state``, learnt from training samples, each as
        if the map had not seen it. ``y`` (m,) holds the numbers of their classes or their targets,
        ``weights`` (m,) or None those of samples. It is saved with the model.
    """

    KIND: ClassVar[str] = "labeller"
    needs_target: ClassVar[bool] = False
    estimators: ClassVar[tuple[str, ...] | None] = None
    columns: ClassVar[tuple[str, ...] | None] = None
    point_column: ClassVar[int] = 0
    reads_samples: ClassVar[bool] = False
    sparse_columns: ClassVar[int] = 0
    file_fields: ClassVar[tuple[str, ...]] = ()
    centres: ClassVar[Callable[..., Any] | None] = None
    probabilities: ClassVar[Callable[..., Any] | None] = None
    answer: ClassVar[Callable[..., Any] | None] = None
    learn: ClassVar[Callable[..., Any] | None] = None

    @default
    def neighbours(self) -> int:
        """How many groups `Surroundings` hold, at most; may be a field."""
        return 16

    def check(self) -> None:
        """Raise `DataError` where files that it names cannot be used; called before training."""

    @abstractmethod
    def label(self, evidence: LabelEvidence) -> NDArray[Any]:
        """Return one label per neuron, shape (K,), or (K, Q) where it names Q ``columns``.

        The core then gives neurons without hits the label of the nearest live one.
        """


def point_answers(labeller: LabellerComponent, answers: NDArray[Any]) -> NDArray[Any]:
    """Return the column (n,) of answers (n, Q) that stands for the target; others as is."""
    return answers if labeller.columns is None else answers[:, labeller.point_column]
