"""The bounds that accuracy.md derives hold where rounding is at its worst."""

from fractions import Fraction
from math import isqrt, sqrt

import numpy as np
import pytest

from dbgsom_core.engine import search_loops
from dbgsom_core.engine.compile import compiled
from dbgsom_core.engine.lanes import SPARE, lanes_of
from dbgsom_core.engine.packing import (
    NO_BOUNDS,
    Accumulator,
    LowerBounds,
    PackedSamples,
    accuracy_of,
    packed_prototypes,
    workspace,
)
from dbgsom_core.engine.search_loops import ALL, compare_block, slack_of_block
from dbgsom_core.engine.tile import LINE, PANEL_ROWS, SLACKS
from dbgsom_core.interfaces.guard import guarded
from dbgsom_plugins.metrics.norms import Euclidean

EUCLIDEAN = guarded(Euclidean())
UNIT = 2.0**-53  # of float64


def grid(n_neurons):
    return np.column_stack(np.divmod(np.arange(n_neurons), 8))


# ------------------------------------------------------------------------ exact numbers, slow twins


def exactly(row):
    return [Fraction(float(number)) for number in row]


def packed_exactly(samples, row):
    """Return (x - centre)*scale without any rounding."""
    centre, scale = exactly(samples.quantisation.centre), Fraction(samples.quantisation.scale)
    return [(number - c) * scale for number, c in zip(exactly(row), centre, strict=True)]


def square(row):
    return sum(number * number for number in row)


def value(x, w):
    return square(w) / 2 - sum(a * b for a, b in zip(x, w, strict=True))


def length(row):
    return sqrt(square(row))


def root_of(number):
    """Return the root of a Fraction to 200 bits or so, rounded down."""
    return Fraction(isqrt(number.numerator * 4**200 // number.denominator), 2**200)


# -------------------------------------------------------------------------- what compiled code says


@compiled
def compare_all(tag, blocks, panels, accuracy, bounds, space, nearest, slack):
    """Compare each block by itself with all panels, and keep what was found."""
    lanes = lanes_of(tag)
    n_panels, squares_at = panels.ids.shape[0], blocks.squares.ctypes.data
    for b in range(blocks.numbers.shape[0]):
        slack_of_block(tag, squares_at + b * LINE, accuracy, space.slack.ctypes.data)
        compare_block(tag, 1, b, ALL, blocks, panels, bounds, space)
        for lane in range(lanes):
            for line in range(SLACKS):
                slack[b * lanes + lane, line] = space.slack[line, lane]
            for g in range(n_panels):
                nearest[b * lanes + lane, g] = space.nearest[g, lane]


def one_each(n_neurons):
    ids = np.full((n_neurons, PANEL_ROWS), -1, np.int32)
    ids[:, 0] = np.arange(n_neurons)
    return ids


class Compared:
    """Samples compared with prototypes of which each has a panel of its own."""

    def __init__(self, samples, W, ids=None, drift=None, before=None):
        ids = one_each(len(W)) if ids is None else ids
        drift = np.zeros(len(W)) if drift is None else drift
        how, dtype = samples.quantisation, samples.dtype
        self.laid = packed_prototypes(W, how, dtype, ids, drift, before)
        n_blocks, _, lanes = samples.blocks.numbers.shape
        dtype, n, places = samples.blocks.numbers.dtype, len(samples.X), n_blocks * lanes
        values, slack = np.empty((places, len(W)), dtype), np.empty((places, SLACKS), dtype)
        compare_all(
            samples.tag, samples.blocks, self.laid.panels, self.laid.accuracy, NO_BOUNDS,
            workspace(len(self.laid.panels.ids), samples.depth, dtype), values, slack,
        )  # fmt: skip
        self.values, self.slack = values[:n], slack[:n]


def both_dtypes(X):
    samples = PackedSamples(X)
    return samples, samples.doubled()


# ----------------------------------------------------------------------------------- packed samples


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, -1e7])
def test_a_packed_number_is_wrong_by_half_a_step_and_its_roundings(dtype, offset, rng):
    X = (rng.normal(size=(40, 5)) * 10.0 ** rng.integers(-4, 3, size=5) + offset).astype(dtype)
    for samples in both_dtypes(X):
        numbers = np.moveaxis(samples.blocks.numbers, 1, 2).reshape(-1, 8)[:40, :5]
        assert np.abs(numbers).max() <= 1
        for row, stored in zip(X, numbers, strict=True):
            for wanted, number in zip(packed_exactly(samples, row), exactly(stored), strict=True):
                assert number % Fraction(samples.quantisation.grid) == 0
                rounded = abs(wanted) + Fraction(samples.quantisation.grid)
                bound = (
                    Fraction(samples.quantisation.grid) / 2
                    + Fraction(float(np.finfo(samples.dtype).eps) / 2 + 2 * UNIT) * rounded
                )
                assert abs(number - wanted) <= bound


# ----------------------------------------------------------------------------- values and the slack


def losing(d, unit):
    """Samples and prototypes of which each addition to a value loses half a unit of its last bit.

    Samples come in pairs of opposite sign, so that packing does not change them.
    """
    w = np.full(d, sqrt(0.98 * UNIT))  # squares vanish beside that of the first
    if unit != UNIT:
        w *= 2.0**13
    x = -0.49 * unit / w
    w[0], x[0] = 1 + 2.0**-40, 0.0
    ends = np.eye(d)[0]
    X = np.vstack([x, -x, ends, -ends, w / 2, -w / 2])
    return X, np.vstack([w, -w, w + x, np.zeros(d), ends])


def far_and_near(d, rng):
    """Samples close to prototypes that are far from the centre: nearly all digits cancel."""
    X = rng.normal(size=(8, d)) + 1e3
    X[4:] -= 2e3
    return X, X[[0, 3, 5]] * (1 + 1e-7 * rng.normal(size=(3, d)))


@pytest.mark.parametrize("d", [5, 700])
@pytest.mark.parametrize("kind", ["losing", "far and near", "offset", "coarse"])
def test_a_value_is_no_more_wrong_than_its_bound(d, kind, rng):
    worst = {}
    for unit in (2.0**-24, UNIT):
        if kind == "losing":
            X, W = losing(d, unit)
        elif kind == "far and near":
            X, W = far_and_near(d, rng)
        else:
            X, W = rng.normal(size=(2, 5, d)) + 1e4
        samples = both_dtypes(X)[unit == UNIT]
        if kind == "coarse":  # as that of very many samples is
            how = samples.quantisation._replace(grid=2.0**-12)
            samples = PackedSamples(samples.X, how, 1, samples.dtype).doubled()
        compared = Compared(samples, W)
        accuracy, ratios = compared.laid.accuracy, []
        for x, values, slack in zip(X, compared.values, compared.slack, strict=True):
            x = packed_exactly(samples, x)
            norm = length(x)
            bound = accuracy.constant + accuracy.by_norm * norm + accuracy.by_square * norm**2
            assert 2 * bound <= slack[0] <= 2.1 * bound
            for number, w in zip(values, W, strict=True):
                error = abs(Fraction(float(number)) - value(x, packed_exactly(samples, w)))
                assert error <= bound
                ratios.append(float(error) / bound)
        worst[unit] = max(ratios)
    if kind == "losing" and d == 700:
        assert worst[2.0**-24] > 0.5  # the bound is not idle


# ------------------------------------------------------------------------------------------ margins


def store_lower_bounds(samples, laid, bounds):
    """Compare everything, as the first pass with margins does, and write them."""
    depth = samples.blocks.numbers.shape[1]
    added = Accumulator(
        np.zeros(laid.packed.shape),
        np.zeros(len(laid.packed), int),
        np.zeros(len(laid.packed), int),
        np.zeros(8, int),
    )
    search_loops.search_blocks(
        samples.tag, samples.packed, laid, 1.0, bounds, ALL, True, False, added,
        workspace(len(laid.panels.ids), depth, samples.dtype), 0, len(samples.blocks.numbers),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("doubled", [False, True])
def test_margins_are_those_of_true_distances_or_less_while_all_move(dtype, doubled, rng):
    d, k, n, lanes = 7, 12, 44, 8 if doubled else 16
    centres = 3 * rng.normal(size=(-(-n // lanes), d))
    X = (centres[np.arange(n) // lanes] + 0.1 * rng.normal(size=(n, d)) + 50).astype(dtype)
    samples = both_dtypes(X)[doubled]
    numbers = np.moveaxis(samples.blocks.numbers, 1, 2).reshape(-1, 8)[:n, :d]
    W = X[rng.integers(n, size=k)] + rng.normal(size=(k, d))
    drift, before, history, tight = np.zeros(k), None, [], 0
    n_blocks, how = len(samples.blocks.numbers), samples.quantisation
    longest = np.linalg.norm((W - how.centre) * how.scale, axis=1).max()
    bounds = LowerBounds(
        np.zeros((n_blocks, k), np.uint16),
        np.zeros(n_blocks, np.float32),
        accuracy_of(d, samples.dtype, how.grid, 4 * longest),
    )
    for epoch in range(7):
        compared = Compared(samples, W, one_each(k), drift, before)
        before = compared.laid.packed.copy()
        # The kept ones are looked at with what the units so far moved, as a pass does.
        store_lower_bounds(samples, compared.laid, bounds)
        moved = compared.laid.panels.drift + bounds.unit_drift[:, None]
        roots = np.array(
            [
                [root_of(square([a - b for a, b in zip(x, w, strict=True)])) for w in W_]
                for x in map(exactly, numbers)
                for W_ in [list(map(exactly, before[:, :d]))]
            ]
        )
        gaps = roots - roots.min(axis=1)[:, None]
        for b in range(n_blocks):
            own = slice(b * lanes, min((b + 1) * lanes, n))
            best = compared.values[own].min(axis=1)[:, None]
            in_doubt = compared.values[own] <= best + compared.slack[own, :1]
            for least in history:
                kept = (least[b].astype(np.uint32) << 16).view(np.float32)
                left_out = kept > moved[b] * np.float32(1 + SPARE)
                assert not in_doubt[:, left_out].any()
                for g in np.flatnonzero(left_out):
                    true = gaps[own, g].min()
                    assert Fraction(float(kept[g] - moved[b, g])) <= true * Fraction(1 + 2.0**-22)
                    tight += float(kept[g] - moved[b, g]) > 0.8 * true
        history.append(bounds.lower.copy())
        nearest = W[compared.values.argmin(axis=1)[rng.integers(n)]]
        W = W + 0.02 * (nearest - W) * (epoch % 2) + 1e-3 * rng.normal(size=W.shape) * (epoch > 3)
    assert tight > 100
