"""The novelty methods of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.errors import ModelFileError
from dbgsom_core.som_map.grid import SomMap
from dbgsom_core.training.novelty import Novelty


class NoveltyScores:
    """The novelty methods of the estimators."""

    som_map_: SomMap
    _novelty: Novelty

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return how normal each sample is: the higher, the more like the training data.

        The score is (mean - d) / deviation, where d is the sample's distance to the nearest neuron
        that won a training sample, and mean and deviation are those of that neuron's training
        distances: -3 is three standard deviations farther away than usual there. Neurons with few
        samples lean on the map's (see `Novelty`). Multiplying data and map by
        a number changes no score.

        Parameters
        ----------
        X : array-like (n, D)

        Returns
        -------
        float64 array (n,)
            Below ``offset_`` are outliers.
        """
        data = self._samples(X)  # type: ignore[attr-defined]
        ended = self._to_live_leaves(data)  # type: ignore[attr-defined]
        return self._learnt_novelty().scores(ended.leaf, ended.distance)

    @property
    def offset_(self) -> float:
        """The score below which a sample counts as an outlier: the ``contamination`` quantile of
        the training samples' scores.
        """
        check_is_fitted(self)
        return self._learnt_novelty().offset

    def _learnt_novelty(self) -> Novelty:
        if not hasattr(self, "_novelty"):
            raise ModelFileError(
                "this map was saved by a version without novelty scores; fit and save it again"
            )
        return self._novelty


def check_contamination(contamination: Any) -> None:
    """Raise ValueError unless it is a number above 0 and at most 0.5."""
    number = isinstance(contamination, (int, float, np.number))
    if not number or isinstance(contamination, bool) or not 0 < contamination <= 0.5:
        raise ValueError(
            f"contamination must be a number above 0 and at most 0.5, not {contamination!r}"
        )
