"""How well the answers of a map agree with given labels; samples without a class do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dbgsom_core.api import MeasureComponent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class Accuracy(MeasureComponent):
    """Share of samples whose class is predicted correctly."""

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("classifier",)
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def compute(self, evaluation: Evaluation) -> float:
        """Return the share, 0..1, of correct predictions."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(*_answers(evaluation, "accuracy")))


class BalancedAccuracy(MeasureComponent):
    """Share of the samples of a class that are predicted as such, averaged over the classes.

    The classes are those that occur in the targets, each with equal weight however small it is.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("classifier",)
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Brodersen et al. 2010"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the unweighted mean, 0..1, of the classes' recalls."""
        from sklearn.metrics import recall_score

        y, predictions = _answers(evaluation, "balanced_accuracy")
        return float(recall_score(y, predictions, labels=np.unique(y), average="macro"))


class MacroF1(MeasureComponent):
    """F1 score averaged over the classes, each with equal weight however small it is.

    The classes are those that occur in the targets or in the predictions.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("classifier",)
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "van Rijsbergen 1979"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the unweighted mean, 0..1, of the classes' F1 scores."""
        from sklearn.metrics import f1_score

        y, predictions = _answers(evaluation, "macro_f1")
        return float(f1_score(y, predictions, average="macro", zero_division=0.0))


class AdjustedRand(MeasureComponent):
    """Adjusted Rand index (Hubert & Arabie 1985) between targets and predicted clusters or classes.

    1 for identical groupings, about 0 for chance. Every distinct target is a group of its own.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")
    bounds: ClassVar[tuple[float, float]] = (-0.5, 1.0)
    reference: ClassVar[str] = "Hubert & Arabie 1985"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the index, -0.5..1."""
        from sklearn.metrics import adjusted_rand_score

        return float(adjusted_rand_score(*_groups(evaluation, "adjusted_rand")))


class NormalizedMutualInfo(MeasureComponent):
    """Mutual information of targets and predicted clusters or classes over their mean entropy.

    1 for identical groupings, 0 for independent ones (Strehl & Ghosh 2002, with the arithmetic
    mean). Unlike `AdjustedRand` it grows with the number of clusters. Every distinct target is a
    group of its own.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("vq", "classifier")
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Strehl & Ghosh 2002"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the normalized mutual information, 0..1."""
        from sklearn.metrics import normalized_mutual_info_score

        return float(normalized_mutual_info_score(*_groups(evaluation, "normalized_mutual_info")))


def _groups(evaluation: Evaluation, measure: str) -> list[NDArray[np.int64]]:
    # Numbers for whatever distinct targets and predictions there are.
    answers = _answers(evaluation, measure)
    return [np.unique(answer, return_inverse=True)[1] for answer in answers]


def _answers(evaluation: Evaluation, measure: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if evaluation.y is None or evaluation.predictions is None:
        raise ValueError(f"{measure} compares predictions with targets, and one of them is missing")
    return with_classes(evaluation, measure, evaluation.y, evaluation.predictions)


def with_classes(
    evaluation: Evaluation, measure: str, y: NDArray[Any], other: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return targets (n,), and what stands beside them, of the samples that have a class."""
    labelled = evaluation.labelled
    if labelled is None:
        return y, other
    if not labelled.any():
        raise ValueError(f"{measure} needs samples with a class, and none has one")
    y = y[labelled]
    # Beside None numbers and texts stand in arrays of objects, which no measure takes.
    return (np.array(y.tolist()) if y.dtype == object else y), other[labelled]
