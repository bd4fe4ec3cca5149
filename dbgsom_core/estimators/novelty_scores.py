"""How unlike the training data a sample is, as a fitted map tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dbgsom_core.engine.local import Samples
from dbgsom_core.errors import ModelFileError
from dbgsom_core.estimators.lazy import by_rows
from dbgsom_core.som_map.tree import Descent
from dbgsom_core.training.novelty import Calibration, Density, Novelty


class NoveltyScores:
    """Scores and p-values of samples, of a map that knows its training data's."""

    _novelty: Novelty | Calibration
    _density: Density

    if TYPE_CHECKING:  # the map's

        def _samples(self, X: Any) -> Samples: ...

        def _to_live_leaves(self, data: Samples) -> Descent: ...

    @by_rows
    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Return how normal each sample is: the higher, the more like the training data.

        The score is minus the root of the mean squared distance to the training samples around the
        sample, of which the r-th nearest weighs exp(-r/10), as far as the map can tell, in units of
        the spread within its neurons (see `training.novelty.Density`): 0 at best. Multiplying data
        and map by a number changes no score.

        Parameters
        ----------
        X : array-like (n, D)

        Returns
        -------
        float64 array (n,)
            Below ``offset_`` are outliers.
        """
        return self._scores(self._samples(X))

    def _scores(
        self, data: Samples, ended: Callable[[], Descent] | None = None
    ) -> NDArray[np.float64]:
        known = self._learnt_novelty()
        if isinstance(known, Novelty):  # of a file from before
            there = self._to_live_leaves(data) if ended is None else ended()
            return known.scores(there.leaf, there.distance)
        return self._density.scores(data)

    @by_rows
    def novelty_pvalue(self, X: Any) -> NDArray[np.float64]:
        """Return conformal p-values of samples: small for what is unlike the training data.

        The share of the calibration samples, the sample itself counted in, whose score is at most
        the sample's (Vovk, Gammerman & Shafer 2005). Samples that were held out by ``calibration``
        are such: the p-value of a new sample of the same source is then at most α with a
        probability of at most α, for every α and any number of samples. Without ``calibration``
        the training samples are, each scored as if the map had not seen it, and this holds nearly.

        Parameters
        ----------
        X : array-like (n, D)

        Returns
        -------
        float64 array (n,)
            Above 0 and at most 1; at most ``contamination`` where `score_samples` is below
            ``offset_``.

        Raises
        ------
        ModelFileError
            The map was saved by a version that knew no p-values.
        """
        data, known = self._samples(X), self._learnt_novelty()
        if isinstance(known, Novelty):
            raise ModelFileError(
                "this map was saved by a version without p-values; fit and save it again"
            )
        return known.pvalues(self._density.scores(data))

    @property
    def offset_(self) -> float:
        """The score below which a sample counts as an outlier: `novelty_pvalue` is then at most
        ``contamination``.
        """
        check_is_fitted(self)
        return self._learnt_novelty().offset

    def _learnt_novelty(self) -> Novelty | Calibration:
        if not hasattr(self, "_novelty"):
            raise ModelFileError(
                "this map was saved by a version without novelty scores; fit and save it again"
            )
        return self._novelty
