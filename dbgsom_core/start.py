"""What is known before the first epoch: the data's moments and the start prototypes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataSummary
from dbgsom_core.engine.local import DataPass
from dbgsom_core.engine.workers import available_threads, share

_CHUNK_ROWS = 8192
_MOST_CHUNKS = 64
_DENSE_COVARIANCE = 2048  # columns up to which the covariance is decomposed whole


@dataclass(frozen=True)
class Moments:
    """Column means (D,) and population standard deviations (D,) in float64."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, X: NDArray[Any]) -> Moments:
        """Compute them in two passes, so that large offsets do no harm.

        The parts that are added up do not depend on the number of threads.
        """
        from dbgsom_core.engine.loops import add_columns, add_squares

        n, d = X.shape
        ends = [*range(0, n, max(_CHUNK_ROWS, -(-n // _MOST_CHUNKS))), n]

        def total(add: Callable[..., None], *centre: Any) -> NDArray[np.float64]:
            parts = np.zeros((len(ends) - 1, d))

            def work(worker: int, task: int) -> None:
                add(X[ends[task] : ends[task + 1]], *centre, parts[task])

            share(available_threads(), len(parts), work)
            return np.asarray(parts.sum(axis=0) / n)

        mean = total(add_columns)
        return cls(mean, np.sqrt(total(add_squares, mean)))


def check_varies(X: NDArray[Any]) -> None:
    """Raise ValueError when no column of X (n, D) varies by more than rounding."""
    rounding = 8 * np.finfo(X.dtype).eps * np.maximum(np.abs(X).max(axis=0), 1e-300)
    if not (np.ptp(X, axis=0) > rounding).any():
        raise ValueError("all columns are constant: there is nothing that a map could unfold")


def summarize(data: DataPass, moments: Moments, n_classes: int | None) -> DataSummary:
    """Return what a growth strategy may know of the data before training."""
    centre = moments.mean[None]
    form = getattr(data.metric, "centre", None)
    deviation = spread = float(np.linalg.norm(moments.deviation))
    if getattr(data.metric, "geometry", None) != "euclidean":
        distance = data.assign(centre if form is None else form(centre)).distance
        spread = float(np.sqrt(np.mean(np.square(distance))))
    return DataSummary(
        n_samples=len(data.X),
        n_features=data.X.shape[1],
        deviation=deviation,
        spread=spread,
        n_classes=n_classes,
    )


def principal_start(
    X: NDArray[Any], moments: Moments, rows: int, columns: int
) -> NDArray[np.float64]:
    """Spread a grid untwisted over the plane of the first two principal axes.

    The longer side of the grid lies along the first axis; the grid reaches one standard deviation
    to either side of the mean. The sign of an axis is that of its largest entry. Of more than
    8192 samples the axes are those of so many, evenly spaced among them.

    Returns
    -------
    float64 array (rows*columns, D), row-major.
    """
    (first, second) = _principal_axes(X, moments)
    along_x, along_y = (first, second) if columns >= rows else (second, first)
    y, x = np.divmod(np.arange(rows * columns), columns)
    offsets = np.outer(_centred(x, columns), along_x) + np.outer(_centred(y, rows), along_y)
    return np.asarray(moments.mean + offsets)


def random_start(
    X: NDArray[Any], moments: Moments, n_neurons: int, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """Return column means + 0.1*column range*N(0, 1), float64 (n_neurons, D).

    On range-scaled data this is the start of Vasighi & Amini (2017).
    """
    noise = rng.standard_normal((n_neurons, X.shape[1]))
    return np.asarray(moments.mean + 0.1 * np.ptp(X, axis=0) * noise)


def _centred(index: NDArray[np.intp], size: int) -> NDArray[np.float64]:
    return (2.0 * index - (size - 1)) / max(size - 1, 1)


def _principal_axes(X: NDArray[Any], moments: Moments) -> list[NDArray[np.float64]]:
    # Two axes (D,), each as long as the standard deviation along it.
    X = X[:: -(-len(X) // _CHUNK_ROWS)]
    n, d = X.shape
    if d > _DENSE_COVARIANCE:
        from sklearn.utils.extmath import randomized_svd

        _, lengths, axes = randomized_svd(
            np.asarray(X - moments.mean), n_components=2, random_state=0
        )
        variances = np.square(lengths) / n
    else:
        from scipy.linalg import eigh

        centred = X - moments.mean
        covariance = centred.T @ centred
        # Columns of very different scale must not overflow or vanish in the solver.
        values, vectors = eigh(covariance / n, subset_by_index=[max(d - 2, 0), d - 1])
        variances, axes = values[::-1], vectors.T[::-1]
    found = []
    for variance, axis in zip(variances, axes, strict=True):
        sign = np.sign(axis[np.argmax(np.abs(axis))]) or 1.0
        found.append(np.asarray(sign * np.sqrt(max(variance, 0.0)) * axis, dtype=np.float64))
    if len(found) == 1:
        found.append(np.zeros(d))
    return found
