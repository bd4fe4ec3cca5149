"""Neurons grouped into clusters."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import cdist
from sklearn.datasets import make_circles, make_moons
from sklearn.metrics import adjusted_rand_score

from dbgsom_core import SomVQ, presets
from dbgsom_core.api import LabelEvidence
from dbgsom_core.errors import ParameterError
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.labellers._modes import Rows, _density_along
from dbgsom_plugins.labellers._trees import average_tree, cut, tree_of_groups, ward_tree
from dbgsom_plugins.labellers.clusters import Clusters

METHODS = ["auto", "modes", "average", "ward", "k_means"]


def evidence(som_map, hits):
    hits = np.asarray(hits)
    return LabelEvidence(som_map, np.repeat(np.arange(len(hits)), hits), hits)


@pytest.mark.parametrize("n_clusters", [10, (10, 10)])
@pytest.mark.parametrize("method", METHODS)
def test_ten_clusters_of_digits_are_nearly_the_digits(method, n_clusters, digits):
    X, y = digits
    vq = SomVQ(labeller={"name": "clusters", "n_clusters": n_clusters, "method": method})
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
        counts.append(Clusters(method="ward").label(seen).max() + 1)
    assert counts == [3, 2]


def structureless(kind, rng):
    if kind == "uniform":
        return rng.random((1500, 2))
    if kind == "stretched":
        return rng.normal(size=(1500, 6)) * [5, 2, 1, 1, 0.5, 0.5]
    if kind == "counts":
        return rng.poisson(2.0, size=(1500, 5)).astype(float)
    return rng.normal(size=(1500, 10))


@pytest.mark.parametrize("kind", ["uniform", "normal", "stretched", "counts"])
@pytest.mark.parametrize("method", ["auto", "modes"])
def test_samples_without_structure_are_one_cluster(method, kind, rng):
    labels = SomVQ(labeller={"name": "clusters", "method": method}).fit_predict(
        structureless(kind, rng)
    )
    assert labels.max() == 0


def test_clusters_may_have_any_shape():
    for X, y in (make_moons(1000, noise=0.06), make_circles(1000, noise=0.05, factor=0.5)):
        assert adjusted_rand_score(y, SomVQ(labeller="clusters").fit_predict(X)) > 0.98


def test_a_rare_group_stays_apart_in_many_columns(rng):
    y = rng.choice(4, 4000, p=[0.6, 0.3, 0.09, 0.01])
    X = 7 * np.eye(8)[y] + rng.normal(size=(4000, 8))
    labels = SomVQ(labeller="clusters", max_neurons=100).fit_predict(X)
    assert adjusted_rand_score(y, labels) > 0.98
    assert adjusted_rand_score(y == 3, labels == labels[y == 3][0]) > 0.9


def test_a_number_or_a_range_divides_what_was_found_further(rng):
    y = np.repeat([0, 1, 2], 300)
    X = 9 * np.eye(3)[y] + rng.normal(size=(900, 3))
    found = {}
    for n_clusters in ("auto", (1, 2), (2, 8), 5, (6, 9)):
        labeller = {"name": "clusters", "n_clusters": n_clusters}
        found[n_clusters] = SomVQ(labeller=labeller).fit_predict(X)
    counts = {n_clusters: len(np.unique(labels)) for n_clusters, labels in found.items()}
    assert counts == {"auto": 3, (1, 2): 2, (2, 8): 3, 5: 5, (6, 9): 6}
    for labels in (found[5], found[(6, 9)]):
        for group in np.unique(labels):
            assert len(np.unique(found["auto"][labels == group])) == 1


def test_a_range_ascends():
    with pytest.raises(ParameterError, match=r"must be a range that ascends, not \[9, 2\]"):
        SomVQ(labeller={"name": "clusters", "n_clusters": (9, 2)}).fit(np.eye(4))


@pytest.mark.parametrize("method", ["auto", "k_means"])
def test_gaps_and_sparse_samples_are_grouped_as_others(method, rng):
    from scipy.sparse import csr_array

    y = np.repeat([0, 1], 200)
    X = 8.0 * y[:, None] * [1, 1, 0, 0] + rng.normal(size=(400, 4))
    gaps = np.where(rng.random(X.shape) < 0.1, np.nan, X)
    labeller = {"name": "clusters", "method": method, "n_clusters": (1, 4)}
    for samples in (gaps, csr_array(X), csr_array(X.astype(np.float32))):
        labels = SomVQ(labeller=labeller, random_state=0).fit_predict(samples)
        assert adjusted_rand_score(y, labels) > 0.97


def test_samples_of_k_means_belong_to_the_nearest_centre(rng, tmp_path):
    X = rng.normal(size=(600, 3))
    vq = SomVQ(labeller={"name": "clusters", "method": "k_means", "n_clusters": 4}).fit(X)
    unseen = rng.normal(size=(100, 3))
    centres = vq.cluster_centers_
    np.testing.assert_array_equal(vq.predict(unseen), cdist(unseen, centres).argmin(axis=1))
    np.testing.assert_array_equal(vq.labels_, vq.predict(X))
    np.testing.assert_array_equal(vq.neuron_labels_, cdist(vq.weights_, centres).argmin(axis=1))
    np.testing.assert_array_equal(vq.answers(unseen).label, vq.predict(unseen))
    for k in range(4):  # a fixed point of Lloyd's algorithm
        np.testing.assert_allclose(centres[k], X[vq.labels_ == k].mean(axis=0), atol=0.02)
    assert (np.diff(np.unique(vq.neuron_labels_, return_index=True)[1]) > 0).all()
    vq.save(tmp_path / "map.npz")
    again = SomVQ.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(again.predict(unseen), vq.predict(unseen))


# ------------------------------------------------------------------------------ of what it is made


@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_a_tree_by_weight_is_that_of_repeated_points(n, rng):
    """Whose lowest joins, of equal points, have a height of 0."""
    points, weights = rng.normal(size=(n, 3)), rng.integers(1, 5, n)
    joins, heights = ward_tree(points, weights)
    repeated = np.repeat(points, weights, axis=0)
    if len(repeated) > 1:
        expected = linkage(repeated, "ward")
        np.testing.assert_allclose(heights, expected[len(expected) - n + 1 :, 2])
    for k in range(1, n + 1):
        assert len(np.unique(cut(joins, n, k))) == k


def test_equal_weights_give_the_usual_trees(rng):
    points = rng.normal(size=(60, 4))
    joins, heights = ward_tree(points, np.ones(60))
    expected = linkage(points, "ward")
    np.testing.assert_array_equal(np.sort(joins, axis=1), np.sort(expected[:, :2], axis=1))
    np.testing.assert_allclose(heights, expected[:, 2])
    assert average_tree(points).tolist() == linkage(points, "average")[:, :2].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_a_cut_of_their_tree(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    points, weights, groups = rng.normal(size=(n, 2)), rng.random(n) + 0.1, rng.integers(0, 6, n)
    joins, heights = tree_of_groups(points, weights, groups)
    n_groups = len(np.unique(groups))
    assert adjusted_rand_score(groups, cut(joins, n, n_groups)) == 1
    assert (np.diff(heights[: n - n_groups]) >= 0).all()
    assert sorted(joins.ravel().tolist()) == list(range(2 * n - 2))


def test_the_density_along_links_is_that_of_points_on_them(rng):
    X, prototypes = rng.normal(size=(50, 3)), rng.normal(size=(6, 3))
    weights = rng.random(50)
    rows = Rows(
        prototypes, np.ones(6), X, weights, X @ prototypes.T, cdist(X, prototypes, "sqeuclidean")
    )
    links = np.array([[0, 1], [2, 5], [3, 4]])
    expected = []
    for first, second in prototypes[links]:
        points = [first + share * (second - first) for share in (0.2, 0.4, 0.6, 0.8)]
        kernel = np.exp(cdist(points, X, "sqeuclidean") / (-2 * 0.7))
        expected.append((kernel @ weights).min())
    np.testing.assert_allclose(_density_along(rows, links, 0.7), expected)


def test_hits_count_for_k_means():
    som_map = SomMap.rectangle(1, 3, [[0.0], [1.0], [2.1]])
    seen = evidence(som_map, [50, 50, 1])
    assert Clusters(n_clusters=2, method="k_means").label(seen).tolist() == [0, 1, 1]
    assert Clusters(n_clusters=2, method="average").label(seen).tolist() == [0, 0, 1]


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
