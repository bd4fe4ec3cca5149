"""Small data sets that come with scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar

from dbgsom_core.api import Component, Data


class Bundled(Component):
    """Base of the data sets: what is loaded with which options, and whether samples are images."""

    function: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    image_shape: ClassVar[tuple[int, int] | None] = None

    def load(self) -> Data:
        """Return the samples and the targets that the class describes."""
        import numpy as np
        from sklearn import datasets

        bunch = getattr(datasets, self.function)(**self.options)
        classes = bunch.get("target_names")
        return Data(
            X=np.ascontiguousarray(bunch.data, dtype=np.float64),
            y=bunch.target,
            feature_names=tuple(str(name) for name in bunch.feature_names),
            target_names=None if classes is None else tuple(str(name) for name in classes),
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
