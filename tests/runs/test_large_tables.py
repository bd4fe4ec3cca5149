"""Files larger than memory are trained on and answered block by block."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import dbgsom_core
from dbgsom_core.engine.tables import BlockTable
from dbgsom_core.runs.data import ready
from dbgsom_core.runs.using.table_reading import Wanted, chunks_of

ROWS, FEATURES = 60_000, 8


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A table of six row groups, and its file."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X = np.random.default_rng(0).normal(size=(ROWS, FEATURES))
    path = tmp_path_factory.mktemp("tables") / "large.parquet"
    table = pa.table({f"x{i}": column for i, column in enumerate(X.T)})
    pq.write_table(table, path, row_group_size=ROWS // 6)
    return X, path


def test_a_parquet_file_that_is_answered_is_not_held_in_memory(parquet, monkeypatch):
    X, path = parquet
    monkeypatch.setattr("dbgsom_core.runs.using.table_reading.CELLS_A_CHUNK", 1 << 13)
    done = 0
    tracemalloc.start()  # sees arrays and what is read of the file
    try:
        for chunk in chunks_of(str(path), Wanted(None, FEATURES)):
            np.testing.assert_array_equal(chunk.X, X[done : done + len(chunk.X)])
            done += len(chunk.X)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done == ROWS
    assert held < X.nbytes / 2


# ------------------------------------------------------------------------------------ training


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of samples of unlike columns, and of their classes."""
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, 9000)
    X = (3 * rng.normal(size=(4, 5)))[codes] + rng.normal(size=(9000, 5))
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "x.npy", (X * 10.0 ** np.arange(5) + 7).astype(np.float32))
    np.save(folder / "y.npy", codes)
    frame = pd.DataFrame(np.load(folder / "x.npy"), columns=list("abcde"))
    frame.assign(kind=np.array(list("uvwx"))[codes]).to_parquet(
        folder / "t.parquet", row_group_size=2000
    )
    return folder


ARRAYS = {"name": "npy", "path": "x.npy", "target_path": "y.npy"}
TABLE = {"name": "parquet", "path": "t.parquet", "target": "kind"}


def trained(folder, engine, dataset, prepare, **more):
    """Run a configuration, and return the run and the samples that it was trained on."""
    config = {
        "experiment": "large",
        "dataset": dataset,
        "prepare": prepare,
        "model": {"estimator": "classifier", "epochs": 3, "max_neurons": 12},
        "engine": engine,
        "tracking": [],
        **more,
    }
    seen = []

    def noticed(*given, made=ready.make_ready):
        found = made(*given)
        seen.append(found.fold.train.X)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("dbgsom_core.runs.pipeline.make_ready", noticed)
        patch.setattr("dbgsom_core.runs.data.prepare._PIECE", 4000)  # several
        return dbgsom_core.run(config), seen[0]


@pytest.mark.parametrize(
    ("dataset", "prepare"),
    [
        (ARRAYS, [{"name": "standardize", "copy": False}, "range_scale"]),
        (TABLE, ["sklearn.preprocessing:MinMaxScaler", "sklearn.preprocessing:MaxAbsScaler"]),
    ],
)
def test_what_is_prepared_block_by_block_has_the_bits_of_memory(saved, dataset, prepare):
    more = {"split": {"test_size": 0.25}, "measures": ["quantization_error", "accuracy"]}
    more["figures"] = []
    blocks, table = trained(saved, {"name": "blocks", "block": 0.02}, dataset, prepare, **more)
    memory, array = trained(saved, "local", dataset, prepare, **more)
    assert isinstance(table, BlockTable)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(table[:], array)
    mine, usual = blocks.model, memory.model
    np.testing.assert_array_equal(mine.estimator.weights_, usual.estimator.weights_)
    for one, other in zip(mine.steps, usual.steps, strict=True):
        state, theirs = vars(one[1]), vars(other[1])
        assert all(np.array_equal(state[name], theirs[name]) for name in theirs)
    assert blocks.measures == memory.measures
    for name in ("assignments.csv", "neurons.csv"):
        assert (blocks.folder / name).read_bytes() == (memory.folder / name).read_bytes()
