"""``plan``: what a fit takes, with nothing changed and no cluster started."""

import numpy as np
import pytest
import scipy.sparse

from dbgsom_core import SomClassifier, SomVQ
from dbgsom_core.estimators import planning

X = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(planning, "PROBE_ROWS", 600)


def test_a_whole_fit_is_planned_as_it_was():
    called = []
    vq = SomVQ(max_neurons=9, epochs=6, tol=0, callbacks=[called.append])
    plan = vq.plan(X[:900])
    assert not called
    assert not hasattr(vq, "weights_")
    assert (plan.rows, plan.features, plan.most_neurons) == (900, 3, 9)
    vq.fit(X[:900])
    assert plan.probe.whole
    assert [one.quantization_error for one in plan.probe.history] == [
        one.quantization_error for one in vq.history_
    ]
    assert plan.seconds == (sum(plan.probe.seconds),) * 2
    assert plan.epoch_seconds[0] == pytest.approx(plan.seconds[0] / 6)
    assert plan.network is None
    assert str(plan).splitlines()[1].startswith("epoch     about ")


def test_some_rows_tell_of_all_of_a_table_and_leave_it_where_it_is(few, tmp_path):
    np.save(tmp_path / "X.npy", X)
    stored = np.load(tmp_path / "X.npy", mmap_mode="r")
    vq = SomVQ(max_neurons=9, epochs=6, engine="dask")
    plan = vq.plan(stored, seconds=0)
    assert plan.probe.rows == 600
    assert 0 < plan.epoch_seconds[0] <= plan.epoch_seconds[1]
    held = SomVQ(max_neurons=9, epochs=6).plan(X, seconds=0)
    left = 4000 - 600
    assert plan.memory - left * 24 == pytest.approx(held.memory - left * 12 * 2.4, rel=0.02)


def test_of_a_collection_some_partitions_are_computed(few, monkeypatch):
    da = pytest.importorskip("dask.array")
    monkeypatch.setattr("dbgsom_plugins.engines.dask.DaskEngine.session", 1 / 2)
    loaded = []

    def load(block):
        loaded.append(len(block))
        return block

    lazy = da.from_array(X, chunks=(200, 3)).map_blocks(load, dtype=X.dtype, meta=X[:0])
    codes = np.repeat(np.arange(4), 1000)
    plan = SomClassifier(max_neurons=9, epochs=6).plan(lazy, codes, seconds=0)
    assert (plan.rows, plan.probe.rows) == (4000, 200)
    assert len(loaded) <= 2
    assert plan.network == 9 * 8 * (3 * 3 + 16 + 2)
    assert "network   at most" in str(plan)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SomClassifier().plan(lazy, codes[:40])
    with pytest.raises(ValueError, match="X has no rows"):
        SomVQ().plan(lazy[:0])
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        SomVQ().plan(lazy[lazy[:, 0] > 0])


@pytest.mark.parametrize("kind", ["csr", "coo", "pandas", "pyarrow"])
def test_rows_of_what_fit_takes_are_taken(kind, few):
    given = np.abs(X[:900])
    if kind in ("csr", "coo"):
        given = scipy.sparse.coo_array(given).asformat(kind)
    else:
        module = pytest.importorskip(kind)
        make = module.DataFrame if kind == "pandas" else module.table
        given = make({f"x{i}": column for i, column in enumerate(given.T)})
    plan = SomVQ(metric="cosine", max_neurons=9, epochs=3).plan(given, seconds=0)
    assert (plan.rows, plan.features, plan.probe.rows) == (900, 3, 600)


def test_what_fit_refuses_is_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SomClassifier().plan(X, np.zeros(40))
    with pytest.raises(ValueError, match="'epochs' parameter of SomVQ must be"):
        SomVQ(epochs=0).plan(X)
    with pytest.raises(ValueError, match="all values are missing"):
        SomVQ().plan(np.full((50, 2), np.nan))
