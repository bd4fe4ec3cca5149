"""The C measure, the Kruskal-Shepard error, variance ratio and silhouette, beside slow twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import calinski_harabasz_score, silhouette_score

from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures.pairs import CalinskiHarabasz, CMeasure, KruskalShepard, Silhouette
from dbgsom_plugins.metrics.norms import Euclidean, Manhattan


def evaluate(X, som_map, metric=None, **more):
    return Evaluation(som_map, LocalEngine().over(X, metric or Euclidean()), **more)


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    d, n = draw(st.integers(1, 6)), draw(st.integers(4, 80))
    X = rng.normal(size=(n, d)).round(draw(st.sampled_from([0, 1, 8])))
    return X, SomMap.rectangle(rows, columns, rng.normal(size=(rows * columns, d)))


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from(["euclidean", "hops"]))
def test_measures_of_distances_equal_their_slow_twins(case, grid_distance):
    X, som_map = case
    evaluation = evaluate(X, som_map)
    cells = som_map.positions[evaluation.bmu]
    n, products, data, grid, pairs = len(X), 0.0, 0.0, 0.0, []
    for i in range(n):
        for j in range(n):
            if i != j:
                d = np.linalg.norm(X[i] - X[j])
                g = np.linalg.norm(cells[i] - cells[j])
                if grid_distance == "hops":
                    g = np.abs(cells[i] - cells[j]).sum()
                products, data, grid = products + d * g, data + d * d, grid + g * g
                pairs.append((d, g))
    d, g = np.array(pairs).T
    shepard = np.mean((d / (d.max() or 1) - g / (g.max() or 1)) ** 2)
    ratio = products / np.sqrt(data * grid) if data * grid else 0.0
    found = CMeasure(grid_distance=grid_distance).compute(evaluation)
    assert found == pytest.approx(ratio, abs=1e-12)
    assert KruskalShepard(grid_distance=grid_distance).compute(evaluation) == pytest.approx(
        shepard, abs=1e-12
    )


def test_pairs_of_many_samples_are_drawn_and_the_note_says_so(rng):
    X = rng.normal(size=(300, 2))
    evaluation = evaluate(X, SomMap.rectangle(3, 3, rng.normal(size=(9, 2))))
    for measure in (CMeasure, KruskalShepard):
        exact, found = measure().compute(evaluation), measure(max_samples=150).compute(evaluation)
        assert exact.note == ""
        told = "from 150 of 300 samples, drawn by the seed; standard error "
        assert found.note.startswith(told)
        assert found == pytest.approx(exact, abs=0.05)
        assert found != exact


def test_one_neuron_and_one_sample_have_defined_values():
    one = evaluate(np.arange(6.0).reshape(3, 2), SomMap([(0, 0)], [[0.0, 1.0]]))
    alone = evaluate(np.zeros((1, 2)), SomMap.rectangle(1, 2, [[0.0, 1.0], [2.0, 1.0]]))
    for evaluation in (one, alone):
        assert CMeasure().compute(evaluation) == 0
        assert np.isfinite(KruskalShepard().compute(evaluation))
        for measure in (CalinskiHarabasz, Silhouette):
            found = measure().compute(evaluation)
            assert found == 0
            assert found.note


@settings(max_examples=40, deadline=None)
@given(cases(), st.booleans(), st.sampled_from([Euclidean, Manhattan]))
def test_groups_are_checked_as_scikit_learn_does(case, by_answers, metric):
    X, som_map = case
    predictions = np.array(["a", "b", "c"])[np.arange(len(X)) % 3]
    evaluation = evaluate(X, som_map, metric=metric(), predictions=predictions)
    groups = "answers" if by_answers else "neurons"
    labels = predictions if by_answers else evaluation.bmu
    ratio = CalinskiHarabasz(groups=groups).compute(evaluation)
    width = Silhouette(groups=groups).compute(evaluation)
    if not 1 < len(np.unique(labels)) < len(X):
        assert ratio == 0
        return
    assert ratio == pytest.approx(calinski_harabasz_score(X, labels), rel=1e-9)
    name = "euclidean" if metric is Euclidean else "manhattan"
    assert width == pytest.approx(silhouette_score(X, labels, metric=name), abs=1e-9)


def test_missing_values_of_groups_are_those_of_the_nearest_prototype(rng):
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


def test_a_silhouette_of_many_samples_asks_some_of_them(rng):
    X = rng.normal(size=(1500, 2))
    evaluation = evaluate(X, SomMap.rectangle(2, 2, rng.normal(size=(4, 2))))
    exact = Silhouette().compute(evaluation)
    found = Silhouette(max_samples=900).compute(evaluation)
    assert exact.note == ""
    assert "from 540 of 1500 samples" in found.note
    assert found == pytest.approx(exact, abs=0.05)


def test_answers_are_needed_where_they_make_the_groups(rng):
    evaluation = evaluate(rng.normal(size=(9, 2)), SomMap.rectangle(1, 2, rng.normal(size=(2, 2))))
    with pytest.raises(ValueError, match="needs predictions"):
        Silhouette(groups="answers").compute(evaluation)
