"""Checks of distance metrics. Shapes, types, finiteness and range are checked by each call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dbgsom_core.engine.samples import scalar_assign, scalar_pairwise
from dbgsom_core.interfaces.guard import Guarded
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import Function, Subject, check
from dbgsom_core.training import parts

Array = NDArray[Any]
_DECIMALS = 6  # to which a distance is not rounded
_MIDDLE, _STEP = 0.3, 1e-6  # shares of the way from a sample to a prototype, straight so far
_MANY = 25  # times as many samples as usual: some metrics do something else for many


def metric_check(
    can: Callable[[Any], bool] | None = None,
) -> Callable[[Callable[[Any], None]], Function]:
    """Add a function to the checks of metrics; it is called with what the metric learned.

    ``can`` says of what a metric can do whether it makes this promise.
    """

    def add(function: Callable[[Any], None]) -> Function:
        @wraps(function)
        def after_fit(component: Any, subject: Subject) -> None:
            function(fixtures.fitted(component))

        applies = None if can is None else lambda component: can(Guarded(component))
        return check("metric", applies)(after_fit)

    return add


def levels_of(metric: Any) -> list[str]:
    """Return the levels that a metric is written at, fastest first."""
    found = ("assign", "scalar", "pairwise")
    return [level for level in found if getattr(metric, level) is not None]


def distances_of(metric: Any, level: str, X: Any, W: NDArray[Any]) -> NDArray[np.float64]:
    """Return all distances (m, K) as one level gives them."""
    if level == "pairwise":
        return np.asarray(metric.pairwise(X, W))
    if level == "scalar":
        return scalar_pairwise(metric, X, W)
    return np.column_stack([metric.assign(X, w[None])[1] for w in W])


def units_of(metric: Any, level: str, X: NDArray[Any], W: NDArray[Any]) -> Any:
    """Return (bmu (m,), distance (m,)) as one level finds them."""
    if level == "pairwise":
        distances = distances_of(metric, level, X, W)
        return distances.argmin(axis=1), distances.min(axis=1)
    return metric.assign(X, W) if level == "assign" else scalar_assign(metric, X, W)


def level_check(
    can: Callable[[Any], bool] | None = None,
) -> Callable[[Callable[..., None]], Function]:
    """Add a function to the checks of metrics; it is called for each level, with X and W."""

    def add(function: Callable[..., None]) -> Function:
        @wraps(function)
        def of_levels(metric: Any) -> None:
            X, W = fixtures.metric_inputs(metric)
            for level in levels_of(metric):
                function(metric, level, X, W)

        return metric_check(can)(of_levels)

    return add


def assert_close(found: Any, expected: Any, relative: float, message: str) -> None:
    """Raise AssertionError where numbers differ by more than rounding beside the largest."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{message}: shape {found.shape}, not {expected.shape}"
    off = float(np.abs(found - expected).max())
    assert off <= relative * max(1.0, float(np.abs(expected).max())), f"{message}: off by {off:g}"


@level_check()
def check_shapes_and_dtypes(metric: Any, level: str, X: Array, W: Array) -> None:
    """Each level returns arrays of the promised shape, finite and not negative, of float32 too;
    samples are not all at no or a huge distance, nor farthest from themselves.
    """
    for dtype in (np.float64, np.float32):
        distances_of(metric, level, X.astype(dtype), W)
        units_of(metric, level, X.astype(dtype), W)
    distances = distances_of(metric, level, X, X.astype(np.float64))
    most = float(distances.max())
    plain = 1e-100 < most < 1e100
    assert plain, f"{level}: distances are up to {most:g}, whose squares vanish or overflow"
    own = np.diagonal(distances)
    farthest = (own >= distances.max(axis=1)) & (own > distances.min(axis=1))
    assert farthest.mean() < 0.5, f"{level}: samples are farthest from themselves, as similarities"


@check("metric")
def check_digits(component: Any, subject: Subject) -> None:
    """It returns arrays of distances that are not rounded: they have the digits of float64, and
    change as little as a sample does.
    """
    able = fixtures.fitted(component)
    X, W = fixtures.metric_inputs(able)
    metric, X = Guarded(component), X.astype(np.float64)
    state = parts.fit_metric(component, fixtures.samples_for(component)).state
    given = (X, W) if state is None or not metric.uses_state else (X, W, state)
    for level in levels_of(metric):
        if level == "scalar":
            continue
        found: Any = getattr(component, level)(*given)  # as it is, before the core looks at it
        for one in found if level == "assign" else [found]:
            assert isinstance(one, np.ndarray), f"{level} returns a {type(one).__name__}, no array"
        found = found[1] if level == "assign" else found
        varied = len(np.unique(found)) > max(found.size / 4, 2 * X.shape[1])
        float32 = np.array_equal(found, found.astype(np.float32))
        assert not (varied and float32), f"{level} has the digits of float32: compute in float64"
        rounded = varied and np.array_equal(found, np.round(found, _DECIMALS))
        whole = np.array_equal(found, np.rint(found)) and np.max(found) > X.shape[1]  # no count
        small = np.max(found) < 1e9  # larger ones have no decimals
        assert not (small and (rounded or whole)), f"{level} rounds its distances"
    if np.array_equal(X, np.rint(X)):
        return  # codes, between which there is nothing
    for level in levels_of(able):
        for x, w in zip(X, W, strict=False):
            way = x + np.linspace(_MIDDLE, _MIDDLE + _STEP, 9)[:, None] * (w - x)
            found = distances_of(able, level, way, w[None])[:, 0]
            straight = np.linspace(found[0], found[-1], 9)
            off = float(np.abs(found - straight).max())
            assert off <= _STEP**1.5 * (1.0 + found[0]), (
                f"{level}: nearby distances jump by {off:g}, as in float32: compute in float64"
            )


@metric_check(lambda metric: metric.prepare is not None)
def check_prepare(metric: Any) -> None:
    """Preparing keeps the number of rows and float32, and treats each row alone."""
    for dtype in (np.float64, np.float32):
        samples = fixtures.samples_for(metric).astype(dtype)
        done = np.asarray(metric.prepared(samples))
        assert done.dtype == dtype, f"prepare turns {samples.dtype} into {done.dtype}"
        part = np.asarray(metric.prepared(samples[:5]))
        assert np.array_equal(part, done[:5]), "prepare must not depend on other rows"


@metric_check(lambda metric: metric.centre is not None)
def check_centre(metric: Any) -> None:
    """Centring keeps the shape, is finite, and leaves a sample near itself."""
    X = np.asarray(metric.prepared(fixtures.samples_for(metric)), dtype=np.float64)
    metric.centred(X[:12].reshape(3, 4, -1).mean(axis=0))
    distances = distances_of(metric, levels_of(metric)[0], X, metric.centred(X.copy()))
    own, others = np.diagonal(distances).mean(), distances.mean()
    assert own <= 0.9 * others, "centre moves a sample as far away as others are"


@level_check()
def check_float32_and_float64_agree(metric: Any, level: str, X: Array, W: Array) -> None:
    """The same samples in float32 are equally far away, to 1e-5 of the largest distance."""
    narrow = X.astype(np.float32)
    wide = distances_of(metric, level, narrow.astype(np.float64), W)
    assert_close(distances_of(metric, level, narrow, W), wide, 1e-5, level)


@level_check(lambda metric: len(levels_of(metric)) > 1)
def check_levels_agree(metric: Any, level: str, X: Array, W: Array) -> None:
    """All levels that it is written at give the same distances and units."""
    first = levels_of(metric)[0]
    found, expected = (distances_of(metric, one, X, W) for one in (level, first))
    assert_close(found, expected, 1e-7, f"{level} differs from {first}")
    units, others = (units_of(metric, one, X, W)[0] for one in (level, first))
    assert np.array_equal(units, others), f"{level} and {first} choose different units"


@level_check()
def check_ties_go_to_the_lowest_row(metric: Any, level: str, X: Array, W: Array) -> None:
    """Of two equal prototypes the first one wins, and its distance is the smallest there is."""
    bmu, nearest = units_of(metric, level, X, np.vstack([W, W]))
    assert np.max(bmu) < len(W), f"{level}: a tie went to the higher row"
    least = distances_of(metric, level, X, W).min(axis=1)
    assert_close(nearest, least, 1e-7, f"{level}: the distance is not the smallest")


# Of distances between samples the root of a rounded square is as good as that of the rounding.


@level_check()
def check_identity(metric: Any, level: str, X: Array, _: Array) -> None:
    """A sample is at no distance from itself, as it claims."""
    distances = distances_of(metric, level, X, X.astype(np.float64))
    off, most = float(np.abs(np.diagonal(distances)).max()), max(1.0, float(distances.max()))
    assert off <= 1e-6 * most, f"d(x, x) = {off}"


@level_check()
def check_symmetry(metric: Any, level: str, X: Array, _: Array) -> None:
    """Two samples are equally far from each other, as it claims."""
    distances = distances_of(metric, level, X, X.astype(np.float64))
    assert_close(distances, distances.T, 1e-6, "d(x, y) and d(y, x) differ")
    far = np.minimum(distances, distances.T) > 1e-3 * distances.max()
    off = float(np.abs(distances - distances.T)[far].max(initial=0.0))
    most = float(distances.max())
    assert off <= 1e-10 * most, f"d(x, y) and d(y, x) differ by {off:g} of distances to {most:g}"


@level_check()
def check_triangle(metric: Any, level: str, X: Array, _: Array) -> None:
    """No detour is shorter than the direct way, as it claims."""
    d = distances_of(metric, level, X, X.astype(np.float64))
    excess = float((d[:, None, :] - (d[:, :, None] + d[None, :, :])).max())
    assert excess <= 1e-6 * max(1.0, float(d.max())), f"a detour is {excess} shorter"


@level_check()
def check_chunk_invariance(metric: Any, level: str, X: Array, W: Array) -> None:
    """A sample's distances do not depend on rows beside it, nor on the order in memory."""
    bmu, nearest = units_of(metric, level, X, W)
    for size in (1, 7):
        starts = range(0, len(X), size)
        parts = [units_of(metric, level, X[start : start + size], W) for start in starts]
        units, distances = (np.concatenate(one) for one in zip(*parts, strict=True))
        assert np.array_equal(units, bmu), f"{level}: chunks of {size} choose other units"
        assert_close(distances, nearest, 1e-9, f"{level}: chunks of {size}")
    found = distances_of(metric, level, np.asfortranarray(X), np.asfortranarray(W))
    assert_close(found, distances_of(metric, level, X, W), 1e-7, f"{level}: memory order")


@level_check()
def check_determinism(metric: Any, level: str, X: Array, W: Array) -> None:
    """It answers the same when asked again, many samples too, and when several threads ask."""
    first, second = (distances_of(metric, level, X, W) for _ in range(2))
    assert np.array_equal(first, second), f"{level}: two calls differ"
    many = distances_of(metric, level, np.tile(X, (_MANY, 1)), W)
    assert_close(many, np.tile(first, (_MANY, 1)), 1e-9, f"{level}: many samples")
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: distances_of(metric, level, X, W), range(64)):
            assert_close(found, first, 1e-9, f"{level}: a thread got other distances")


@check("metric", lambda component: Guarded(component).fit is not None)
def check_fit_state(component: Any, subject: Subject) -> None:
    """Fitting returns named finite arrays, the same ones each time, and prepare gets them."""
    X = fixtures.samples_for(component)
    first, second = (Guarded(component).fit(X) for _ in range(2))
    assert first.keys() == second.keys(), "fit names its arrays differently each time"
    for name, value in first.items():
        assert np.array_equal(value, second[name]), f"{name} differs from call to call"
    assert len(fixtures.fitted(component).prepared(X)) == len(X), "prepare(X, state) loses rows"


def _groups(X: NDArray[Any]) -> tuple[Any, ...]:
    # Five groups of samples, what they weigh in six neurons, and these; nothing reaches the last.
    influence = np.exp(-np.abs(np.subtract.outer(np.arange(5.0), np.arange(6.0))))
    influence[:, 5] = 0.0
    return np.arange(len(X)) % 5, influence, np.asarray(X[:6], dtype=np.float64)


@metric_check(lambda metric: metric.form is not None)
def check_form(metric: Any) -> None:
    """Formed prototypes do not depend on the order of samples, and are kept where none comes.

    A sample of weight 2 counts as two samples do, and one of weight 0 as none.
    """
    X = np.ascontiguousarray(metric.prepared(fixtures.samples_for(metric)))
    group, influence, so_far = _groups(X)
    form: Any = metric.form
    made = np.asarray(form(X, group, influence, None, so_far))
    assert np.array_equal(made[5], so_far[5]), "a neuron that nothing reaches must keep its place"
    back = form(X[::-1].copy(), group[::-1].copy(), influence, None, so_far)
    assert_close(back, made, 1e-9, "the order matters")
    weights = (np.arange(len(X)) * 7 % 3).astype(np.float64)
    rows = np.repeat(np.arange(len(X)), weights.astype(np.int64))
    repeated = form(X[rows], group[rows], influence, None, so_far)
    weighted = form(X, group, influence, weights, so_far)
    assert_close(weighted, repeated, 1e-9, "weights and repeated samples differ")


@level_check(lambda metric: "missing" in metric.handles)
def check_missing(metric: Any, level: str, X: Array, W: Array) -> None:
    """A missing feature does not count, whatever the prototype holds there; whole rows stay."""
    gaps, other = X.copy(), W.copy()
    gaps[::2, 0] = np.nan
    other[:, 0] = W[::-1, 0] + 1.0
    whole, found = (distances_of(metric, level, one, W) for one in (X, gaps))
    assert np.array_equal(found[1::2], whole[1::2]), f"{level}: gaps change whole rows"
    elsewhere = distances_of(metric, level, gaps, other)[::2]
    assert np.array_equal(elsewhere, found[::2]), f"{level}: a missing feature counts"
    bmu, nearest = units_of(metric, level, gaps, W)
    assert_close(nearest, found[np.arange(len(X)), bmu], 1e-7, f"{level}: a unit's distance")


@level_check(lambda metric: "sparse" in metric.handles)
def check_sparse(metric: Any, level: str, _: Array, W: Array) -> None:
    """A CSR matrix gives the distances of its dense copy."""
    raw = fixtures.samples_for(metric)
    raw[np.abs(raw) < np.median(np.abs(raw))] = 0.0
    dense, sparse = metric.prepared(raw), metric.prepared(csr_matrix(raw))
    if level != "scalar":
        expected = distances_of(metric, level, dense, W)
        assert_close(distances_of(metric, level, sparse, W), expected, 1e-7, f"{level} of sparse")


@level_check(lambda metric: metric.is_euclidean)
def check_geometry(metric: Any, level: str, X: Array, W: Array) -> None:
    """Each level gives the Euclidean distance, as its geometry says."""
    expected = np.sqrt(np.square(X[:, None] - W).sum(axis=2))
    found = distances_of(metric, level, X, W)
    assert_close(found, expected, 1e-7, f"{level} is not the Euclidean distance")
