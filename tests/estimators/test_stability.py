"""Error bars of maps, against plain loops over pairs of samples."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import make_blobs

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.stability import interval, match_clusters, subsamples
from dbgsom_core.interfaces.measures import Stability

SMALL = {"epochs": 10, "max_neurons": 9}


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(60, 3, centers=3, cluster_std=2.0, random_state=0)


def refits(estimator, X, y, n, strata):
    """The estimators that `stability` must have made."""
    for rows in subsamples(strata, n, 0.5, 0):
        yield rows, clone(estimator).fit(X[rows], None if y is None else y[rows])


@pytest.mark.parametrize("made", [SomVQ, SomClassifier])
def test_links_and_answers_are_those_of_plain_loops(blobs, made):
    X, y = blobs
    target = y if made is SomClassifier else None
    estimator = made(**SMALL).fit(X, target)
    found = estimator.stability(X, target, n=4)
    strata = y if made is SomClassifier else np.zeros(60, dtype=int)
    near, agreeing, apart = {}, {}, []
    units, answers = estimator.bmu(X), estimator.predict(X)
    for _, other in refits(estimator, X, target, 4, strata):
        theirs, hops = other.bmu(X), other.som_map_.hops
        told = other.predict(X)
        if made is SomVQ:  # the numbers of clusters, by trying which ones agree most
            pairs = np.array([[np.sum((answers == a) & (told == b)) for b in np.unique(told)]
                              for a in np.unique(answers)])  # fmt: skip
            partner = match_clusters(pairs)
            told = np.array([partner[a] == b for a, b in zip(answers, told, strict=True)])
        else:
            told = told == answers
        for a, b in found.links.tolist():
            ends = [(i, j) for i in np.flatnonzero(units == a) for j in np.flatnonzero(units == b)]
            if ends:
                share = np.mean([hops[theirs[i], theirs[j]] <= 1 for i, j in ends])
                near.setdefault((a, b), []).append(share)
        for neuron in np.unique(units):
            agreeing.setdefault(neuron, []).append(np.mean(told[units == neuron]))
        apart += [hops[theirs[i], theirs[j]] <= 1 for i in range(60) for j in range(i)]
    for link, share in zip(found.links.tolist(), found.link_shares, strict=True):
        expected = np.mean(near[tuple(link)]) if tuple(link) in near else math.nan
        np.testing.assert_allclose(share, expected)
    for neuron, share in enumerate(found.agreements):
        np.testing.assert_allclose(share, np.mean(agreeing.get(neuron, [math.nan])))
    assert found.chance == pytest.approx(np.mean(apart))


def test_measures_are_of_the_samples_left_out(blobs):
    X, y = blobs
    estimator = SomClassifier(**SMALL).fit(X, y)
    found = estimator.stability(X, y, n=4, level=0.9)
    errors, accuracies, alike = [], [], []
    kept = []
    for rows, other in refits(estimator, X, y, 4, y):
        left = np.setdiff1d(np.arange(60), rows)
        errors.append(other.calculate_quantization_error(X[left]))
        accuracies.append(other.score(X[left], y[left]))
        kept.append(other)
    for values, name in ((errors, "quantization_error"), (accuracies, "accuracy")):
        one = found.measures[name]
        reach = stats.t.ppf(0.95, 3) * np.std(values, ddof=1)
        expected = (np.mean(values), np.mean(values) - reach, np.mean(values) + reach)
        assert one == pytest.approx(expected)
    upper = np.triu_indices(60, 1)
    for one, other in ((kept[0], kept[1]), (kept[2], kept[3])):
        steps = [m.som_map_.hops[np.ix_(m.bmu(X), m.bmu(X))][upper] for m in (one, other)]
        alike.append(stats.spearmanr(*steps).statistic)
    assert found.repeatability.mean == pytest.approx(np.mean(alike))
    assert found.sizes.tolist() == [len(one.weights_) for one in kept]


def test_the_interval_is_that_of_the_delete_d_jackknife():
    """For a mean the standard error is known: the deviation of the samples over √n."""
    random = np.random.default_rng(0)
    X = random.normal(size=400)
    for share in (0.3, 0.5, 0.8):
        means = [X[rows].mean() for rows in subsamples(np.zeros(400, dtype=int), 2000, share, 0)]
        one = interval(means, share, 0.95)
        assert (one.high - one.low) / 2 == pytest.approx(1.96 * X.std() / 20, rel=0.06)
    assert all(map(math.isnan, interval([3.0], 0.5, 0.95)[1:]))


def test_intervals_end_where_a_measure_ends(blobs):
    X, y = blobs
    measures = {"dead_neurons": (0, math.inf), "accuracy": (0, 1), "topographic_error": (0, 1)}
    estimator = SomClassifier(**SMALL).fit(X, y)
    found = estimator.stability(X, y, n=4, measures=[*measures], level=0.999)
    for name, (least, largest) in measures.items():
        one = found.measures[name]
        assert least <= one.low <= one.mean <= one.high <= largest
    assert found.measures["dead_neurons"].low == 0  # by Student's t it is negative
    assert -1 <= found.repeatability.low <= found.repeatability.high <= 1


def test_the_seed_decides_and_the_threads_do_not(blobs):
    X, _ = blobs
    vq = SomVQ(**SMALL).fit(X)
    one, again, other = (
        vq.stability(X, n=3, n_jobs=jobs, random_state=seed)
        for jobs, seed in ((None, 0), (2, 0), (1, 1))
    )
    np.testing.assert_array_equal(one.link_shares, again.link_shares)
    assert one.logged() == again.logged()
    assert one.logged() != other.logged()
    assert isinstance(one, Stability)
    assert "3 refits to 50% of the samples" in str(one)


def test_regressors_and_child_maps_have_one_too(blobs):
    X, _ = blobs
    found = SomRegressor(**SMALL).fit(X, X[:, 0]).stability(X, X[:, 0], n=2)
    assert found.agreements is None
    assert set(found.measures) == {"quantization_error", "topographic_error", "r2"}
    growth = {"name": "hierarchical", "min_samples": 10, "tau_2": 0.01}
    deep = SomVQ(growth=growth, epochs=10, max_neurons=4).fit(X)
    assert deep.som_map_.children
    assert np.isfinite(deep.stability(X, n=2, n_jobs=2).agreements).any()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n": 0}, "'n' parameter of stability must be an int in the range"),
        ({"share": 1.0}, "'share' parameter of stability must be a float in the range"),
        ({"level": 0}, "'level' parameter of stability must be a float in the range"),
        ({"measures": ["acuracy"]}, "did you mean 'accuracy'"),
    ],
)
def test_what_cannot_be_asked_is_told(blobs, bad, said):
    vq = SomVQ(**SMALL).fit(blobs[0])
    with pytest.raises(Exception, match=said):
        vq.stability(blobs[0], **{"n": 2, **bad})
