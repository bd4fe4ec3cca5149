"""Small data sets: those that come with scikit-learn, and some from known distributions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dbgsom_core.api import Data, DatasetComponent

Seed = Annotated[
    int, Field(ge=0, le=2**32 - 1, description="seed of the samples, apart from the run's seed")
]
_MOST = 10**9  # numbers in a table: 8 GB


class Bundled(DatasetComponent):
    """Base of the data sets: what is loaded with which options, and whether samples are images."""

    function: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    image_shape: ClassVar[tuple[int, int] | None] = None

    def load(self) -> Data:
        from sklearn import datasets

        bunch = getattr(datasets, self.function)(**self.options)
        classes = bunch.get("target_names")
        if classes is not None:
            classes = tuple(map(str, classes))
        return Data(
            X=np.ascontiguousarray(bunch.data, dtype=np.float64),
            y=bunch.target,
            feature_names=tuple(map(str, bunch.feature_names)),
            target_names=classes,
            image_shape=self.image_shape,
        )


class Digits(Bundled):
    """Handwritten digits: 1797 images of 8 × 8 grey levels 0..16, ten classes (Alpaydin 1998)."""

    function: ClassVar[str] = "load_digits"
    image_shape: ClassVar[tuple[int, int] | None] = (8, 8)


class Iris(Bundled):
    """Iris flowers: 150 samples, 4 lengths in cm, three species (Fisher 1936)."""

    function: ClassVar[str] = "load_iris"


class Wine(Bundled):
    """Italian wines: 178 samples, 13 chemical measurements, three growers (Forina 1988)."""

    function: ClassVar[str] = "load_wine"


class BreastCancer(Bundled):
    """Breast tumours: 569 samples, 30 cell measurements, malignant or benign (Wolberg 1995)."""

    function: ClassVar[str] = "load_breast_cancer"


class Diabetes(Bundled):
    """Diabetes: 442 patients, 10 measurements, how far the disease went in a year (Efron 2004).

    As measured, in years, kg/m², mmHg and so on; targets from 25 to 346.
    """

    function: ClassVar[str] = "load_diabetes"
    options: ClassVar[dict[str, Any]] = {"scaled": False}


class Blobs(DatasetComponent):
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
        from sklearn.datasets import make_blobs

        X, y = make_blobs(
            n_samples=self.samples,
            n_features=self.features,
            centers=self.centers,
            cluster_std=self.spread,
            random_state=self.seed,
        )
        names = tuple(f"x{i + 1}" for i in range(self.features))
        clusters = tuple(f"blob {i}" for i in range(self.centers))
        return Data(np.ascontiguousarray(X, dtype=np.float64), y, names, clusters)


class Moons(DatasetComponent):
    """Two interleaved half circles in the plane."""

    samples: int = Field(
        default=500, ge=2, le=_MOST, description="number of samples, both moons together"
    )
    noise: float = Field(
        default=0.1, ge=0, le=1e100, description="standard deviation of the noise; the radius is 1"
    )
    seed: Seed = 0

    def load(self) -> Data:
        from sklearn.datasets import make_moons

        X, y = make_moons(n_samples=self.samples, noise=self.noise, random_state=self.seed)
        X = np.ascontiguousarray(X, dtype=np.float64)
        return Data(X, y, ("x1", "x2"), ("upper moon", "lower moon"))


# Medians of six counts of a flow, as they are typical of its kind.
_COUNTS = (
    "seconds", "packets out", "bytes a packet out", "packets in", "bytes a packet in", "gap in ms",
)  # fmt: skip
_TRAFFIC = {
    "web": (2.0, 14, 220, 30, 1050, 60),
    "video": (180.0, 2500, 90, 9000, 1350, 15),
    "call": (240.0, 12000, 180, 12000, 180, 20),
    "mail": (4.0, 40, 900, 25, 140, 90),
    "name lookup": (0.05, 1, 70, 1, 160, 25),
    "file sharing": (600.0, 9000, 1100, 8000, 1100, 70),
    "remote shell": (900.0, 1100, 110, 1000, 150, 800),
    "port scan": (0.002, 2, 44, 1, 40, 1),
    "flood": (1.0, 4000, 60, 1, 60, 0.3),
}


class Flows(DatasetComponent):
    """Flows in a network, as a router counts them, of nine kinds from calls to port scans: made up.

    Six counts of each flow, log-normal around what is typical of its kind.
    """

    samples: int = Field(
        default=2000, ge=1, le=_MOST // 6, description="number of flows, all kinds together"
    )
    spread: float = Field(
        default=0.5, ge=0, le=10, description="standard deviation of the counts' logarithms"
    )
    seed: Seed = 0

    def load(self) -> Data:
        rng = np.random.default_rng(self.seed)
        kinds = rng.integers(len(_TRAFFIC), size=self.samples)
        medians = np.array(list(_TRAFFIC.values()), dtype=np.float64)[kinds]
        factors = np.exp(self.spread * rng.standard_normal(medians.shape))
        return Data(medians * factors, kinds, _COUNTS, tuple(_TRAFFIC))
