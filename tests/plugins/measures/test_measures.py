"""What the measures promise, each beside a slow statement of the same thing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures.pairs import CalinskiHarabasz, DaviesBouldin
from dbgsom_plugins.measures.prototypes import (
    CombinedError,
    DeadNeurons,
    Distortion,
    MapEntropy,
    QuantizationError,
    TopographicError,
    TopographicError8,
)
from dbgsom_plugins.measures.targets import (
    Accuracy,
    AdjustedRand,
    BalancedAccuracy,
    ClassScatter,
    Entropy,
    MacroF1,
    NormalizedMutualInfo,
    Purity,
)
from dbgsom_plugins.metrics.norms import Euclidean

UNLABELLED = [
    QuantizationError, Distortion, DeadNeurons, MapEntropy, TopographicError, TopographicError8,
    CombinedError, DaviesBouldin,
]  # fmt: skip
ANSWERS = [Accuracy, BalancedAccuracy, MacroF1, AdjustedRand, NormalizedMutualInfo]
LABELLED = [*ANSWERS, Purity, Entropy, ClassScatter]


def evaluate(X, som_map, chunk_rows=4096, metric=None, **more):
    data = LocalEngine(chunk_rows=chunk_rows).over(X, metric or Euclidean())
    return Evaluation(som_map, data, **more)


@st.composite
def maps_beside_data(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = [(0, 0), (1, 0), (0, 1), (1, 1)]
    for _ in range(draw(st.integers(0, 12))):
        free = SomMap(positions, np.zeros((len(positions), 1)))
        cells = [cell for k in range(len(free)) for cell in free.free_cells(k)]
        positions.append(cells[rng.integers(len(cells))])
    d = draw(st.integers(1, 4))
    prototypes = rng.normal(size=(len(positions), d)).round(draw(st.sampled_from([0, 1, 8])))
    return rng.normal(size=(draw(st.integers(1, 40)), d)), SomMap(positions, prototypes)


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


def slow_map_entropy(X, som_map):
    winners = distances_of(X, som_map).argmin(axis=1)
    shares = [np.mean(winners == neuron) for neuron in range(len(som_map))]
    return sum(-share * np.log2(share) for share in shares if share > 0)


def slow_davies_bouldin(X, som_map):
    distances = distances_of(X, som_map)
    winners = distances.argmin(axis=1)
    live = np.unique(winners)
    scatter = {i: distances[winners == i, i].mean() for i in live}
    worst = []
    for i in live:
        ratios = [0.0]
        for j in live:
            apart = np.linalg.norm(som_map.prototypes[i] - som_map.prototypes[j])
            if i != j and apart > 0:
                ratios.append((scatter[i] + scatter[j]) / apart)
        worst.append(max(ratios))
    return np.mean(worst)


@settings(max_examples=60, deadline=None)
@given(maps_beside_data())
def test_measures_equal_their_slow_twins(pair):
    X, som_map = pair
    evaluation = evaluate(X, som_map)
    distances = distances_of(X, som_map)
    error4, error8 = slow_errors(X, som_map)
    expected = {
        QuantizationError: distances.min(axis=1).mean(),
        DeadNeurons: len(som_map) - len(np.unique(distances.argmin(axis=1))),
        TopographicError: error4,
        TopographicError8: error8,
        Distortion: slow_distortion(X, som_map),
        MapEntropy: slow_map_entropy(X, som_map),
        CombinedError: slow_combined_error(X, som_map),
        DaviesBouldin: slow_davies_bouldin(X, som_map),
    }
    for measure, value in expected.items():
        assert measure().compute(evaluation) == pytest.approx(value, rel=1e-10, abs=1e-12), measure


def test_a_single_neuron_has_defined_measures():
    evaluation = evaluate(np.arange(6.0).reshape(3, 2), SomMap([(0, 0)], [[0.0, 1.0]]))
    values = {measure: measure().compute(evaluation) for measure in UNLABELLED}
    assert np.isfinite(list(values.values())).all()
    assert values[TopographicError] == values[TopographicError8] == values[DaviesBouldin] == 0
    assert values[CombinedError] == values[QuantizationError]
    assert values[MapEntropy] == 0


@pytest.mark.parametrize("names", [np.array([0, 1, 2]), np.array(["a", "b", "c"])])
def test_label_measures_know_numbers_and_text(names):
    X, som_map = np.zeros((6, 1)), SomMap([(0, 0)], [[0.0]])
    y, predictions = names[[0, 0, 1, 1, 2, 2]], names[[0, 0, 1, 2, 2, 2]]
    evaluation = evaluate(X, som_map, y=y, predictions=predictions)
    assert Accuracy().compute(evaluation) == pytest.approx(5 / 6)
    assert MacroF1().compute(evaluation) == pytest.approx((1 + 2 / 3 + 4 / 5) / 3)
    renamed = evaluate(X, som_map, y=y, predictions=np.array([7, 7, 5, 5, 3, 3]))
    assert AdjustedRand().compute(renamed) == 1


def test_a_class_that_is_never_predicted_counts_zero_without_a_warning():
    evaluation = evaluate(
        np.zeros((4, 1)),
        SomMap([(0, 0)], [[0.0]]),
        y=np.array([0, 0, 1, 1]),
        predictions=np.zeros(4, int),
    )
    assert MacroF1().compute(evaluation) == pytest.approx(1 / 3)


def test_adjusted_rand_takes_continuous_targets():
    evaluation = evaluate(
        np.zeros((4, 1)),
        SomMap([(0, 0)], [[0.0]]),
        y=np.array([0.1, 0.2, 0.3, 0.4]),
        predictions=np.array([0, 0, 1, 1]),
    )
    assert AdjustedRand().compute(evaluation) == 0


def test_dead_neurons_of_a_drawn_part_are_those_of_all_where_hits_are_known(rng):
    X, som_map = rng.normal(size=(4, 2)), SomMap.rectangle(3, 3, rng.normal(size=(9, 2)))
    part = evaluate(X, som_map)
    assert DeadNeurons().compute(part).note == ""
    whole = replace(part, drawn_from=900, all_hits=np.array([0] + [100] * 8))
    assert (found := DeadNeurons().compute(whole)) == 1
    assert found.note == "of all 900 samples"
    unknown = DeadNeurons().compute(replace(part, drawn_from=900))
    assert unknown == np.count_nonzero(part.hits == 0)
    assert unknown.note == "of 4 of 900 samples, among all there may be fewer"


@pytest.mark.parametrize("measure", [Distortion(), CalinskiHarabasz()])
def test_what_depends_on_how_many_samples_there_are_is_told_for_all_that_they_were_drawn_from(
    measure, rng
):
    X, som_map = rng.normal(size=(40_000, 2)), SomMap.rectangle(3, 3, rng.normal(size=(9, 2)))
    whole, some = evaluate(X, som_map), evaluate(X[::10], som_map)
    told = measure.compute(replace(some, drawn_from=len(X)))
    assert told == pytest.approx(measure.compute(whole), rel=0.05)
    assert told.note == "of 4000 samples, for 40000"
    assert abs(measure.compute(some) / told - 1) > 0.5
