"""The inverse hyperbolic sine, which is linear near 0 and logarithmic beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class Arcsinh(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace x by arcsinh(x / cofactor), linear near 0 and logarithmic beyond (Bendall 2011).

    Parameters
    ----------
    cofactor : float or sequence of float (D,)
        Where the logarithmic part begins, in the data's units, above 0. Usual are 5 for mass
        cytometry (CyTOF), which is the default, 150 for fluorescence of conventional cytometers,
        and 3000 to 6000 for spectral ones. A sequence has one for each channel, in their order.

    Attributes
    ----------
    cofactors_ : float64 array (D,)
    """

    def __init__(self, cofactor: float | Sequence[float] = 5.0) -> None:
        self.cofactor = cofactor

    def fit(self, X: Any, y: object = None) -> Self:
        """Check the cofactors against samples X (n, D); raise ValueError where they do not fit."""
        X = self._checked(X, reset=True)
        given = np.asarray(self.cofactor, dtype=np.float64)
        if given.shape not in ((), (X.shape[1],)):
            count = f"{given.size} cofactors for {X.shape[1]} channels"
            raise ValueError(f"{count}: give one number, or one for each channel in their order")
        if not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(f"cofactor must be above 0, as 5 or 150, not {self.cofactor!r}")
        self.cofactors_ = np.full(X.shape[1], given)
        return self

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return arcsinh(x / cofactor) of samples X (n, D), in their precision."""
        X = self._checked(X)
        scaled = X / self.cofactors_.astype(X.dtype)
        return np.asarray(np.arcsinh(scaled, out=scaled))

    def inverse_transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Return cofactor * sinh(x) of transformed samples X (n, D), in their precision."""
        X = self._checked(X)
        return np.asarray(np.sinh(X) * self.cofactors_.astype(X.dtype))

    def _checked(self, X: Any, reset: bool = False) -> NDArray[np.floating[Any]]:
        if not reset:
            check_is_fitted(self)
        kinds, gaps = [np.float64, np.float32], "allow-nan"
        return np.asarray(validate_data(self, X, dtype=kinds, ensure_all_finite=gaps, reset=reset))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
