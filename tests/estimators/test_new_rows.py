"""What new rows say that a map did not know, each number beside one found another way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats

from dbgsom_core import SomVQ
from dbgsom_core.estimators import new_rows
from dbgsom_core.estimators.new_rows import ControlLimits, PlacedRows


@pytest.fixture(scope="module")
def som_map():
    X = np.random.default_rng(0).normal(size=(400, 2))
    return SomVQ(growth={"name": "fixed", "rows": 4, "columns": 5}, epochs=5).fit(X).som_map_


def placed(rng, n, neurons=20, strange=(), where=0):
    """Return n rows as any others, and some that are stranger than all, in one neuron."""
    scores = np.concatenate([-rng.gamma(4.0, size=n), np.full(len(strange), -99.0)])
    places = np.concatenate([rng.integers(0, neurons, n), np.full(len(strange), where)])
    return PlacedRows(np.column_stack([places, (places + 1) % neurons]), scores)


# -------------------------------------------------------------------------------- new groups


def test_a_group_is_found_with_its_rows_its_chance_and_its_neighbours(som_map):
    rng = np.random.default_rng(1)
    known, new = placed(rng, 5000), placed(rng, 1000, strange=range(16), where=7)
    beside = int(som_map.links[7][som_map.links[7] >= 0][0])
    new.nearest[-6:] = beside, beside + 1
    (group,) = new_rows.find_new_groups(som_map, known, new)
    assert group.neurons.tolist() == sorted([7, beside])
    assert set(range(1000, 1016)) <= set(group.rows.tolist())
    assert group.expected < 3
    limits = np.quantile(known.scores, [0.005, 0.02])
    tests = []
    for limit in limits:
        regions = [set(map(tuple, part.nearest[part.scores <= limits[1]])) for part in (known, new)]
        pairs = set.union(*regions)
        for region in [*{pair[:1] for pair in pairs}, *pairs]:
            width = len(region)
            ours, theirs = (
                np.sum((part.scores <= limit) & (part.nearest[:, :width] == region).all(axis=1))
                for part in (new, known)
            )
            p = 1.0
            if ours + theirs:
                both = int(ours + theirs)
                p = stats.binomtest(int(ours), both, 1016 / 6016, alternative="greater").pvalue
            tests.append(p)
    assert group.pvalue == pytest.approx(stats.false_discovery_control(tests).min())


def test_rows_like_the_known_ones_are_no_group(som_map):
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        known, new = placed(rng, 3000), placed(rng, 800)
        found += bool(new_rows.find_new_groups(som_map, known, new))
    assert found <= 5  # of 40, at a rate of 0.05


def test_what_one_known_file_has_as_often_is_not_new(som_map):
    rng = np.random.default_rng(2)
    new = placed(rng, 1000, strange=range(12), where=7)
    known = placed(rng, 5000, strange=range(12), where=7)
    files = np.repeat(["a", "b"], 2506)  # b has them all
    assert not new_rows.find_new_groups(som_map, known, new, files)
    clean = placed(rng, 5000)
    assert new_rows.find_new_groups(som_map, clean, new, np.repeat(["a", "b"], 2500))


# ------------------------------------------------------------------------------------- drift


def test_shares_have_the_intervals_and_tests_of_their_definition():
    shares = new_rows.compare_shares(np.array([40, 60]), np.array([20, 10]))
    ours, theirs = 21 / 32, 41 / 102
    error = np.sqrt(ours * (1 - ours) / 32 + theirs * (1 - theirs) / 102)
    assert shares.low[0] == pytest.approx(ours - theirs - 1.959964 * error)
    assert shares.high[0] == pytest.approx(ours - theirs + 1.959964 * error)
    assert shares.known.tolist() == [0.4, 0.6]
    assert shares.pvalues[0] == pytest.approx(2 * stats.norm.sf((ours - theirs) / error))
    assert shares.moved.all()


def test_intervals_of_shares_hold_the_true_difference():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(400):
        known, new = rng.multinomial(300, [0.1, 0.9]), rng.multinomial(100, [0.25, 0.75])
        shares = new_rows.compare_shares(known, new)
        inside.append(shares.low[0] <= 0.15 <= shares.high[0])
    assert 0.92 <= np.mean(inside) <= 0.98


def test_the_stability_index_is_that_of_its_formula_and_chance_stays_below_its_limit():
    index, _ = new_rows.stability_index(np.array([49.5, 149.5]), np.array([99.5, 99.5]))
    assert index == pytest.approx(0.25 * np.log(2) - 0.25 * np.log(0.5 / 0.75))
    rng, above = np.random.default_rng(4), []
    for _ in range(400):
        known, new = rng.multinomial(4000, [0.125] * 8), rng.multinomial(1000, [0.125] * 8)
        index, limit = new_rows.stability_index(known, new)
        above.append(index > limit)
    assert 0.02 <= np.mean(above) <= 0.09


def test_means_are_compared_as_by_welch():
    rng = np.random.default_rng(5)
    known, new = rng.normal(size=(200, 3)), rng.normal([0, 1, 0], [1, 3, 1], size=(50, 3))
    known[::7, 2] = np.nan
    known = np.column_stack([known, np.ones(200)])
    new = np.column_stack([new, np.ones(50)])
    means = new_rows.compare_means(known, new)
    varied = known[:, :3], new[:, :3]
    p = stats.ttest_ind(*varied, equal_var=False, nan_policy="omit").pvalue
    expected = stats.false_discovery_control(np.append(np.asarray(p), 1.0))
    assert means.pvalues == pytest.approx(expected)
    deviations = np.nanstd(known, axis=0, ddof=1)
    effects = (new.mean(axis=0) - np.nanmean(known, axis=0))[:3] / deviations[:3]
    assert means.effects[:3] == pytest.approx(effects)
    assert means.effects[3] == 0


# ------------------------------------------------------------------------------------- charts


def charts_one_by_one(limits, pvalues):
    average = total = 0.0
    rows, alarms = [], []
    for p in pvalues:
        value = (-np.log(p) - limits.mean) / limits.deviation
        average = 0.9 * average + 0.1 * value
        total = max(0.0, total + value - 0.5)
        rows.append((average, total))
        alarms.append(average > limits.average or total > limits.total)
        if alarms[-1]:
            average = total = 0.0
    return np.array(rows), np.array(alarms)


@settings(max_examples=20, deadline=None)
@given(some.integers(0, 1000), some.sampled_from([1.0, 3.0]))
def test_charts_are_those_of_one_row_after_the_other(seed, power):
    limits = ControlLimits(1.0, 1.0, 0.7, 5.0, 370.0)
    pvalues = np.random.default_rng(seed).random(500) ** power
    charts, alarms = limits.charts(pvalues)
    rows, expected = charts_one_by_one(limits, pvalues)
    assert alarms.tolist() == expected.tolist()
    assert np.allclose(np.column_stack(charts), rows)


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_the_first_false_alarm_comes_after_the_run_length_on_average(memory):
    rng = np.random.default_rng(6)

    def series(n):
        shocks, values = rng.normal(size=n), np.zeros(n)
        for row in range(1, n):
            values[row] = memory * values[row - 1] + shocks[row]
        return values

    waited = []
    for seed in range(8):
        known = series(4000)
        limits = ControlLimits.from_known(new_rows.own_pvalues(known), 100, seed)
        for _ in range(40):
            pvalues = new_rows.conformal_pvalues(known, series(1000))
            _, alarms = limits.charts(pvalues)
            waited.append(np.flatnonzero(alarms)[0] + 1 if alarms.any() else 1000)
    assert 80 <= np.mean(waited) <= 120


def test_few_known_rows_give_no_limits():
    with pytest.raises(ValueError, match="need 100 known rows, not 99"):
        ControlLimits.from_known(np.linspace(0.01, 1, 99), 370)


# ------------------------------------------------------------------------------ wrong labels


def test_expected_and_doubtful_labels_are_those_of_confident_learning():
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 3, 600)
    given_codes = np.where(rng.random(600) < 0.1, rng.integers(0, 3, 600), truth)
    shares = 0.1 + 0.7 * np.eye(3)[truth] + rng.random((600, 3)) / 5
    shares /= shares.sum(axis=1, keepdims=True)
    given_codes[5] = -1
    rows, expected = new_rows.find_suspects(given_codes, shares)
    thresholds = [shares[given_codes == code, code].mean() for code in range(3)]
    joint = np.zeros((3, 3))
    for code, row in zip(given_codes, shares, strict=True):
        sure = [c for c in range(3) if row[c] >= thresholds[c]]
        if code >= 0 and sure:
            joint[code, max(sure, key=lambda c: row[c])] += 1
    for code in range(3):
        joint[code] *= np.sum(given_codes == code) / joint[code].sum()
    assert expected == pytest.approx(joint.sum() - np.trace(joint))
    wrong = np.flatnonzero((given_codes != truth) & (given_codes >= 0))
    assert abs(expected - len(wrong)) < 0.2 * len(wrong)
    assert np.isin(rows, wrong).mean() > 0.9
    own = shares[rows, given_codes[rows]]
    assert (np.diff(own) >= 0).all()


def test_the_share_around_counts_the_other_rows_of_the_neuron_and_beside_it(som_map):
    rng = np.random.default_rng(8)
    neurons, codes = rng.integers(0, 20, 100), rng.integers(-1, 2, 100)
    found = new_rows.share_around(som_map, neurons, codes, 2)
    for row in np.flatnonzero(codes >= 0)[:20]:
        near = {neurons[row], *som_map.links[neurons[row]].tolist()}
        others = [
            codes[other]
            for other in range(100)
            if other != row and neurons[other] in near and codes[other] >= 0
        ]
        assert found[row] == pytest.approx(np.mean(np.array(others) == codes[row]))
