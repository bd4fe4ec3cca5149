"""Transformers that run before the map: by name, or any scikit-learn class as module:Class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from dbgsom_core.engine.moments import extremes
from dbgsom_core.errors import ConfigError, DataError, did_you_mean
from dbgsom_core.estimators.scaling import RangeScaler

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
