"""Files larger than memory are trained on and answered in pieces."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dbgsom_core
from dbgsom_core import SomVQ
from dbgsom_core.engine.partitions import Partitions
from dbgsom_core.persistence import FittedModel
from dbgsom_core.runs import pipeline
from dbgsom_core.runs import predict as samples

ROWS, FEATURES = 60_000, 8


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A table of six row groups, and its file."""
    X = np.random.default_rng(0).normal(size=(ROWS, FEATURES))
    path = tmp_path_factory.mktemp("tables") / "large.parquet"
    table = pa.table({f"x{i}": column for i, column in enumerate(X.T)})
    pq.write_table(table, path, row_group_size=ROWS // 6)
    return X, path


def test_a_parquet_file_that_is_answered_is_not_held_in_memory(parquet, monkeypatch):
    X, path = parquet
    monkeypatch.setattr(samples, "_CELLS", 1 << 13)
    model = FittedModel((), SomVQ(epochs=1).fit(X[:100]))
    done = most = 0
    before = pa.total_allocated_bytes()
    for batch in samples.FileSamples(str(path), model).batches():
        np.testing.assert_array_equal(batch.X, X[done : done + len(batch.X)])
        done += len(batch.X)
        most = max(most, pa.total_allocated_bytes() - before)
    assert done == ROWS
    assert most < X.nbytes / 2


# ------------------------------------------------------------------------------------ training


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of samples of unlike columns, and of their classes."""
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

    def noticed(*given, made=pipeline.prepare):
        found = made(*given)
        seen.append(found.fold.train.X)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("dbgsom_core.runs.pipeline.prepare", noticed)
        patch.setattr("dbgsom_core.engine.partitions._RANGE_ROWS", 1024)  # several
        patch.setattr("dbgsom_core.engine.partitioned._FEW_BYTES", 0)
        return dbgsom_core.run(config), seen[0]


@pytest.mark.parametrize(
    ("dataset", "prepare"),
    [
        (ARRAYS, [{"name": "standardize", "copy": False}, "range_scale"]),
        (TABLE, ["sklearn.preprocessing:MinMaxScaler"]),
    ],
)
def test_what_is_prepared_where_it_is_has_the_bits_of_memory(saved, dataset, prepare):
    more = {"split": {"test_size": 0.25}, "measures": ["quantization_error", "accuracy"]}
    more["figures"] = []
    outside, table = trained(saved, {"name": "dask", "shard": 0.02}, dataset, prepare, **more)
    memory, array = trained(saved, "local", dataset, prepare, **more)
    assert isinstance(table, Partitions)
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(table[:], array)
    mine, usual = outside.model, memory.model
    np.testing.assert_array_equal(mine.estimator.weights_, usual.estimator.weights_)
    for one, other in zip(mine.steps, usual.steps, strict=True):
        state, theirs = vars(one[1]), vars(other[1])
        assert all(np.array_equal(state[name], theirs[name]) for name in theirs)
    assert outside.measures == memory.measures
    for name in ("assignments.csv", "neurons.csv"):
        assert (outside.folder / name).read_bytes() == (memory.folder / name).read_bytes()


LIMITED = """
import resource, sys
import numpy as np
from dbgsom_core import SomVQ
from dbgsom_core.runs.prepare import fit_steps, make_step
from dbgsom_plugins.datasets.table_files import Parquet
from dbgsom_plugins.engines.dask import DaskEngine

folder, limit, rest = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
X = np.load(folder + "/x.npy", mmap_mode="r")
growth = {"name": "fixed", "rows": 3, "columns": 3}
engine = {"name": "dask", "shard": 0.5}

def som(X):
    return SomVQ(growth=growth, epochs=2, random_state=0, engine=engine).fit(X)

def prepared(name):
    table = DaskEngine(shard=0.5).opened(Parquet(path=folder + name).opened().X)
    return fit_steps([("standardize", make_step("standardize", {}))], table, None)

def told(som):
    print(float(som.quantization_error_).hex())

som(X[:9000])  # loops are compiled, libraries there
som(prepared("/few.parquet"))
with open("/proc/self/status") as lines:
    own = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (own + limit,) * 2)
told(som(X))
resource.setrlimit(resource.RLIMIT_DATA, (own + rest,) * 2)
table = prepared("/many.parquet")
told(som(table))
for each in (X, table):
    try:
        np.ones(each.shape, each.dtype)
    except MemoryError:
        print("does not fit")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux'")
@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0",
    reason="beside numpy 1 and pyarrow of its time passes keep more the longer a parquet file is",
)
def test_tables_many_times_their_memory_are_trained_on(tmp_path):
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(8, 64)).astype(np.float32)
    shape, part = (819_200, 64), 8192
    table = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
    block = centres[rng.integers(0, 8, part)] + rng.random((part, 64), dtype=np.float32)
    for start in range(0, shape[0], part):
        table[start : start + part] = block
        block = np.roll(block, 1, axis=1)
    table.flush()
    few = pa.table({f"x{i}": column for i, column in enumerate(block.T[:16])})
    pq.write_table(few, tmp_path / "few.parquet")
    with pq.ParquetWriter(tmp_path / "many.parquet", few.schema) as writer:
        for _ in range(60):
            writer.write_table(few)
    limits = table.nbytes // 10, few.nbytes * 60 // 2
    command = [sys.executable, "-c", LIMITED, str(tmp_path), *map(str, limits)]
    # What is freed goes back at once, so that the limit is about what is held.
    plain = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "DBGSOM_THREADS": "1"}
    plain |= {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=os.environ | plain
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *errors, first, second = done.stdout.split("\n")[:4]
    assert first == second == "does not fit"
    assert all(float.fromhex(error) > 0 for error in errors)
