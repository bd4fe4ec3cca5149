"""The inverse hyperbolic sine, which is linear near 0 and logarithmic beyond."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
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

    def __init__(self, cofactor: float | ArrayLike = 5.0) -> None:
        self.cofactor = cofactor

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check the cofactors against samples X (n, D); raise ValueError where they do not fit."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")
        given = np.asarray(self.cofactor, dtype=np.float64)
        if given.shape not in ((), (X.shape[1],)):
            count = f"{given.size} cofactors for {X.shape[1]} channels"
            raise ValueError(f"{count}: give one number, or one for each channel in their order")
        if not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(f"cofactor must be above 0, as 5 or 150, not {self.cofactor}")
        self.cofactors_ = np.full(X.shape[1], given)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return arcsinh(x / cofactor) of samples X (n, D), in their precision."""
        X = self._checked(X)
        scaled = X / self.cofactors_.astype(X.dtype)
        return np.arcsinh(scaled, out=scaled)

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return cofactor * sinh(x) of transformed samples X (n, D), in their precision."""
        X = self._checked(X)
        raw = np.sinh(X)
        raw *= self.cofactors_.astype(X.dtype)
        return raw

    def _checked(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        check_is_fitted(self)
        kinds = [np.float64, np.float32]
        return np.asarray(
            validate_data(self, X, dtype=kinds, ensure_all_finite="allow-nan", reset=False)
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
