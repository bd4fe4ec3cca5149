"""The statistics of compare against definitions, published numbers and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dbgsom_core.runs.stats import (
    LEVEL,
    holm,
    paired_t,
    rank_test,
)

RNG = np.random.default_rng(7)


def t_test(differences, *more):
    return paired_t(pd.DataFrame(differences), *more)


def test_without_overlap_it_is_the_paired_t_test_of_scipy():
    one, others = RNG.normal(size=9), RNG.normal(0.3, 1, size=(4, 9))
    found = t_test(others - one)
    for row, other in zip(found.itertuples(), others, strict=True):
        twin = stats.ttest_rel(other, one)
        assert row.p == pytest.approx(twin.pvalue, rel=1e-10)
        interval = twin.confidence_interval(1 - LEVEL)
        assert (row.low, row.high) == pytest.approx(tuple(interval), rel=1e-9)


@pytest.mark.parametrize("one", [[0.0, 1e-17, 0.0], [0.1, 0.1, 0.1 + 1e-16], [0.4, np.nan, np.nan]])
def test_nothing_is_said_without_spread_or_pairs(one):
    found = t_test([one, [np.nan] * 3], 0.0, 0.5)
    assert found["p"].isna().all()
    assert found["difference"][0] == pytest.approx(np.nanmean(one), abs=1e-12)
    assert np.isnan(found["difference"][1])


def test_holm_as_published():
    # Holm (1979) by hand: 0.005·4, 0.01·3, 0.03·2 and 0.04·1, none below one before it.
    corrected = holm(pd.Series([0.01, 0.04, 0.03, 0.005, np.nan]))
    np.testing.assert_allclose(corrected.sort_index(), [0.03, 0.06, 0.06, 0.02])
    assert holm(pd.Series([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_friedman_is_scipys_in_the_form_of_iman_and_davenport():
    table = RNG.integers(0, 6, size=(12, 4)) + np.arange(4) * 1.5  # with equals
    found = rank_test(table)
    chi2 = stats.friedmanchisquare(*table.T).statistic
    f = 11 * chi2 / (12 * 3 - chi2)
    assert found[1] == pytest.approx(stats.f.sf(f, 3, 33), rel=1e-9)


def test_two_variants_are_tested_by_wilcoxon_from_six_data_sets_on():
    pair = RNG.normal(size=(9, 2))
    assert rank_test(pair)[1] == pytest.approx(stats.wilcoxon(pair[:, 0], pair[:, 1]).pvalue)
    assert rank_test(pair[:5]) is None
    assert rank_test(RNG.normal(size=(2, 4))) is None
    assert rank_test(np.ones((8, 3))) is None
    assert rank_test(np.ones((8, 2))) is None
    assert rank_test(np.tile([1.0, 2.0, 3.0], (5, 1)))[1] == 0.0
