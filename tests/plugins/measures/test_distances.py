"""The C measure, the Kruskal-Shepard error, variance ratio and silhouette, beside slow twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import calinski_harabasz_score, silhouette_score

from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.measures.maps import CalinskiHarabasz, CMeasure, KruskalShepard, Silhouette
from dbgsom_plugins.metrics.norms import Euclidean, Manhattan


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    d, n = draw(st.integers(1, 6)), draw(st.integers(4, 80))
    X = rng.normal(size=(n, d)).round(draw(st.sampled_from([0, 1, 8])))
    return X, SomMap.rectangle(rows, columns, rng.normal(size=(rows * columns, d)))


@settings(max_examples=40, deadline=None)
@given(case=cases(), grid_distance=st.sampled_from(["euclidean", "hops"]))
def test_measures_of_distances_equal_their_slow_twins(evaluate, case, grid_distance):
    X, som_map = case
    evaluation = evaluate(X, som_map)
    cells = som_map.positions[evaluation.bmu]
    between = ~np.eye(len(X), dtype=bool)
    d = cdist(X, X)[between]
    g = cdist(cells, cells, "cityblock" if grid_distance == "hops" else "euclidean")[between]
    shepard = np.mean((d / (d.max() or 1) - g / (g.max() or 1)) ** 2)
    scale = np.sqrt(d @ d * (g @ g))
    ratio = d @ g / scale if scale else 0.0
    c_measure = CMeasure(grid_distance=grid_distance).compute(evaluation)
    error = KruskalShepard(grid_distance=grid_distance).compute(evaluation)
    assert c_measure == pytest.approx(ratio, abs=1e-12)
    assert error == pytest.approx(shepard, abs=1e-12)


@pytest.mark.parametrize("measure", [CMeasure, KruskalShepard])
def test_pairs_of_many_samples_are_drawn_and_the_note_says_so(evaluate, measure, rng):
    evaluation = evaluate(
        rng.normal(size=(300, 2)), SomMap.rectangle(3, 3, rng.normal(size=(9, 2)))
    )
    exact, estimate = (measure(max_samples=n).compute(evaluation) for n in (300, 150))
    assert exact.note == ""
    words = "from 150 of 300 samples, drawn by the seed; standard error "
    assert estimate.note.startswith(words)
    assert estimate == pytest.approx(exact, abs=0.05)


def test_one_neuron_and_one_sample_have_defined_values(evaluate):
    neuron = evaluate(np.arange(6.0).reshape(3, 2), SomMap([(0, 0)], [[0.0, 1.0]]))
    sample = evaluate(np.zeros((1, 2)), SomMap.rectangle(1, 2, [[0.0, 1.0], [2.0, 1.0]]))
    for evaluation in (neuron, sample):
        assert CMeasure().compute(evaluation) == 0
        assert np.isfinite(KruskalShepard().compute(evaluation))
        for measure in (CalinskiHarabasz, Silhouette):
            value = measure().compute(evaluation)
            assert value == 0
            assert value.note


@settings(max_examples=40, deadline=None)
@given(case=cases(), groups=st.sampled_from(["answers", "neurons"]), manhattan=st.booleans())
def test_groups_are_measured_as_scikit_learn_does(evaluate, case, groups, manhattan):
    X, som_map = case
    predictions = np.array(["a", "b", "c"])[np.arange(len(X)) % 3]
    metric, name = (Manhattan(), "manhattan") if manhattan else (Euclidean(), "euclidean")
    evaluation = evaluate(X, som_map, metric=metric, predictions=predictions)
    labels = predictions if groups == "answers" else evaluation.bmu
    ratio = CalinskiHarabasz(groups=groups).compute(evaluation)
    width = Silhouette(groups=groups).compute(evaluation)
    if not 1 < len(np.unique(labels)) < len(X):
        assert ratio == 0
        return
    assert ratio == pytest.approx(calinski_harabasz_score(X, labels), rel=1e-9)
    assert width == pytest.approx(silhouette_score(X, labels, metric=name), abs=1e-9)


def test_missing_values_of_groups_are_those_of_the_nearest_prototype(evaluate, rng):
    X = rng.normal(size=(60, 3))
    som_map = SomMap.rectangle(2, 2, rng.normal(size=(4, 3)))
    X[::5, 2] = np.nan
    evaluation = evaluate(X, som_map)
    units = evaluation.bmu
    filled = np.where(np.isnan(X), som_map.prototypes[units], X)
    assert CalinskiHarabasz().compute(evaluation) == pytest.approx(
        calinski_harabasz_score(filled, units)
    )
    assert Silhouette().compute(evaluation) == pytest.approx(silhouette_score(filled, units))


def test_a_silhouette_of_many_samples_asks_some_of_them(evaluate, rng):
    X = rng.normal(size=(1500, 2))
    evaluation = evaluate(X, SomMap.rectangle(2, 2, rng.normal(size=(4, 2))))
    exact = Silhouette().compute(evaluation)
    found = Silhouette(max_samples=900).compute(evaluation)
    assert exact.note == ""
    assert "from 540 of 1500 samples" in found.note
    assert found == pytest.approx(exact, abs=0.05)


def test_answers_are_needed_where_they_make_the_groups(evaluate, rng):
    evaluation = evaluate(rng.normal(size=(9, 2)), SomMap.rectangle(1, 2, rng.normal(size=(2, 2))))
    with pytest.raises(ValueError, match="needs predictions"):
        Silhouette(groups="answers").compute(evaluation)
