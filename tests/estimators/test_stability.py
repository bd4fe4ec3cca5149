"""Error bars of maps, against plain loops over pairs of samples."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import make_blobs

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.estimators.stability import match_clusters, subsamples

SMALL = {"epochs": 10, "max_neurons": 9}


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(60, 3, centers=3, cluster_std=2.0, random_state=0)


def refits(estimator, X, y, n, strata, share=0.5):
    """The estimators that `stability` must have made."""
    for rows in subsamples(strata, n, share, 0):
        yield rows, clone(estimator).fit(X[rows], None if y is None else y[rows])


@pytest.mark.parametrize("cls", [SomVQ, SomClassifier])
def test_links_and_answers_are_those_of_plain_loops(blobs, cls):
    X, y = blobs
    target, strata = (y, y) if cls is SomClassifier else (None, np.zeros(60, dtype=int))
    estimator = cls(**SMALL).fit(X, target)
    stability = estimator.stability(X, target, n=4)
    units, answers = estimator.bmu(X), estimator.predict(X)
    shares, agreements, chances = [], [], []
    for _, other in refits(estimator, X, target, 4, strata):
        other_answers = other.predict(X)
        if cls is SomVQ:  # the numbers of clusters, by trying which of them agree most
            pairs = np.array([[np.sum((answers == a) & (other_answers == b))
                               for b in np.unique(other_answers)]
                              for a in np.unique(answers)])  # fmt: skip
            other_answers = match_clusters(pairs)[answers] == other_answers
        else:
            other_answers = other_answers == answers
        agreements.append([other_answers[units == neuron].mean() for neuron in np.unique(units)])
        near = other.som_map_.hops[np.ix_(other.bmu(X), other.bmu(X))] <= 1
        chances.append(near[np.tril_indices(60, -1)].mean())
        shares.append(
            [
                near[np.ix_(units == a, units == b)].mean()
                if (units == a).any() and (units == b).any() else math.nan
                for a, b in stability.links.tolist()
            ]
        )  # fmt: skip
    np.testing.assert_allclose(stability.link_shares, np.mean(shares, axis=0))
    live = stability.agreements[np.unique(units)]
    np.testing.assert_allclose(live, np.mean(agreements, axis=0))
    assert stability.chance == pytest.approx(np.mean(chances))


def test_measures_are_of_the_samples_left_out(blobs):
    X, y = blobs
    estimator = SomClassifier(**SMALL).fit(X, y)
    stability = estimator.stability(X, y, n=4, share=0.8, level=0.9)
    accuracies, steps = [], []
    for rows, other in refits(estimator, X, y, 4, y, share=0.8):
        left_out = np.setdiff1d(np.arange(60), rows)
        accuracies.append(other.score(X[left_out], y[left_out]))
        units = other.bmu(X)
        steps.append(other.som_map_.hops[np.ix_(units, units)][np.triu_indices(60, 1)])
    # The delete-d jackknife's standard error; the interval ends where the measure does.
    error = np.sqrt(0.8 / 0.2) * np.std(accuracies, ddof=1)
    mean, reach = np.mean(accuracies), stats.t.ppf(0.95, 3) * error
    expected = (mean, max(mean - reach, 0.0), min(mean + reach, 1.0))
    assert stability.measures["accuracy"] == pytest.approx(expected)
    alike = [stats.spearmanr(*steps[i : i + 2]).statistic for i in (0, 2)]
    assert stability.repeatability.mean == pytest.approx(np.mean(alike))


def test_the_seed_decides_and_the_threads_do_not(blobs):
    X, _ = blobs
    vq = SomVQ(**SMALL).fit(X)
    first, again, other = (
        vq.stability(X, n=3, n_jobs=jobs, random_state=seed)
        for jobs, seed in ((None, 0), (2, 0), (1, 1))
    )
    np.testing.assert_array_equal(first.link_shares, again.link_shares)
    assert first.logged() == again.logged() != other.logged()
    assert "3 refits to 50% of the samples" in str(first)


def test_regressors_and_child_maps_have_one_too(blobs):
    X, _ = blobs
    stability = SomRegressor(**SMALL).fit(X, X[:, 0]).stability(X, X[:, 0], n=2)
    assert set(stability.measures) == {"quantization_error", "topographic_error", "r2"}
    growth = {"name": "hierarchical", "min_samples": 10, "tau_2": 0.01}
    deep = SomVQ(growth=growth, epochs=10, max_neurons=4).fit(X)
    assert np.isfinite(deep.stability(X, n=2).agreements).any()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n": 0}, "'n' parameter of stability must be an int in the range"),
        ({"measures": ["acuracy"]}, "did you mean 'accuracy'"),
    ],
)
def test_what_cannot_be_asked_is_told(blobs, bad, said):
    vq = SomVQ(**SMALL).fit(blobs[0])
    with pytest.raises(Exception, match=said):
        vq.stability(blobs[0], **{"n": 2, **bad})
