"""Neurons grouped into clusters."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import cut_tree, linkage
from sklearn.metrics import adjusted_rand_score

from dbgsom_core import SomVQ
from dbgsom_core.api import LabelEvidence
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.labellers.neurons import Clusters, live_links

METHODS = ["agglomerative", "k_means"]


def evidence(som_map, hits):
    hits = np.asarray(hits)
    return LabelEvidence(som_map, np.repeat(np.arange(len(hits)), hits), hits)


@pytest.mark.parametrize(("method", "least"), [("agglomerative", 0.6), ("k_means", 0.6)])
def test_ten_clusters_of_digits_are_nearly_the_digits(method, least, digits):
    X, y = digits
    vq = SomVQ(labeller={"name": "clusters", "n_clusters": 10, "method": method})
    labels = vq.fit_predict(X)
    assert np.unique(labels).tolist() == list(range(10))
    assert adjusted_rand_score(y, labels) > least
    np.testing.assert_array_equal(vq.predict(X), labels)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_number_of_well_kept_groups_is_found(method, count, rng):
    centres = 40.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 1]])[:count]
    X = np.repeat(centres, 200, axis=0) + rng.normal(size=(200 * count, 2))
    vq = SomVQ(
        growth={"name": "fixed", "rows": 6, "columns": 6},
        labeller={"name": "clusters", "method": method},
    )
    labels = vq.fit_predict(X)
    assert adjusted_rand_score(np.repeat(np.arange(count), 200), labels) == 1


def test_how_far_samples_lie_from_their_prototypes_decides_the_number():
    """Two pairs of neurons: where samples scatter as far as the pairs are wide, two clusters do."""
    som_map = SomMap.rectangle(1, 6, [[0.0], [0.1], [1.0], [1.1], [9.0], [9.1]])
    hits = np.full(6, 20)
    found = []
    for distance in (0.01, 1.0):
        seen = replace(evidence(som_map, hits), errors=distance * hits)
        found.append(Clusters().label(seen).max() + 1)
    assert found == [3, 2]


def test_on_a_map_where_all_are_linked_the_tree_is_scipys_ward(rng):
    som_map = SomMap.rectangle(1, 2, rng.normal(size=(2, 3)))
    assert Clusters(n_clusters=2).label(evidence(som_map, [1, 1])).tolist() == [0, 1]
    # Around a dead hub every neuron is linked to every other: the constraint binds nobody.
    cells = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    som_map = SomMap(cells, rng.normal(size=(5, 3)))
    for k in (2, 3, 4):
        labels = Clusters(n_clusters=k).label(evidence(som_map, [0, 1, 1, 1, 1]))[1:]
        expected = cut_tree(linkage(som_map.prototypes[1:], "ward"), k).ravel()
        assert adjusted_rand_score(labels, expected) == 1


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


@pytest.mark.parametrize("seed", range(20))
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
@pytest.mark.parametrize("n_clusters", ["auto", 1, 2, 3])
def test_maps_with_hardly_a_live_neuron_are_clustered(method, n_clusters):
    labeller = Clusters(n_clusters=n_clusters, method=method)
    alone = evidence(SomMap.rectangle(2, 2, np.zeros((4, 1))), [0, 7, 0, 0])
    if n_clusters in (2, 3):
        with pytest.warns(UserWarning, match=r"makes 1 clusters instead of n_clusters=\d"):
            assert labeller.label(alone)[1] == 0
    else:
        assert labeller.label(alone)[1] == 0
