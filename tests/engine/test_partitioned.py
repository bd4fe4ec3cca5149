"""A map does not depend on where its rows lie, how they are divided, nor which parts are lost."""

import gc
import os
import pickle
import tracemalloc
import weakref
from itertools import pairwise

import numpy as np
import pytest

from dbgsom_core import SomClassifier, SomRegressor, SomVQ
from dbgsom_core.api import (
    Component,
    Table,
    opened_table,
    samples_in_blocks,
)
from dbgsom_core.engine.partitioned import PartitionedSamples
from dbgsom_core.engine.tables import ShardTable
from dbgsom_core.errors import DataError
from dbgsom_core.estimators.checkpoints import Checkpoints
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_plugins.engines.blocks import BlocksEngine
from dbgsom_plugins.engines.local import LocalEngine
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

    def picked(self, rows):
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


@pytest.mark.parametrize("memory", [None, 3 * ROWS, 0])
def test_later_passes_compare_less_and_keep_eight_bytes_a_row_or_as_few_as_they_may(memory):
    rng = np.random.default_rng(5)
    centres = 5 * rng.normal(size=(60, FEATURES))
    X = (centres[rng.integers(60, size=ROWS)] + rng.normal(size=(ROWS, FEATURES))).astype("f4")
    where = np.column_stack(np.divmod(np.arange(60), 8))
    given = {"threads": 2, "block": 500 * X.itemsize * FEATURES / 2**20}
    if memory is not None:
        given["working_memory"] = memory / 2**20
    mine = samples_in_blocks(Dataset(X), EUCLIDEAN, **given).search()
    usual = LocalEngine().over(X, EUCLIDEAN).search()
    W = centres[:50] + 0.01
    for epoch in range(12):
        found = []
        for search in (mine, usual):
            before = search.assign(W, where[: len(W)])
            if epoch == 4:
                before = search.admit(before, np.vstack([W, centres[50:]]), where, 50)
            found.append(before)
        for name in ("hits", "errors", "total_error", "moved", "bmu"):
            np.testing.assert_array_equal(*(getattr(one, name) for one in found), name)
        np.testing.assert_array_equal(*(one.totals.sums for one in found))
        W = (centres if epoch > 3 else W) + 0.01 / (epoch + 1) * rng.normal(size=(1, FEATURES))
    margins, samples = mine.pruning.margins, mine.samples
    kept = 0 if margins is None else margins.least.nbytes + margins.slides.nbytes
    kept += samples._places.nbytes
    assert kept <= (6 * ROWS if memory is None else memory)
    assert (kept == 0) == (memory == 0)
    assert samples.units.nbytes == 2 * ROWS


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


def test_a_whole_fit_keeps_eight_bytes_a_row_or_fewer_and_labels_are_made_late(tmp_path):
    n, few = 600_000, np.random.default_rng(6).normal(size=(997, 4)).astype(np.float32)
    growth = {"name": "fixed", "rows": 6, "columns": 6}
    how = {"name": "blocks", "threads": 1, "block": 0.05}
    peaks = []
    for rows, memory in ((n // 3, None), (n // 3, n / 2**20), (n, None), (n, n / 2**20)):
        vq = SomVQ(growth=growth, epochs=2, tol=0, engine=how | {"working_memory": memory})
        if not peaks:
            vq.fit(Repeated(few, rows))  # libraries take memory, too
        tracemalloc.start()  # sees arrays
        try:
            vq.fit(Repeated(few, rows))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[2] - peaks[0] < 8 * (n - n // 3)
    assert peaks[3] - peaks[1] < 5 * (n - n // 3)
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


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"metric": "manhattan"}, r"cannot be read in blocks.*engine: local"),
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
        (MemoryError(), r"no memory left to read rows 0 to \d+ of the Dataset: .*smaller chunks"),
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
