"""The Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dbgsom_core.api import available_threads, share
from dbgsom_plugins.metrics.norms import FeatureMetric

_ROWS = 4096  # that are added up or mapped at a time, so results do not depend on the threads
_SMALL_WORK = 1 << 21  # multiplications below which threads cost more than they save


class Mahalanobis(FeatureMetric):
    """Mahalanobis distance sqrt((x - w)' C**-1 (x - w)) with the training data's covariance C.

    Samples are whitened: the map and its prototypes live where C is the identity and the distance
    is Euclidean, and kernel-weighted means minimise the summed squares. C is shrunk toward its
    diagonal, C = (1 - s)*S + s*diag(S), so that it is regular with few samples too; units of the
    features do not matter. s = ``"ledoit_wolf"`` is the share of Ledoit & Wolf (2004) for
    standardised features; 0 takes the sample covariance as it is. Directions in which the training
    data does not vary count nothing. A sample weight of 2 is the sample twice.
    """

    learns_weighted: ClassVar[bool] = True
    loop: ClassVar[str] = "euclidean"
    geometry: ClassVar[str] = "euclidean"

    shrinkage: Annotated[float, Field(ge=0, le=1)] | Literal["ledoit_wolf"] = Field(
        default="ledoit_wolf",
        description="share of the way from the covariance to its diagonal, 0 to 1, or ledoit_wolf",
    )

    def fit(
        self, X: NDArray[Any], weights: NDArray[np.float64] | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Return ``mean`` (D,) and ``whitening`` (D, D) of the training samples X (n, D).

        Whitened samples are (x - mean) @ whitening, which is symmetric up to the features' units.
        ``weights`` (n,) count as repetitions.
        """
        d = X.shape[1]
        own = np.ones(len(X)) if weights is None else weights
        n = float(own.sum())
        mean = sum(w @ rows for rows, w in _blocks(X, own)) / n
        squares = sum(w @ np.square(rows - mean) for rows, w in _blocks(X, own))
        freedom = n - 1 if n > 1 else n
        deviation = np.sqrt(squares / freedom)
        rounding = 8 * np.finfo(np.float64).eps * np.abs(mean)
        scale = np.divide(1.0, deviation, out=np.zeros(d), where=deviation > rounding)
        correlation, fourth = np.zeros((d, d)), 0.0
        for rows, w in _blocks(X, own):
            standard = (rows - mean) * scale
            correlation += standard.T @ (standard * w[:, None])
            fourth += float(w @ np.square(np.einsum("ij,ij->i", standard, standard)))
        correlation /= freedom
        share_of_diagonal = self.shrinkage
        if isinstance(share_of_diagonal, str):
            share_of_diagonal = _ledoit_wolf(correlation * (freedom / n), fourth / n, n)
        correlation *= 1.0 - share_of_diagonal
        np.fill_diagonal(correlation, (scale > 0).astype(np.float64))
        return {"mean": mean, "whitening": scale[:, None] * _inverse_root(correlation)}

    def prepare(
        self, X: NDArray[Any], state: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.floating[Any]]:
        """Return the samples X (n, D) whitened by the ``state`` that `fit` returned."""
        map_rows = import_module("dbgsom_plugins.metrics.loops").map_rows
        samples = np.ascontiguousarray(X)
        whitened = np.empty(samples.shape, dtype=np.result_type(samples, np.float32))
        mean, matrix = (
            np.ascontiguousarray(state[name], dtype=np.float64) for name in ("mean", "whitening")
        )
        d = samples.shape[1]
        if mean.shape != (d,) or matrix.shape != (d, d):  # the loops read what they are told
            raise ValueError(f"what was learned is not of samples of {d} columns")

        def work(worker: int, task: int) -> None:
            stop = min((task + 1) * _ROWS, len(samples))
            map_rows(samples, mean, matrix, task * _ROWS, stop, whitened)

        small = samples.size * samples.shape[1] < _SMALL_WORK
        share(1 if small else available_threads(), -(-len(samples) // _ROWS), work)
        return whitened


def _blocks(X: NDArray[Any], weights: NDArray[np.float64]) -> Any:
    for i in range(0, len(X), _ROWS):
        yield np.asarray(X[i : i + _ROWS], dtype=np.float64), weights[i : i + _ROWS]


def _ledoit_wolf(covariance: NDArray[np.float64], fourth: float, n: float) -> float:
    # Ledoit & Wolf (2004), section 3.3, for centred samples z with the mean of |z|**4 ``fourth``:
    # how far the sample covariance is from a multiple of the identity, and how much of that is
    # noise. Standardised features have that multiple, 1, as their diagonal; those that do not vary
    # have 0, and are none of the features.
    size, features = float(np.square(covariance).sum()), int((np.diag(covariance) > 0).sum())
    distance = size - float(np.trace(covariance)) ** 2 / max(features, 1)
    noise = (fourth - size) / n
    return 1.0 if distance <= 0 else float(np.clip(noise / distance, 0.0, 1.0))


def _inverse_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    kept = values > len(matrix) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    roots = np.divide(1.0, np.sqrt(np.abs(values)), out=np.zeros(len(values)), where=kept)
    return np.asarray((vectors * roots) @ vectors.T)
