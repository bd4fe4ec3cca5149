"""Data for engines, what two fitted maps share, and the fast search of samples."""

import numpy as np
import pytest

from dbgsom_core.engine.packed_search import PackedShard
from dbgsom_core.engine.packing import PackedSamples, column_summaries, quantisation_of
from dbgsom_core.engine.results import Search
from dbgsom_core.engine.samples import Samples
from dbgsom_core.engine.shards import LocalShards
from dbgsom_core.interfaces.component import guarded
from dbgsom_plugins.metrics.norms import Euclidean

ROWS, FEATURES = 7013, 5  # enough that a packed copy pays
LEARNED = (
    "weights_", "neurons_", "hit_counts_", "errors_", "quantization_error_", "topographic_error_",
    "neuron_labels_", "labels_", "leaf_weights_", "leaf_hit_counts_", "offset_",
)  # fmt: skip


@pytest.fixture(scope="session")
def samples():
    """Return a function that makes samples of a kind, and their classes."""

    def make(kind="plain", dtype=np.float32):
        rng = np.random.default_rng(7)
        codes = rng.integers(0, 5, ROWS)
        X = (3 * rng.normal(size=(5, FEATURES)))[codes] + rng.normal(size=(ROWS, FEATURES))
        if kind == "ties":
            X = np.round(X)
        elif kind == "doubtful":  # float32 tells few neurons apart
            X = 1e-7 * X + rng.integers(0, 2, size=X.shape)
        return X.astype(dtype), codes

    return make


@pytest.fixture(scope="session")
def same():
    """Return a function that fails where two fitted maps differ in a bit."""

    def check(mine, usual):
        for name in LEARNED:
            np.testing.assert_array_equal(getattr(mine, name), getattr(usual, name), name)
        told = [
            [(one.quantization_error, one.movement, one.births) for one in fitted.history_]
            for fitted in (mine, usual)
        ]
        assert told[0] == told[1]

    return check


@pytest.fixture(scope="session")
def fast():
    """Return a function that makes the fast search of samples, however few, and its shard."""

    def make(X, prune=None, threads=1, codes=None, samples=None):
        data = Samples(X, guarded(Euclidean()), threads, codes=codes)
        if samples is None:
            how = quantisation_of(X, column_summaries(X, threads))
            samples = PackedSamples(X, how, threads)
        vars(data)["quantisation"] = samples.quantisation
        shard = PackedShard(data, samples, prune)
        return Search(data, LocalShards([shard])), shard

    return make
