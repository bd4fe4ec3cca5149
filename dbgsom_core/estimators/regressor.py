"""A growing map whose neurons answer with a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from dbgsom_core.estimators.growing_map import GrowingMap, all_or_nothing
from dbgsom_core.estimators.stored_classes import stored_as
from dbgsom_core.training.parts import Parts
from dbgsom_core.training.summaries import followed_by
from dbgsom_core.training.targets import Target


@stored_as("SomRegressor")
@dataclass(kw_only=True, eq=False, repr=False)
class SomRegressor(RegressorMixin, GrowingMap):
    """Growing self-organizing map whose neurons answer with a number.

    The map is trained on X alone; then each neuron answers with the mean target of the samples
    that it won, and one without samples with its nearest live neuron's. Parameters and attributes
    are those of `SomVQ`, with labeller ``"mean"``; ``score`` is the coefficient of determination
    R².

    Attributes
    ----------
    labels_ : float64 array (n,)
        The answer of the neuron that won each training sample.
    neuron_labels_ : float64 array (K,)
        The answer of each neuron.
    """

    _kind: ClassVar[str] = "regressor"

    labeller: Any = "mean"

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the map on X (n, D) and give its neurons the mean of their targets y (n,).

        ``sample_weight`` (n,): each sample counts as if it were there so many times.

        Raises
        ------
        ValueError
            The data, the targets or a parameter cannot be used; texts are no targets.
        """
        self._require(y, "targets")
        parts = self.check_parts(y)
        X, target = self._checked_pair(X, y, parts, reset=True)
        return self._fit(parts, X, target, sample_weight)

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on training with further samples, see `SomVQ.partial_fit`."""
        if not hasattr(self, "som_map_"):
            return self.fit(X, y, sample_weight)
        self._require(y, "targets")
        parts = self.check_parts(y)
        X, target = self._checked_pair(X, y, parts, reset=False)
        return self._partial_fit(parts, X, followed_by(target, self._memory), sample_weight)

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
