"""Small data sets that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbgsom_core.api import Component, Data


class Digits(Component):
    """Handwritten digits: 1797 images of 8 × 8 grey levels 0..16, ten classes (Alpaydin 1998)."""

    def load(self) -> Data:
        """Return X (1797, 64) and the digit of each image."""
        from sklearn.datasets import load_digits

        return _data(load_digits, image_shape=(8, 8))


class Iris(Component):
    """Iris flowers: 150 samples, 4 lengths in cm, three species (Fisher 1936)."""

    def load(self) -> Data:
        """Return X (150, 4) and the species as 0, 1, 2."""
        from sklearn.datasets import load_iris

        return _data(load_iris)


class Wine(Component):
    """Italian wines: 178 samples, 13 chemical measurements, three growers (Forina 1988)."""

    def load(self) -> Data:
        """Return X (178, 13) and the grower as 0, 1, 2."""
        from sklearn.datasets import load_wine

        return _data(load_wine)


class BreastCancer(Component):
    """Breast tumours: 569 samples, 30 cell measurements, malignant or benign (Wolberg 1995)."""

    def load(self) -> Data:
        """Return X (569, 30) and 0 for malignant, 1 for benign."""
        from sklearn.datasets import load_breast_cancer

        return _data(load_breast_cancer)


class Diabetes(Component):
    """Diabetes: 442 patients, 10 measurements, how far the disease went in a year (Efron 2004)."""

    def load(self) -> Data:
        """Return X (442, 10) as measured, in years, kg/m², mmHg and so on, and y from 25 to 346."""
        import numpy as np
        from sklearn.datasets import load_diabetes

        bunch = load_diabetes(scaled=False)
        return Data(
            X=np.ascontiguousarray(bunch.data, dtype=np.float64),
            y=bunch.target,
            feature_names=tuple(str(name) for name in bunch.feature_names),
        )


def _data(load: Callable[[], Any], image_shape: tuple[int, int] | None = None) -> Data:
    import numpy as np

    bunch = load()
    return Data(
        X=np.ascontiguousarray(bunch.data, dtype=np.float64),
        y=bunch.target,
        feature_names=tuple(str(name) for name in bunch.feature_names),
        target_names=tuple(str(name) for name in bunch.target_names),
        image_shape=image_shape,
    )
