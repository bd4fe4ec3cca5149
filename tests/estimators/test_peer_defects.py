"""What the best existing package gets wrong on dense data, each as a test of ours.

Numbers are those of the list of defects; 2 and 14 are also in test_growth.py, and 17 is what the
conformance of whole trainings asks.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.api import Birth, GrowthComponent, Start
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.grid import SQUARE
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.som_map.topology import topographic_function
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.growth.directed import Directed, share_errors
from dbgsom_plugins.measures.maps import TopographicError, TopographicError8
from dbgsom_plugins.metrics.norms import Euclidean
from dbgsom_plugins.training import Gaussian, Pca


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_01_integers_give_the_map_of_their_float64_copy(dtype, digits):
    X = digits[0]
    as_floats, as_integers = SomVQ(epochs=20).fit(X), SomVQ(epochs=20).fit(X.astype(dtype))
    np.testing.assert_array_equal(as_integers.weights_, as_floats.weights_)
    assert as_integers.predict(X.astype(dtype)).tolist() == as_floats.labels_.tolist()


def test_02_growth_is_not_cut_short_by_an_interior_neuron(digits):
    """After each epoch of growth every boundary neuron over the threshold is a parent."""
    spared = []

    class Checked(Directed):
        def grow(self, som_map, state):
            births = super().grow(som_map, state)
            shared = share_errors(som_map, state.errors, state.threshold)
            eligible = np.flatnonzero((som_map.degrees() < 4) & (shared >= state.threshold))
            open_ones = {n for n in eligible.tolist() if som_map.free_cells(n)}
            cells = {birth.position for birth in births}
            for neuron in open_ones - {birth.parent for birth in births}:
                spared.append(set(som_map.free_cells(neuron)) - cells)
            return births

    vq = SomVQ(growth=Checked(when="every_epoch", max_neurons=None), epochs=30).fit(digits[0])
    assert len(vq.neurons_) > 60
    assert all(not left for left in spared)


@pytest.mark.parametrize("cap", [4, 17])
def test_03_max_neurons_is_never_exceeded(cap, digits):
    for growth in (Directed(when="every_epoch"), Directed(), Directed(reference=True)):
        vq = SomVQ(growth=growth, max_neurons=cap, spreading_factor=0.9).fit(digits[0])
        assert len(vq.neurons_) == cap
        assert max(record.neurons for record in vq.history_) == cap


class Greedy(GrowthComponent):
    """Wants a neuron in every free cell at once, whatever it is told."""

    max_neurons: int | None = 9

    def grow(self, som_map, state):
        cells = {c: n for n in range(len(som_map)) for c in som_map.free_cells(n)}
        return [Birth(cell, som_map.prototypes[n], n) for cell, n in cells.items()]


def test_03_not_even_by_a_greedy_plugin(iris):
    assert len(SomVQ(growth=Greedy(), epochs=20).fit(iris[0]).neurons_) == 9


def test_04_a_full_map_is_fine_tuned_at_once(digits):
    """What growth does not need of its epochs is saved, unless tol=0 asks for all of them."""
    vq = SomVQ(max_neurons=20).fit(digits[0])
    neurons = np.array([record.neurons for record in vq.history_])
    phases = [record.phase for record in vq.history_]
    full = int(np.argmax(neurons == 20))  # or the epoch after it, when one more would be born
    assert full <= phases.index("fine") - 1 <= full + 5
    assert vq.n_iter_ < 60
    assert phases.count("fine") == 20
    whole = SomVQ(max_neurons=20, tol=0).fit(digits[0])
    assert whole.n_iter_ == 100
    assert vq.quantization_error_ < 1.02 * whole.quantization_error_


def test_07_entropy_growth_grows_with_its_default_threshold(iris):
    X, y = iris
    clf = SomClassifier(growth={"name": "directed", "threshold": "entropy"}).fit(X, y)
    assert clf.growing_threshold_ <= np.log2(3)
    assert len(clf.neurons_) > 4
    assert clf.score(X, y) > 0.93


def test_09_a_refit_forgets_the_first_fit(iris, digits):
    X, _ = iris
    vq = SomVQ().fit(digits[0]).fit(X)
    fresh = SomVQ().fit(X)
    assert set(vars(vq)) == set(vars(fresh))
    np.testing.assert_array_equal(vq.weights_, fresh.weights_)
    assert vq.growing_threshold_ == fresh.growing_threshold_
    assert vq.n_iter_ == fresh.n_iter_
    assert vq.growth_events_ == fresh.growth_events_


@pytest.mark.parametrize("epochs", [1, 10])
def test_10_n_iter_counts_the_epochs_that_ran(epochs, iris):
    vq = SomVQ(epochs=epochs, tol=0.0).fit(iris[0])
    assert vq.n_iter_ == epochs == len(vq.history_)


@pytest.mark.parametrize("scale", [lambda X: X, StandardScaler().fit_transform])
def test_12_default_settings_grow_on_small_data(scale):
    X, _ = load_wine(return_X_y=True)
    assert len(SomVQ().fit(scale(X)).neurons_) >= 8


def test_13_the_readme_reaches_the_numbers_that_it_states(digits):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith("| **dbgsom-core"))
    options = re.search(r"`SomVQ\(spreading_factor=([\d.]+), max_neurons=(\d+)\)`", row).groups()
    neurons, error, topographic, _ = (float(cell) for cell in row.split("|")[2:6])
    vq = SomVQ(spreading_factor=float(options[0]), max_neurons=int(options[1])).fit(digits[0])
    assert len(vq.neurons_) == neurons
    assert vq.quantization_error_ <= error + 0.2
    assert vq.topographic_error_ <= topographic + 0.02


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_16_the_stopping_test_does_not_depend_on_the_scale(factor, iris):
    X, _ = iris
    base, scaled = SomVQ().fit(X), SomVQ().fit(X * factor)
    assert scaled.n_iter_ == base.n_iter_
    assert scaled.neurons_ == base.neurons_
    np.testing.assert_allclose(scaled.weights_ / factor, base.weights_, rtol=1e-9)


def test_18_the_default_start_is_untwisted(rng):
    """Grid neighbours are nearer than the two diagonals: no edge crosses another."""
    X = rng.normal(size=(200, 6)) * rng.uniform(0.1, 5, size=6)
    data = Samples(X, guarded(Euclidean()))
    W = Pca().prototypes(Start(2, 2, SQUARE, data, data.moments(), None))
    along_x, along_y = W[1] - W[0], W[2] - W[0]
    np.testing.assert_allclose(W[3] - W[2], along_x, atol=1e-9)
    assert abs(along_x @ along_y) < 1e-6 * np.linalg.norm(along_x) * np.linalg.norm(along_y)
    np.testing.assert_allclose(W.mean(axis=0), X.mean(axis=0))
    _, _, axes = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    assert abs(along_x @ axes[0]) == pytest.approx(np.linalg.norm(along_x))


def test_19_dead_neurons_answer_as_their_nearest_live_one():
    """Class b sorts last, so a peer that answers with the first class would say a."""
    X = np.array([[0.0], [0.1], [10.0], [10.1], [10.2]])
    y = np.array(["a", "a", "b", "b", "b"])
    params = {
        "growth": {"name": "fixed", "rows": 1, "columns": 4},
        "kernel": Gaussian(start=0.01, end=0.01),
        "init": np.array([[0.0], [5.0], [9.0], [10.0]]),
        "epochs": 2,
    }
    clf = SomClassifier(labeller="majority", **params).fit(X, y)
    assert np.flatnonzero(clf.hit_counts_ == 0).tolist() == [1, 2]
    assert clf.neuron_labels_.tolist() == ["a", "a", "b", "b"]
    assert clf.bmu([[8.9]]).tolist() == [2]
    assert clf.predict([[8.9], [1.0]]).tolist() == ["b", "a"]
    np.testing.assert_array_equal(clf.predict_proba([[8.9]]), [[0.0, 1.0]])
    assert SomVQ(**params).fit(X).neuron_labels_.tolist() == [0, 0, 1, 1]


def test_20_each_measure_of_topology_says_which_neighbours_it_means():
    """A sample between two diagonal cells is an error with 4 neighbours and none with 8."""
    som_map = SomMap.rectangle(2, 2, [[0.0], [9.0], [8.0], [1.0]])
    evaluation = Evaluation(som_map, LocalEngine().over(np.array([[0.1]]), Euclidean()))
    assert TopographicError().compute(evaluation) == 1
    assert TopographicError8().compute(evaluation) == 0
    winners = evaluation.bmu, evaluation.second_bmu
    assert topographic_function(som_map, *winners, neighbours=8).at(1) == 0
    assert topographic_function(som_map, *winners, neighbours=4).at(1) == 2 / 4


def test_the_cap_of_its_own_accord_is_told_when_it_binds(digits):
    X = digits[0][:40]
    with pytest.warns(UserWarning, match="max_neurons='auto'"):
        vq = SomVQ(spreading_factor=0.999, epochs=200).fit(X)
    assert len(vq.neurons_) == int(np.ceil(5 * np.sqrt(40)))
