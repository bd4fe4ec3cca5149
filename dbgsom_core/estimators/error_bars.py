"""What a fitted map can be asked about how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.utils.validation import check_is_fitted

from dbgsom_core.interfaces.measures import Measure
from dbgsom_core.interfaces.stability import Stability


class ErrorBars:
    """The method of estimators that refits them."""

    def stability(
        self,
        X: Any,
        y: Any = None,
        n: int = 20,
        *,
        share: float = 0.5,
        measures: Mapping[str, Measure] | Sequence[str] | None = None,
        level: float = 0.95,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> Stability:
        """Say how sure the map is, by refits to parts of the samples.

        Parameters
        ----------
        X : array-like or CSR matrix (m, D)
            The samples that the map was fitted to.
        y : array-like (m,) or (m, T), optional
            Their targets, as for `fit`; of a classifier each part holds its share of each class.
        n : int
            How many refits.
        share : float in (0, 1)
            Of the samples that each is fitted to, drawn by lot; of 0.5 two in turn share none.
        measures : sequence of str, or mapping of names to measures, optional
            Measured on the samples that each was not fitted to. None: quantization and topographic
            error, and accuracy or R².
        level : float in (0, 1)
            Of the confidence intervals.
        random_state : int
            Seed of the parts.
        n_jobs : int, optional
            How many refits run at a time, in threads; -1: as many as there are processors. The
            result is the same.

        Returns
        -------
        Stability
            Per link how often two samples that met across it stay neighbours, per neuron how often
            its answer stays, per measure a confidence interval. Intervals take the deviation over
            refits as that of the delete-d jackknife (Shao & Wu 1989).

        Raises
        ------
        ValueError
            The data or a parameter cannot be used.
        """
        from dbgsom_core.estimators.stability import stability_of  # scipy.stats is slow to import

        check_is_fitted(self)
        return stability_of(self, X, y, n, share, measures, level, random_state, n_jobs)
