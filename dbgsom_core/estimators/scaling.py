"""Scaling of columns, to 0..1 as Vasighi & Amini (2017) prepare their data, and block by block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from dbgsom_core.engine.moments import extremes
from dbgsom_core.engine.tables import BlockTable, TransformedTable


class RangeScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale each column to 0..1 by (x - min)/(max - min), computed as written.

    A constant column becomes 0, with one warning for all of them; a missing value stays missing.

    Attributes
    ----------
    minimum_, range_ : float arrays (D,)
        Column minima and ranges of the data that `fit` saw.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the column limits of X (n, D)."""
        X = self._validated(X, reset=True)
        self.minimum_, maximum = extremes(X)
        self.range_ = maximum - self.minimum_
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return X (n, D) scaled; values outside the learnt limits leave 0..1."""
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        scaled = X - self.minimum_
        return np.asarray(
            np.divide(scaled, self.range_, out=np.zeros_like(scaled), where=self.range_ > 0)
        )

    def inverse_transform(self, X: Any) -> NDArray[Any]:
        """Return scaled X (n, D) in the units of the data; constant columns at their value."""
        check_is_fitted(self)
        return np.asarray(X * self.range_ + self.minimum_)

    def _validated(self, X: Any, *, reset: bool) -> NDArray[Any]:
        dtypes = [np.float64, np.float32]
        X = validate_data(self, X, reset=reset, dtype=dtypes, ensure_all_finite="allow-nan")
        return np.asarray(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


# Of these a row depends on itself alone, to the bit, once they have learnt.
IN_BLOCKS = (RangeScaler, StandardScaler, MinMaxScaler, MaxAbsScaler)


def prepared(steps: Iterable[tuple[str, Any]], X: Any) -> Any:
    """Return samples X (n, D) as fitted steps make them, those of a table when they are read.

    Steps other than scalers need a table in memory. X stays as it is, also where a step is to work
    in place (``copy=False``).
    """
    for _, step in steps:
        if isinstance(X, BlockTable) and type(step) in IN_BLOCKS:
            X = TransformedTable(X, step.transform)
        else:
            in_place = getattr(step, "copy", True) is False or isinstance(X, BlockTable)
            X = np.asarray(step.transform(np.array(X) if in_place else X))
    return X


def names_after(steps: Iterable[tuple[str, Any]], names: Iterable[str] | None) -> list[str] | None:
    """Return what columns called ``names`` are called after some fitted steps; None: not known.

    Without names steps may have some of their own, as principal components do.
    """
    found = None if names is None else list(map(str, names))
    for _, step in steps:
        if isinstance(step, OneToOneFeatureMixin):
            continue
        try:
            found = list(map(str, step.get_feature_names_out(found)))
        except Exception:  # others' classes may raise anything, and have no such method
            return None
    return found
