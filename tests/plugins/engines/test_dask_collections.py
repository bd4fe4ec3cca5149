"""Dask arrays and data frames: answered lazily, and looked at before training."""

import dask
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from dbgsom_core import SomClassifier, SomRegressor, SomVQ

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")
PARAMS = {"max_neurons": 12, "epochs": 4, "tol": 0, "random_state": 0}
COLUMNS = list("abcde")


def samples():
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 4, 600)
    return ((3 * rng.normal(size=(4, 5)))[codes] + rng.normal(size=(600, 5))).astype(np.float32)


X = samples()
CLASSES = np.array(["ab", "b", "c", "dd"])[np.digitize(X[:, 0], [-3, 0, 3])]


def unequal():
    return da.from_array(X, chunks=((7, 300, 0, 293), (2, 3)))


def unknown():
    counted = da.from_array(X, chunks=(250, 5))
    return counted[counted[:, 0] > -1e9]


def framed(table):
    return dd.from_pandas(table, npartitions=2)


def frame():
    return framed(pd.DataFrame(X))


@pytest.fixture(scope="module")
def models():
    numbers = X[:, 0] + 2.0 * X[:, 1]
    return {
        "vq": SomVQ(**PARAMS).fit(X),
        "classifier": SomClassifier(**PARAMS).fit(X, CLASSES),
        "regressor": SomRegressor(calibration=0.2, **PARAMS).fit(X, numbers),
    }


@pytest.fixture
def computed():
    """Count what is computed, in this thread."""
    started = []

    class Hear(dask.callbacks.Callback):
        def _start(self, graph):
            started.append(len(graph))

    with dask.config.set(scheduler="synchronous"), Hear():
        yield started


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        (
            "vq",
            "predict transform bmu bmu_path impute score_samples decision_function novelty_pvalue",
        ),
        ("classifier", "predict predict_proba"),
        ("regressor", "predict predict_interval"),
    ],
)
def test_what_is_said_of_rows_is_lazy_and_the_same(kind, methods, models, computed):
    for method in methods.split():
        expected = getattr(models[kind], method)(X)
        for lies in (unequal, unknown, frame):
            told = getattr(models[kind], method)(lies())
            assert isinstance(told, da.Array)
            assert not computed
            assert told.dtype == expected.dtype
            np.testing.assert_array_equal(told.compute(), expected, method)
            assert len(computed) == 1
            computed.clear()


def test_sparse_answers_are_sparse_chunks(models, computed):
    expected = models["vq"].transform(X, sparse=True)
    for lies in (unequal, unknown, frame):
        told = models["vq"].transform(lies(), sparse=True).compute()
        assert isinstance(told, csr_array)
        assert (told != expected).nnz == 0


@pytest.mark.parametrize("lies", [unequal, frame])
def test_what_is_said_of_all_rows_is_computed_once(lies, models, computed):
    vq, classifier = models["vq"], models["classifier"]
    assert vq.score(lies()) == vq.score(X)
    np.testing.assert_array_equal(vq.topographic_function(lies()), vq.topographic_function(X))
    assert classifier.score(lies(), CLASSES) == classifier.score(X, CLASSES)
    assert models["regressor"].score(lies(), X[:, 0]) == models["regressor"].score(X, X[:, 0])
    assert len(computed) == 4


def test_refits_are_to_rows_that_were_computed_once(models, computed):
    stability = models["vq"].stability(frame(), n=2)
    assert stability.link_share == models["vq"].stability(X, n=2).link_share
    assert len(computed) == 1


# ------------------------------------------------------------------------------- bad input


def chunks(*parts):
    """Return an array that says of each part that it has half of the rows of X, in float32."""
    return da.concatenate(
        [da.from_delayed(dask.delayed(part), (300, 5), np.float32) for part in parts]
    )


def partitions(*parts):
    """Return a frame that says of each part that it is like X."""
    like = pd.DataFrame(X, columns=COLUMNS)
    parts = [dask.delayed(part) for part in (like[:300], *parts)]
    return dd.from_delayed(parts, meta=like[:0], verify_meta=False)


HALF = pd.DataFrame(X[300:], columns=COLUMNS)
GAP = np.where(np.arange(3000).reshape(600, 5) == 2003, np.nan, X)
CANNOT = [
    (lambda: chunks(X[:300], X[300:, :4]), r"partition 1 .* shape \(300, 4\), .* \(300, 5\)"),
    (lambda: chunks(X[:300], csr_array(X[300:])), "partition 1 .* holds no numbers"),
    (lambda: chunks(X[:300], np.ma.masked_less(X[300:], 0)), "partition 1 .* masked values"),
    (lambda: partitions(HALF.assign(b="Ulm")), "partition 1 .* no numbers: .*Ulm"),
    (lambda: framed(HALF.assign(town="Ulm")), "X holds no numbers in a column of str"),
    (lambda: framed(HALF.assign(b=pd.array([1, None] * 150, dtype="Int64"))), "row 1, column 1"),
    (lambda: framed(HALF[[]]), "X has no columns"),
    (lambda: framed(HALF.a), "X is a dask Series, not a two-dimensional array or a data frame"),
    (lambda: da.from_array(GAP, chunks=250), "missing or infinite, in row 400, column 3"),
    (lambda: da.zeros((0, 5), chunks=1), "X has no rows"),
    (lambda: da.from_array(X[:, 0]), "X is a dask Array, not a two-dimensional array"),
]


@pytest.mark.parametrize(("lies", "sentence"), CANNOT)
def test_what_cannot_be_used_is_told_before_training(client, lies, sentence):
    with pytest.raises(ValueError, match=sentence):
        SomVQ(**PARAMS).fit(lies())


@pytest.mark.parametrize("kind", [np.float16, ">f4", np.int64, bool])
def test_other_numbers_are_what_they_are_in_memory(client, kind):
    rows = X > 0 if kind is bool else X.astype(kind)
    mine, usual = (
        SomVQ(**PARAMS).fit(table) for table in (da.from_array(rows, chunks=(200, 5)), rows)
    )
    assert mine.weights_.dtype == usual.weights_.dtype
    np.testing.assert_array_equal(mine.weights_, usual.weights_)


def test_what_is_behind_a_mask_is_used_nowhere():
    with pytest.raises(ValueError, match="X holds masked values"):
        SomVQ(**PARAMS).fit(np.ma.masked_less(X, 0))
