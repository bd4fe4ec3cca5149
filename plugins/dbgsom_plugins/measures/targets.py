"""How well the answers of a map agree with given numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dbgsom_core.api import MeasureComponent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dbgsom_core.api import Evaluation


class R2(MeasureComponent):
    """Coefficient of determination: the share of the targets' variance that is explained.

    1 is perfect, 0 is no better than the mean of the targets, below 0 is worse. When the targets
    are all equal there is nothing to explain: 1 if they are met, else 0.
    """

    greater_is_better: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)
    bounds: ClassVar[tuple[float, float]] = (-math.inf, 1.0)
    reference: ClassVar[str] = "Wright 1921"

    def compute(self, evaluation: Evaluation) -> float:
        """Return 1 - Σ(y - answer)²/Σ(y - mean(y))² over the evaluation's samples."""
        y, answers = _numbers(evaluation, "r2")
        left = float(np.square(y - answers).sum())
        total = float(np.square(y - y.mean()).sum())
        if total == 0:
            return float(left == 0)
        return 1.0 - left / total


class RootMeanSquaredError(MeasureComponent):
    """Root mean squared error of the answers, in the targets' units."""

    greater_is_better: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def compute(self, evaluation: Evaluation) -> float:
        """Return the root of the mean of (y - answer)² over the evaluation's samples."""
        y, answers = _numbers(evaluation, "rmse")
        return float(np.sqrt(np.square(y - answers).mean()))


class MeanAbsoluteError(MeasureComponent):
    """Mean absolute error of the answers, in the targets' units."""

    greater_is_better: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    estimators: ClassVar[tuple[str, ...]] = ("regressor",)
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def compute(self, evaluation: Evaluation) -> float:
        """Return the mean of |y - answer| over the evaluation's samples."""
        y, answers = _numbers(evaluation, "mae")
        return float(np.abs(y - answers).mean())


def _numbers(
    evaluation: Evaluation, measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    given: tuple[Any, Any] = (evaluation.y, evaluation.predictions)
    if any(one is None or np.asarray(one).dtype.kind not in "fiub" for one in given):
        raise ValueError(f"{measure} compares predictions with targets, and needs numbers as both")
    y, answers = (np.asarray(one, dtype=np.float64) for one in given)
    return y, answers
