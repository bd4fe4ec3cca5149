"""Scalers: the prepare steps that experiments bring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from dbgsom_core.engine.moments import extremes

_DTYPES = [np.float64, np.float32]


class RangeScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale each column to 0..1 by (x - min)/(max - min), rounded as this formula.

    A constant column becomes 0, with one warning for all of them; a missing value stays missing.

    Attributes
    ----------
    minimum_, range_ : float arrays (D,)
        Column minima and ranges of the training data.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the column limits of X (n, D)."""
        X = self._validated(X, reset=True)
        self.minimum_, maximum = extremes(X)
        self.range_ = maximum - self.minimum_
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return X (n, D) scaled; values outside the training range are outside 0..1."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        scaled = X - self.minimum_
        varies = self.range_ > 0
        scaled = np.divide(scaled, self.range_, out=np.zeros_like(scaled), where=varies)
        return np.asarray(scaled)

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Return scaled X (n, D) in the units of the data; constant columns at their value."""
        return np.asarray(X * self.range_ + self.minimum_)

    def _validated(self, X: Any, *, reset: bool) -> NDArray[Any]:
        X = validate_data(self, X, reset=reset, dtype=_DTYPES, ensure_all_finite="allow-nan")
        return np.asarray(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class JointScaler(StandardScaler):
    """Standardize columns, those of a category together; columns of 0 and 1 keep their scale.

    The one-hot columns of a category are divided by the root of the sum of their variances, so that
    a category has variance 1 in sum, as any other column has. Other columns that hold nothing but 0
    and 1 are centred and not scaled: a rare 1 does not count for more.

    Parameters
    ----------
    categories : sequence of sequences of int
        The columns of each category.
    """

    def __init__(
        self,
        *,
        categories: Sequence[Sequence[int]] = (),
        copy: bool = True,
        with_mean: bool = True,
        with_std: bool = True,
    ) -> None:
        super().__init__(copy=copy, with_mean=with_mean, with_std=with_std)
        self.categories = categories

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn means and scales from more rows of X (n, D); `fit` is one such step."""
        goes_on = hasattr(self, "n_samples_seen_")
        super().partial_fit(X, y, sample_weight)
        X = np.asarray(X)
        is_binary = ((X == 0) | (X == 1) | np.isnan(X)).all(axis=0)
        if goes_on:
            is_binary &= self.is_binary_
        self.is_binary_: NDArray[np.bool_] = is_binary
        if self.with_std:
            self.scale_[self.is_binary_] = 1.0
            for columns in map(list, self.categories):
                total = float(self.var_[columns].sum())
                self.scale_[columns] = math.sqrt(total) if total > 0 else 1.0
        return self
