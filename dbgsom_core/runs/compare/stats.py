"""Statistical tests of variants on the same folds, seeds or data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
POWER = 0.8
_MOST_PAIRS = 100_000
_ROUNDING = 1e-12  # share of the values below which a difference is rounding


@dataclass(frozen=True)
class Differences:
    """Paired differences of m variants from another one; NaN with too few pairs or no spread.

    ``low`` and ``high`` are the ends of the 95 % confidence interval of the mean, p is two-sided.
    """

    pairs: NDArray[np.int64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]

    @property
    def effect(self) -> NDArray[np.float64]:
        """Cohen's d_z: the mean difference over its standard deviation, (m,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.deviation > 0, self.mean / self.deviation, np.nan)


def paired_t(
    first: ArrayLike, others: ArrayLike, ratio: float = 0.0, divisions: ArrayLike | None = None
) -> Differences:
    """Test paired differences by Student's t, corrected for training sets that overlap.

    The variance of the mean of J differences is taken as (1/J + ratio) times their variance:
    Nadeau & Bengio (2003) for resampled data, Bouckaert & Frank (2004) for repeated
    cross-validation. A ratio of 0 is the paired t-test.

    Parameters
    ----------
    first : array (k,) or (m, k)
        Values of a variant, or of one for each of the others; NaN where it has none.
    others : array (m, k)
    ratio : float
        Samples to test on over samples to train on.
    divisions : int array (k,), optional
        Equal numbers mark values of the same division of the data, with several seeds, say: their
        differences count as their mean.
    """
    from scipy.special import stdtr, stdtrit

    base = np.asarray(first, dtype=np.float64)
    values = np.atleast_2d(np.asarray(others, dtype=np.float64))
    differences = values - base
    if divisions is not None:
        differences = _means_of_divisions(differences, np.asarray(divisions))
    present = np.isfinite(differences)
    pairs = present.sum(axis=1)
    filled = np.where(present, differences, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(pairs > 0, filled.sum(axis=1) / pairs, np.nan)
        squares = np.where(present, (differences - mean[:, np.newaxis]) ** 2, 0.0).sum(axis=1)
        deviation = np.where(pairs > 1, np.sqrt(squares / (pairs - 1)), np.nan)
        largest = np.nanmax(np.abs(np.vstack([base, values])), initial=0.0)
        mean = np.where(np.abs(mean) <= _ROUNDING * largest, 0.0, mean)
        deviation = np.where(deviation <= _ROUNDING * largest, 0.0, deviation)
        error = deviation * np.sqrt(1 / pairs + ratio)
        degrees = pairs - 1.0
        tested = (pairs > 1) & (deviation > 0)
        p = np.where(tested, 2 * stdtr(degrees, -np.abs(mean / error)), np.nan)
        reach = np.where(tested, stdtrit(degrees, 1 - LEVEL / 2) * error, np.nan)
    return Differences(pairs, mean, deviation, mean - reach, mean + reach, p)


def _means_of_divisions(
    differences: NDArray[np.float64], divisions: NDArray[Any]
) -> NDArray[np.float64]:
    found, position = np.unique(divisions, return_inverse=True)
    belongs = np.zeros((len(position), len(found)))
    belongs[np.arange(len(position)), position] = 1.0
    present = np.isfinite(differences)
    counts = present @ belongs
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = np.where(present, differences, 0.0) @ belongs
        return np.where(counts > 0, sums / counts, np.nan)


def holm(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return p values (m,) corrected for their number, and what each was multiplied with.

    Holm (1979): the least of m is multiplied with m, the next with m − 1, and so on, none coming
    out below one before it. NaN are no tests.
    """
    values = np.asarray(p, dtype=np.float64)
    corrected, factors = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int64)
    tests = np.flatnonzero(np.isfinite(values))
    order = tests[np.argsort(values[tests], kind="stable")]
    factors[order] = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors[order]))
    return corrected, factors


def pairs_needed(
    difference: float, deviation: float, ratio: float, level: float = LEVEL
) -> int | None:
    """Return how many pairs would show such a difference with a power of 80 %; None: no number.

    With overlapping training sets the variance does not vanish with more pairs.
    """
    from scipy.special import stdtrit

    if not (difference and deviation > 0):
        return None
    effect = (abs(difference) / deviation) ** 2
    low, high = 2, _MOST_PAIRS

    def enough(pairs: int) -> bool:
        degrees = pairs - 1.0
        wanted = float(stdtrit(degrees, 1 - level / 2) + stdtrit(degrees, POWER))
        return effect >= wanted**2 * (1 / pairs + ratio)

    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def adjusted_means(values: ArrayLike) -> NDArray[np.float64]:
    """Return what the mean of each variant (row) would be with the values of all columns.

    Where all have the same columns these are their means. Else each column (a seed, a fold) is
    taken to move all variants alike, by least squares: a variant that lacks the hard seeds is not
    the better for it. These are the least-squares means of the additive two-way model (Searle,
    Speed & Milliken 1980). Variants that share no column, not even through others, keep their own.

    Parameters
    ----------
    values : array (m, k)
        NaN where a variant has none.

    Returns
    -------
    float64 array (m,)
        NaN where a variant has no value at all.
    """
    table = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(table)
    counts = present.sum(axis=1)
    sums = np.where(present, table, 0.0).sum(axis=1)
    means: NDArray[np.float64] = sums / np.where(counts, counts, np.nan)
    some = table[counts > 0]
    if present[counts > 0].all() or np.isinf(some).any():
        return means
    shares = present / np.maximum(counts, 1)[:, np.newaxis]
    left = np.where(present, table - means[:, np.newaxis], 0.0).sum(axis=0)
    normal = np.diag(present.sum(axis=0)) - present.T @ shares
    columns = np.linalg.lstsq(normal, left, rcond=1e-10)[0]  # the least of all that fit
    adjusted: NDArray[np.float64] = means - shares @ columns + columns.mean()
    return adjusted


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation of values; None for the deviation of fewer than two."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return math.nan, None
    mean = float(array.mean())
    if len(array) < 2 or not np.isfinite(array).all():
        return mean, None
    deviation = float(array.std(ddof=1))
    return mean, 0.0 if deviation <= _ROUNDING * float(np.abs(array).max()) else deviation


# ----------------------------------------------------------------------------- over data sets


@dataclass(frozen=True)
class RankTest:
    """A test of whether variants differ over data sets.

    ``critical`` is the least difference of two mean ranks that counts (Nemenyi 1963), None where
    the test knows none.
    """

    name: str
    p: float
    critical: float | None = None


def ranks(values: ArrayLike, greater_is_better: bool) -> NDArray[np.float64]:
    """Return the rank of each value within its row, 1 for the best; equals share their mean."""
    from scipy.stats import rankdata

    signed = np.atleast_2d(np.asarray(values, dtype=np.float64)) * (-1 if greater_is_better else 1)
    found: NDArray[np.float64] = rankdata(signed, axis=1)
    return found


def rank_test(values: ArrayLike) -> RankTest | None:
    """Test whether k variants (columns) differ over N data sets (rows); None: there are too few.

    Two variants by Wilcoxon's signed-rank test from six data sets on; more by Friedman's test in
    the form of Iman & Davenport (1980) from three on. See Demšar (2006).
    """
    from scipy.stats import f as f_distribution
    from scipy.stats import friedmanchisquare, studentized_range, wilcoxon

    table = np.asarray(values, dtype=np.float64)
    n, k = table.shape
    if k == 2:
        differences = table[:, 0] - table[:, 1]
        if n < 6 or not differences.any():
            return None
        return RankTest("Wilcoxon's signed-rank test", float(wilcoxon(differences).pvalue))
    if k < 2 or n < 3 or (table == table[:, :1]).all():
        return None
    chi2 = float(friedmanchisquare(*table.T).statistic)
    rest = n * (k - 1) - chi2
    statistic = math.inf if rest <= 1e-9 else (n - 1) * chi2 / rest
    p = float(f_distribution.sf(statistic, k - 1, (k - 1) * (n - 1)))
    quantile = float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
    critical = quantile * math.sqrt(k * (k + 1) / (6 * n))
    return RankTest("Friedman's test (Iman & Davenport 1980)", p, critical)
