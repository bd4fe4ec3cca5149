"""The compiled loops of fine-tuning and of the layout, beside their definitions in plain numpy."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core.engine.euclidean.layout import in_rows
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.found import linked_runners_up, winners_of_own_class
from dbgsom_core.engine.llvm.tile import PANEL_ROWS
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.engine.majorities import count_classes, leading
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.registry import get_registry
from dbgsom_core.som_map.som_map import SomMap

EUCLIDEAN = MetricAbilities.of(get_registry().build("metric", "euclidean"))


class Classes(NamedTuple):
    """Classes of the samples, and which lead in a neuron."""

    codes: np.ndarray
    leads: np.ndarray

    @classmethod
    def of(cls, units, codes, n_neurons):
        return cls(codes, leading(count_classes(units, codes, n_neurons, int(codes.max()) + 1)))


def distances(X, prototypes):
    """Every distance by definition: float64, squares added feature by feature."""
    total = np.zeros((len(X), len(prototypes)))
    for k in range(X.shape[1]):
        total += (X[:, k, None].astype(float) - prototypes[:, k]) ** 2
    return np.sqrt(total)


def nearest(row, neurons):
    return min(neurons, key=lambda j: (row[j], j))


def runners_up(D, units, som_map, classes):
    found = []
    for i, unit in enumerate(units):
        linked = np.flatnonzero(som_map.hops[unit] == 1)
        code = -1 if classes is None else classes.codes[i]
        own = [j for j in linked if code >= 0 and classes.leads[j, code]]
        found.append(nearest(D[i], own or list(linked)))
    return np.array(found)


def own_winners(D, units, classes):
    found = []
    for i, unit in enumerate(units):
        code = classes.codes[i]
        own = np.flatnonzero(classes.leads[:, code]) if code >= 0 else []
        stays = code < 0 or classes.leads[unit, code] or len(own) == 0
        found.append(unit if stays else nearest(D[i], own))
    return np.array(found)


def linked_totals(found, som_map, classes):
    """What linked neighbours won by the fast search: hits (K,) and sums (K, D)."""
    won = found.linked_totals(som_map.graph, None if classes is None else classes.leads)
    return won.hits.copy(), won.sums


def free_cells(som_map):
    """Every free cell beside the map with a neuron that it touches."""
    return [(cell, row) for row in range(len(som_map)) for cell in som_map.free_cells(row)]


@st.composite
def cases(draw, grid):
    """Samples with ties and duplicates, a map of any shape, classes of which some lead nowhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, d = draw(st.integers(2, 120)), draw(st.sampled_from([1, 2, 3, 4, 9, 17]))
    X = rng.normal(size=(n, d))
    if draw(st.booleans()):
        X = rng.integers(-2, 3, size=(n, d)).astype(float)
    X = (X + draw(st.sampled_from([0.0, 1000.0]))).astype(
        draw(st.sampled_from([np.float32, np.float64]))
    )
    som_map = SomMap.rectangle(1, 2, X[rng.integers(n, size=2)], grid)
    for _ in range(draw(st.integers(0, 30))):
        free = free_cells(som_map)
        cell, parent = free[rng.integers(len(free))]
        som_map.add([(cell, X[rng.integers(n)].astype(float), parent)], 1)
    codes = rng.integers(-1, draw(st.integers(1, 6)), size=n)
    codes[0] = 0
    return X, som_map, codes, rng


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_neighbours_and_winners_are_those_of_the_definition(grid, drawn, classed):
    X, som_map, codes, _ = drawn.draw(cases(grid))
    data = LocalSamples(X, EUCLIDEAN)
    D = distances(X, som_map.prototypes)
    units = D.argmin(axis=1)
    classes, leads = Classes.of(units, codes, len(som_map)) if classed else None, None
    if classes is not None:
        leads = classes.leads
        data = replace(data, codes=codes)
        winners = winners_of_own_class(data, units, som_map.prototypes, leads)
        np.testing.assert_array_equal(winners, own_winners(D, units, classes))
        units = winners
    np.testing.assert_array_equal(
        linked_runners_up(data, units, som_map.prototypes, som_map.graph, leads),
        runners_up(D, units, som_map, classes),
    )


@settings(deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([1, 3]))
def test_the_fast_search_tunes_as_the_definition_epoch_after_epoch(grid, drawn, classed, threads):
    """Prototypes move, the map grows, samples are laid out anew: sums of changes stay true."""
    X, som_map, codes, rng = drawn.draw(cases(grid))
    data = LocalSamples(X, EUCLIDEAN, codes=codes)
    search = FastSearch(data, PackedSamples.of(X, threads), prunes=True)
    size = len(X) * np.abs(X).max()
    for epoch in range(8):
        found = search.assign(som_map.prototypes, som_map.positions)
        if epoch == 4:
            known, (cell, parent) = len(som_map), min(free_cells(som_map))
            som_map.add([(cell, X[0].astype(float), parent)], epoch)
            found = search.admit(found, som_map.prototypes, som_map.positions, known)
        D, n_neurons = distances(X, som_map.prototypes), len(som_map)
        classes = Classes.of(found.bmu, codes, n_neurons) if classed else None
        units = D.argmin(axis=1)
        if classes is not None:
            found = found.trained_by_class(classes.leads)
            units = own_winners(D, units, classes)
        np.testing.assert_array_equal(found.bmu, units)
        np.testing.assert_array_equal(found.totals.hits, np.bincount(units, minlength=n_neurons))
        np.testing.assert_allclose(
            found.totals.sums, data.sums_seen(units, n_neurons)[0], atol=1e-7 * size
        )
        hits, sums = linked_totals(found, som_map, classes)
        seconds = runners_up(D, units, som_map, classes)
        np.testing.assert_array_equal(hits, np.bincount(seconds, minlength=n_neurons))
        np.testing.assert_allclose(sums, data.sums_seen(seconds, n_neurons)[0], atol=1e-7 * size)
        som_map.prototypes = som_map.prototypes + 0.1 * rng.normal(size=som_map.prototypes.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classed", [False, True])
def test_tuned_sums_are_the_same_bits_for_any_threads_and_history(dtype, classed):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 20)).astype(dtype)
    codes = rng.integers(0, 4, size=len(X))
    som_map = SomMap.rectangle(6, 7, rng.normal(size=(42, 20)))
    moved = som_map.prototypes + 0.05 * rng.normal(size=(42, 20))

    def tuned(threads, warm):
        data = LocalSamples(X, EUCLIDEAN, threads, codes=codes)
        search = FastSearch(data, PackedSamples.of(X, threads))
        for prototypes in [som_map.prototypes] * warm + [moved]:
            later = SomMap.rectangle(6, 7, prototypes)
            found = search.assign(prototypes, later.positions)
            classes = Classes.of(found.bmu, codes, 42) if classed else None
            if classes is not None:
                found = found.trained_by_class(classes.leads)
            hits, sums = linked_totals(found, later, classes)
        return found.totals.sums, found.totals.hits, hits, sums

    expected = tuned(1, 0)
    for threads, warm in ((2, 0), (3, 1), (1, 3)):
        for a, b in zip(tuned(threads, warm), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_prototypes_far_away_are_not_laid_out(bad):
    X = np.random.default_rng(0).normal(size=(50, 3))
    search = FastSearch(LocalSamples(X, EUCLIDEAN), PackedSamples.of(X, 1))
    W, drift = np.zeros((3, 3)), np.zeros(1)
    W[1, 2] = bad
    assert search._packer.pack(W, in_rows(np.arange(3), PANEL_ROWS), drift) is None
    assert drift[0] == 0.0
    found = search.assign(np.where(np.isnan(W), 1e30, W))
    np.testing.assert_array_equal(found.bmu, 0)


def test_a_search_for_two_between_passes_of_another_size_does_no_harm(two_of):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    search = FastSearch(LocalSamples(X, EUCLIDEAN), PackedSamples.of(X, 1), prunes=True)
    W = rng.normal(size=(40, 4))
    search.assign(W[:20])
    two_of(search, W)
    found = search.assign(W)
    D = distances(X, W)
    np.testing.assert_array_equal(found.bmu, D.argmin(axis=1))
    np.testing.assert_array_equal(
        found.totals.hits, np.bincount(D.argmin(axis=1), minlength=len(W))
    )
