"""A fitted model: the prepare steps and the map behind one ``predict``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FittedModel:
    """What a run leaves behind to be used: raw samples in, answers out.

    Attributes
    ----------
    steps : sequence of (name, fitted transformer)
    estimator : SomVQ, SomClassifier or SomRegressor
        Fitted on prepared samples.
    """

    steps: Sequence[tuple[str, Any]]
    estimator: Any

    def prepare(self, X: Any) -> NDArray[Any]:
        """Return raw samples X (n, D) as the map takes them, (n, D')."""
        for _, step in self.steps:
            X = step.transform(X)
        return np.asarray(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the answer for each raw sample of X (n, D), shape (n,)."""
        return np.asarray(self.estimator.predict(self.prepare(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities (n, C) for raw samples X (n, D)."""
        return np.asarray(self.estimator.predict_proba(self.prepare(X)))

    def bmu(self, X: Any, k: int = 1) -> NDArray[np.int64]:
        """Return the best-matching units of raw samples X (n, D), see `SomVQ.bmu`."""
        return np.asarray(self.estimator.bmu(self.prepare(X), k))

    def bmu_path(self, X: Any) -> NDArray[np.int64]:
        """Return the way of raw samples X (n, D) down the maps, see `SomVQ.bmu_path`."""
        return np.asarray(self.estimator.bmu_path(self.prepare(X)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write steps and map to one file, without pickle; `persistence.load` reads it."""
        from dbgsom_core.persistence import save

        save(self, path)
