"""A growing map whose neurons answer with a number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from dbgsom_core.estimators.growing_map import GrowingMap, _is_number, all_or_nothing
from dbgsom_core.estimators.stored_classes import stored_as
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.summaries import followed_by
from dbgsom_core.training.targets import Target


@stored_as("SomRegressor")
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
    labels_ : float64 array (n,)
        The answer of the neuron that won each training sample.
    neuron_labels_ : float64 array (K,)
        The answer of each neuron.
    """

    _kind: ClassVar[str] = "regressor"

    labeller: Any = "local_linear"

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the map on X (n, D) and learn what its neurons answer from targets y (n,).

        ``sample_weight`` (n,): each sample counts as if it were there so many times.

        Raises
        ------
        ValueError
            The data, the targets or a parameter cannot be used; texts are no targets.
        """
        self._require(y, "targets")
        parts = self.check_parts(y)
        X, target = self._checked_pair(X, y, parts, reset=True)
        self._fit(parts, X, target, sample_weight)
        self._take_residuals(X, target)
        return self

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on training with further samples, see `SomVQ.partial_fit`."""
        if not hasattr(self, "som_map_"):
            return self.fit(X, y, sample_weight)
        self._require(y, "targets")
        parts = self.check_parts(y)
        X, target = self._checked_pair(X, y, parts, reset=False)
        self._partial_fit(parts, X, followed_by(target, self._memory), sample_weight)
        self._take_residuals(X, target)
        return self

    def _take_residuals(self, X: Any, target: Target) -> None:
        # Of the samples that were held out: what intervals are made of.
        held = self._held_out(X, 1)
        self._residuals = np.empty(0)
        if held is not None:
            told = self._answers(self._parts.over(X[held], self._metric.abilities))
            self._residuals = np.sort(np.abs(target.y[held] - told))

    def predict_interval(self, X: Any, level: float = 0.9) -> NDArray[np.float64]:
        """Return conformal prediction intervals for samples X (n, D).

        `predict` plus and minus the residual that the share ``level`` of the samples held out by
        ``calibration`` did not exceed (Lei et al. 2018). The target of a new sample of the same
        source lies in its interval with a probability of at least ``level``.

        Parameters
        ----------
        X : array-like (n, D)
        level : float in (0, 1)

        Returns
        -------
        float64 array (n, 2)
            Lower and upper ends; infinite where too few samples were held out for the level.

        Raises
        ------
        ValueError
            No samples were held out, or the level is no number between 0 and 1.
        """
        if not _is_number(level) or not 0 < level < 1:
            raise ValueError(f"level must be a number between 0 and 1, not {level!r}")
        answers = np.asarray(self.predict(X), dtype=np.float64)
        residuals = getattr(self, "_residuals", np.empty(0))
        n = len(residuals)
        if n == 0:
            raise ValueError(
                "predict_interval needs samples that the map has not seen: fit with "
                "calibration=0.2, which holds out a fifth of them"
            )
        rank = math.ceil((n + 1) * level)
        margin = residuals[rank - 1] if rank <= n else math.inf
        return np.column_stack([answers - margin, answers + margin])

    def _checked_pair(self, X: Any, y: Any, parts: Parts, *, reset: bool) -> tuple[Any, Target]:
        check_no_text(y)
        X = self._checked(X, parts, reset=reset)
        y = column_or_1d(check_array(y, ensure_2d=False, input_name="y"), warn=True)
        check_consistent_length(X, y)
        return X, Target(y.astype(np.float64))


def check_no_text(y: Any) -> None:
    """Raise ValueError when targets hold texts, even if they look like numbers."""
    values = np.asarray(y)
    of_objects = values.dtype == object and any(isinstance(one, str) for one in values.ravel())
    if values.dtype.kind in "US" or of_objects:
        raise ValueError(
            "SomRegressor needs numbers as targets, but y holds text; "
            "use SomClassifier for classes, or turn the text into numbers"
        )
