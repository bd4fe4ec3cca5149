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


def _share(value: float) -> str:
    return f"{100 * value:.{1 if 0 < value < 0.1 else 0}f} %"


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
    def association(self) -> float:
        """Cramér's V (1946) of groups and labels: 0 where they are independent, at most 1."""
        from scipy.stats.contingency import association  # is slow to import

        return float(association(self.counts)) if min(self.counts.shape) > 1 else 0.0

    @property
    def p_value(self) -> float:
        """Of the chi-squared test (Pearson 1900) that groups and labels are independent."""
        from scipy.stats import chi2_contingency

        return float(chi2_contingency(self.counts, correction=False).pvalue)

    @property
    def sentence(self) -> str:
        """How much labels depend on groups, and which group differs most from the others."""
        from scipy.stats.contingency import expected_freq

        p = f"p {self.p_value:.2g}" if self.p_value >= _LEAST_P else f"p < {_LEAST_P:g}"
        text = f"Cramér's V {self.association:.2f} ({p} if rows are independent"
        text += f"; 0: labels do not depend on {self.column}, 1: it says which)"
        if self.p_value > _SURE:
            return text
        expected = expected_freq(self.counts)
        residuals = abs(self.counts - expected) / expected**0.5
        group, label = divmod(int(residuals.argmax()), len(self.labels))
        inside, count = self.counts[group, label], self.counts.sum(axis=1)
        others = (self.counts[:, label].sum() - inside) / max(1, count.sum() - count[group])
        name, share = self.groups[group] or "(none)", _share(inside / count[group])
        return (
            f"{text}; most of all, {name} has {share} of label {self.labels[label]}, the others "
            f"{_share(others)}"
        )
