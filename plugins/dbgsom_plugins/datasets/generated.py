"""Data sets that are drawn from a known distribution."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from dbgsom_core.api import Component, Data

Seed = Annotated[
    int, Field(ge=0, le=2**32 - 1, description="seed of the samples, apart from the run's seed")
]


_MOST = 10**9  # numbers in a table


class Blobs(Component):
    """Gaussian clusters of equal size and spread around random centres."""

    samples: int = Field(
        default=500, ge=1, le=_MOST, description="number of samples, all clusters together"
    )
    features: int = Field(default=2, ge=1, le=10**6, description="number of columns")
    centers: int = Field(default=5, ge=1, le=10**6, description="number of clusters")
    spread: float = Field(
        default=1.0,
        ge=0,
        le=1e100,
        description="standard deviation of a cluster; centres lie in -10..10",
    )
    seed: Seed = 0

    @model_validator(mode="after")
    def _can_be_held(self) -> Self:
        if max(self.samples, self.centers) * self.features > _MOST:
            raise ValueError(f"samples × features, and centers × features, are at most {_MOST}")
        return self

    def load(self) -> Data:
        """Return X (samples, features) and the cluster of each sample."""
        from sklearn.datasets import make_blobs

        X, y = make_blobs(
            n_samples=self.samples,
            n_features=self.features,
            centers=self.centers,
            cluster_std=self.spread,
            random_state=self.seed,
        )
        return Data(
            X=np.ascontiguousarray(X, dtype=np.float64),
            y=y,
            feature_names=tuple(f"x{i + 1}" for i in range(self.features)),
            target_names=tuple(f"blob {i}" for i in range(self.centers)),
        )


class Moons(Component):
    """Two interleaved half circles in the plane."""

    samples: int = Field(
        default=500, ge=2, le=_MOST, description="number of samples, both moons together"
    )
    noise: float = Field(
        default=0.1, ge=0, le=1e100, description="standard deviation of the noise; the radius is 1"
    )
    seed: Seed = 0

    def load(self) -> Data:
        """Return X (samples, 2) and 0 for the upper, 1 for the lower moon."""
        from sklearn.datasets import make_moons

        X, y = make_moons(n_samples=self.samples, noise=self.noise, random_state=self.seed)
        return Data(
            X=np.ascontiguousarray(X, dtype=np.float64),
            y=y,
            feature_names=("x1", "x2"),
            target_names=("upper moon", "lower moon"),
        )
