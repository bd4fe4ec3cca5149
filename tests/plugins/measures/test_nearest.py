"""Neighbours of drawn samples: none is missed, however the samples lie, and ranks are as told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.engines.blocks import BlocksEngine
from dbgsom_plugins.engines.local import LocalEngine
from dbgsom_plugins.measures import _nearest, _sampled, _shells
from dbgsom_plugins.measures._nearest import nearest
from dbgsom_plugins.measures._pairs import Pairs, how_many_look
from dbgsom_plugins.measures._rings import Rings
from dbgsom_plugins.measures.distances import CMeasure, KruskalShepard
from dbgsom_plugins.measures.neighbours import Continuity, Trustworthiness
from dbgsom_plugins.metrics.euclidean import Euclidean
from dbgsom_plugins.metrics.manhattan import Manhattan


def evaluation_of(X, metric=None, seed=0, side=3):
    prototypes = X[:: max(1, len(X) // side**2)][: side**2].astype(np.float64)
    rows = SomMap.rectangle(1, len(prototypes), prototypes)
    return Evaluation(rows, LocalEngine().over(X, metric or Euclidean()), seed=seed)


def by_definition(X, own, k, worth):
    """Return distances (m, k) and what the nearest are worth, the mean over orders of equals."""
    X = X.astype(np.float64)
    near, found = np.empty((len(own), k)), np.empty((len(own), 2))
    for i, one in enumerate(own):
        squares = np.square(X - X[one]).sum(axis=1)
        others = np.delete(np.arange(len(X)), one)
        near[i] = np.sort(squares[others])[:k]
        last = np.isclose(squares, near[i, -1], rtol=1e-12, atol=0)
        last[one] = False
        sure = (squares < near[i, -1]) & ~last
        sure[one] = False
        share = (k - sure.sum()) / last.sum()
        found[i] = worth[i][sure].sum(axis=0) + share * worth[i][last].sum(axis=0)
    return near, found


@st.composite
def tables(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(30, 90)), draw(st.integers(1, 9))
    step = draw(st.sampled_from([1.0, 0.125, 2.0**-20]))  # so that equal distances are, to the bit
    unit = 2.0 ** draw(st.sampled_from([-500, -130, -66, 0, 14, 60, 100, 400]))
    X = np.round(rng.normal(size=(n, d)) / step) * (step * unit)
    if draw(st.booleans()):  # the differences lie in the last digits of float32
        X += draw(st.sampled_from([2.0**10, 2.0**20])) * unit
    if draw(st.booleans()):  # one lies so far out that products with it overflow
        X[draw(st.integers(0, n - 1))] *= 2.0**80
    if draw(st.booleans()):  # the nearest ones come last
        X = X[np.argsort(-np.abs(X).sum(axis=1))]
    if np.abs(X).max() < 1e30 and draw(st.booleans()):
        X = X.astype(np.float32)
    return X


@settings(max_examples=40, deadline=None)
@given(
    tables(),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([0, 1, 3]),
    st.integers(1, 99),
    st.sampled_from([(0.0, 0.0), (0.0, 2.0), (0.5, 2.0), (2.0, 2.0)]),  # of shells: never … always
)
def test_none_of_the_nearest_is_missed(X, k, is_limited, directions, pays, left):
    evaluation, m = evaluation_of(X), min(len(X), 20)
    rng = np.random.default_rng(len(X))
    own = rng.choice(len(X), m, replace=False)
    worth, kind = rng.random((3, len(evaluation.som_map), 2)), rng.integers(3, size=m)
    of_each = worth[kind][:, evaluation.bmu]
    near, expected = by_definition(X, own, k, of_each)
    # As tight a limit as there may be: k others lie within it.
    limits = np.sqrt(near[:, -1]) if is_limited else np.full(m, np.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_nearest, "_MANY_FEATURES", 2 if directions else 100)
        patch.setattr(_nearest, "_DIRECTIONS", directions)
        patch.setattr(_nearest, "_PAYS", pays)
        patch.setattr(_nearest, "_PRODUCTS", 1)  # blocks of 64
        patch.setattr(_shells, "_PAYS", left[0])
        patch.setattr(_shells, "_HOPELESS", left[1])
        found = nearest(evaluation, Pairs(evaluation), own, k, worth, kind, limits)
    np.testing.assert_allclose(found.near, near, rtol=1e-12, atol=0)
    np.testing.assert_allclose(found.worth(), expected, rtol=1e-9, atol=1e-12)


def test_clusters_are_looked_at_in_shells_and_few_pairs_are_left(monkeypatch):
    rng = np.random.default_rng(4)
    centres = rng.normal(scale=20, size=(8, 6))
    X = np.concatenate([one + rng.normal(size=(300, 6)) for one in centres])
    som_map = SomMap.rectangle(2, 4, centres)
    compared, see = [], _shells.see_shells
    monkeypatch.setattr(_shells, "see_shells", lambda *given: compared.append(see(*given)))
    own, worth = np.arange(0, len(X), 12), rng.random((1, 8, 2))
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(_shells, "available_threads", lambda threads=threads: threads)
        evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()))
        kind, limits = np.zeros(len(own), int), np.full(len(own), 4.0)
        found.append(nearest(evaluation, Pairs(evaluation), own, 10, worth, kind, limits))
    near, expected = by_definition(X, own, 10, worth[kind][:, evaluation.bmu])
    np.testing.assert_allclose(found[0].near, near, rtol=1e-12)
    np.testing.assert_allclose(found[0].worth(), expected, rtol=1e-9)
    np.testing.assert_array_equal(found[0].worth(), found[1].worth())
    assert 0 < sum(compared) < 2 * len(own) * len(X) / 7  # its own cluster, twice


@pytest.mark.parametrize("metric", [Euclidean, Manhattan])
@pytest.mark.parametrize("gaps", [False, True])
def test_drawn_samples_lose_and_share_what_they_do_among_all(metric, gaps, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 3))
    if gaps:
        X[::7, 1] = np.nan
    prototypes = rng.normal(size=(12, 3))
    som_map = SomMap.rectangle(3, 4, prototypes)
    whole = Evaluation(som_map, LocalEngine().over(X, metric()))
    exact = Trustworthiness()._kept(whole)
    some = np.arange(0, 500, 3)
    monkeypatch.setattr(_sampled, "_OF_RING", 500)  # all of a ring, and all others
    rings = Rings(whole, 10, "euclidean")
    intruders, lost, shared = _sampled.neighbours(whole, some, rings)
    np.testing.assert_allclose(lost, exact.lost[some], rtol=1e-12)
    np.testing.assert_allclose(shared, exact.shared[some], rtol=1e-12)
    # Distances that are equal in float32 count by half.
    np.testing.assert_allclose(intruders, exact.intruders[some], rtol=1e-3)


def test_ranks_among_some_stand_for_those_among_all(monkeypatch):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(900, 4))
    som_map = SomMap.rectangle(4, 4, rng.normal(size=(16, 4)))
    exact = Trustworthiness()._kept(Evaluation(som_map, LocalEngine().over(X, Euclidean())))
    monkeypatch.setattr(_sampled, "_OTHERS", 200)
    some, found = np.arange(0, 900, 2), []
    for seed in range(4):
        evaluation = Evaluation(som_map, LocalEngine().over(X, Euclidean()), seed=seed)
        rings = Rings(evaluation, 10, "euclidean")
        found.append(_sampled.neighbours(evaluation, some, rings)[0].mean() * exact.scale)
    true = exact.intruders[some].mean() * exact.scale
    assert np.ptp(found) > 0
    assert np.mean(found) == pytest.approx(true, abs=0.01)


def test_how_many_look_is_what_the_comparisons_allow():
    assert [how_many_look(n, 5000) for n in (1, 5000, 5001, 10_000)] == [1, 5000, 4999, 2500]
    assert [how_many_look(n, 5000) for n in (100_000, 10**7)] == [250, 200]
    assert how_many_look(1000, 50) == 50


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_table_read_in_blocks_has_the_values_of_one_in_memory(dtype, tmp_path):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(1200, 40)).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    som_map = SomMap.rectangle(3, 4, rng.normal(size=(12, 40)))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found = []
    for data in (
        LocalEngine().over(X, Euclidean()),
        LocalEngine(threads=1).over(mapped, Euclidean()),
        BlocksEngine(block=0.02).over(mapped, Euclidean()),
    ):
        evaluation = Evaluation(som_map, data)
        measures = [one(max_samples=600) for one in (Trustworthiness, Continuity)]
        measures += [one(max_samples=400) for one in (CMeasure, KruskalShepard)]
        found.append([measure.compute(evaluation) for measure in measures])
    assert found[0] == found[1] == found[2]
    assert all("drawn by the seed" in value.note for value in found[0])
