"""A map does not depend on where its rows lie, how they are divided, nor which parts are lost."""

import gc
import os
import pickle
import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.api import (
    Component,
    Table,
    opened_table,
    samples_in_blocks,
)
from dbgsom_core.engine.partitioned import PartitionedSamples
from dbgsom_core.engine.tables import (
    ConcatenatedTable,
    FileTable,
    ShardTable,
    SlicedTable,
    as_table,
    take,
)
from dbgsom_core.errors import DataError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_plugins.engines.local import BlocksEngine, LocalEngine
from dbgsom_plugins.metrics.norms import Euclidean

ROWS, FEATURES = 7013, 5  # enough that a packed copy pays
GROWING = {"name": "directed", "spreading_factor": 0.6, "max_neurons": 30}
EUCLIDEAN = MetricAbilities.of(Euclidean())


class Here:
    """Shards in this process, asked by pickle. Each ``loses``-th question loses one of them."""

    def __init__(self, X, ends, loses=0):
        self.parts = [X[a:b] for a, b in pairwise(ends)]
        self.shape, self.dtype, self.ends = X.shape, X.dtype, tuple(ends)
        self.loses, self.asked = loses, 0

    def take(self, rows):
        ends = np.searchsorted(rows, self.ends)
        cut = [*ends[np.flatnonzero(np.diff(ends))].tolist(), len(rows)]
        return Here(np.concatenate(self.parts)[rows], cut, self.loses)

    def each_range(self, ranges, ask, own):
        X, ask = np.concatenate(self.parts), pickle.loads(pickle.dumps(ask))
        return [
            ask(X[a:b].copy(), slice(0, b - a), *one)
            for (a, b), one in zip(ranges, own, strict=True)
        ]

    def hold(self, make, own):
        self.make, self.own = pickle.loads(pickle.dumps(make)), own
        return Objects(self)


class Objects:
    def __init__(self, shards):
        self.shards = shards
        self.made = [shards.make(X, *one) for X, one in zip(shards.parts, shards.own, strict=True)]

    def ask(self, question, *given, add):
        shards = self.shards
        shards.asked += 1
        if shards.loses and shards.asked % shards.loses == 0:
            lost = shards.asked // shards.loses % len(self.made)
            self.made[lost] = shards.make(shards.parts[lost], *shards.own[lost])
        given = pickle.dumps(given)
        return [one.answer(question, *pickle.loads(given)) for one in self.made]


class Sharding(Component):
    """Cuts arrays where it is told."""

    ends: tuple[int, ...]
    loses: int = 0

    def opened(self, X):
        if isinstance(X, ShardTable):
            return X
        return opened_table(Here(np.asarray(X), self.ends, self.loses))

    def over(self, X, metric, weights=None):
        return samples_in_blocks(X, metric, weights)


def blocks(rows, dtype=np.float32, threads=2):
    size = FEATURES * np.dtype(dtype).itemsize
    return {"name": "blocks", "block": (rows * size + 1) / 2**20, "threads": threads}


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


@pytest.fixture(params=["blocks", "shards"])
def part(request):
    """Return a function that makes an engine: rows that are read, or shards that get lost."""

    def make(rows, dtype=np.float32):
        if request.param == "blocks":
            return blocks(rows, dtype)
        return Sharding(ends=(0, 3, min(rows, 3001), 3002, ROWS), loses=3)

    return make


def both(estimator, how, **params):
    given = {"growth": GROWING, "epochs": 10, "random_state": 0, **params}
    return estimator(engine=how, **given), estimator(**given)


# ------------------------------------------------------------------------------ the same map


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("plain", np.float32),
        ("plain", np.float64),
        ("ties", np.float32),
        ("doubtful", np.float32),
        ("doubtful", np.float64),
    ],
)
@pytest.mark.parametrize("rows", [61, 2000])
def test_a_map_has_the_same_bits_for_any_parts(mapped, part, kind, dtype, rows, samples, same):
    X, _ = samples(kind, dtype)
    mine, usual = both(SomVQ, part(rows, dtype))
    same(mine.fit(mapped(X)), usual.fit(X))


WAYS = {
    "weights": (SomVQ, {}),
    "classes": (SomClassifier, {}),
    "both": (SomClassifier, {}),
    "numbers": (SomRegressor, {}),
    "majority": (SomClassifier, {"labeller": "majority"}),
    "random": (SomVQ, {"init": "random"}),
    "held out": (SomVQ, {"calibration": 0.1}),
    "child maps": (
        SomVQ,
        {"growth": {"name": "hierarchical", "base": {**GROWING, "max_neurons": 4}, "tau_2": 0.1}},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_so_it_has_with_weights_targets_and_other_ways(mapped, part, way, samples, same):
    X, codes = samples()
    (estimator, params), more = WAYS[way], {}
    if way in ("weights", "both"):
        more = {"sample_weight": np.random.default_rng(3).integers(0, 4, ROWS).astype(float)}
    targets = {SomVQ: [], SomClassifier: [codes], SomRegressor: [X[:, 0] * 2.0]}[estimator]
    mine, usual = both(estimator, part(613), **params)
    same(mine.fit(mapped(X), *targets, **more), usual.fit(X, *targets, **more))


def test_so_it_has_where_every_epoch_gives_births(mapped, part, samples, same):
    X, _ = samples(dtype=np.float64)
    growth = {"name": "directed", "spreading_factor": 0.9, "max_neurons": None, "fine_tuning": 0.0}
    mine, usual = both(SomVQ, part(613, np.float64), growth=growth, epochs=8)
    same(mine.fit(mapped(X)), usual.fit(X))
    assert len(usual.growth_events_) > 50


def test_so_has_a_map_that_goes_on(mapped, samples, same):
    X, _ = samples()
    mine, usual = both(SomVQ, blocks(500))
    for more in (X, X[:6900] + 1):
        same(mine.partial_fit(mapped(more)), usual.partial_fit(more))


class Stop:
    vital = True

    def __call__(self, record):
        if record.epoch == 5:
            raise KeyboardInterrupt


def test_an_interrupted_training_goes_on_to_the_same_bits(mapped, tmp_path, samples, same):
    X, _ = samples("doubtful")
    table = mapped(X)
    mine, usual = both(SomVQ, blocks(500))
    usual.fit(X)
    mine.set_params(checkpoint=Checkpoints(tmp_path / "fit.npz", seconds=0.0), callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        mine.fit(table)
    same(mine.set_params(callbacks=None).fit(table), usual)


def test_it_answers_for_tables_as_for_arrays(mapped, part, samples):
    X, codes = samples()
    mine, usual = (one.fit(X, codes) for one in both(SomClassifier, part(300)))
    asks = {
        "predict": lambda one, new: one.predict(new),
        "shares": lambda one, new: one.predict_proba(new),
        "one unit": lambda one, new: one.bmu(new),
        "three units": lambda one, new: one.bmu(new, 3),
        "distances": lambda one, new: one.transform(new, "distances"),
        "mixtures": lambda one, new: one.transform(new, "mixture"),
        "sparse mixtures": lambda one, new: one.transform(new, "mixture", sparse=True).toarray(),
        "novelty": lambda one, new: one.score_samples(new),
        "error": lambda one, new: one.calculate_quantization_error(new),
        "imputed": lambda one, new: one.impute(new),
        "squares": lambda one, new: one.evaluate(new).won_squares,
        "distance": lambda one, new: one.evaluate(new).distance,
        "chunks": lambda one, new: np.vstack([part for _, part in one.evaluate(new).chunks()]),
    }
    table = mapped(X)
    for name, ask in asks.items():
        np.testing.assert_array_equal(ask(mine, table), ask(usual, X), name)


# ------------------------------------------------------------------------------------ memory


def test_an_epoch_of_fine_tuning_reads_each_row_once(samples):
    read, seen = [0], []

    class Counted(Dataset):
        def __getitem__(self, rows):
            read[0] += rows.stop - rows.start
            return super().__getitem__(rows)

    vq = SomVQ(engine=blocks(999), growth=GROWING, epochs=20, random_state=0, tol=0)
    hear = [lambda record: seen.append((record.phase, read[0]))]
    vq.set_params(callbacks=hear).fit(Counted(samples()[0]))
    fine = np.diff([rows for phase, rows in seen if phase == "fine"])
    assert len(fine) > 1
    assert set(fine) == {ROWS}


class Repeated:
    """Many rows that take no memory: few, over and over."""

    def __init__(self, rows, n):
        self._rows, self.shape, self.dtype = rows, (n, rows.shape[1]), rows.dtype

    def __getitem__(self, rows):
        return self._rows[np.arange(rows.start, rows.stop) % len(self._rows)]


def test_a_whole_fit_keeps_few_bytes_a_row_and_labels_are_made_late(tmp_path):
    n, few = 600_000, np.random.default_rng(6).normal(size=(997, 4)).astype(np.float32)
    growth = {"name": "fixed", "rows": 6, "columns": 6}
    vq = SomVQ(
        growth=growth, epochs=2, tol=0, engine={"name": "blocks", "threads": 1, "block": 0.05}
    )
    vq.fit(Repeated(few, n // 3))  # libraries take memory, too

    def peak(rows):
        tracemalloc.start()  # sees arrays, those of other threads of this process, too
        try:
            vq.fit(Repeated(few, rows))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peaks = [min(peak(rows) for _ in range(3)) for rows in (n // 3, n)]
    assert peaks[1] - peaks[0] < 5 * (n - n // 3)
    assert max(one.nbytes for one in vars(vq).values() if isinstance(one, np.ndarray)) == n
    labels = vq.labels_
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels[-1000:], vq.predict(Repeated(few, n)[slice(n - 1000, n)]))
    vq.save(tmp_path / "map.npz")
    assert (tmp_path / "map.npz").stat().st_size < n / 4
    loaded = SomVQ.load(tmp_path / "map.npz")
    with pytest.raises(AttributeError, match=r"whose labels are not saved; predict\(X\)"):
        loaded.labels_  # noqa: B018
    assert vq.fit(few).labels_.shape == (997,)
    assert "labels_" in vars(vq)


def test_what_shards_hold_is_given_back_with_the_fit(samples):
    X, held = samples()[0], []

    class Watched(Sharding):
        def opened(self, X):
            table = super().opened(X)
            held.append(weakref.ref(table.shards))
            return table

    gc.collect()
    gc.disable()  # they may be as large as the data, on workers that this process knows nothing of
    try:
        fitted = SomVQ(engine=Watched(ends=(0, 3001, ROWS)), growth=GROWING, epochs=4).fit(X)
        assert held
        assert not any(one() for one in held)
    finally:
        gc.enable()
    assert len(fitted.labels_) == ROWS


# ------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f4", "float16", "bool"])
def test_anything_with_slices_is_a_table(mapped, dtype, samples, same):
    X = samples()[0]
    X = X > 0 if dtype == "bool" else (100 * X).astype(dtype)
    usual = SomVQ(epochs=3, random_state=0, growth=GROWING).fit(X)
    for table in (mapped(X), Dataset(X)):
        assert isinstance(table, Table)
        found = SomVQ(epochs=3, random_state=0, growth=GROWING, engine=blocks(321)).fit(table)
        same(found, usual)


def test_local_reads_in_blocks_what_its_memory_does_not_hold(mapped, samples, same):
    X, _ = samples()
    small, large = LocalEngine(memory=1000.0), LocalEngine(memory=0.01)
    table = mapped(np.vstack([X] * 9))  # more than a block
    assert small.opened(table) is None
    assert isinstance(large.over(large.opened(table), EUCLIDEAN), PartitionedSamples)
    assert isinstance(BlocksEngine().over(np.asarray(table), EUCLIDEAN), PartitionedSamples)
    mine, usual = both(SomVQ, {"name": "local", "memory": 0.01})
    same(mine.fit(table), usual.fit(np.asarray(table)))


rows_of_a_table = st.one_of(
    st.lists(st.integers(-40, 39), max_size=60).map(lambda rows: np.array(rows, dtype=int)),
    st.lists(st.booleans(), min_size=40, max_size=40).map(np.array),
    st.slices(40),
)


@settings(max_examples=60)
@given(rows=rows_of_a_table, then=st.slices(30))
def test_rows_of_a_table_are_those_of_the_array(tmp_path_factory, rows, then):
    X = np.arange(120, dtype=np.float32).reshape(40, 3)
    path = tmp_path_factory.mktemp("table") / "x.npy"
    np.save(path, X)
    file = as_table(np.load(path, mmap_mode="r"))
    both = ConcatenatedTable(file, X[:7])
    for table, array in ((file, X), (both, np.vstack([X, X[:7]])), (SlicedTable(X), X)):
        where = rows if not isinstance(rows, np.ndarray) or rows.dtype != bool else rows[:40]
        if isinstance(where, np.ndarray) and where.dtype == bool and len(array) > 40:
            where = np.concatenate([where, where[:7]])
        np.testing.assert_array_equal(table[where], array[where])
        np.testing.assert_array_equal(take(table, where)[then], array[where][then])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(file))[:], X)


def test_maps_are_read_by_their_file_where_that_holds_what_they_show(tmp_path):
    X = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / "x.npy", X)
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    own = np.load(tmp_path / "x.npy", mmap_mode="c")
    own[0, 0] = -1.0
    fortran = np.load(tmp_path / "x.npy", mmap_mode="r")[:, ::2]
    raw = np.memmap(tmp_path / "x.npy", np.float64, "r", offset=whole.offset + 24, shape=(19, 3))
    for view, expected, kind in (
        (whole[4:17], X[4:17], FileTable),
        (whole[4:17][2:], X[6:17], FileTable),
        (raw, X[1:], FileTable),
        (own, own, SlicedTable),
        (fortran, X[:, ::2], SlicedTable),
    ):
        table = as_table(view)
        assert isinstance(table, kind)
        np.testing.assert_array_equal(table[:], expected)


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"metric": "manhattan"}, r"cannot be used on data in blocks.*engine: local"),
        ({"robust": "auto"}, "robust"),
    ],
)
def test_what_needs_the_data_in_memory_is_refused_before_training(mapped, params, told, samples):
    heard = []
    with pytest.raises(DataError, match=told):
        SomVQ(engine=blocks(500), callbacks=[heard.append], **params).fit(mapped(samples()[0]))
    assert not heard


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_missing_is_named(mapped, part, value, samples):
    X, _ = samples()
    X[6543, 2] = value
    with pytest.raises(ValueError, match="row 6543, column 2"):
        SomVQ(engine=part(500)).fit(mapped(X))
    if np.isnan(value):
        with pytest.raises(DataError, match="missing"):
            samples_in_blocks(X, EUCLIDEAN, block=0.01)


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (OSError("the disk is gone"), r"rows 0 to \d+ of the Dataset .*the disk is gone"),
        (MemoryError(), r"rows 0 to \d+ of the Dataset .*MemoryError.*read fewer at a time"),
    ],
)
def test_a_dataset_that_fails_is_told(samples, fails, told):
    with pytest.raises(DataError, match=told):
        SomVQ(engine=blocks(500)).fit(Dataset(samples()[0], fails))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: os.truncate(path, 5000), "table.npy ends before its last row"),
        (lambda path: os.utime(path, (1, 1)), "table.npy changed while it was read"),
    ],
)
def test_a_file_that_changes_ends_the_training_with_its_name(mapped, tmp_path, harm, told, samples):
    def harmed(record):
        if record.epoch == 2:
            harm(tmp_path / "table.npy")

    vq = SomVQ(engine=blocks(500), callbacks=[harmed], growth=GROWING)
    with pytest.raises(DataError, match=told):
        vq.fit(mapped(samples()[0]))
    assert not hasattr(vq, "weights_")
