"""Statistical tests of variants on the same folds, seeds or data sets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

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
    error = deviation.where(deviation > rounding) * (1 / pairs + ratio) ** 0.5
    reach = stdtrit(pairs - 1.0, 1 - LEVEL / 2) * error
    p = 2 * stdtr(pairs - 1.0, -(mean / error).abs())
    return pd.DataFrame(
        {"pairs": pairs, "difference": mean, "low": mean - reach, "high": mean + reach, "p": p}
    )


def without_rounding(deviation: Any, size: Any) -> Any:
    """Return deviations with 0 in place of those that are rounding of values of this size."""
    return deviation.mask(deviation <= _ROUNDING * abs(size), 0.0)


def holm(p: pd.Series) -> pd.Series:
    """Return p values corrected for their number (Holm 1979); NaN are no tests and left out."""
    tests = p.dropna().sort_values(kind="stable")
    steps = tests * [*range(len(tests), 0, -1)]
    return steps.cummax().clip(upper=1.0)


def rank_test(values: NDArray[Any]) -> tuple[str, float] | None:
    """Test whether k variants (columns) differ over N data sets (rows).

    Return the name of the test and p; None where there are too few data sets.
    """
    from scipy.stats import f as f_distribution
    from scipy.stats import friedmanchisquare, wilcoxon

    n, k = values.shape
    if k == 2:
        differences = values[:, 0] - values[:, 1]
        if n < 6 or not differences.any():
            return None
        return "Wilcoxon's signed-rank test", float(wilcoxon(differences).pvalue)
    if k < 2 or n < 3 or (values == values[:, :1]).all():
        return None
    chi2 = float(friedmanchisquare(*values.T).statistic)
    rest = n * (k - 1) - chi2
    statistic = math.inf  # where all data sets have the same order
    if rest > 1e-9:
        statistic = (n - 1) * chi2 / rest
    p = float(f_distribution.sf(statistic, k - 1, (k - 1) * (n - 1)))
    return "Friedman's test (Iman & Davenport 1980)", p
