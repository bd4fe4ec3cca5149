"""Neurons grouped into clusters."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from dbgsom_core import SomVQ, presets
from dbgsom_core.api import LabelEvidence
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.labellers.clusters import (
    Clusters,
    cut,
    live_links,
    ward_joins,
)

METHODS = ["agglomerative", "k_means"]


def evidence(som_map, hits):
    hits = np.asarray(hits)
    return LabelEvidence(som_map, np.repeat(np.arange(len(hits)), hits), hits)


@pytest.mark.parametrize("method", METHODS)
def test_ten_clusters_of_digits_are_nearly_the_digits(method, digits):
    X, y = digits
    vq = SomVQ(labeller={"name": "clusters", "n_clusters": 10, "method": method})
    labels = vq.fit_predict(X)
    assert np.unique(labels).tolist() == list(range(10))
    assert adjusted_rand_score(y, labels) > 0.6
    np.testing.assert_array_equal(vq.predict(X), labels)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [2, 5])
def test_the_number_of_well_kept_groups_is_found(method, count, rng):
    centres = 40.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 1]])[:count]
    X = np.repeat(centres, 200, axis=0) + rng.normal(size=(200 * count, 2))
    vq = SomVQ(
        growth={"name": "fixed", "rows": 6, "columns": 6},
        labeller={"name": "clusters", "method": method},
    )
    labels = vq.fit_predict(X)
    assert adjusted_rand_score(np.repeat(np.arange(count), 200), labels) == 1


def test_more_than_two_groups_are_found_where_two_parts_lie_farther_apart():
    """As cells by seven markers: the variance ratio alone finds 2 of 10."""
    rng = np.random.default_rng(0)
    positive = (rng.permutation(128)[:10, None] >> np.arange(7)) & 1
    group = np.repeat(np.arange(10), rng.integers(40, 400, 10))
    middle, spread = np.where(positive, 3.5, 0.3), np.where(positive, 1.0, 0.5)
    X = middle[group] + rng.normal(size=(len(group), 7)) * spread[group]
    labels = SomVQ(**presets.square(), labeller="clusters", max_neurons=100).fit_predict(X)
    assert 9 <= labels.max() + 1 <= 10
    assert adjusted_rand_score(group, labels) > 0.8


def test_how_far_samples_lie_from_their_prototypes_decides_the_number():
    """Two pairs of neurons: where samples scatter as far as the pairs are wide, two clusters do."""
    som_map = SomMap.rectangle(1, 6, [[0.0], [0.1], [1.0], [1.1], [9.0], [9.1]])
    hits = np.full(6, 20)
    counts = []
    for distance in (0.01, 1.0):
        seen = replace(evidence(som_map, hits), errors=distance * hits)
        counts.append(Clusters().label(seen).max() + 1)
    assert counts == [3, 2]


@pytest.mark.parametrize("seed", range(3))
def test_joins_are_those_of_the_definition_on_links(seed):
    """Beside sums over the members of clusters."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(14, 2))
    upper = np.triu(rng.random((14, 14)) < 0.3, 1)
    upper |= np.eye(14, k=1, dtype=bool)  # in one piece
    links = upper | upper.T
    clusters = [[i] for i in range(14)]
    expected = []
    while len(clusters) > 1:
        linked = [pair for pair in combinations(clusters, 2) if links[np.ix_(*pair)].any()]
        pair = min(linked, key=lambda two: far_apart(points, *two))
        clusters = [group for group in clusters if group not in pair] + [sorted(pair[0] + pair[1])]
        expected.append(sorted(clusters))
    joins, _ = ward_joins(points, csr_array(links.astype(float)))
    divisions = [cut(joins, 14, k) for k in range(13, 0, -1)]
    assert [
        sorted(np.flatnonzero(c == i).tolist() for i in np.unique(c)) for c in divisions
    ] == expected


def far_apart(points, first, second):
    def within(members):
        return np.square(points[members] - points[members].mean(axis=0)).sum()

    return within(first + second) - within(first) - within(second)


def test_parts_without_a_link_are_joined_where_they_are_nearest():
    points = np.array([[0.0], [1.0], [9.0], [1.1], [20.0]])
    links = np.zeros((5, 5))
    links[[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]] = 1
    assert ward_joins(points, csr_array(links))[0][0].tolist() == [1, 3]


def test_hits_count_for_k_means():
    som_map = SomMap.rectangle(1, 3, [[0.0], [1.0], [2.1]])
    seen = evidence(som_map, [50, 50, 1])
    assert Clusters(n_clusters=2, method="k_means").label(seen).tolist() == [0, 1, 1]
    assert Clusters(n_clusters=2).label(seen).tolist() == [0, 0, 1]


def slow_links(som_map, live):
    """Two live neurons are linked when a path joins them that visits no other live one."""
    linked = np.zeros((len(live), len(live)), dtype=bool)
    for a, start in enumerate(live):
        seen, edge = {start}, [start]
        while edge:
            for neighbour in som_map.neighbours(edge.pop()):
                if neighbour in seen:
                    continue
                seen.add(neighbour)
                if neighbour in live:
                    linked[a, list(live).index(neighbour)] = True
                else:
                    edge.append(neighbour)
    return linked


@pytest.mark.parametrize("seed", range(10))
def test_dead_neurons_pass_their_links_on(seed):
    rng = np.random.default_rng(seed)
    som_map = SomMap.rectangle(5, 6, rng.normal(size=(30, 2)))
    live = np.flatnonzero(rng.random(30) < rng.uniform(0.1, 0.9))
    live = np.array([3, 17]) if len(live) < 2 else live
    expected = slow_links(som_map, live)
    np.testing.assert_array_equal(live_links(som_map, live).toarray() > 0, expected)


@pytest.mark.parametrize("method", METHODS)
def test_numbers_are_contiguous_in_order_of_birth_over_live_neurons(method, rng):
    som_map = SomMap.rectangle(4, 5, rng.normal(size=(20, 2)))
    hits = rng.integers(0, 4, 20)
    labels = Clusters(n_clusters=4, method=method).label(evidence(som_map, hits))[hits > 0]
    _, first = np.unique(labels, return_index=True)
    assert labels.dtype == np.int64
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_map_with_one_live_neuron_is_one_cluster(method):
    alone = evidence(SomMap.rectangle(2, 2, np.zeros((4, 1))), [0, 7, 0, 0])
    assert Clusters(method=method).label(alone)[1] == 0
    with pytest.warns(UserWarning, match=r"makes 1 clusters instead of n_clusters=3"):
        assert Clusters(n_clusters=3, method=method).label(alone)[1] == 0
