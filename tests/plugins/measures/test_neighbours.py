"""Trustworthiness, continuity and what neighbours have in common, beside slow twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.interfaces.component import guarded
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.dask import DaskEngine
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures.maps import (
    CMeasure,
    Continuity,
    KruskalShepard,
    NeighbourhoodPreservation,
    Trustworthiness,
)
from dbgsom_plugins.metrics.norms import Euclidean

ALL = [Trustworthiness, Continuity, NeighbourhoodPreservation]


def chances(distances, i, k):
    """Of each other sample the chance to be among the k nearest, and the mean of max(0, rank-k).

    Equal distances are ordered in every way, each as likely.
    """
    n = len(distances)
    near, beyond = np.zeros(n), np.zeros(n)
    for j in range(n):
        if j == i:
            continue
        others = np.delete(distances, i)
        below = np.sum(others < distances[j])
        ranks = below + 1 + np.arange(np.sum(others == distances[j]))
        near[j] = np.mean(ranks <= k)
        beyond[j] = np.mean(np.maximum(0, ranks - k))
    return near, beyond


def slow(in_data, on_grid, k):
    n = len(in_data)
    intruders = lost = shared = 0.0
    for i in range(n):
        near, beyond = chances(in_data[i], i, k)
        near_grid, beyond_grid = chances(on_grid[i], i, k)
        intruders += near_grid @ beyond
        lost += near @ beyond_grid
        shared += near @ near_grid
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    return 1 - scale * intruders, 1 - scale * lost, shared / (n * k)


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    d, n = draw(st.integers(1, 6)), draw(st.integers(3, 24))
    X = rng.normal(size=(n, d))
    step = draw(st.sampled_from([1.0, 0.125, 2.0**-20]))  # some samples are equally far, exactly
    X = np.round(X / step) * step
    prototypes = rng.normal(size=(rows * columns, d))
    return X, SomMap.rectangle(rows, columns, prototypes), draw(st.integers(1, 12))


@settings(max_examples=50, deadline=None)
@given(case=cases(), grid_distance=st.sampled_from(["euclidean", "hops"]))
def test_they_equal_the_mean_over_all_orders_of_equal_distances(evaluate, case, grid_distance):
    X, som_map, k = case
    evaluation = evaluate(X, som_map)
    in_data = ((X[:, None] - X) ** 2).sum(axis=2)
    cells = som_map.positions[evaluation.bmu]
    on_grid = ((cells[:, None] - cells) ** 2).sum(axis=2)
    if grid_distance == "hops":
        on_grid = som_map.hops[evaluation.bmu][:, evaluation.bmu]
    used = min(k, (len(X) - 1) // 2)
    expected = slow(in_data, on_grid, used)
    for measure, value in zip(ALL, expected, strict=True):
        computed = measure(k=k, grid_distance=grid_distance).compute(evaluation)
        assert computed == pytest.approx(value, abs=1e-12), measure
        assert 0 <= computed <= 1


@pytest.mark.parametrize("measure", ALL)
def test_too_few_samples_have_no_neighbours(evaluate, measure):
    evaluation = evaluate(np.arange(2.0)[:, None], SomMap.rectangle(1, 2, [[0.0], [1.0]]))
    with pytest.raises(ValueError, match="no neighbours"):
        measure().compute(evaluation)


def test_a_large_k_is_cut_and_the_note_says_so(evaluate, rng):
    evaluation = evaluate(rng.normal(size=(15, 2)), SomMap.rectangle(1, 2, rng.normal(size=(2, 2))))
    cut = Trustworthiness(k=10).compute(evaluation)
    assert cut == Trustworthiness(k=7).compute(evaluation)
    assert cut.note == "k = 7, less than half of 15 samples"


@pytest.mark.parametrize("measure", ALL)
def test_a_subsample_estimates_the_value_and_the_note_says_so(evaluate, measure, rng):
    X, som_map = rng.normal(size=(2000, 3)), SomMap.rectangle(5, 6, rng.normal(size=(30, 3)))
    whole = evaluate(X, som_map)
    exact = measure(max_samples=2000).compute(whole)
    estimate = measure(max_samples=1000).compute(whole)
    assert exact.note == ""
    assert "from 500 of 2000 samples" in estimate.note
    assert estimate == pytest.approx(exact, abs=0.03)
    assert estimate == measure(max_samples=1000).compute(evaluate(X, som_map))
    assert estimate != measure(max_samples=1000).compute(evaluate(X, som_map, seed=1))


def test_a_table_in_partitions_has_the_values_of_one_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("dbgsom_core.engine.partitions._RANGE_ROWS", 256)
    monkeypatch.setattr("dbgsom_core.engine.partitioned._FEW_BYTES", 0)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(1200, 40)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    som_map = SomMap.rectangle(3, 4, rng.normal(size=(12, 40)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    values = []
    for data in (
        LocalEngine().over(X, Euclidean()),
        LocalEngine(threads=1).over(mapped, Euclidean()),
        DaskEngine(shard=0.02).over(mapped, guarded(Euclidean())),
    ):
        evaluation = Evaluation(som_map, data)
        measures = [Trustworthiness(max_samples=600), Continuity(max_samples=600)]
        measures += [CMeasure(max_samples=400), KruskalShepard(max_samples=400)]
        values.append([measure.compute(evaluation) for measure in measures])
    assert values[0] == values[1] == values[2]
    assert all("drawn by the seed" in value.note for value in values[0])
