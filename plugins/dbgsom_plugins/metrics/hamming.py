"""The Hamming distance."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.api import DataError
from dbgsom_plugins.metrics.norms import FeatureMetric

_VALUES = 256  # distinct values of a feature whose votes are counted at a time


class Hamming(FeatureMetric):
    """Hamming distance between rows of category codes: the share of features that differ.

    Codes are whole numbers (ordinal or 0/1 encoding). A prototype holds the kernel-weighted mode of
    each feature, ties to the smallest code, which minimises the weighted sum of distances (Huang
    1998, k-modes); a mean would be no code and differ from every sample. Start prototypes are
    rounded to codes. Features that are missing are left out: the share is of those observed.
    """

    loop: ClassVar[str] = "hamming"
    handles: ClassVar[tuple[str, ...]] = ("missing",)

    def prepare(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the codes X (n, D) as they are.

        Raises
        ------
        DataError
            An entry is no whole number; the message names the first one.
        """
        wrong = (np.rint(X) != X) & ~np.isnan(X)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"hamming compares category codes, but row {row} has {X[row, column]} in column "
                f"{column}; encode categories as whole numbers, or use another metric"
            )
        return X

    def centre(self, means: NDArray[Any]) -> NDArray[np.float64]:
        """Return the means (K, D) rounded to codes: where a neuron starts or is born."""
        return np.rint(np.asarray(means, dtype=np.float64))

    def form(
        self,
        X: NDArray[Any],
        units: NDArray[np.int64],
        influence: NDArray[np.float64],
        weights: NDArray[np.float64] | None,
        so_far: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the weighted mode of each feature for each neuron, float64 (K, D).

        Arguments are those of ``form`` of `dbgsom_core.api.MetricComponent`; nan counts nothing.
        """
        modes = np.array(so_far, dtype=np.float64)
        for k in range(X.shape[1]):
            seen = ~np.isnan(X[:, k])
            own = None if weights is None else weights[seen]
            _elect(X[seen, k], units[seen], influence, own, modes[:, k])
        return modes

    def examples(self, generator: Any, n: int) -> NDArray[np.float64]:
        """Return codes 0, 1 and 2 (n, 5), for the conformance kit."""
        return np.asarray(generator.integers(0, 3, (n, 5)), dtype=np.float64)


def _elect(
    column: NDArray[Any],
    units: NDArray[np.int64],
    influence: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
    modes: NDArray[np.float64],
) -> None:
    # Puts into modes (K,) the value of the column (n,) with the most votes; kept without a vote.
    groups, n_neurons = influence.shape
    values, codes = np.unique(column, return_inverse=True)
    most = np.zeros(n_neurons)
    for start in range(0, len(values), _VALUES):
        some = values[start : start + _VALUES]
        rows = np.flatnonzero((codes >= start) & (codes < start + len(some)))
        ballots = (codes[rows] - start) * groups + units[rows]
        own = None if weights is None else weights[rows]
        counts = np.bincount(ballots, own, len(some) * groups).reshape(len(some), groups)
        votes = counts @ influence
        first = votes.argmax(axis=0)
        votes = votes[first, np.arange(n_neurons)]
        modes[votes > most] = some[first[votes > most]]
        most = np.maximum(most, votes)
