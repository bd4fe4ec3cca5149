"""CSR samples give the map of their dense copy, without one."""

import numpy as np
import pytest
import scipy.sparse as sp

from dbgsom_core import SomClassifier, SomVQ


def sparse_table(n=400, d=120, density=0.08, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    topics = 5 * rng.random((8, d)) * (rng.random((8, d)) < 0.15)
    X = topics[rng.integers(8, size=n)] * (rng.random((n, d)) < 0.5)
    X += rng.random((n, d)) * (rng.random((n, d)) < density)
    return X.astype(dtype)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix, sp.csc_matrix, sp.coo_array])
def test_the_map_is_that_of_the_dense_copy(metric, container):
    X = sparse_table()
    dense = SomVQ(metric=metric, epochs=40).fit(X)
    sparse = SomVQ(metric=metric, epochs=40).fit(container(X))
    assert sparse.neurons_ == dense.neurons_
    np.testing.assert_allclose(sparse.weights_, dense.weights_, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(sparse.labels_, dense.labels_)
    assert sparse.quantization_error_ == pytest.approx(dense.quantization_error_, rel=1e-9)
    assert sparse.topographic_error_ == dense.topographic_error_
    for X_new in (X[:50], container(X[:50])):
        np.testing.assert_array_equal(sparse.predict(X_new), dense.predict(X[:50]))
        np.testing.assert_allclose(
            sparse.transform(X_new), dense.transform(X[:50]), rtol=1e-5, atol=1e-7
        )
        np.testing.assert_allclose(
            sparse.transform(X_new, "distances"), dense.transform(X[:50], "distances"), atol=1e-7
        )


def test_many_columns_need_no_dense_copy():
    """A dense copy of these would take 16 GB."""
    rng = np.random.default_rng(0)
    n, d = 2000, 1_000_000
    rows = np.repeat(np.arange(n), 30)
    columns = rng.integers(0, 200, size=len(rows)) + 1000 * (rows % 4)
    X = sp.csr_array((rng.random(len(rows)), (rows, columns)), shape=(n, d))
    growth = {"name": "fixed", "rows": 2, "columns": 2}
    vq = SomVQ(growth=growth, epochs=6).fit(X)
    groups = vq.predict(X)
    assert len({tuple(set(groups[np.arange(n) % 4 == k].tolist())) for k in range(4)}) >= 2
    assert vq.impute(X[:2]).shape == (2, d)


def test_classifier_weights_and_partial_fit_take_sparse_samples():
    X = sparse_table()
    y = np.where(X[:, :40].sum(axis=1) > X[:, 40:80].sum(axis=1), "left", "right")
    weights = np.random.default_rng(0).integers(1, 3, len(X))
    dense = SomClassifier(epochs=20, max_neurons=40).fit(X, y, weights)
    sparse = SomClassifier(epochs=20, max_neurons=40).fit(sp.csr_array(X), y, weights)
    np.testing.assert_array_equal(dense.predict(X), sparse.predict(sp.csr_array(X)))
    for clf, one in ((dense, X), (sparse, sp.csr_array(X))):
        clf.partial_fit(one[:100], y[:100])
    np.testing.assert_allclose(dense.weights_, sparse.weights_, rtol=1e-8, atol=1e-10)


def test_what_cannot_be_used_is_refused_kindly():
    X = sp.csr_array(sparse_table(50, 10))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        SomVQ(metric="manhattan").fit(X)
    X.data[0] = np.nan
    with pytest.raises(ValueError, match="sparse X holds nan"):
        SomVQ().fit(X)
