"""Prototypes packed in panels."""

import numpy as np
import pytest

from dbgsom_core.engine.euclidean.layout import PrototypePacker, in_rows
from dbgsom_core.engine.euclidean.packing import PackedSamples
from dbgsom_core.engine.llvm.tile import PANEL_ROWS


@pytest.fixture(params=[np.float32, np.float64])
def samples(request):
    X = np.random.default_rng(0).normal(5, 3, (50, 6)).astype(request.param)
    return PackedSamples.of(X, 1)


def _lay(packer, prototypes, neurons, **more):
    ids = in_rows(np.asarray(neurons), PANEL_ROWS)
    return packer.pack(prototypes, ids, np.zeros(len(ids)), **more)


def test_panels_hold_packed_prototypes_and_half_their_squares(samples):
    prototypes = np.random.default_rng(2).normal(5, 3, (11, 6))
    laid = _lay(PrototypePacker(samples), prototypes, np.arange(11))
    packed = (prototypes - samples.frame.centre) * samples.frame.scale
    np.testing.assert_array_equal(laid.packed, packed)
    places = laid.panels.ids >= 0
    held = laid.panels.ids[places]
    numbers = np.moveaxis(laid.panels.numbers, 1, 2)[places][:, :6]
    np.testing.assert_array_equal(numbers, (-packed[held]).astype(samples.blocks.numbers.dtype))
    halves = (packed**2).sum(axis=1) / 2
    np.testing.assert_allclose(laid.panels.starts[places], halves[held], rtol=1e-6)
    assert laid.accuracy.largest >= np.sqrt((packed**2).sum(axis=1).max())


def test_the_drift_is_the_longest_step_of_a_panel_or_a_little_more(samples):
    rng = np.random.default_rng(3)
    prototypes = rng.normal(5, 3, (2 * PANEL_ROWS, 6))
    packer = PrototypePacker(samples)
    before = _lay(packer, prototypes, np.arange(len(prototypes))).packed
    moved = prototypes + rng.normal(0, 0.1, prototypes.shape)
    laid = _lay(packer, moved, np.arange(len(prototypes)), before=before)
    steps = np.linalg.norm((moved - samples.frame.centre) * samples.frame.scale - before, axis=1)
    longest = steps[laid.panels.ids].max(axis=1)
    assert (laid.panels.drift >= longest).all()
    np.testing.assert_allclose(laid.panels.drift, longest, rtol=1e-5)


@pytest.mark.parametrize("far", [np.nan, np.inf, 1e15])
def test_what_is_too_far_is_refused_and_changes_nothing(samples, far):
    prototypes = np.random.default_rng(4).normal(5, 3, (PANEL_ROWS, 6))
    packer = PrototypePacker(samples)
    laid = _lay(packer, prototypes, np.arange(PANEL_ROWS))
    kept = [np.copy(array) for array in laid.panels]
    prototypes[3, 2] = far
    assert _lay(packer, prototypes, np.arange(PANEL_ROWS)) is None
    for one, other in zip(laid.panels, kept, strict=True):
        np.testing.assert_array_equal(one, other)
