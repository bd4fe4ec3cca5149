"""A growing map whose neurons answer with a number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from dbgsom_core.engine.tables import take
from dbgsom_core.estimators.fitted_map import by_rows
from dbgsom_core.estimators.growing_map import GrowingMap
from dbgsom_core.estimators.model_file import storable
from dbgsom_core.estimators.validation import HeldOut, is_number
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.targets import Target


@storable
@dataclass(kw_only=True, eq=False, repr=False)
class SomRegressor(RegressorMixin, GrowingMap):
    """Growing self-organizing map whose neurons answer with a number.

    The map is trained on X alone; then linear models around the neurons are fitted to the targets,
    and a sample is answered by those of the nearest neurons (labeller ``"local_linear"``). With
    labeller ``"mean"`` each neuron answers with the mean target of the samples that it won, and one
    without samples with its nearest live neuron's. Parameters and attributes are those of `SomVQ`;
    ``score`` is the coefficient of determination R².

    Attributes
    ----------
    labels_ : float64 array (n,) or (n, T), (n, Q) of a labeller with Q columns
        The answer of the neuron that won each training sample.
    neuron_labels_ : float64 array (K,) or (K, T)
        The answer of each neuron.
    """

    _kind: ClassVar[str] = "regressor"
    _targets: ClassVar[str] = "targets"

    labeller: Any = "local_linear"

    def _target(self, parts: Parts, X: Any, y: Any, goes_on: bool, classes: Any) -> Target | None:
        values = np.asarray(y)
        texts = values.dtype == object and any(isinstance(one, str) for one in values.ravel())
        if values.dtype.kind in "US" or texts:  # even if they look like numbers
            raise ValueError(
                "SomRegressor needs numbers as targets, but y holds text; "
                "use SomClassifier for classes, or turn the text into numbers"
            )
        y = check_array(y, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
        if y.ndim != 2 or y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        y = y.astype(np.float64)
        lacking = np.flatnonzero(np.isnan(np.reshape(y, (len(y), -1))).all(axis=0))
        if len(lacking):
            which = f"target {lacking[0]} of y" if y.ndim == 2 else "y"
            raise ValueError(f"{which} is not known of any sample: it is nan everywhere")
        target = Target(y)
        if goes_on and (target.outputs is not None or self._outputs):
            raise ValueError(
                "partial_fit goes on with one target without gaps; fit all samples at once, or an "
                "estimator for each target on the samples in which it is known"
            )
        return target

    def _take_target(
        self, X: Any, target: Target | None, everything: Target | None, held: HeldOut
    ) -> None:
        # Residuals of the samples that were held out, of which intervals are made; nan is last.
        self._residuals = np.empty(0)
        if held.calibration is not None and target is not None:
            X = take(X, held.calibration)
            answers = self._predictor.labels(self._parts.over(X, self._metric.abilities))
            residuals = np.abs(target.y[held.calibration] - self._point(answers))
            self._residuals = np.sort(residuals, axis=0)

    @by_rows
    def predict_interval(self, X: Any, level: float = 0.9) -> NDArray[np.float64]:
        """Return conformal prediction intervals for samples X (n, D).

        `predict` plus and minus the residual that the share ``level`` of the samples held out by
        ``calibration`` did not exceed (Lei et al. 2018). The target of a new sample of the same
        source lies in its interval with a probability of at least ``level``, each of several
        targets for itself. Of a labeller with several columns it is
        the interval of its ``point_column``.

        Parameters
        ----------
        X : array-like (n, D)
        level : float in (0, 1)

        Returns
        -------
        float64 array (n, 2), or (n, T, 2) for T targets
            Lower and upper ends; infinite where too few samples were held out for the level.

        Raises
        ------
        ValueError
            No samples were held out, or the level is no number between 0 and 1.
        """
        if not is_number(level) or not 0 < level < 1:
            raise ValueError(f"level must be a number between 0 and 1, not {level!r}")
        answers = np.asarray(self._point(self.predict(X)), dtype=np.float64)
        residuals = getattr(self, "_residuals", np.empty(0))
        if len(residuals) == 0:
            raise ValueError(
                "predict_interval needs samples that the map has not seen: fit with "
                "calibration=0.2, which holds out a fifth of them"
            )
        margins = [_margin(of[~np.isnan(of)], level) for of in np.atleast_2d(residuals.T)]
        margin = margins[0] if answers.ndim == 1 else np.array(margins)
        return np.stack([answers - margin, answers + margin], axis=-1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R² on samples X (n, D), the mean over targets.

        Of a labeller with several columns its ``point_column`` is scored: the median, say.
        ``y`` (n,) or (n, T) may have gaps: each target is scored where it is known.
        """
        from sklearn.metrics import r2_score  # slow to import

        answers = self._point(np.asarray(self.predict(X)))
        known = check_array(y, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
        check_consistent_length(answers, known)
        known = np.reshape(known, answers.shape)
        if not np.isnan(known).any():
            return float(r2_score(known, answers, sample_weight=sample_weight))
        weights = None if sample_weight is None else np.asarray(sample_weight)
        scores = []
        for truth, told in zip(np.atleast_2d(known.T), np.atleast_2d(answers.T), strict=True):
            there = ~np.isnan(truth)
            over = None if weights is None else weights[there]
            scores.append(r2_score(truth[there], told[there], sample_weight=over))
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


def _margin(residuals: NDArray[np.float64], level: float) -> float:
    rank = math.ceil((len(residuals) + 1) * level)
    return float(residuals[rank - 1]) if rank <= len(residuals) else math.inf
