"""Data for engines, what two fitted maps share, and the fast search of samples."""

import numpy as np
import pytest

from dbgsom_core.engine.packed_search import PackedPart
from dbgsom_core.engine.packing import PackedSamples
from dbgsom_core.engine.parts import LocalParts
from dbgsom_core.engine.results import Search
from dbgsom_core.engine.samples import Samples
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
    """Return a function that makes the fast search of samples, however few, and its part."""

    def make(X, prune=None, threads=1, codes=None, samples=None):
        data = Samples(X, guarded(Euclidean()), threads, codes=codes)
        samples = PackedSamples(X, None, threads) if samples is None else samples
        vars(data)["quantisation"] = samples.quantisation
        part = PackedPart(data, samples, prune)
        return Search(data, LocalParts([part])), part

    return make
