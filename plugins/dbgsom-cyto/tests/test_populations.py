"""Populations that the neurons of a map are joined to."""

import numpy as np
import pytest
from simulated import simulate
from sklearn.metrics import adjusted_rand_score

from dbgsom_core import SomVQ
from dbgsom_core.testing import parametrize_with_checks
from dbgsom_cyto.populations import Populations

MAP = {
    "growth": {"name": "directed", "spreading_factor": 0.9, "max_neurons": 60},
    "kernel": {"name": "gaussian", "end": 0.3},
}


@pytest.fixture
def groups():
    """Three groups, of 2000, 1000 and 60 cells, and ten that lie apart; their numbers."""
    rng, truth = np.random.default_rng(3), np.repeat([0, 1, 2, 3], [2000, 1000, 60, 10])
    centres = np.array([[0, 0, 0, 0], [6, 0, 0, 0], [0, 6, 6, 0], [0, 0, 0, 0]])
    X = centres[truth] + rng.normal(0, 0.4, (len(truth), 4))
    X[truth == 3] = rng.uniform(-8, 14, (10, 4))
    return X.astype(np.float32), truth


@parametrize_with_checks([Populations(), Populations(n_clusters=3, least=0.01)])
def test_keeps_the_promises_of_labellers(component, check):
    check(component)


@pytest.mark.parametrize("k", [3, "auto"])
def test_rare_group_stays_apart_and_strays_do_not_count(groups, k):
    X, truth = groups
    labels = SomVQ(**MAP, labeller=Populations(n_clusters=k, least=0.01)).fit(X).labels_
    assert adjusted_rand_score(truth[truth < 3], labels[truth < 3]) == 1
    assert labels.max() == 2


def test_every_population_has_its_share_of_cells(groups):
    X, _ = groups
    labels = SomVQ(**MAP, labeller=Populations(n_clusters=12, least=0.03)).fit(X).labels_
    assert np.bincount(labels).min() >= 0.03 * len(X)
    assert labels.max() == 11


def test_asks_for_larger_maps(groups):
    few = SomVQ(max_neurons=6, labeller=Populations(n_clusters=40, diffuse=None))
    with pytest.warns(UserWarning, match="clusters, not 40"):
        few.fit(groups[0])


def test_a_rare_group_that_shares_its_neuron_with_doublets_is_told_and_can_be_kept(groups):
    X, truth = groups
    rng = np.random.default_rng(4)
    near = X[truth == 2].mean(axis=0) + rng.normal(0, 1.0, (20, 4))
    X = np.vstack([X[truth < 3], near]).astype(np.float32)
    fixed = MAP | {"growth": {"name": "fixed", "rows": 2, "columns": 2}}
    with pytest.warns(UserWarning, match=r"2\.6 % of the cells, in 1 of 4 .* diffuse: null"):
        labels = SomVQ(**fixed, labeller=Populations()).fit(X).labels_
    assert adjusted_rand_score(truth[truth < 3], labels[:3060]) < 1
    labels = SomVQ(**fixed, labeller=Populations(diffuse=None)).fit(X).labels_
    assert adjusted_rand_score(truth[truth < 3], labels[:3060]) == 1


def test_simulated_blood_is_found():
    data = simulate(cells=5_000, files=2, seed=7)
    X = np.arcsinh(data.intensities / 150)
    known = data.population >= 0
    with pytest.warns(UserWarning, match="of the cells, in"):
        labels = SomVQ(**MAP, labeller=Populations()).fit(X).labels_
    assert adjusted_rand_score(data.population[known], labels[known]) > 0.9
    assert (data.intensities < 0).mean() > 0.1
    assert data.rare.sum() == 3


def test_a_given_number_counts_no_doublets():
    data = simulate(cells=8_000, seed=50)
    known = data.population >= 0
    large = MAP | {"growth": MAP["growth"] | {"max_neurons": 225}}
    vq = SomVQ(**large, labeller=Populations(n_clusters=21))
    with pytest.warns(UserWarning, match="of the cells, in"):
        labels = vq.fit_predict(np.arcsinh(data.intensities / 150))
    assert labels.max() + 1 == 21
    assert adjusted_rand_score(data.population[known], labels[known]) > 0.99


def test_simulation_follows_its_seed_and_its_spillover():
    one, same, mixed = simulate(500), simulate(500), simulate(500, spillover=True)
    np.testing.assert_array_equal(one.intensities, same.intensities)
    drawn = simulate(500, markers=12, populations=9, files=3, batch_shift=0.0)
    assert drawn.intensities.shape == (1500, 12)
    assert np.bincount(drawn.file).tolist() == [500] * 3
    assert len(drawn.names) == 9
    assert (np.diag(mixed.spillover) == 1).all()
    assert mixed.spillover.max() == 1
