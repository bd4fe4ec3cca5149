"""Statistical tests of variants on the same folds, seeds or data sets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

LEVEL = 0.05
_ROUNDING = 1e-12  # share of the values below which a difference is rounding


def paired_t(differences: pd.DataFrame, ratio: float = 0.0, largest: float = 0.0) -> pd.DataFrame:
    """Test whether the mean of each row of differences is 0, by Student's t.

    The variance of the mean of J differences is taken as (1/J + ratio) times their variance:
    Nadeau & Bengio (2003) for resampled data, Bouckaert & Frank (2004) for repeated
    cross-validation. A ratio of 0 is the paired t-test.

    Parameters
    ----------
    differences : data frame (m, J)
        Of m pairs of variants, NaN where one of them has no value.
    ratio : float
        Samples to test on over samples to train on, where training sets overlap.
    largest : float
        The largest of the compared values: differences of 1e-12 of it are rounding.

    Returns
    -------
    data frame (m, 5)
        ``pairs``, ``difference``, ends of its 95 % interval ``low`` and ``high``, and ``p``; NaN
        with fewer than two differences or without spread.
    """
    import pandas as pd
    from scipy.special import stdtr, stdtrit

    pairs, mean = differences.count(axis=1), differences.mean(axis=1)
    rounding = _ROUNDING * largest
    mean = mean.mask(mean.abs() <= rounding, 0.0)
    deviation = differences.std(axis=1)
    error = deviation.where(deviation > rounding) * np.sqrt(1 / pairs + ratio)
    reach = stdtrit(pairs - 1.0, 1 - LEVEL / 2) * error
    p = 2 * stdtr(pairs - 1.0, -(mean / error).abs())
    return pd.DataFrame(
        {"pairs": pairs, "difference": mean, "low": mean - reach, "high": mean + reach, "p": p}
    )


def deviations(values: pd.DataFrame) -> Any:
    """Return the standard deviation of each row; NaN for fewer than two values."""
    return without_rounding(values.std(axis=1), values.abs().max(axis=1))


def without_rounding(deviation: Any, size: Any) -> Any:
    """Return deviations with 0 in place of those that are rounding of values of this size."""
    return deviation.mask(deviation <= _ROUNDING * abs(size), 0.0)


def holm(p: ArrayLike) -> Floats:
    """Return p values (m,) corrected for their number; NaN are no tests."""
    values = np.asarray(p, dtype=np.float64)
    corrected = np.full(len(values), np.nan)
    tests = np.flatnonzero(np.isfinite(values))
    order = tests[np.argsort(values[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return corrected


def adjusted_means(values: ArrayLike) -> Floats:
    """Return the least-squares means of variants (rows) of an additive two-way model.

    Each column (a seed, a fold) has an effect on all variants, so that a variant without the
    difficult seeds has no advantage (Searle, Speed & Milliken 1980). With complete values these
    are the means. Variants in disconnected blocks keep their means. ``values`` (m, k) are NaN where
    a variant has none; a variant without values has a mean of NaN.
    """
    table = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(table)
    counts = present.sum(axis=1)
    sums = np.where(present, table, 0.0).sum(axis=1)
    means: Floats = sums / np.where(counts, counts, np.nan)
    some = counts > 0
    if present[some].all() or np.isinf(table[some]).any():
        return means
    shares = present / np.maximum(counts, 1)[:, np.newaxis]
    left = np.where(present, table - means[:, np.newaxis], 0.0).sum(axis=0)
    normal = np.diag(present.sum(axis=0)) - present.T @ shares
    columns = np.linalg.lstsq(normal, left, rcond=1e-10)[0]  # the least of all that fit
    adjusted: Floats = means - shares @ columns + columns.mean()
    return adjusted


class RankTest(NamedTuple):
    """A test of whether variants differ over data sets."""

    name: str
    p: float
    critical: float | None = None


def rank_test(values: NDArray[Any]) -> RankTest | None:
    """Test whether k variants (columns) differ over N data sets (rows); None: there are too few."""
    from scipy.stats import f as f_distribution
    from scipy.stats import friedmanchisquare, studentized_range, wilcoxon

    n, k = values.shape
    if k == 2:
        differences = values[:, 0] - values[:, 1]
        if n < 6 or not differences.any():
            return None
        return RankTest("Wilcoxon's signed-rank test", float(wilcoxon(differences).pvalue))
    if k < 2 or n < 3 or (values == values[:, :1]).all():
        return None
    chi2 = float(friedmanchisquare(*values.T).statistic)
    rest = n * (k - 1) - chi2
    statistic = math.inf if rest <= 1e-9 else (n - 1) * chi2 / rest
    p = float(f_distribution.sf(statistic, k - 1, (k - 1) * (n - 1)))
    quantile = float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
    return RankTest(
        "Friedman's test (Iman & Davenport 1980)", p, quantile * math.sqrt(k * (k + 1) / (6 * n))
    )
