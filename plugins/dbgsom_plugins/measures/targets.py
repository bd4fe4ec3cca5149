"""How well the answers of a map agree with targets, and how classes lie on it.

Samples without a class do not count.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import MeasureComponent, NotedValue

if TYPE_CHECKING:
    from dbgsom_core.api import Evaluation

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class _OfClasses(MeasureComponent):
    greater_is_better = True
    needs_target = True
    estimators: ClassVar[tuple[str, ...]] = ("classifier",)
    bounds = (0.0, 1.0)


class _OfGroups(_OfClasses):
    estimators = ("vq", "classifier")


class _OfNumbers(MeasureComponent):
    greater_is_better = False
    needs_target = True
    estimators = ("regressor",)
    bounds = (0.0, math.inf)


class Accuracy(_OfClasses):
    """Share of samples whose class is predicted correctly."""

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(*with_classes(evaluation, evaluation.predictions)))


class BalancedAccuracy(_OfClasses):
    """Share of the samples of a class that are predicted as such, averaged over the classes.

    The classes are those that occur in the targets, each with equal weight however small it is.
    """

    reference = "Brodersen et al. 2010"

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import recall_score

        y, predictions = with_classes(evaluation, evaluation.predictions)
        return float(recall_score(y, predictions, labels=np.unique(y), average="macro"))


class MacroF1(_OfClasses):
    """F1 score averaged over the classes, each with equal weight however small it is.

    The classes are those that occur in the targets or in the predictions.
    """

    reference = "van Rijsbergen 1979"

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import f1_score

        y, predictions = with_classes(evaluation, evaluation.predictions)
        return float(f1_score(y, predictions, average="macro", zero_division=0.0))


class AdjustedRand(_OfGroups):
    """Adjusted Rand index (Hubert & Arabie 1985) between targets and predicted clusters or classes.

    1 for identical groupings, about 0 for chance. Every distinct target is a group of its own.
    """

    bounds = (-0.5, 1.0)
    reference = "Hubert & Arabie 1985"

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import adjusted_rand_score

        return float(adjusted_rand_score(*_groups(evaluation)))


class NormalizedMutualInfo(_OfGroups):
    """Mutual information of targets and predicted clusters or classes over their mean entropy.

    1 for identical groupings, 0 for independent ones (Strehl & Ghosh 2002, with the arithmetic
    mean). Unlike `AdjustedRand` it grows with the number of clusters. Every distinct target is a
    group of its own.
    """

    reference = "Strehl & Ghosh 2002"

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import normalized_mutual_info_score

        return float(normalized_mutual_info_score(*_groups(evaluation)))


def _groups(evaluation: Evaluation) -> list[Integers]:
    # Numbers for whatever distinct targets and predictions there are.
    answers = with_classes(evaluation, evaluation.predictions)
    return [np.unique(answer, return_inverse=True)[1] for answer in answers]


def with_classes(evaluation: Evaluation, other: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return targets (n,), and what stands beside them, of the samples that have a class."""
    y, labelled = evaluation.y, evaluation.labelled
    if y is None or other is None:
        raise ValueError("it compares answers with targets, and one is missing")
    if labelled is None:
        return y, other
    if not labelled.any():
        raise ValueError("it needs samples with a class, and none has one")
    y = y[labelled]
    if y.dtype == object:  # numbers and texts beside None, which no measure takes
        y = np.array(y.tolist())
    return y, other[labelled]


class RocAuc(_OfClasses):
    """Chance that a sample of a class gets a higher probability of it than one of another class.

    The area under the ROC curve (Hanley & McNeil 1982) of each class against all others, averaged
    over the classes that have samples and counter-examples. 1 is perfect, 0.5 is chance.
    """

    reference = "Hanley & McNeil 1982"

    def compute(self, evaluation: Evaluation) -> float:
        y, probabilities = with_classes(evaluation, evaluation.probabilities)
        classes = np.asarray(evaluation.classes)
        areas = []
        for label, scores in zip(classes, probabilities.T, strict=True):
            areas.append(area(y == label, scores))
        if np.isnan(areas).all():
            raise ValueError("it compares classes, and all samples are of one class")
        return float(np.nanmean(areas))


class LogLoss(_OfClasses):
    """Mean of minus the natural logarithm of the probability that a sample's class was given.

    0 is perfect; log(C) is what C equal probabilities give. A probability of 0 counts as 2e-16
    (Good 1952).
    """

    greater_is_better = False
    bounds = (0.0, math.inf)
    reference = "Good 1952"

    def compute(self, evaluation: Evaluation) -> float:
        y, probabilities = with_classes(evaluation, evaluation.probabilities)
        # A class that no training had was given no probability.
        given = (probabilities * (y[:, None] == np.asarray(evaluation.classes))).sum(axis=1)
        return float(-np.log(np.maximum(given, np.finfo(np.float64).eps)).mean()) + 0.0


class AveragePrecision(_OfClasses):
    """Mean precision over all thresholds, each weighed by the recall that it adds.

    The area under the precision-recall curve as a step function, of the rarer of two classes, or of
    each class against all others, averaged over the classes that have samples. The share of the
    class is chance.
    """

    reference = "Davis & Goadrich 2006"

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import average_precision_score

        y, probabilities = with_classes(evaluation, evaluation.probabilities)
        values = []
        for place in judged_classes(y, evaluation.classes):
            is_class = y == np.asarray(evaluation.classes)[place]
            if is_class.any():
                values.append(average_precision_score(is_class, probabilities[:, place]))
        if not values:
            raise ValueError("it needs samples of a class that the training had")
        return float(np.mean(values))


class Brier(_OfClasses):
    """Mean squared difference between the probabilities of a sample's classes and the truth.

    Of two classes that of one of them, from 0 to 1, of more the sum over classes, up to 2, as in
    scikit-learn.
    """

    greater_is_better = False
    bounds = (0.0, 2.0)
    reference = "Brier 1950"

    def compute(self, evaluation: Evaluation) -> float:
        y, probabilities = with_classes(evaluation, evaluation.probabilities)
        truth = y[:, None] == np.asarray(evaluation.classes)
        total = np.square(probabilities - truth).sum(axis=1).mean()
        return float(total / 2 if len(truth.T) == 2 else total)


_BINS = 10  # of the largest probability, equally wide


class ExpectedCalibrationError(_OfClasses):
    """Difference between the probability of the most probable class and how often it is right.

    Absolute, in ten bins of the probability of equal width, averaged by their samples.
    """

    greater_is_better = False
    reference = "Guo et al. 2017"

    def compute(self, evaluation: Evaluation) -> float:
        y, probabilities = with_classes(evaluation, evaluation.probabilities)
        largest = probabilities.max(axis=1)
        is_right = np.asarray(evaluation.classes)[probabilities.argmax(axis=1)] == y
        bins = np.minimum((largest * _BINS).astype(np.int64), _BINS - 1)
        return float(abs(np.bincount(bins, largest - is_right)).sum() / len(y))


def judged_classes(y: NDArray[Any], classes: Any) -> range:
    """Return the places of the classes that are judged one by one: of two the rarer one alone.

    Of two classes with as many samples in y (n,) it is the second.
    """
    if len(classes) != 2:
        return range(len(classes))
    first, second = (np.count_nonzero(y == label) for label in classes)
    rarer = int(second <= first)
    return range(rarer, rarer + 1)


class NoveltyAuc(_OfClasses):
    """Chance that an outlier is scored as more unusual than another sample.

    The area under the ROC curve (Hanley & McNeil 1982) of minus `score_samples`. 1 is perfect, 0.5
    is chance. It is measured where a configuration names it: targets must say what is an outlier.
    """

    estimators = ()
    reference = "Hanley & McNeil 1982"

    outlier: int | str | None = Field(
        default=None,
        description="the target that marks outliers; null: -1 beside 1, 1 beside 0, true beside "
        "false, or whatever class a classifier was not trained on",
    )

    def compute(self, evaluation: Evaluation) -> float:
        if evaluation.y is None or evaluation.novelty is None:
            raise ValueError("it needs novelty scores and targets that mark outliers: y is missing")
        is_outlier = self._outliers(evaluation, np.asarray(evaluation.y))
        value = area(is_outlier, evaluation.novelty)
        if math.isnan(value):
            raise ValueError("it needs outliers and other samples, and all are the same")
        return value

    def _outliers(self, evaluation: Evaluation, y: NDArray[Any]) -> NDArray[np.bool_]:
        if self.outlier is not None:
            return np.asarray(y == self.outlier)
        kinds = set(y.tolist())
        if evaluation.classes is not None and not kinds <= set(evaluation.classes.tolist()):
            return ~np.isin(y, evaluation.classes)
        if kinds in ({-1, 1}, {0, 1}):
            return np.asarray(y == (-1 if -1 in kinds else 1))
        raise ValueError(
            "novelty_auc does not know which targets mark outliers: give novelty_auc the field "
            "'outlier', or targets of -1 for outliers and 1 for others"
        )


def area(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Return the area under the ROC curve; nan where all are of one kind."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(positive)) < 2:
        return math.nan
    return float(roc_auc_score(positive, scores))


_SHUFFLES = 10  # of the classes of the training: their mean is a steady reference


class Purity(_OfGroups):
    """Share of samples whose class is the most frequent one among those that their neuron won.

    Runs judge the samples of the test part by those of the training: a sample is right if its class
    is the most frequent one of the training samples that its neuron won, of equals the one that
    sorts first, and wrong where the neuron won none. ``purity_shuffled`` is then the same with the
    classes of the training shuffled, the mean of ten times. Of the samples given alone it flatters:
    a neuron of one sample is pure.
    """

    reference = "Manning, Raghavan & Schütze 2008"

    def compute(self, evaluation: Evaluation) -> NotedValue:
        training = evaluation.training or evaluation
        y, neurons = with_classes(evaluation, evaluation.leaf)
        trained_y, trained = with_classes(training, training.leaf)
        codes = np.unique(np.concatenate([trained_y, y]), return_inverse=True)[1].ravel()
        known, wanted = codes[: len(trained_y)], codes[len(trained_y) :]

        def share(classes: Integers) -> float:
            most = np.full(len(evaluation.tree), -1)
            winners, counts = _contingency(trained, classes)
            most[winners] = np.unique(classes)[counts.argmax(axis=1)]
            return float((most[neurons] == wanted).mean())

        if evaluation.training is None:
            return NotedValue(share(known))
        random = np.random.default_rng(evaluation.seed)
        shuffled = [share(random.permutation(known)) for _ in range(_SHUFFLES)]
        return NotedValue(share(known), references={"shuffled": float(np.mean(shuffled))})


def _contingency(neurons: Integers, classes: NDArray[Any]) -> tuple[Integers, Any]:
    """Return the neurons (W,) that won samples, and how many of each class: CSR (W, C)."""
    from scipy.sparse import csr_array
    from sklearn.metrics.cluster import contingency_matrix

    return np.unique(neurons), csr_array(contingency_matrix(neurons, classes, sparse=True))


class Entropy(_OfGroups):
    """Entropy of the classes within a neuron in bits, averaged over the labelled samples.

    0 where every neuron won samples of one class, log2 of the number of classes at most. Few
    samples a neuron flatter, so that runs measure the training part alone.
    """

    training_only = True
    greater_is_better = False
    bounds = (0.0, math.inf)
    reference = "Shannon 1948"

    def compute(self, evaluation: Evaluation) -> float:
        y, neurons = with_classes(evaluation, evaluation.leaf)
        _, counts = _contingency(neurons, y)
        shares = counts.data / counts.sum(axis=1)[counts.nonzero()[0]]
        return float(-(counts.data * np.log2(shares)).sum() / len(y)) + 0.0


class ClassScatter(_OfGroups):
    """Over how many separate regions of the map a class is scattered, averaged over the classes.

    A region of a class is a set of linked neurons that all won some of its samples (class scatter
    index of Elend & Kramer 2019, with 4 neighbours); 1 is best. Neurons with child maps are not
    told apart from the others.
    """

    greater_is_better = False
    bounds = (1.0, math.inf)
    reference = "Elend & Kramer 2019"

    def compute(self, evaluation: Evaluation) -> float:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        y, neurons = with_classes(evaluation, evaluation.bmu)
        winners, counts = _contingency(neurons, y)
        rows, classes = counts.nonzero()  # pairs of a neuron and a class that it won samples of
        n_pairs, n_classes = counts.nnz, counts.shape[1]
        keys = winners[rows] * n_classes + classes  # ascending
        linked = evaluation.som_map.links[winners[rows]].T.astype(np.int64)
        linked_keys = np.where(linked >= 0, linked * n_classes + classes, -1)
        place = np.minimum(np.searchsorted(keys, linked_keys), n_pairs - 1)
        link, pair = np.nonzero(keys[place] == linked_keys)
        edges = np.ones(len(pair), bool), (pair, place[link, pair])
        graph = csr_array(edges, shape=(n_pairs, n_pairs))
        regions, _ = connected_components(graph, directed=False)
        return float(regions / n_classes)


class R2(_OfNumbers):
    """Coefficient of determination: the share of the targets' variance that is explained.

    1 is perfect, 0 is no better than the mean of the targets, below 0 is worse. When the targets
    are all equal there is nothing to explain: 1 if they are met, else 0.
    """

    greater_is_better = True
    bounds = (-math.inf, 1.0)
    reference = "Wright 1921"

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import r2_score

        return float(r2_score(evaluation.y, evaluation.predictions))


class RootMeanSquaredError(_OfNumbers):
    """Root mean squared error of the answers, in the targets' units."""

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import root_mean_squared_error

        return float(root_mean_squared_error(evaluation.y, evaluation.predictions))


class MeanAbsoluteError(_OfNumbers):
    """Mean absolute error of the answers, in the targets' units."""

    def compute(self, evaluation: Evaluation) -> float:
        from sklearn.metrics import mean_absolute_error

        return float(mean_absolute_error(evaluation.y, evaluation.predictions))
