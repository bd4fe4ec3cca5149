"""What sets clusters and classes of a run apart, and how its labels are spread over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SURE = 0.05  # p-value up to which a sentence names a group
_LEAST_P = 1e-300  # below it numbers of float64 lose their digits, and end in 0


@dataclass(frozen=True)
class ClusterProfile:
    """What sets the clusters of a map apart, in the data's own columns and units.

    Attributes
    ----------
    clusters : int array (C,)
        Their labels.
    names : sequence of str
        What each is called, by its largest effects.
    rows : int array (C,)
        How many training samples each has.
    features : sequence of str
        The F columns: D features, and numbers beside them that the map was not trained on.
    means, means_of_others : float array (C, F)
        Of the samples of a cluster, and of all others.
    effects : float array (C, F)
        Differences of these means, in standard deviations of all samples.
    typical : sequence of int array
        Rows of the data set that are nearest to the mean of each cluster, the nearest first.
    """

    clusters: NDArray[Any]
    names: Sequence[str]
    rows: NDArray[np.int64]
    features: Sequence[str]
    means: NDArray[np.float64]
    means_of_others: NDArray[np.float64]
    effects: NDArray[np.float64]
    typical: Sequence[NDArray[Any]]


@dataclass(frozen=True)
class GroupCounts:
    """How the labels of a map are spread over the groups of a column.

    Attributes
    ----------
    column : str
    groups, labels : sequence of str
    counts : int array (G, L)
        How many rows of the data set have this group and get this label.
    """

    column: str
    groups: Sequence[str]
    labels: Sequence[str]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share (G, L) that each label has of the rows of a group."""
        shares: NDArray[np.float64] = self.counts / self.counts.sum(axis=1, keepdims=True)
        return shares

    @property
    def sentence(self) -> str:
        """How much labels depend on groups, and which group differs most from the others.

        Cramér's V (1946) is 0 where they are independent, at most 1; the p-value is of the
        chi-squared test (Pearson 1900).
        """
        from scipy.stats import chi2_contingency  # is slow to import
        from scipy.stats.contingency import association

        v = association(self.counts) if min(self.counts.shape) > 1 else 0.0
        test = chi2_contingency(self.counts, correction=False)
        p = f"p {test.pvalue:.2g}" if test.pvalue >= _LEAST_P else f"p < {_LEAST_P:g}"
        text = f"Cramér's V {v:.2f} ({p} if rows are independent"
        text += f"; 0: labels do not depend on {self.column}, 1: it says which)"
        if test.pvalue > _SURE:
            return text
        residuals = abs(self.counts - test.expected_freq) / test.expected_freq**0.5
        group, label = divmod(int(residuals.argmax()), len(self.labels))
        name, share = self.groups[group] or "(none)", 100 * self.shares[group, label]
        overall = 100 * self.counts[:, label].sum() / self.counts.sum()
        text += f"; most of all, {name} has {share:.3g} % of label {self.labels[label]}"
        return f"{text}, all rows {overall:.3g} %"
