"""Transformers that run before the map: by name, or any scikit-learn class as module:Class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from dbgsom_core.errors import ConfigError, DataError, did_you_mean
from dbgsom_core.moments import extremes


class RangeScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Scale each column to 0..1 by (x - min)/(max - min), computed as written.

    A constant column becomes 0, with one warning for all of them; a missing value stays missing.

    Attributes
    ----------
    minimum_, range_ : float arrays (D,)
        Column minima and ranges of the data that `fit` saw.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the column limits of X (n, D).

        Raises
        ------
        DataError
            All columns are constant.
        """
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

    def _validated(self, X: Any, *, reset: bool) -> NDArray[Any]:
        dtypes = [np.float64, np.float32]
        X = validate_data(self, X, reset=reset, dtype=dtypes, ensure_all_finite="allow-nan")
        return np.asarray(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


STEPS: Mapping[str, type[Any]] = {"range_scale": RangeScaler, "standardize": StandardScaler}


def make_step(name: str, params: Mapping[str, Any]) -> Any:
    """Return an unfitted transformer.

    Parameters
    ----------
    name : str
        ``range_scale``, ``standardize`` or ``module:Class`` of a scikit-learn transformer.
    params : mapping
        Its constructor's arguments.

    Raises
    ------
    ConfigError
        The class cannot be imported, is no transformer, or does not know a parameter.
    """
    cls = STEPS.get(name) or _imported(name)
    known = cls().get_params(deep=False) if cls in STEPS.values() else _parameters(cls)
    for key in params:
        if key not in known:
            raise ConfigError(
                f"prepare step '{name}' has no parameter '{key}'" + did_you_mean(key, known)
            )
    return cls(**params)


def fit_steps(
    steps: list[tuple[str, Any]], X: NDArray[Any], y: NDArray[Any] | None
) -> NDArray[Any]:
    """Fit each step on what the steps before it return; return the prepared X (n, D').

    Raises
    ------
    DataError
        A step cannot use the data, or every column is constant.
    """
    low, high = extremes(X)
    constant = np.flatnonzero(~(high > low))
    if len(constant) == X.shape[1]:
        raise DataError("all columns are constant: there is nothing that a map could unfold")
    scaling = [name for name, step in steps if isinstance(step, tuple(STEPS.values()))]
    if scaling and len(constant):
        shown = ", ".join(map(str, constant[:5])) + (", …" if len(constant) > 5 else "")
        warnings.warn(
            f"{len(constant)} constant column(s) carry no information and are scaled to 0: {shown}",
            stacklevel=2,
        )
    for name, step in steps:
        try:
            X = np.asarray(step.fit(X, y).transform(X))
        except (ValueError, TypeError) as error:
            raise DataError(f"prepare step '{name}' cannot use the data: {error}") from error
        if X.dtype.kind not in "fiub" or X.ndim != 2:
            raise DataError(f"prepare step '{name}' returned no table of numbers")
    low, high = extremes(X)
    if not (high > low).any():
        raise DataError("after prepare all columns are constant: there is nothing to map")
    return X


def _parameters(cls: type[Any]) -> Mapping[str, Any]:
    from inspect import signature

    return signature(cls.__init__).parameters


def _imported(name: str) -> type[Any]:
    if not all(name.partition(":")):
        raise ConfigError(f"unknown prepare step '{name}'" + did_you_mean(name, STEPS))
    try:
        cls: type[Any] = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"prepare step '{name}' cannot be imported: {error}") from error
    if not (isinstance(cls, type) and hasattr(cls, "fit") and hasattr(cls, "transform")):
        raise ConfigError(f"prepare step '{name}' is no scikit-learn transformer")
    return cls
