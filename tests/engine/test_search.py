"""The fast search finds what the plain loop finds, whatever it remembers and however it runs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.engine import samples as samples_module
from dbgsom_core.engine.packed_search import nearest_units
from dbgsom_core.engine.packing import PackedSamples
from dbgsom_core.engine.results import (
    count_classes,
    linked_runners_up,
    majority_classes,
    winners_of_own_class,
)
from dbgsom_core.engine.samples import Samples
from dbgsom_core.interfaces.component import guarded
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_plugins.metrics.norms import Euclidean

EUCLIDEAN = guarded(Euclidean())


def plain(X, prototypes):
    return Samples(X, EUCLIDEAN).assign_plainly(prototypes)


def grid(n_neurons):
    return np.column_stack(np.divmod(np.arange(n_neurons), 5)[::-1])


class OwnPass(Samples):
    """Those of an engine that finds units itself."""

    def assign(self, prototypes):
        return self.assign_plainly(prototypes)


@st.composite
def data_and_prototypes(draw):
    """Samples with ties, duplicates, constant columns and offsets, and prototypes among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, d = draw(st.integers(2, 150)), draw(st.sampled_from([1, 2, 3, 4, 9, 17]))
    kind = draw(st.sampled_from(["normal", "coarse", "clusters", "wide"]))
    X = rng.normal(size=(n, d))
    if kind == "coarse":
        X = rng.integers(-2, 3, size=(n, d)).astype(float)
    elif kind == "clusters":
        X = 1e-7 * X + rng.integers(0, 2, size=(n, d))
    elif kind == "wide":
        X *= 10.0 ** rng.integers(-6, 7, size=d)
    if draw(st.booleans()):
        X[:, 0] = 3.0
    X += draw(st.sampled_from([0.0, 1000.0, -1e6]))
    X = X.astype(draw(st.sampled_from([np.float32, np.float64])))
    n_neurons = draw(st.integers(1, 90))
    prototypes = X[rng.integers(n, size=n_neurons)].astype(float)
    if draw(st.booleans()):
        prototypes += (
            np.std(X) * rng.normal(size=prototypes.shape) * draw(st.sampled_from([1, 0.1]))
        )
    return X, prototypes, rng


def assert_same(found, X, prototypes):
    expected = plain(X, prototypes)
    np.testing.assert_array_equal(found.bmu, expected.bmu)
    np.testing.assert_array_equal(found.distance, expected.distance)
    totals, n_neurons = found.totals, len(prototypes)
    np.testing.assert_array_equal(totals.hits, np.bincount(expected.bmu, minlength=n_neurons))
    errors = np.bincount(expected.bmu, expected.distance, n_neurons)
    np.testing.assert_allclose(totals.errors, errors, rtol=1e-5, atol=1e-7 * len(X) * np.ptp(X))
    sums = Samples(X, EUCLIDEAN).sums_seen(expected.bmu, n_neurons)[0]
    np.testing.assert_allclose(totals.sums, sums, atol=1e-7 * len(X) * np.abs(X).max())


@settings(deadline=None)
@given(data_and_prototypes())
def test_units_and_distances_are_those_of_the_plain_loop_epoch_after_epoch(fast, drawn):
    X, prototypes, rng = drawn
    searches = [fast(X, prune)[0] for prune in (True, False)]
    size = np.std(X)
    for epoch in range(7):
        pruned, brute = (s.assign(prototypes, grid(len(prototypes))) for s in searches)
        assert_same(pruned, X, prototypes)
        np.testing.assert_array_equal(pruned.bmu, brute.bmu)
        for name in ("hits", "sums", "errors"):
            np.testing.assert_array_equal(getattr(pruned.totals, name), getattr(brute.totals, name))
        step = size * 10.0 ** -rng.integers(0, 7)
        prototypes = prototypes + step * rng.normal(size=prototypes.shape) * (epoch % 3 > 0)


@settings(deadline=None)
@given(data_and_prototypes(), st.booleans())
def test_newcomers_are_admitted_as_if_all_had_been_compared(fast, drawn, prune):
    X, prototypes, rng = drawn
    search = fast(X, prune)[0]
    for _ in range(6):
        known = len(prototypes)
        found = search.assign(prototypes, grid(known))
        born = X[rng.integers(len(X), size=rng.integers(1, 12))].astype(float)
        prototypes = np.vstack([prototypes, born])
        found = search.assign_new_neurons(found, prototypes, grid(len(prototypes)), known)
        assert_same(found, X, prototypes)
        prototypes = prototypes + 0.01 * np.std(X) * rng.normal(size=prototypes.shape)


@pytest.mark.parametrize("growth", ["directed", {"name": "fixed", "rows": 6, "columns": 7}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_is_the_same_for_any_number_of_threads(growth, dtype, rng):
    X = rng.normal(size=(9000, 12)).astype(dtype)
    y = X[:, 0] > 0
    fits = []
    for threads, rows in ((1, 4096), (2, 64), (3, 1000)):
        engine = {"name": "local", "threads": threads, "chunk_rows": rows}
        samples = np.asfortranarray(X) if threads == 3 else X
        fits.append(SomClassifier(growth=growth, epochs=20, engine=engine).fit(samples, y))
    first, *others = fits
    for other in others:
        np.testing.assert_array_equal(other.weights_, first.weights_)
        np.testing.assert_array_equal(other.predict_proba(X), first.predict_proba(X))
        np.testing.assert_array_equal(other.score_samples(X), first.score_samples(X))
        assert other.history_[-1].quantization_error == first.history_[-1].quantization_error
        assert other.topographic_error_ == first.topographic_error_


def test_blocks_of_float64_follow_where_float32_leaves_too_many_in_doubt(fast, rng):
    X = rng.normal(size=(3000, 6))
    X[::500] *= 1e5  # beside these all others look alike
    prototypes = np.vstack([X[::500], X[1:40]])
    search, part = fast(X, prune=True)
    for _ in range(4):
        assert_same(search.assign(prototypes, grid(len(prototypes))), X, prototypes)
        prototypes = prototypes + 1e-3 * rng.normal(size=prototypes.shape)
    assert part.samples.dtype == np.float64


@pytest.mark.parametrize("bad", [np.inf, 1e30, 1e200])
def test_prototypes_far_away_from_the_data_are_found_too(fast, bad, rng):
    X, W = rng.normal(size=(300, 4)), rng.normal(size=(12, 4))
    search, _ = fast(X)
    for value in (0.0, bad, 0.0):
        W[1, 2] = value
        np.testing.assert_array_equal(search.assign(W, grid(12)).bmu, plain(X, W).bmu)


def test_a_map_is_the_same_in_less_working_memory(rng):
    centres = rng.normal(size=(64, 8))
    X = centres[rng.integers(64, size=40_000)] + 0.05 * rng.normal(size=(40_000, 8))
    growth = {"name": "fixed", "rows": 8, "columns": 8}

    def fitted(memory):
        engine = {"name": "local", "working_memory": memory}
        return SomVQ(growth=growth, epochs=8, tol=0.0, engine=engine).fit(X)

    copy = PackedSamples.bytes_for(X) / 2**20
    usual, without_bounds, without_copy = map(fitted, (None, copy + 0.01, copy - 0.1))
    np.testing.assert_array_equal(without_bounds.weights_, usual.weights_)
    # Sums of samples as given, which are rounded in another way.
    np.testing.assert_allclose(without_copy.weights_, usual.weights_, atol=1e-9)
    np.testing.assert_array_equal(without_copy.labels_, usual.labels_)


# ------------------------------------------------------------------------------- fine-tuning


def distances(X, prototypes):
    """Every distance by definition: float64, squares added feature by feature."""
    total = np.zeros((len(X), len(prototypes)))
    for k in range(X.shape[1]):
        total += (X[:, k, None].astype(float) - prototypes[:, k]) ** 2
    return np.sqrt(total)


def nearest(row, neurons):
    return min(neurons, key=lambda j: (row[j], j))


def runners_up(D, units, som_map, codes, majority):
    seconds = []
    for i, unit in enumerate(units):
        linked = np.flatnonzero(som_map.hops[unit] == 1)
        code = -1 if majority is None else codes[i]
        of_class = [j for j in linked if code >= 0 and majority[j, code]]
        seconds.append(nearest(D[i], of_class or list(linked)))
    return np.array(seconds)


def own_winners(D, units, codes, majority):
    winners = []
    for i, (unit, code) in enumerate(zip(units, codes, strict=True)):
        of_class = np.flatnonzero(majority[:, code]) if code >= 0 else []
        stays = code < 0 or majority[unit, code] or len(of_class) == 0
        winners.append(unit if stays else nearest(D[i], of_class))
    return np.array(winners)


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
@given(st.data(), st.booleans(), st.sampled_from([1, 3]))
def test_the_fast_search_tunes_as_the_definition_epoch_after_epoch(
    fast, grid, drawn, classed, threads
):
    """Prototypes move, the map grows, samples are laid out anew: sums of changes stay true."""
    X, som_map, codes, rng = drawn.draw(cases(grid))
    search, part = fast(X, True, threads, codes)
    data = replace(part.data, codes=codes)
    tolerance = {"atol": 1e-7 * len(X) * np.abs(X).max()}
    for epoch in range(8):
        found = search.assign(som_map.prototypes, som_map.positions)
        if epoch == 4:
            known, (cell, parent) = len(som_map), min(free_cells(som_map))
            som_map.add([(cell, X[0].astype(float), parent)], epoch)
            found = search.assign_new_neurons(found, som_map.prototypes, som_map.positions, known)
        D, n_neurons = distances(X, som_map.prototypes), len(som_map)
        units, majority = D.argmin(axis=1), None
        if classed:
            counts = count_classes(found.bmu, codes, n_neurons, int(codes.max()) + 1)
            majority = majority_classes(counts)
            winners = winners_of_own_class(data, units, som_map.prototypes, majority)
            units = own_winners(D, units, codes, majority)
            np.testing.assert_array_equal(winners, units)
            found = found.reassign_to_own_class(majority)
        np.testing.assert_array_equal(found.bmu, units)
        np.testing.assert_array_equal(found.totals.hits, np.bincount(units, minlength=n_neurons))
        sums = data.sums_seen(units, n_neurons)[0]
        np.testing.assert_allclose(found.totals.sums, sums, **tolerance)
        seconds = runners_up(D, units, som_map, codes, majority)
        plain_seconds = linked_runners_up(data, units, som_map.prototypes, som_map.links, majority)
        np.testing.assert_array_equal(plain_seconds, seconds)
        packed_sums, hits = found._linked(som_map.links, majority)
        sums = found._unpacked(packed_sums, hits)
        np.testing.assert_array_equal(hits, np.bincount(seconds, minlength=n_neurons))
        np.testing.assert_allclose(sums, data.sums_seen(seconds, n_neurons)[0], **tolerance)
        som_map.prototypes = som_map.prototypes + 0.1 * rng.normal(size=som_map.prototypes.shape)


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_are_the_same_bits_for_any_engine(fast, dtype, rng):
    X = (rng.normal(size=(6000, 37)) + 5).astype(dtype)
    W = np.vstack([X[:10], X[10:30] + 1e-7, rng.permutation(X)[:50] + 0.1]).astype(float)
    doubled, part = fast(X)
    part.double()
    searches = [fast(X, None, 2)[0], doubled, OwnPass(X, EUCLIDEAN).search()]
    first, *others = (search.assign(W, grid(80)) for search in searches)
    expected = np.bincount(first.bmu, first.distance, 80)
    np.testing.assert_allclose(first.errors, expected, rtol=1e-7, atol=1e-7)
    for other in others:
        np.testing.assert_array_equal(other.errors, first.errors)
        assert other.total_error == first.total_error


# ---------------------------------------------------------------------------- sizes at the far ends


# ----------------------------------------------------------------------------- single passes


@settings(deadline=None)
@given(
    data_and_prototypes(),
    st.sampled_from([1, 3]),
    st.sampled_from([1.0, 1e28]),
    st.sampled_from([1.0, 1e6, 1e28]),
)
def test_the_nearest_are_those_of_the_plain_loop(drawn, threads, far_sample, far_prototype):
    """Also of samples and prototypes that are too far out to be packed."""
    X, W, _ = drawn
    X[0] *= X.dtype.type(far_sample)
    W = np.vstack([W, far_prototype * W[:1]])
    data = Samples(X, EUCLIDEAN, threads)
    expected, distances = data.nearest_plainly(W, 2)
    np.testing.assert_array_equal(nearest_units(data, W, 2), expected)
    np.testing.assert_array_equal(nearest_units(data, W, 1), expected[:, :1])
    for units, exact in zip(expected.T, distances.T, strict=True):
        np.testing.assert_array_equal(data.distances_to(W, units), exact)


@pytest.mark.parametrize("size", [1e-320, 1e-150, 1e150, 1e307])
def test_units_are_those_of_the_definition_where_its_squares_are_0_or_infinite(
    size, rng, monkeypatch
):
    monkeypatch.setattr(samples_module, "_PACKING_PAYS_ONCE", 0)
    X, W = size * rng.uniform(-1, 1, size=(40, 3)), size * rng.uniform(-1, 1, size=(9, 3))
    data = Samples(X, EUCLIDEAN)
    with np.errstate(over="ignore"):
        expected = data.nearest_plainly(W, 2)[0]
        np.testing.assert_array_equal(data.nearest_units(W, 2)[0], expected)
        np.testing.assert_array_equal(data.assign(W).bmu, data.assign_plainly(W).bmu)


def spheres(d, rng):
    """Prototypes around a sample whose distances differ by a few units of the last bit."""
    X = rng.normal(size=(30, d)) + rng.choice([0.0, 1000.0])
    directions = rng.normal(size=(60, d))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    radii = 1 + rng.integers(-3, 4, size=60) * 10.0 ** -rng.integers(6, 17, size=60)
    return X, X[rng.integers(3, size=60)] + radii[:, None] * directions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 64])
def test_prototypes_a_few_bits_apart_are_told_apart_as_the_definition_does(fast, dtype, d, rng):
    for _ in range(6):
        X, W = spheres(d, rng)
        X = np.vstack([X, X[:3]]).astype(dtype)
        expected = plain(X, W).bmu
        for doubled in (False, True):
            search, part = fast(X, prune=True)
            if doubled:
                part.double()
            for _ in range(3):
                np.testing.assert_array_equal(search.assign(W, None).bmu, expected)
