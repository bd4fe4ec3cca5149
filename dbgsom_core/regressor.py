"""A growing map whose neurons answer with a number."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from dbgsom_core.growing_map import GrowingMap


class SomRegressor(RegressorMixin, GrowingMap):
    """Growing self-organizing map whose neurons answer with a number.

    The map is trained on X alone; then each neuron answers with the mean target of the samples
    that it won, and one without samples with its nearest live neuron's. Parameters and attributes
    are those of `SomVQ`, with labeller ``"mean"``; ``score`` is the coefficient of determination
    R².

    Attributes
    ----------
    labels_ : float64 array (n,)
        The answer of the neuron that won each training sample.
    neuron_labels_ : float64 array (K,)
        The answer of each neuron.
    """

    _kind: ClassVar[str] = "regressor"

    def __init__(
        self,
        *,
        metric: Any = "euclidean",
        kernel: Any = "gaussian",
        growth: Any = "directed",
        labeller: Any = "mean",
        epochs: int = 100,
        tol: float = 1e-4,
        spreading_factor: float | None = None,
        max_neurons: int | str | None = None,
        init: Any = "pca",
        random_state: Any = None,
        engine: Any = "local",
        callbacks: Any = None,
        verbose: int = 0,
        contamination: float = 0.05,
    ) -> None:
        super().__init__(
            metric=metric,
            kernel=kernel,
            growth=growth,
            labeller=labeller,
            epochs=epochs,
            tol=tol,
            spreading_factor=spreading_factor,
            max_neurons=max_neurons,
            init=init,
            random_state=random_state,
            engine=engine,
            callbacks=callbacks,
            verbose=verbose,
            contamination=contamination,
        )

    def fit(self, X: Any, y: Any) -> Self:
        """Train the map on X (n, D) and give its neurons the mean of their targets y (n,).

        Raises
        ------
        ValueError
            The data, the targets or a parameter cannot be used; texts are no targets.
        """
        check_no_text(y)
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            order="C",
            ensure_min_samples=4,
            y_numeric=True,
        )
        return self._fit(X, y.astype(np.float64), None, None)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the answer for each sample of X (n, D), shape (n,): that of the nearest neuron
        that won a training sample.
        """
        units = self._live_units(X)
        return np.asarray(self.neuron_labels_[units])


def check_no_text(y: Any) -> None:
    """Raise ValueError when targets hold texts, even if they look like numbers."""
    values = np.asarray(y)
    of_objects = values.dtype == object and any(isinstance(one, str) for one in values.ravel())
    if values.dtype.kind in "US" or of_objects:
        raise ValueError(
            "SomRegressor needs numbers as targets, but y holds text; "
            "use SomClassifier for classes, or turn the text into numbers"
        )
