"""The fast search finds what the plain loop finds, whatever it remembers and however it runs."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core import SomVQ
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.euclidean.search import FastSearch
from dbgsom_core.engine.local import LocalSamples
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.plugins.registry import get_registry
from dbgsom_plugins.engines.local import LocalEngine

KERNEL = {"name": "gaussian", "start": 2.0, "end": 0.5}
EUCLIDEAN = MetricAbilities.of(get_registry().build("metric", "euclidean"))


def plain(X, prototypes):
    return LocalSamples(X, EUCLIDEAN).assign_plainly(prototypes)


def fast(X, prunes, threads=1):
    return FastSearch(LocalSamples(X, EUCLIDEAN), PackedSamples.of(X, threads), prunes)


def grid(n_neurons):
    return np.column_stack(np.divmod(np.arange(n_neurons), 5)[::-1])


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
    totals = found.totals
    n_neurons = len(prototypes)
    np.testing.assert_array_equal(totals.hits, np.bincount(expected.bmu, minlength=n_neurons))
    errors = np.bincount(expected.bmu, expected.distance, n_neurons)
    np.testing.assert_allclose(totals.errors, errors, rtol=1e-5, atol=1e-7 * len(X) * np.ptp(X))
    assert found.total_error == pytest.approx(totals.errors.sum(), rel=1e-12)
    sums = LocalSamples(X, EUCLIDEAN).sums_seen(expected.bmu, n_neurons)[0]
    size = len(X) * np.abs(X).max()
    np.testing.assert_allclose(totals.sums, sums, atol=1e-7 * size)


@settings(deadline=None)
@given(data_and_prototypes())
def test_units_and_distances_are_those_of_the_plain_loop_epoch_after_epoch(drawn):
    X, prototypes, rng = drawn
    searches = [fast(X, True), fast(X, False)]
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
def test_newcomers_are_admitted_as_if_all_had_been_compared(drawn, prunes):
    X, prototypes, rng = drawn
    search = fast(X, prunes)
    for _ in range(6):
        known = len(prototypes)
        found = search.assign(prototypes, grid(known))
        born = X[rng.integers(len(X), size=rng.integers(1, 12))].astype(float)
        prototypes = np.vstack([prototypes, born])
        found = search.admit(found, prototypes, grid(len(prototypes)), known)
        assert_same(found, X, prototypes)
        anew = fast(X, prunes)  # whose panels are others
        first = anew.assign(prototypes[:known], grid(known))
        again = anew.admit(first, prototypes, grid(len(prototypes)), known)
        assert again.total_error == found.total_error
        prototypes = prototypes + 0.01 * np.std(X) * rng.normal(size=prototypes.shape)


@settings(deadline=None)
@given(data_and_prototypes(), st.booleans())
def test_the_two_nearest_are_those_of_the_plain_loop(two_of, drawn, prunes):
    X, prototypes, _ = drawn
    prototypes = np.vstack([prototypes, prototypes[:1]])
    search = fast(X, prunes)
    for _ in range(3):
        search.assign(prototypes, grid(len(prototypes)))
    expected, _ = LocalSamples(X, EUCLIDEAN).nearest_plainly(prototypes, 2)
    np.testing.assert_array_equal(two_of(search, prototypes), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_leave_out_most_of_a_settled_map(dtype, rng):
    centres = rng.normal(size=(40, 8)) * 20
    X = (centres[rng.integers(40, size=4000)] + rng.normal(size=(4000, 8))).astype(dtype)
    centres = centres[np.argsort(centres[:, 0])]
    search, brute = fast(X, None), fast(X, False)
    for _ in range(8):
        assert_same(search.assign(centres, grid(40)), X, centres)
        brute.assign(centres, grid(40))
    assert search.panels_compared < 0.7 * brute.panels_compared


@pytest.mark.parametrize("growth", ["directed", {"name": "fixed", "rows": 6, "columns": 7}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_is_the_same_for_any_number_of_threads(growth, dtype, rng):
    X = rng.normal(size=(9000, 12)).astype(dtype)
    fits = [
        SomVQ(growth=growth, epochs=20, engine={"name": "local", "threads": t, "chunk_rows": c})
        for t, c in ((1, 4096), (2, 64), (3, 1000))
    ]
    first, *others = (estimator.fit(X) for estimator in fits)
    for other in others:
        np.testing.assert_array_equal(other.weights_, first.weights_)
        np.testing.assert_array_equal(other.labels_, first.labels_)
        assert other.history_[-1].quantization_error == first.history_[-1].quantization_error
        assert other.topographic_error_ == first.topographic_error_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_float64_follow_where_float32_leaves_too_many_in_doubt(dtype, rng):
    X = rng.normal(size=(3000, 6))
    X[::500] *= 1e5  # beside these all others look alike
    X = X.astype(dtype)
    prototypes = np.vstack([X[::500], X[1:40]]).astype(float)
    search = fast(X, prunes=True)
    for _ in range(4):
        assert_same(search.assign(prototypes, grid(len(prototypes))), X, prototypes)
        prototypes = prototypes + 1e-3 * rng.normal(size=prototypes.shape)
    assert search.samples.one.dtype == np.float64
    assert search.panels_compared > 0
    calm = fast(rng.normal(size=(3000, 6)).astype(dtype), prunes=True)
    calm.assign(rng.normal(size=(45, 6)), grid(45))
    assert calm.samples.one.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [5, 16, 37])
def test_sums_do_not_depend_on_the_dtype_of_the_blocks(dtype, d, rng, monkeypatch):
    X = rng.normal(size=(2000, d)).astype(dtype)
    prototypes = rng.normal(size=(30, d))
    seconds = prototypes + 0.3 * rng.normal(size=(30, d))
    totals = []
    for doubts in (-1.0, 1.0):  # at once, never
        monkeypatch.setattr("dbgsom_core.engine.euclidean.search.DOUBTS", doubts)
        search = fast(X, prunes=True)
        search.assign(prototypes, grid(30))
        assert search.samples.one.dtype == (np.float64 if doubts < 0 else np.float32)
        totals.append(search.assign(seconds, grid(30)).totals)
    np.testing.assert_array_equal(totals[0].sums, totals[1].sums)
    np.testing.assert_array_equal(totals[0].hits, totals[1].hits)
    packed = PackedSamples.of(X, 1)
    numbers = np.rint(
        (X.astype(float) - packed.frame.centre) * (packed.frame.scale / packed.frame.grid)
    )
    exact = np.zeros((30, d))
    np.add.at(exact, plain(X, seconds).bmu, (numbers * packed.frame.grid).astype(dtype))
    np.testing.assert_array_equal(search._sums[:, :d], exact)


def test_prototypes_far_away_from_the_data_are_found_too(rng):
    X = rng.normal(size=(300, 4))
    search = fast(X, None)
    for scale in (1.0, 1e200, 1.0):
        prototypes = scale * rng.normal(size=(12, 4))
        found = search.assign(prototypes, grid(12))
        np.testing.assert_array_equal(found.bmu, plain(X, prototypes).bmu)


def test_without_working_memory_there_are_no_margins_and_then_no_packed_copy(rng):
    centres = rng.normal(size=(64, 8))
    X = centres[rng.integers(64, size=40_000)] + 0.05 * rng.normal(size=(40_000, 8))
    growth = {"name": "fixed", "rows": 8, "columns": 8}

    def fitted(memory):
        engine = {"name": "local", "working_memory": memory}
        return SomVQ(growth=growth, epochs=8, tol=0.0, engine=engine).fit(X)

    def trained(memory):
        data = LocalEngine(working_memory=memory).over(X, EUCLIDEAN)
        search = data.search()
        for epoch in range(4):
            search.assign(centres + 1e-3 * epoch, grid(64))
        return data, search

    copy = PackedSamples.bytes_for(X) / 2**20
    assert copy * 2**20 >= PackedSamples.of(X, 1).blocks.numbers.nbytes
    usual, (_, search) = fitted(None), trained(None)
    assert search.pruning.margins is not None
    _, search = trained(copy + 0.01)
    assert isinstance(search, FastSearch)
    assert search.pruning.margins is None
    np.testing.assert_array_equal(fitted(copy + 0.01).weights_, usual.weights_)
    data, search = trained(copy - 0.1)
    assert data.packed is None
    frugal = fitted(copy - 0.1)  # sums of samples as given, which are rounded in another way
    np.testing.assert_allclose(frugal.weights_, usual.weights_, atol=1e-9)
    np.testing.assert_array_equal(frugal.labels_, usual.labels_)


@pytest.mark.parametrize("laid_out", [np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2]])
def test_samples_that_do_not_lie_row_by_row_are_found_as_well(laid_out, rng):
    X = rng.normal(size=(9000, 12))
    data = LocalSamples(laid_out(X), EUCLIDEAN)
    expected = plain(X, X[:20])
    np.testing.assert_array_equal(data.search().assign(X[:20], grid(20)).bmu, expected.bmu)
    np.testing.assert_array_equal(data.assign(X[:20]).bmu, expected.bmu)


@pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="the test sets it itself")
def test_a_compiler_that_has_only_avx2_makes_the_same_map():
    code = (
        "import numpy as np; from dbgsom_core import SomVQ;"
        "X = np.random.default_rng(0).normal(size=(9001, 12)).astype('f4');"
        "m = SomVQ(growth={'name': 'fixed', 'rows': 6, 'columns': 7}, epochs=5).fit(X);"
        "units, error = m.bmu(X), m.quantization_error_"
    )
    here = {}
    exec(code, here)
    # A name alone does not do: numba keeps the features of the host.
    other = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi"}
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; print(units.tolist(), error)"],
        env={**os.environ, **other},
        capture_output=True,
        text=True,
        check=True,
    )
    units, _, error = run.stdout.rpartition(" ")
    assert units == str(here["units"].tolist())
    assert float(error) == pytest.approx(here["error"], rel=1e-12)
