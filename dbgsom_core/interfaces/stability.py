"""How sure a map is: what stays when it is fitted again to parts of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Interval(NamedTuple):
    """The mean of a number over refits, and the ends of its confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class Stability:
    """How sure a map is, as `stability` of an estimator finds it.

    Attributes
    ----------
    links : int64 array (M, 2)
        The links of the map, as rows of ``weights_``.
    link_shares : float64 array (M,)
        Of two samples, one won by either end, how often a refit has them in the same or in linked
        neurons; nan where an end won none.
    chance : float
        The same for any two samples.
    agreements : float64 array (K,) or None
        For each neuron how often a refit gives its samples the label that the map gives them,
        cluster numbers matched (Kuhn 1955); nan where it won none. None: answers are numbers.
    measures : mapping of str to Interval
        Of the refits, on the samples that each was not fitted to.
    repeatability : Interval
        Spearman's correlation between the distances on the grid that two refits give to samples.
    sizes : int64 array (n,)
        How many neurons each refit has.
    share : float
        Of the samples that each refit is fitted to.
    level : float
        Of the intervals.
    """

    links: NDArray[np.int64]
    link_shares: NDArray[np.float64]
    chance: float
    agreements: NDArray[np.float64] | None
    measures: Mapping[str, Interval]
    repeatability: Interval
    sizes: NDArray[np.int64]
    share: float = 0.5
    level: float = 0.95
    weights: NDArray[np.float64] = field(repr=False, kw_only=True)
    hits: NDArray[np.int64] = field(repr=False, kw_only=True)

    @property
    def link_share(self) -> float:
        """The mean of ``link_shares`` over pairs of samples."""
        import numpy as np

        known = self.weights > 0
        return float(np.average(self.link_shares[known], weights=self.weights[known]))

    @property
    def agreement(self) -> float | None:
        """The mean of ``agreements`` over samples; None where answers are numbers."""
        import numpy as np

        if self.agreements is None:
            return None
        known = self.hits > 0
        return float(np.average(self.agreements[known], weights=self.hits[known]))

    def logged(self) -> dict[str, float]:
        """Return what trackers log: ``stability/NAME`` and, of measures, the interval's ends as
        ``stability_low/NAME`` and ``stability_high/NAME``.
        """
        found = {"stability/links": self.link_share, "stability/links_by_chance": self.chance}
        if self.agreement is not None:
            found["stability/agreement"] = self.agreement
        for name, one in {"repeatability": self.repeatability, **self.measures}.items():
            found |= {
                f"stability/{name}": one.mean,
                f"stability_low/{name}": one.low,
                f"stability_high/{name}": one.high,
            }
        return {name: value for name, value in found.items() if value == value}

    def __str__(self) -> str:
        agreement = (
            "" if self.agreement is None else f"labels: {self.agreement:.3f} of answers agree\n"
        )
        measures = {"repeatability": self.repeatability, **self.measures}
        return (
            f"{len(self.sizes)} refits to {self.share:.0%} of the samples, {self.sizes.min()} to "
            f"{self.sizes.max()} neurons\n"
            f"links: {self.link_share:.3f} of pairs stay neighbours, by chance {self.chance:.3f}\n"
            + agreement
            + "\n".join(f"{name}: {one}" for name, one in measures.items())
        )
