"""What is told of many samples is what is told of each, in blocks and in threads."""

from dataclasses import replace

import numpy as np
import pytest

from dbgsom_core import SomClassifier
from dbgsom_core.training import groups, labelling


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(900, 4))
    y = (X[:, 0] + 0.4 * rng.normal(size=900) > 0).astype(int) + 2 * (X[:, 1] > 1)
    fitted = SomClassifier(epochs=15, random_state=0).fit(X[:600], y[:600])
    return fitted, fitted._samples(X[600:])


@pytest.fixture
def blocks(monkeypatch):
    def of(size):
        for module in (labelling, groups):
            monkeypatch.setattr(module, "BLOCK", size)

    return of


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_in_threads_are_answered_as_one(asked, blocks, threads):
    fitted, samples = asked
    data = replace(samples, threads=threads)
    whole = fitted._answering(data), fitted._density.scores(data)
    blocks(64)  # five of them, the last one short
    for found, expected in zip(
        (fitted._answering(data), fitted._density.scores(data)), whole, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
