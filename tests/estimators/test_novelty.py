"""Novelty scores: the distance of a sample beside those that its neuron saw in training."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dbgsom_core import SomClassifier, SomVQ, persistence
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.training.novelty import MAP_SAMPLES, Novelty
from dbgsom_plugins.metrics.euclidean import Euclidean


def learn(bmu, distance, n_neurons=3, contamination=0.1, weights=None, prototypes=None):
    prototypes = np.arange(float(n_neurons))[:, None] if prototypes is None else prototypes
    som_map = SomMap.rectangle(1, n_neurons, prototypes)
    metric, bmu, distance = MetricAbilities.of(Euclidean()), np.asarray(bmu), np.asarray(distance)
    return Novelty.of(som_map, metric, bmu, distance, contamination, weights)


def test_a_neuron_knows_its_own_distances_and_ten_of_the_map(rng):
    bmu, distance = rng.integers(0, 2, 50), rng.gamma(2.0, size=50)
    found = learn(bmu, distance)
    mean, variance = distance.mean(), distance.var()
    for neuron in range(3):
        own = distance[bmu == neuron]
        n = len(own) + MAP_SAMPLES
        first = (own.sum() + MAP_SAMPLES * mean) / n
        second = (np.square(own).sum() + MAP_SAMPLES * (variance + mean**2)) / n
        assert found.means[neuron] == pytest.approx(first)
        assert found.deviations[neuron] == pytest.approx(np.sqrt(second - first**2))
    assert found.means[2] == pytest.approx(mean)  # nobody is there: the map speaks
    assert found.deviations[2] == pytest.approx(np.sqrt(variance))


def test_a_weight_of_two_is_the_sample_twice(rng):
    bmu, distance = rng.integers(0, 3, 40), rng.random(40)
    weights = rng.integers(0, 3, 40)
    weighted = learn(bmu, distance, weights=weights.astype(np.float64))
    repeated = learn(np.repeat(bmu, weights), np.repeat(distance, weights))
    np.testing.assert_allclose(weighted.means, repeated.means)
    np.testing.assert_allclose(weighted.deviations, repeated.deviations)
    assert weighted.offset == pytest.approx(repeated.offset)


def test_no_spread_is_replaced_by_a_length_of_the_data():
    equal = learn([0, 0, 1, 2], [2.0, 2.0, 2.0, 2.0])
    assert equal.scores(np.array([0, 1]), np.array([2.0, 4.0])).tolist()[0] == 0
    assert np.isfinite(equal.deviations).all()
    assert (equal.deviations > 0).all()
    exact = learn([0, 1, 2], [0.0, 0.0, 0.0])
    scores = exact.scores(np.array([0, 0]), np.array([0.0, 3.0]))
    assert scores[0] == 0
    assert -10 < scores[1] < -1  # the links have length 1, so 3 is three of them


@pytest.mark.parametrize("digit", [0, 3, 6])
def test_digits_that_were_never_seen_are_told_from_those_that_were(digit, digits):
    X, y = digits
    even = np.arange(len(y)) % 2 == 0
    vq = SomVQ().fit(X[even & (y != digit)])
    held_out = vq.score_samples(X[~even])
    assert roc_auc_score(y[~even] != digit, held_out) > 0.85


def test_far_away_is_lower_and_ever_lower(iris):
    vq = SomVQ().fit(iris[0])
    ray = iris[0][:1] + np.outer([5.0, 10.0, 100.0], np.ones(4))
    scores = vq.score_samples(ray)
    assert scores[0] < vq.score_samples(iris[0]).min()
    assert (np.diff(scores) < 0).all()
    assert (vq.decision_function(ray) < 0).all()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_scale_of_the_data_changes_no_score(factor, iris):
    X, _ = iris
    np.testing.assert_allclose(
        SomVQ().fit(X * factor).score_samples(X * factor),
        SomVQ().fit(X).score_samples(X),
        rtol=1e-6,
    )


def test_the_score_is_the_distance_to_the_nearest_live_neuron_in_deviations(digits):
    X = digits[0]
    vq = SomVQ(max_neurons=30).fit(X[::2])
    live = np.flatnonzero(vq.hit_counts_)
    distances = np.linalg.norm(X[:, None] - vq.weights_[live][None], axis=2)
    unit, nearest = live[distances.argmin(axis=1)], distances.min(axis=1)
    known = vq._novelty
    expected = (known.means[unit] - nearest) / known.deviations[unit]
    np.testing.assert_allclose(vq.score_samples(X), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("contamination", [0.01, 0.05, 0.25, 0.5])
def test_contamination_is_the_share_of_the_training_samples_below_the_offset(contamination, digits):
    X = digits[0]
    vq = SomVQ(contamination=contamination).fit(X)
    outliers = np.mean(vq.score_samples(X) < vq.offset_ - 1e-12)
    assert contamination - 0.01 < outliers <= contamination
    np.testing.assert_array_equal(vq.decision_function(X), vq.score_samples(X) - vq.offset_)


@pytest.mark.parametrize("wrong", [0, 0.6, -0.1, True, "auto", None, np.nan])
def test_a_contamination_that_is_no_share_is_refused(wrong, iris):
    with pytest.raises(
        ValueError, match=r"contamination must be a number above 0 and at most 0\.5"
    ):
        SomVQ(contamination=wrong).fit(iris[0])


def test_a_classifier_scores_samples_and_leaves_decision_functions_to_classes(iris):
    clf = SomClassifier().fit(*iris)
    assert np.mean(clf.score_samples(iris[0]) < clf.offset_) <= 0.05
    assert (clf.score_samples(iris[0] + 10) < clf.offset_).all()
    assert not hasattr(clf, "decision_function")


def test_the_scores_are_saved_and_an_older_file_says_that_it_has_none(iris, tmp_path):
    X, _ = iris
    vq = SomVQ().fit(X)
    vq.save(tmp_path / "new.npz")
    again = persistence.load(tmp_path / "new.npz")
    np.testing.assert_array_equal(again.decision_function(X), vq.decision_function(X))
    del vq._novelty
    vq.save(tmp_path / "old.npz")
    with pytest.raises(ValueError, match="without novelty scores; fit and save it again"):
        persistence.load(tmp_path / "old.npz").score_samples(X)
