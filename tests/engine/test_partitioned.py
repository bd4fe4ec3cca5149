"""A map does not depend on where its rows lie, how they are divided, nor which parts are lost."""

import os
import pickle
import tracemalloc

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.api import EngineComponent, Table, samples_in_partitions
from dbgsom_core.engine import partitions
from dbgsom_core.errors import DataError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.interfaces.component import guarded
from dbgsom_plugins.engines.dask_partitions import DaskPartitions, NpyRows, array_of_stored
from dbgsom_plugins.metrics.norms import Euclidean

ROWS, FEATURES = 7013, 5  # enough that a packed copy pays
GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 30}
EUCLIDEAN = guarded(Euclidean())
SMALL = 0.01  # MiB of a partition: as few rows as are summed together


@pytest.fixture(autouse=True)
def many_partitions(monkeypatch):
    """Partitions of 512 rows and more, and samples that are never too few for them."""
    monkeypatch.setattr(partitions, "_RANGE_ROWS", 512)
    monkeypatch.setattr("dbgsom_core.engine.partitioned._FEW_BYTES", 0)


class HeldRows(DaskPartitions):
    """Partitions whose parts keep their rows, as on workers; each third question loses a part."""

    def _with(self, array):
        return HeldRows(array, self._mib)

    def each(self, ask, given, keep=None):
        return super().each(pickle.loads(pickle.dumps(ask)), given, keep)

    def hold(self, make, given):
        return LosingParts(self, pickle.loads(pickle.dumps(make)), given)


class LosingParts:
    rereads = False

    def __init__(self, table, make, given):
        self.made = table.each(make, [(*entries, None, None) for entries in given])
        self.asked = 0

    def ask(self, question, *given, add):
        self.asked += 1
        if self.asked % 3 == 0:
            lost = self.asked // 3 % len(self.made)
            self.made[lost] = pickle.loads(pickle.dumps(self.made[lost]))  # from its rows
        given = pickle.dumps(given)
        return [part.answer(question, *pickle.loads(given)) for part in self.made]


class Holding(EngineComponent):
    """The engine over such partitions."""

    shard: float = SMALL

    def opened(self, X):
        return X if isinstance(X, HeldRows) else HeldRows(array_of_stored(X), self.shard)

    def over(self, X, metric, weights=None):
        return samples_in_partitions(self.opened(X), metric, weights)


def reread(shard=SMALL):
    return {"name": "dask", "shard": shard}


class Dataset:
    """What h5py and zarr have: a shape, a dtype, slices."""

    def __init__(self, X, fails=None):
        self._X, self.shape, self.dtype, self.fails = X, X.shape, X.dtype, fails

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        if self.fails is not None:
            raise self.fails
        return self._X[rows]


@pytest.fixture
def mapped(tmp_path):
    def save(X, name="table.npy"):
        np.save(tmp_path / name, X)
        return np.load(tmp_path / name, mmap_mode="r")

    return save


@pytest.fixture(params=[reread, lambda shard: Holding(shard=shard)], ids=["reread", "held"])
def engine(request):
    """Return a function that makes an engine for partitions of so many MiB."""
    return request.param


def both(estimator, how, **params):
    given = {"growth": GROWING, "epochs": 10, "random_state": 0, **params}
    return estimator(engine=how, **given), estimator(**given)


# ------------------------------------------------------------------------------ the same map


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("plain", np.float32),
        ("ties", np.float32),
        ("doubtful", np.float64),
    ],
)
def test_a_map_has_the_same_bits_for_any_parts(mapped, engine, kind, dtype, samples, same):
    X, _ = samples(kind, dtype)
    mine, usual = both(SomVQ, engine(SMALL))
    same(mine.fit(mapped(X)), usual.fit(X))


WAYS = {
    "weights and classes": (SomClassifier, {}),
    "gaps in targets": (SomRegressor, {}),
    "majority": (SomClassifier, {"labeller": "majority"}),
    "random": (SomVQ, {"init": "random"}),
    "held out": (SomVQ, {"calibration": 0.1}),
    "child maps": (
        SomVQ,
        {"growth": {"name": "hierarchical", "base": {**GROWING, "max_neurons": 4}, "tau_2": 0.1}},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_so_it_has_with_weights_targets_and_other_ways(mapped, engine, way, samples, same):
    X, codes = samples()
    (estimator, params), more = WAYS[way], {}
    if way == "weights and classes":
        more = {"sample_weight": np.random.default_rng(3).integers(0, 4, ROWS).astype(float)}
    gaps = np.where(codes == 0, np.nan, X[:, 1])
    targets = {SomVQ: [], SomClassifier: [codes], SomRegressor: [gaps]}[estimator]
    mine, usual = both(estimator, engine(SMALL), **params)
    same(mine.fit(mapped(X), *targets, **more), usual.fit(X, *targets, **more))


class Stop:
    vital = True

    def __call__(self, record):
        if record.epoch == 5:
            raise KeyboardInterrupt


def test_an_interrupted_training_goes_on_to_the_same_bits(mapped, tmp_path, samples, same):
    X, _ = samples("doubtful")
    table = mapped(X)
    mine, usual = both(SomVQ, reread())
    usual.fit(X)
    mine.set_params(checkpoint=Checkpoints(tmp_path / "fit.npz", seconds=0.0), callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        mine.fit(table)
    same(mine.set_params(callbacks=None).fit(table), usual)


def test_it_answers_for_tables_as_for_arrays(mapped, engine, samples):
    X, codes = samples()
    mine, usual = (som.fit(X, codes) for som in both(SomClassifier, engine(SMALL)))
    table = mapped(X)
    for name in ("predict_proba", "score_samples", "calculate_quantization_error", "impute"):
        np.testing.assert_array_equal(getattr(mine, name)(table), getattr(usual, name)(X), name)
    np.testing.assert_array_equal(mine.bmu(table, 3), usual.bmu(X, 3))
    for algorithm in ("distances", "mixture"):
        found = mine.transform(table, algorithm)
        np.testing.assert_array_equal(found, usual.transform(X, algorithm))
    np.testing.assert_array_equal(mine.evaluate(table).distance, usual.evaluate(X).distance)


# ------------------------------------------------------------------------------------ memory


class Repeated:
    """Many rows that take no memory: few, over and over."""

    def __init__(self, rows, n):
        self._rows, self.shape, self.dtype = rows, (n, rows.shape[1]), rows.dtype

    def __getitem__(self, rows):
        return self._rows[np.arange(rows.start, rows.stop) % len(self._rows)]


@pytest.mark.slow
def test_a_whole_fit_keeps_few_bytes_a_row_and_labels_are_made_late(tmp_path, monkeypatch):
    monkeypatch.setattr(partitions, "_RANGE_ROWS", 8192)
    n, few = 1_200_000, np.random.default_rng(6).normal(size=(997, 4)).astype(np.float32)
    growth = {"name": "fixed", "rows": 6, "columns": 6}
    vq = SomVQ(growth=growth, epochs=2, tol=0, engine=reread(0.5))
    vq.fit(Repeated(few, n // 3))  # libraries take memory, too

    def peak(rows):
        tracemalloc.start()  # sees arrays, those of other threads of this process, too
        try:
            vq.fit(Repeated(few, rows))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peaks = [peak(rows) for rows in (n // 3, n)]
    # Some 6.5 bytes; a copy of the rows takes 16, labels and distances 16. What the threads have at
    # hand at one time moves either peak by some 2 MB.
    assert peaks[1] - peaks[0] < 12 * (n - n // 3)
    last = Repeated(few, n)[slice(n - 1000, n)]
    np.testing.assert_array_equal(vq.labels_[-1000:], vq.predict(last))
    vq.save(tmp_path / "map.npz")
    assert (tmp_path / "map.npz").stat().st_size < n / 4
    with pytest.raises(AttributeError, match=r"it was loaded.*predict\(X\)"):
        SomVQ.load(tmp_path / "map.npz").labels_  # noqa: B018


# ------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("dtype", ["float32", "int16", ">f4", "bool"])
def test_anything_with_slices_is_a_table(mapped, dtype, samples, same):
    X = np.round(samples()[0]).astype(dtype)
    params = {"epochs": 3, "random_state": 0, "growth": GROWING}
    usual = SomVQ(**params).fit(X)
    for table in (mapped(X), Dataset(X)):
        assert isinstance(table, Table)
        same(SomVQ(**params, engine=reread()).fit(table), usual)


def test_local_refuses_what_its_memory_does_not_hold(mapped, samples):
    X, _ = samples()
    for table in (mapped(X), Dataset(X)):
        with pytest.raises(DataError, match=r"holds in memory: take engine: dask, which reads"):
            SomVQ(engine={"name": "local", "memory": 0.01}).fit(table)
    SomVQ(engine={"name": "local", "memory": 1.0}, epochs=1, growth=GROWING, tol=0).fit(mapped(X))


rows_of_a_table = st.one_of(
    st.lists(st.integers(-40, 39), max_size=60).map(lambda rows: np.array(rows, dtype=int)),
    st.lists(st.booleans(), min_size=40, max_size=40).map(np.array),
    st.slices(40),
)


@settings(max_examples=30)
@given(rows=rows_of_a_table, then=st.slices(30))
def test_rows_of_a_table_are_those_of_the_array(tmp_path_factory, rows, then):
    X = np.arange(120, dtype=np.float32).reshape(40, 3)
    path = tmp_path_factory.mktemp("table") / "x.npy"
    np.save(path, X)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "_RANGE_ROWS", 8)
        table = DaskPartitions(array_of_stored(np.load(path, mmap_mode="r")), 1e-6)
        doubled = table.map(lambda part: np.hstack([part, part]) * 2.0)
        for partitioned, array in ((table, X), (doubled, np.hstack([X, X]) * 2.0)):
            np.testing.assert_array_equal(partitioned[rows], array[rows])
            if len(array[rows]):
                np.testing.assert_array_equal(partitioned.take(rows)[then], array[rows][then])
        np.testing.assert_array_equal(table.followed_by(X[:7])[:], np.vstack([X, X[:7]]))


def test_a_map_that_was_changed_in_memory_is_not_read_by_its_file(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(60.0).reshape(20, 3))
    table = np.load(tmp_path / "x.npy", mmap_mode="r")
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[0, 0] = -1.0
    for view in (table[4:17][2:], table[:, ::2], changed):
        np.testing.assert_array_equal(DaskPartitions(array_of_stored(view), 1.0)[:], view)


# ----------------------------------------------------------------------------------- refusals


def test_what_needs_the_data_in_memory_is_refused_before_training(mapped, samples):
    heard = []
    with pytest.raises(DataError, match=r"anhattan needs the data in memory: .*engine: local"):
        SomVQ(engine=reread(), callbacks=[heard.append], metric="manhattan").fit(
            mapped(samples()[0])
        )
    assert not heard


def test_a_value_that_is_missing_is_named(mapped, engine, samples):
    X, _ = samples()
    X[6543, 2] = np.nan
    with pytest.raises(ValueError, match="row 6543, column 2"):
        SomVQ(engine=engine(SMALL)).fit(mapped(X))


def test_a_dataset_that_fails_is_told(samples):
    fails = Dataset(samples()[0], OSError("the disk is gone"))
    with pytest.raises(DataError, match=r"rows 0 to \d+ of the Dataset .*the disk is gone"):
        SomVQ(engine=reread()).fit(fails)


class MaskedDataset(Dataset):
    """What netCDF4 has: slices are masked arrays."""

    def __getitem__(self, rows):
        return np.ma.masked_greater(self._X[rows], 2.0)


def test_values_behind_a_mask_are_not_learnt(samples):
    with pytest.raises(ValueError, match="masked values"):
        SomVQ(engine=reread()).fit(MaskedDataset(samples()[0]))


def test_a_dataset_that_changes_ends_the_training(samples):
    X, _ = samples()

    def changed(record):
        X[ROWS - 1] += 1

    with pytest.raises(DataError, match=r"rows \d+ to 7013 of the Dataset changed between two"):
        SomVQ(engine=reread(), callbacks=[changed], growth=GROWING).fit(Dataset(X))


def test_a_worker_that_finds_no_such_file_says_so_when_it_reads(mapped, tmp_path, samples):
    sent = pickle.dumps(NpyRows.from_map(mapped(samples()[0])))
    (tmp_path / "table.npy").unlink()
    received = pickle.loads(sent)  # an exception here ends workers of dask, one after the other
    with pytest.raises(DataError, match=r"table\.npy cannot be read: No such file"):
        received[:5, :]


def test_rows_in_another_order_at_each_reading_are_not_learnt(samples):
    X, orders = samples()[0], np.random.default_rng(0)  # as those of a shuffle to the disk are

    def shuffled(block):
        return orders.permutation(block)

    mixed = da.from_array(X, chunks=(3000, FEATURES)).map_blocks(shuffled, meta=X[:0])
    with pytest.raises(DataError, match=r"partition . of X .* order of rows, as after a shuffle"):
        SomVQ(growth=GROWING).fit(mixed)
    SomVQ(epochs=1, tol=0, growth=GROWING).fit(mixed.persist())


def test_a_file_that_changes_ends_the_training_with_its_name(mapped, tmp_path, samples):
    def truncate(record):
        if record.epoch == 2:
            os.truncate(tmp_path / "table.npy", 5000)

    vq = SomVQ(engine=reread(), callbacks=[truncate], growth=GROWING)
    with pytest.raises(DataError, match="changed while it was read, or is cut"):
        vq.fit(mapped(samples()[0]))
    assert not hasattr(vq, "weights_")


def test_masked_arrays_are_not_learnt(samples):
    with pytest.raises(ValueError, match="masked values"):
        SomVQ().fit(np.ma.masked_greater(samples()[0], 2.0))


def test_so_has_a_map_that_goes_on(mapped, samples, same):
    X, _ = samples()
    mine, usual = both(SomVQ, reread())
    for more in (X, X[:6900] + 1):
        same(mine.partial_fit(mapped(more)), usual.partial_fit(more))
