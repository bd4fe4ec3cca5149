"""Measures of maps, each beside a slow statement of the same thing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.measures.maps import (
    CalinskiHarabasz,
    CombinedError,
    DaviesBouldin,
    DeadNeurons,
    Distortion,
    MapEntropy,
    QuantizationError,
    TopographicError,
    TopographicError8,
)
from dbgsom_plugins.measures.targets import Accuracy, AdjustedRand, MacroF1


@st.composite
def maps_beside_data(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    som_map = SomMap.rectangle(2, 2, np.zeros((4, 1)))
    for _ in range(draw(st.integers(0, 12))):
        free = [(cell, [0.0], k) for k in range(len(som_map)) for cell in som_map.free_cells(k)]
        som_map.add([free[rng.integers(len(free))]], 1)
    d = draw(st.integers(1, 4))
    prototypes = rng.normal(size=(len(som_map), d)).round(draw(st.sampled_from([0, 1, 8])))
    return rng.normal(size=(draw(st.integers(1, 40)), d)), SomMap(som_map.positions, prototypes)


def distances_of(X, som_map):
    return np.sqrt(((X[:, None] - som_map.prototypes) ** 2).sum(axis=2))


def slow_errors(X, som_map):
    """Shares of samples whose two nearest neurons are not linked, and do not even touch."""
    order = np.argsort(distances_of(X, som_map), axis=1, kind="stable")[:, :2]
    steps = np.abs(np.diff(som_map.positions[order], axis=1))[:, 0]
    return np.mean(steps.sum(axis=1) != 1), np.mean(steps.max(axis=1) != 1)


def slow_distortion(X, som_map):
    total = 0.0
    distances = distances_of(X, som_map)
    winners = distances.argmin(axis=1)
    hits = np.bincount(winners, minlength=len(som_map))
    for d, winner in zip(distances, winners, strict=True):
        for i in np.flatnonzero(hits):
            hops = float(som_map.hops[i, winner])
            total += np.exp(-(hops**2) / 2) * d[i] ** 2 / hits[i]
    return total / len(X)


def slow_combined_error(X, som_map):
    """Ways over the grid by relaxing every link as often as there are neurons (Bellman & Ford)."""
    W, n_neurons = som_map.prototypes, len(som_map)
    way = np.where(np.eye(n_neurons) > 0, 0.0, np.inf)
    for _ in range(n_neurons):
        for a, b in som_map.edges():
            length = np.linalg.norm(W[a] - W[b])
            way[:, b] = np.minimum(way[:, b], way[:, a] + length)
            way[:, a] = np.minimum(way[:, a], way[:, b] + length)
    distances = distances_of(X, som_map)
    first, second = np.argsort(distances, axis=1, kind="stable")[:, :2].T
    return np.mean(distances.min(axis=1) + way[first, second])


def slow_davies_bouldin(X, som_map):
    distances = distances_of(X, som_map)
    winners = distances.argmin(axis=1)
    live = np.unique(winners)
    scatter = {i: distances[winners == i, i].mean() for i in live}
    worst = []
    for i in live:
        ratios = [0.0]
        for j in live:
            between = np.linalg.norm(som_map.prototypes[i] - som_map.prototypes[j])
            if i != j and between > 0:
                ratios.append((scatter[i] + scatter[j]) / between)
        worst.append(max(ratios))
    return np.mean(worst)


@settings(max_examples=60, deadline=None)
@given(pair=maps_beside_data())
def test_measures_equal_their_slow_twins(evaluate, pair):
    X, som_map = pair
    evaluation = evaluate(X, som_map)
    distances = distances_of(X, som_map)
    shares = np.bincount(distances.argmin(axis=1), minlength=len(som_map)) / len(X)
    linked, touching = slow_errors(X, som_map)
    expected = {
        QuantizationError: distances.min(axis=1).mean(),
        DeadNeurons: np.sum(shares == 0),
        TopographicError: linked,
        TopographicError8: touching,
        Distortion: slow_distortion(X, som_map),
        MapEntropy: -np.sum(shares[shares > 0] * np.log2(shares[shares > 0])),
        CombinedError: slow_combined_error(X, som_map),
        DaviesBouldin: slow_davies_bouldin(X, som_map),
    }
    for measure, value in expected.items():
        assert measure().compute(evaluation) == pytest.approx(value, rel=1e-10, abs=1e-12), measure


def test_a_single_neuron_has_defined_measures(evaluate):
    evaluation = evaluate(np.arange(6.0).reshape(3, 2), SomMap([(0, 0)], [[0.0, 1.0]]))
    for measure in (TopographicError, TopographicError8, DaviesBouldin, MapEntropy):
        assert measure().compute(evaluation) == 0
    error = QuantizationError().compute(evaluation)
    assert CombinedError().compute(evaluation) == error
    assert np.isfinite(Distortion().compute(evaluation))


@pytest.mark.parametrize(
    ("measure", "y", "predictions", "value"),
    [
        (Accuracy, [*"aabbcc"], [*"aabccc"], 5 / 6),
        (MacroF1, [*"aabbcc"], [*"aabccc"], (1 + 2 / 3 + 4 / 5) / 3),
        (MacroF1, [0, 0, 1, 1], [0, 0, 0, 0], 1 / 3),  # without a warning
        (AdjustedRand, [0, 0, 1, 1, 2, 2], [7, 7, 5, 5, 3, 3], 1),
        (AdjustedRand, [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], 0),  # of numbers
    ],
)
def test_measures_of_answers_know_numbers_and_text(evaluate, measure, y, predictions, value):
    X, som_map = np.zeros((len(y), 1)), SomMap([(0, 0)], [[0.0]])
    evaluation = evaluate(X, som_map, y=np.array(y), predictions=np.array(predictions))
    assert measure().compute(evaluation) == pytest.approx(value)


def test_dead_neurons_of_a_subsample_are_those_of_all_where_hits_are_known(evaluate, rng):
    X, som_map = rng.normal(size=(4, 2)), SomMap.rectangle(3, 3, rng.normal(size=(9, 2)))
    part = replace(evaluate(X, som_map), drawn_from=900)
    known = DeadNeurons().compute(replace(part, all_hits=np.array([0] + [100] * 8)))
    assert (known, known.note) == (1, "of all 900 samples")
    unknown = DeadNeurons().compute(part)
    assert unknown == np.count_nonzero(part.hits == 0)
    assert unknown.note == "of 4 of 900 samples, among all there may be fewer"


@pytest.mark.parametrize("measure", [Distortion(), CalinskiHarabasz()])
def test_what_depends_on_the_number_of_samples_is_that_of_all(evaluate, measure, rng):
    X, som_map = rng.normal(size=(40_000, 2)), SomMap.rectangle(3, 3, rng.normal(size=(9, 2)))
    whole, some = evaluate(X, som_map), evaluate(X[::10], som_map)
    found = measure.compute(replace(some, drawn_from=len(X)))
    assert found == pytest.approx(measure.compute(whole), rel=0.05)
    assert found.note == "of 4000 samples, for 40000"
    assert abs(measure.compute(some) / found - 1) > 0.5
