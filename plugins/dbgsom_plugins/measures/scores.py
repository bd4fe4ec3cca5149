"""How well probabilities and novelty scores rank samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from dbgsom_core.api import MeasureComponent
from dbgsom_plugins.measures.labels import with_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class RocAuc(MeasureComponent):
    """Chance that a sample of a class gets a higher probability of it than one of another class.

    The area under the ROC curve (Hanley & McNeil 1982) of each class against all others, averaged
    over the classes that have samples and counter-examples. 1 is perfect, 0.5 is chance.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("classifier",)
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Hanley & McNeil 1982"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the unweighted mean, 0..1, of the classes' areas."""
        y, probabilities, classes = _probabilities(evaluation, "roc_auc")
        areas = [
            area(y == one, column) for one, column in zip(classes, probabilities.T, strict=True)
        ]
        known = [one for one in areas if not math.isnan(one)]
        if not known:
            raise ValueError("roc_auc compares classes, and all samples are of one class")
        return float(np.mean(known))


class LogLoss(MeasureComponent):
    """Mean of minus the natural logarithm of the probability that a sample's class was given.

    0 is perfect; log(C) is what C equal probabilities give. A probability of 0 counts as 2e-16
    (Good 1952).
    """

    greater_is_better: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("classifier",)
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Good 1952"

    def compute(self, evaluation: Evaluation) -> float:
        """Return the loss in nats; that of a class that no training had is that of 0."""
        y, probabilities, classes = _probabilities(evaluation, "log_loss")
        column = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        given = np.where(classes[column] == y, probabilities[np.arange(len(y)), column], 0.0)
        return float(-np.log(np.maximum(given, np.finfo(np.float64).eps)).mean()) + 0.0


class NoveltyAuc(MeasureComponent):
    """Chance that an outlier is scored as more unusual than another sample.

    The area under the ROC curve (Hanley & McNeil 1982) of minus `score_samples`. 1 is perfect, 0.5
    is chance. It is measured where a configuration names it: targets must say what is an outlier.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ()
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Hanley & McNeil 1982"

    outlier: int | str | None = Field(
        default=None,
        description="the target that marks outliers; null: -1 beside 1, 1 beside 0, true beside "
        "false, or whatever class a classifier was not trained on",
    )

    def compute(self, evaluation: Evaluation) -> float:
        """Return the area, 0..1."""
        if evaluation.y is None:
            raise ValueError("novelty_auc needs targets that mark outliers: y is missing")
        if evaluation.novelty is None:
            raise ValueError("novelty_auc needs novelty scores, and this map gives none")
        found = area(self._outliers(evaluation, np.asarray(evaluation.y)), evaluation.novelty)
        if math.isnan(found):
            raise ValueError("novelty_auc needs outliers and other samples, and all are the same")
        return found

    def _outliers(self, evaluation: Evaluation, y: NDArray[Any]) -> NDArray[np.bool_]:
        if self.outlier is not None:
            return np.asarray(y == self.outlier)
        if evaluation.classes is not None and not set(y.tolist()) <= set(
            evaluation.classes.tolist()
        ):
            return ~np.isin(y, evaluation.classes)
        kinds = set(y.tolist())
        if len(kinds) == 2 and kinds in ({-1, 1}, {0, 1}):
            return np.asarray(y == (-1 if -1 in kinds else 1))
        raise ValueError(
            "novelty_auc does not know which targets mark outliers: give novelty_auc the field "
            "'outlier', or targets of -1 for outliers and 1 for others"
        )


def area(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve, by ranks (Mann & Whitney 1947); nan for one kind."""
    from scipy.stats import rankdata

    n, chosen = len(positive), int(np.count_nonzero(positive))
    if chosen in (0, n):
        return math.nan
    beyond = rankdata(scores)[positive].sum() - chosen * (chosen + 1) / 2
    return float(beyond / (chosen * (n - chosen)))


def _probabilities(
    evaluation: Evaluation, measure: str
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[Any]]:
    # Targets (n,) that are there, probabilities (n, C) and classes (C,).
    classes, probabilities = evaluation.classes, evaluation.probabilities
    if evaluation.y is None or classes is None or probabilities is None:
        raise ValueError(f"{measure} compares probabilities with targets, and one is missing")
    y, shares = with_classes(evaluation, measure, np.asarray(evaluation.y), probabilities)
    return y, shares, np.asarray(classes)
