"""Metrics whose prototypes are kernel-weighted medians."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import available_threads, share
from dbgsom_plugins.metrics.feature_metric import FeatureMetric

_REMEMBERED = 1 << 27  # entries of X up to which the order of the samples is kept between epochs
_SMALL_WORK = 1 << 15  # entries of X below which threads cost more than they save

Form = Callable[..., NDArray[np.float64]]


class MedianMetric(FeatureMetric):
    """Base of metrics whose prototypes are medians, or means where that is wished for.

    While the kernel is wide they are means: wide medians of data with few distinct values are all
    alike, and what is alike never parts again.
    """

    forms_below: ClassVar[float] = 0.25
    prototype: Literal["median", "mean"] = Field(
        default="median", description="what a prototype is of the samples, weighted by the kernel"
    )

    @property
    def form(self) -> Form | None:
        """How prototypes are formed, see `weighted_median`; None for means."""
        return weighted_median if self.prototype == "median" else None


def weighted_median(
    X: NDArray[Any],
    units: NDArray[np.int64],
    influence: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
    so_far: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return for each neuron and feature the exact weighted median, float64 (K, D).

    It minimises Σ_i weights[i]*influence[units[i], j]*|x_i - w_j|; where one half of the weight
    lies on either side of a gap it is the middle of the gap. The bits do not depend on the threads.
    The order of the samples, n*D int32, is kept while X lives and n*D is at most 2**27.

    Parameters
    ----------
    X : float array (n, D)
        nan is missing and counts nothing.
    units : int64 array (n,)
        The group of each sample.
    influence : float64 array (G, K)
        What the samples of a group weigh in each neuron.
    weights : float64 array (n,) or None
    so_far : float64 array (K, D)
        Kept where nothing reaches a neuron.
    """
    loops = import_module("dbgsom_plugins.metrics.median_loops")  # imports numba: only when used
    orders = _orders_of(X)
    medians = np.array(so_far, dtype=np.float64)
    units = np.ascontiguousarray(units, dtype=np.int64)
    influence = np.ascontiguousarray(influence, dtype=np.float64)
    own = np.empty(0) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
    # As many samples in a block as blocks cost: one pass over the groups for each of them.
    size = max(32, int(np.sqrt(len(X) * len(influence))))

    def work(worker: int, feature: int) -> None:
        order = orders[feature]
        if order is None or not loops.is_sorted(X, feature, order):  # or X was written to
            order = orders[feature] = _order(X[:, feature])
        loops.weighted_medians(X, feature, order, units, own, influence, size, medians)

    share(1 if X.size < _SMALL_WORK else available_threads(), X.shape[1], work)
    if X.size <= _REMEMBERED:
        _remember(X, orders)
    return medians


_latest: list[tuple[Any, list[NDArray[Any] | None]]] = []


def _orders_of(X: NDArray[Any]) -> list[NDArray[Any] | None]:
    for known, orders in tuple(_latest):
        if known() is X:
            return list(orders)
    return [None] * X.shape[1]


def _remember(X: NDArray[Any], orders: list[NDArray[Any] | None]) -> None:
    # Of the latest samples alone, and no longer than somebody holds them.
    _latest[:] = [(weakref.ref(X, lambda _: _latest.clear()), orders)]


def _order(values: NDArray[Any]) -> NDArray[Any]:
    return np.argsort(values, kind="stable").astype(np.int32 if len(values) < 2**31 else np.int64)
