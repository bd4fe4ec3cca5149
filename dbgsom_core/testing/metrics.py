"""Checks of distance metrics. Shapes, types, finiteness and range are checked by each call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dbgsom_core.engine.samples import scalar_assign, scalar_pairwise
from dbgsom_core.interfaces.guard import Guarded
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import check

Distances = Callable[[Any, NDArray[Any]], NDArray[Any]]
_MIDDLE, _STEP = 0.3, 1e-6  # shares of the way from a sample to a prototype, straight so far
_MANY = 25  # times as many samples as usual: a metric may do something else for many


def levels_of(metric: Any) -> dict[str, Distances]:
    """Return the levels that a metric is written at as functions of (X, W), fastest first."""
    levels = {
        "assign": lambda X, W: np.column_stack([metric.assign(X, w[None])[1] for w in W]),
        "scalar": lambda X, W: scalar_pairwise(metric, X, W),
        "pairwise": lambda X, W: np.asarray(metric.pairwise(X, W)),
    }
    return {name: levels[name] for name in levels if getattr(metric, name) is not None}


def units_of(metric: Any, level: str, X: NDArray[Any], W: NDArray[Any]) -> Any:
    """Return (bmu (m,), distance (m,)) as one level finds them."""
    if level == "assign":
        return metric.assign(X, W)
    if level == "scalar":
        return scalar_assign(metric, X, W)
    distances = metric.pairwise(X, W)
    return distances.argmin(axis=1), distances.min(axis=1)


def given_to(component: Any) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
    """Return the fitted metric, prepared samples (m, D) and prototypes (7, D)."""
    metric = fixtures.fitted(component)
    X = np.ascontiguousarray(metric.prepared(fixtures.samples_for(metric)))
    means = (X[:28].reshape(4, 7, -1).sum(axis=0)) / 4
    return metric, X, np.ascontiguousarray(metric.centred(means), dtype=np.float64)


def assert_close(found: Any, expected: Any, relative: float, message: str) -> None:
    """Raise AssertionError where numbers differ by more than rounding beside the largest."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{message}: shape {found.shape}, not {expected.shape}"
    off = float(np.abs(found - expected).max())
    assert off <= relative * max(1.0, float(np.abs(expected).max())), f"{message}: off by {off:g}"


@check("metric")
def check_distances(component: Any) -> None:
    """Each level returns arrays of the promised shape, finite and not negative, of float32 too;
    samples are not all at no or a huge distance, nor farthest from themselves.
    """
    metric, X, _ = given_to(component)
    for level, distances in levels_of(metric).items():
        distances(X.astype(np.float32), X[:7].astype(np.float64))
        d = distances(X, X.astype(np.float64))
        most = float(d.max())
        plain = 1e-100 < most < 1e100
        assert plain, f"{level}: distances are up to {most:g}, whose squares vanish or overflow"
        own = np.diagonal(d)
        farthest = (own >= d.max(axis=1)) & (own > d.min(axis=1))
        assert farthest.mean() < 0.5, f"{level}: samples are farthest from themselves"


@check("metric")
def check_digits(component: Any) -> None:
    """Its distances have the digits of float64: they change as little, and as soon, as samples."""
    metric, X, W = given_to(component)
    if np.array_equal(X, np.rint(X)):
        return  # codes, between which there is nothing
    way = np.linspace(_MIDDLE, _MIDDLE + _STEP, 9)[:, None]
    for level, distances in levels_of(metric).items():
        moves = False
        for x, w in zip(X.astype(np.float64), W, strict=False):
            d = distances(x + way * (w - x), w[None])[:, 0]
            off = float(np.abs(d - np.linspace(d[0], d[-1], len(d))).max())
            jumps = off > _STEP**1.5 * (1.0 + d[0])
            assert not jumps, f"{level}: nearby distances jump by {off:g}: compute in float64"
            moves = moves or d[0] != d[-1]
        assert moves, f"{level} rounds its distances"


@check("metric")
def check_levels_agree(component: Any) -> None:
    """All levels that it is written at, float32 and float64, give the same distances and units; of
    two equal prototypes the first wins.
    """
    metric, X, W = given_to(component)
    levels, narrow = levels_of(metric), X.astype(np.float32)
    first = next(iter(levels))
    expected = levels[first](X, W)
    units = units_of(metric, first, X, W)[0]
    for level, distances in levels.items():
        d = distances(X, W)
        assert_close(d, expected, 1e-7, f"{level} differs from {first}")
        wide = distances(narrow.astype(np.float64), W)
        assert_close(distances(narrow, W), wide, 1e-5, f"{level}: float32 and float64 differ")
        bmu, nearest = units_of(metric, level, X, np.vstack([W, W]))
        assert np.max(bmu) < len(W), f"{level}: a tie went to the higher row"
        assert np.array_equal(bmu, units), f"{level} and {first} choose different units"
        assert_close(nearest, d.min(axis=1), 1e-7, f"{level}: the distance is not the smallest")


@check("metric", lambda component: Guarded(component).claims)
def check_claims(component: Any) -> None:
    """Between samples what it ``claims`` is true: identity, symmetry, the triangle inequality."""
    metric, X, _ = given_to(component)
    for distances in levels_of(metric).values():
        d = distances(X, X.astype(np.float64))
        most = max(1.0, float(d.max()))
        if "identity" in metric.claims:
            # The root of a rounded square is as good as that of its rounding.
            off = float(np.abs(np.diagonal(d)).max())
            assert off <= 1e-6 * most, f"d(x, x) = {off}"
        if "symmetry" in metric.claims:
            far = np.minimum(d, d.T) > 1e-3 * d.max()
            off = float(np.abs(d - d.T)[far].max(initial=0.0))
            assert off <= 1e-10 * most, f"d(x, y) and d(y, x) differ by {off:g}"
        if "triangle" in metric.claims:
            excess = float((d[:, None, :] - (d[:, :, None] + d[None, :, :])).max())
            assert excess <= 1e-6 * most, f"a detour is {excess} shorter"


@check("metric")
def check_rows_independent(component: Any) -> None:
    """A sample's distances do not depend on rows beside it, their number or order in memory, nor on
    when and in which thread it is asked.
    """
    metric, X, W = given_to(component)
    for level, distances in levels_of(metric).items():
        first = distances(X, W)
        assert np.array_equal(distances(X, W), first), f"{level}: two calls differ"
        for rows in (1, 7):
            parts = [distances(X[i : i + rows], W) for i in range(0, len(X), rows)]
            assert_close(np.vstack(parts), first, 1e-9, f"{level}: chunks of {rows}")
        in_columns = distances(np.asfortranarray(X), np.asfortranarray(W))
        assert_close(in_columns, first, 1e-7, f"{level}: memory order")
        many = distances(np.tile(X, (_MANY, 1)), W)
        assert_close(many, np.tile(first, (_MANY, 1)), 1e-9, f"{level}: many samples")
        with ThreadPoolExecutor(4) as pool:
            for call in [pool.submit(distances, X, W) for _ in range(64)]:
                assert_close(call.result(), first, 1e-9, f"{level}: a thread got other distances")


def _prepares(component: Any) -> bool:
    metric = Guarded(component)
    return any(one is not None for one in (metric.fit, metric.prepare, metric.centre))


@check("metric", _prepares)
def check_prepare(component: Any) -> None:
    """Fitting gives the same arrays again, preparing treats each row alone and keeps float32, and
    centring leaves a sample near itself.
    """
    samples, fit = fixtures.samples_for(component), Guarded(component).fit
    if fit is not None:
        first, second = fit(samples), fit(samples)
        same = all(np.array_equal(first[name], second[name]) for name in first)
        assert same, "fit gives other arrays from call to call"
    metric, X, _ = given_to(component)
    for dtype in (np.float64, np.float32):
        given = samples.astype(dtype)
        prepared = np.asarray(metric.prepared(given))
        assert prepared.dtype == dtype, f"prepare turns {given.dtype} into {prepared.dtype}"
        assert len(prepared) == len(given), "prepare loses rows"
        part = np.asarray(metric.prepared(given[:5]))
        assert np.array_equal(part, prepared[:5]), "prepare must not depend on other rows"
    if metric.centre is not None:
        centred = metric.centred(X.astype(np.float64))
        d = next(iter(levels_of(metric).values()))(X, centred)
        near = np.diagonal(d).mean() <= 0.9 * d.mean()
        assert near, "centre moves a sample as far away as others are"


@check("metric", lambda component: Guarded(component).form is not None)
def check_form(component: Any) -> None:
    """Formed prototypes do not depend on the order of samples, and are kept where none comes; a
    sample of weight 2 counts as two samples do, and one of weight 0 as none.
    """
    metric, X, _ = given_to(component)
    # Five groups of samples, what they weigh in six neurons, and these; nothing reaches the last.
    group, so_far = np.arange(len(X)) % 5, np.asarray(X[:6], dtype=np.float64)
    influence = np.exp(-np.abs(np.subtract.outer(np.arange(5.0), np.arange(6.0))))
    influence[:, 5] = 0.0
    weights = (np.arange(len(X)) * 7 % 3).astype(np.float64)

    def form(rows: Any, weights: Any = None) -> NDArray[Any]:
        return np.asarray(metric.form(X[rows], group[rows], influence, weights, so_far))

    made = form(np.arange(len(X)))
    assert np.array_equal(made[5], so_far[5]), "a neuron that nothing reaches must keep its place"
    assert_close(form(np.arange(len(X))[::-1]), made, 1e-9, "the order matters")
    repeated = form(np.repeat(np.arange(len(X)), weights.astype(np.int64)))
    weighted = form(np.arange(len(X)), weights)
    assert_close(weighted, repeated, 1e-9, "weights and repeated samples differ")


@check("metric", lambda component: "missing" in Guarded(component).handles)
def check_missing(component: Any) -> None:
    """A missing feature does not count, whatever the prototype holds there; whole rows stay."""
    metric, X, W = given_to(component)
    gaps, other = X.copy(), W.copy()
    gaps[::2, 0] = np.nan
    other[:, 0] = W[::-1, 0] + 1.0
    for level, distances in levels_of(metric).items():
        d = distances(gaps, W)
        assert np.array_equal(d[1::2], distances(X, W)[1::2]), f"{level}: gaps change whole rows"
        elsewhere = distances(gaps, other)
        assert np.array_equal(elsewhere[::2], d[::2]), f"{level}: a missing feature counts"


@check("metric", lambda component: "sparse" in Guarded(component).handles)
def check_sparse(component: Any) -> None:
    """A CSR matrix gives the distances of its dense copy."""
    metric, _, W = given_to(component)
    raw = fixtures.samples_for(metric)
    raw[np.abs(raw) < np.median(np.abs(raw))] = 0.0
    dense, sparse = metric.prepared(raw), metric.prepared(csr_matrix(raw))
    for level, distances in levels_of(metric).items():
        if level != "scalar":
            assert_close(distances(sparse, W), distances(dense, W), 1e-7, f"{level} of sparse")


@check("metric", lambda component: Guarded(component).is_euclidean)
def check_geometry(component: Any) -> None:
    """Each level gives the Euclidean distance, as its geometry says."""
    metric, X, W = given_to(component)
    expected = np.sqrt(np.square(X[:, None] - W).sum(axis=2))
    for level, distances in levels_of(metric).items():
        assert_close(distances(X, W), expected, 1e-7, f"{level} is not the Euclidean distance")
