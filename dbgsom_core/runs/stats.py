"""Statistical tests of variants on the same folds, seeds or data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL = 0.05
_ROUNDING = 1e-12  # share of the values below which a difference is rounding


class Differences(NamedTuple):
    """Paired differences of m variants from another one; NaN with too few pairs or no spread."""

    pairs: NDArray[np.int64]
    mean: Floats
    deviation: Floats
    low: Floats
    high: Floats
    p: Floats


def paired_t(
    first: ArrayLike, others: ArrayLike, ratio: float = 0.0, divisions: ArrayLike | None = None
) -> Differences:
    """Test paired differences by Student's t, corrected for training sets that overlap.

    The variance of the mean of J differences is taken as (1/J + ratio) times their variance:
    Nadeau & Bengio (2003) for resampled data, Bouckaert & Frank (2004) for repeated
    cross-validation. A ratio of 0 is the paired t-test.

    ``first`` (k,) are the values of a variant, NaN where it has none, ``others`` (m, k) those to
    compare, ``ratio`` samples to test on over samples to train on. Equal ``divisions`` (k,) mark
    values of the same division of the data, with several seeds, say: their differences count as
    their mean.
    """
    from scipy.special import stdtr, stdtrit

    base = np.asarray(first, dtype=np.float64)
    values = np.atleast_2d(np.asarray(others, dtype=np.float64))
    differences = values - base
    if divisions is not None:
        found, position = np.unique(np.asarray(divisions), return_inverse=True)
        belongs = (position[:, np.newaxis] == np.arange(len(found))).astype(np.float64)
        differences = _means(differences, belongs)
    present = np.isfinite(differences)
    pairs = present.sum(axis=1)
    mean = _means(differences, np.ones((differences.shape[1], 1)))[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(present, (differences - mean[:, np.newaxis]) ** 2, 0.0).sum(axis=1)
        deviation = np.where(pairs > 1, np.sqrt(squares / (pairs - 1)), np.nan)
        rounding = _ROUNDING * np.nanmax(np.abs(np.vstack([base, values])), initial=0.0)
        mean = np.where(np.abs(mean) <= rounding, 0.0, mean)
        deviation = np.where(deviation <= rounding, 0.0, deviation)
        error = deviation * np.sqrt(1 / pairs + ratio)
        degrees = pairs - 1.0
        tested = (pairs > 1) & (deviation > 0)
        p = np.where(tested, 2 * stdtr(degrees, -np.abs(mean / error)), np.nan)
        reach = np.where(tested, stdtrit(degrees, 1 - LEVEL / 2) * error, np.nan)
    return Differences(pairs, mean, deviation, mean - reach, mean + reach, p)


def _means(values: Floats, belongs: Floats) -> Floats:
    present = np.isfinite(values)
    counts = present @ belongs
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, np.where(present, values, 0.0) @ belongs / counts, np.nan)


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
