"""CSR samples give the map of their dense copy, without one."""

import numpy as np
import pytest
import scipy.sparse as sp

from dbgsom_core import SomClassifier, SomVQ


def sparse_table(n=400, d=120):
    rng = np.random.default_rng(0)
    topics = 5 * rng.random((8, d)) * (rng.random((8, d)) < 0.15)
    X = topics[rng.integers(8, size=n)] * (rng.random((n, d)) < 0.5)
    return X + rng.random((n, d)) * (rng.random((n, d)) < 0.08)


@pytest.mark.parametrize(
    ("metric", "container"), [("euclidean", sp.csr_array), ("cosine", sp.coo_matrix)]
)
def test_the_map_is_that_of_the_dense_copy(metric, container):
    X = sparse_table()
    dense = SomVQ(metric=metric, epochs=20).fit(X)
    sparse = SomVQ(metric=metric, epochs=20).fit(container(X))
    assert sparse.neurons_ == dense.neurons_
    np.testing.assert_allclose(sparse.weights_, dense.weights_, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(sparse.labels_, dense.labels_)
    assert sparse.quantization_error_ == pytest.approx(dense.quantization_error_, rel=1e-9)
    assert sparse.topographic_error_ == dense.topographic_error_
    new, new_sparse = X[:50], container(X[:50])
    np.testing.assert_array_equal(sparse.predict(new_sparse), dense.predict(new))
    for algorithm in ("mixture", "distances"):
        found = sparse.transform(new_sparse, algorithm)
        expected = dense.transform(new, algorithm)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_many_columns_need_no_dense_copy(rng):
    """A dense copy of these takes 16 GB."""
    rows, columns = np.arange(60_000) % 2000, rng.integers(0, 1_000_000, 60_000)
    X = sp.csr_array((rng.random(60_000), (rows, columns)), shape=(2000, 1_000_000))
    vq = SomVQ(growth={"name": "fixed", "rows": 2, "columns": 2}, epochs=3).fit(X)
    assert vq.predict(X).shape == (2000,)
    assert vq.impute(X[:2]).shape == (2, 1_000_000)


def test_classifier_weights_and_partial_fit_take_sparse_samples():
    X = sparse_table()
    y = np.where(X[:, :40].sum(axis=1) > X[:, 40:80].sum(axis=1), "left", "right")
    weights = np.random.default_rng(0).integers(1, 3, len(X))
    classifiers = []
    for samples in (X, sp.csr_array(X)):
        clf = SomClassifier(epochs=20, max_neurons=40).fit(samples, y, weights)
        classifiers.append(clf.partial_fit(samples[:100], y[:100]))
    dense, sparse = classifiers
    np.testing.assert_allclose(dense.weights_, sparse.weights_, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(dense.predict(X), sparse.predict(sp.csr_array(X)))


def test_what_cannot_be_used_is_refused_kindly():
    X = sp.csr_array(sparse_table(50, 10))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        SomVQ(metric="manhattan").fit(X)
    X.data[0] = np.nan
    with pytest.raises(ValueError, match="sparse X holds nan"):
        SomVQ().fit(X)
