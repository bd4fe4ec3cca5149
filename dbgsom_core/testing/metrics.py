"""Checks of distance metrics. Shapes, types, finiteness and range are checked by each call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dbgsom_core.engine.samples import scalar_pairwise
from dbgsom_core.interfaces.component import Guarded
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import check

Distances = Callable[[Any, NDArray[Any]], NDArray[Any]]
_MIDDLE = 0.3  # share of the way from a sample to a prototype
_STEP = 1e-6  # the same: distances are straight so far, and float32 would round them
_MANY = 25  # times as many samples as usual: a metric may do something else for many


def _levels_of(metric: Any) -> dict[str, Distances]:
    """Return the levels that a metric is written at as functions of (X, W), fastest first."""
    levels = {
        "assign": lambda X, W: np.column_stack([metric.assign(X, w[None])[1] for w in W]),
        "scalar": lambda X, W: scalar_pairwise(metric, X, W),
        "pairwise": lambda X, W: np.asarray(metric.pairwise(X, W)),
    }
    return {name: levels[name] for name in levels if getattr(metric, name) is not None}


def _example(component: Any) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
    """Return the fitted metric, prepared samples (m, D) and prototypes (7, D)."""
    metric = fixtures.fitted(component)
    X = np.ascontiguousarray(metric.prepared(fixtures.samples_for(metric)))
    means = X[:28].reshape(4, 7, -1).mean(axis=0)
    return metric, X, np.ascontiguousarray(metric.centred(means), dtype=np.float64)


def _assert_close(values: Any, expected: Any, relative: float, message: str) -> None:
    """Raise AssertionError where numbers differ by more than rounding beside the largest."""
    off = float(np.abs(np.asarray(values) - expected).max())
    largest = max(1.0, float(np.abs(expected).max()))
    assert off <= relative * largest, f"{message}: off by {off:g}"


@check("metric")
def check_distances(component: Any) -> None:
    """Each level returns arrays of the promised shape, finite and not negative, of float32 too;
    samples are not all at no or a huge distance, nor farthest from themselves.
    """
    metric, X, _ = _example(component)
    for level, distances in _levels_of(metric).items():
        d = distances(X, X.astype(np.float64))
        most = float(d.max())
        plain = 1e-100 < most < 1e100
        assert plain, f"{level}: distances are up to {most:g}, whose squares vanish or overflow"
        itself = np.diagonal(d)
        farthest = (itself >= d.max(axis=1)) & (itself > d.min(axis=1))
        assert farthest.mean() < 0.5, f"{level}: samples are farthest from themselves"


@check("metric")
def check_digits(component: Any) -> None:
    """Its distances have the digits of float64: they change as little, and as soon, as samples."""
    metric, X, W = _example(component)
    if np.array_equal(X, np.rint(X)):
        return  # codes, between which there is nothing
    way = np.linspace(_MIDDLE, _MIDDLE + _STEP, 9)[:, None]
    for level, distances in _levels_of(metric).items():
        moves = False
        for x, w in zip(X.astype(np.float64), W, strict=False):
            d = distances(x + way * (w - x), w[None])[:, 0]
            off = float(np.abs(np.diff(d, 2)).max())
            # Second differences of a smooth distance are about step², 10⁻¹²; where it is computed
            # in float32 they are its roundings, 10⁻⁷. The limit, 10⁻⁹, lies between.
            jumps = off > _STEP**1.5 * (1.0 + d[0])
            assert not jumps, f"{level}: nearby distances jump by {off:g}: compute in float64"
            moves = moves or d[0] != d[-1]
        assert moves, f"{level} rounds its distances"


@check("metric")
def check_levels_agree(component: Any) -> None:
    """All levels that it is written at, float32 and float64, give the same distances; `assign`
    returns the nearest prototype, of two equal ones the first.
    """
    metric, X, W = _example(component)
    levels = _levels_of(metric)
    narrow = X.astype(np.float32)
    expected = levels[next(iter(levels))](X, W)
    for level, distances in levels.items():
        _assert_close(distances(X, W), expected, 1e-7, f"{level} differs from the fastest level")
        wide = distances(narrow.astype(np.float64), W)
        _assert_close(distances(narrow, W), wide, 1e-5, f"{level}: float32 and float64 differ")
    if metric.assign is not None:
        units, nearest = metric.assign(X, np.vstack([W, W]))
        assert np.max(units) < len(W), "a tie went to the higher row"
        least = expected.min(axis=1)
        _assert_close(nearest, least, 1e-7, "the distance is not the smallest")
        chosen = expected[np.arange(len(X)), units]
        _assert_close(chosen, least, 1e-7, "the unit is not the nearest")


@check("metric", lambda component: Guarded(component).claims)
def check_claims(component: Any) -> None:
    """Between samples what it ``claims`` is true: identity, symmetry, the triangle inequality."""
    metric, X, _ = _example(component)
    fastest = next(iter(_levels_of(metric).values()))  # others agree with it
    d = fastest(X, X.astype(np.float64))
    over_others = d[:, :, None] + d[None, :, :]
    shortest_detour = over_others.min(axis=1)
    excess = {"identity": np.diagonal(d), "symmetry": d - d.T, "triangle": d - shortest_detour}
    tolerance = 1e-6 * max(1.0, d.max())
    for claim in metric.claims:
        _assert_close(np.maximum(excess[claim], 0.0), 0.0, tolerance, f"no {claim}")


@check("metric")
def check_rows_independent(component: Any) -> None:
    """A sample's distances do not depend on rows beside it, their number, nor on
    when and in which thread it is asked.
    """
    metric, X, W = _example(component)
    for level, distances in _levels_of(metric).items():
        expected = distances(X, W)
        assert np.array_equal(distances(X, W), expected), f"{level}: two calls differ"
        single = np.vstack([distances(x[None], W) for x in X])
        _assert_close(single, expected, 1e-9, f"{level}: samples alone")
        many = distances(np.tile(X, (_MANY, 1)), W)
        _assert_close(many, np.tile(expected, (_MANY, 1)), 1e-9, f"{level}: many samples")
        with ThreadPoolExecutor(4) as pool:
            for call in [pool.submit(distances, X, W) for _ in range(64)]:
                _assert_close(call.result(), expected, 1e-9, f"{level}: another thread")


def _prepares(component: Any) -> bool:
    metric = Guarded(component)
    return metric.prepare is not None or metric.centre is not None


@check("metric", _prepares)
def check_prepare(component: Any) -> None:
    """Preparing treats each row alone and keeps float32, centring leaves a sample near itself."""
    samples = fixtures.samples_for(component)
    metric, X, _ = _example(component)
    for raw in (samples, samples.astype(np.float32)):
        prepared = metric.prepared(raw)
        assert prepared.dtype == raw.dtype, f"prepare turns {raw.dtype} into {prepared.dtype}"
        same = np.array_equal(metric.prepared(raw[:5]), prepared[:5])
        assert same, "prepare must not depend on other rows"
    if metric.centre is not None:
        centred = metric.centred(X.astype(np.float64))
        d = next(iter(_levels_of(metric).values()))(X, centred)
        near = np.diagonal(d).mean() <= 0.9 * d.mean()
        assert near, "centre moves a sample as far away as others are"


@check("metric", lambda component: Guarded(component).form is not None)
def check_form(component: Any) -> None:
    """Formed prototypes do not depend on the order of samples, and are kept where none comes; a
    sample of weight 2 counts as two samples do, and one of weight 0 as none.
    """
    metric, X, _ = _example(component)
    rows = np.arange(len(X))
    so_far = np.asarray(X[:6], dtype=np.float64)
    influence = np.eye(5, 6) + 0.5 * np.eye(5, 6, -1)  # nothing reaches the last neuron

    def form(rows: NDArray[Any], weights: Any = None) -> NDArray[Any]:
        return np.asarray(metric.form(X[rows], rows % 5, influence, weights, so_far))

    weighted = form(rows, (rows % 3).astype(np.float64))
    stays = np.array_equal(weighted[5], so_far[5])
    assert stays, "a neuron that nothing reaches must keep its place"
    repeated = form(np.repeat(rows, rows % 3)[::-1])
    _assert_close(weighted, repeated, 1e-9, "weights and repeated samples in another order differ")


@check("metric", lambda component: Guarded(component).handles)
def check_handles(component: Any) -> None:
    """Where it ``handles`` missing features they do not count, whatever the prototype holds there,
    and whole rows stay; a CSR matrix, where it does, gives the distances of its dense copy.
    """
    metric, X, W = _example(component)
    gaps = X.copy()
    other = W.copy()
    raw = fixtures.samples_for(metric)
    gaps[::2, 0] = np.nan
    other[:, 0] = W[::-1, 0] + 1.0
    raw[:, ::2] = 0.0
    for level, distances in _levels_of(metric).items():
        if "missing" in metric.handles:
            d = distances(gaps, W)
            same = np.array_equal(d[1::2], distances(X, W)[1::2])
            assert same, f"{level}: gaps change whole rows"
            same = np.array_equal(distances(gaps, other)[::2], d[::2])
            assert same, f"{level}: a missing feature counts"
        if "sparse" in metric.handles and level != "scalar":
            dense = metric.prepared(raw)
            sparse = metric.prepared(csr_matrix(raw))
            _assert_close(distances(sparse, W), distances(dense, W), 1e-7, f"{level} of sparse")
