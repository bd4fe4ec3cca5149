"""Checks of distance metrics."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbgsom_core.engine.scalar import scalar_assign, scalar_pairwise
from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import check_fit, twice_in_threads
from dbgsom_core.testing.kit import Function, Subject, check

CLAIMS = ("identity", "symmetry", "triangle")


def fitted_check(
    applies: Callable[[Any, Subject], bool] | None = None,
) -> Callable[[Function], Function]:
    """Add a function to the checks of metrics; it is called with what the metric learned."""

    def add(function: Function) -> Function:
        @wraps(function)
        def after_fit(component: Any, subject: Subject) -> None:
            function(material.fitted(component), subject)

        return check("metric", applies)(after_fit)

    return add


def levels_of(metric: MetricAbilities) -> list[str]:
    """Return the levels that a metric is written at, fastest first."""
    found = {"assign": metric.assign, "scalar": metric.scalar, "pairwise": metric.pairwise}
    return [level for level, method in found.items() if method is not None]


def distances_of(metric: Any, level: str, X: NDArray[Any], W: NDArray[Any]) -> NDArray[np.float64]:
    """Return all distances (m, K) as one level gives them."""
    if level == "pairwise":
        return np.asarray(metric.pairwise(X, W))
    if level == "scalar":
        return scalar_pairwise(metric, X, W)
    columns = [metric.assign(X, w[None])[1] for w in W]
    return np.column_stack(columns)


def units_of(metric: Any, level: str, X: NDArray[Any], W: NDArray[Any]) -> Any:
    """Return (bmu (m,), distance (m,)) as one level finds them."""
    if level == "assign":
        return metric.assign(X, W)
    if level == "scalar":
        return scalar_assign(metric, X, W)
    distances = distances_of(metric, level, X, W)
    bmu = distances.argmin(axis=1)
    return bmu, distances[np.arange(len(X)), bmu]


def tolerance(distances: NDArray[Any], relative: float) -> float:
    """Return what counts as rounding beside the largest of these numbers."""
    return relative * max(1.0, float(np.abs(distances).max()))


def able(test: Callable[[MetricAbilities], bool]) -> Callable[[Any, Subject], bool]:
    """Return whether a check applies, from a test of what the metric can do."""
    return lambda component, subject: test(MetricAbilities.of(component))


def _claims(claim: str) -> Any:
    return lambda component, subject: claim in subject.claims


@check("metric")
def check_claims_are_known(component: Any, subject: Subject) -> None:
    """It claims nothing but identity, symmetry and triangle."""
    unknown = subject.claims - set(CLAIMS)
    assert not unknown, f"unknown claims {sorted(unknown)}; known: {', '.join(CLAIMS)}"


@fitted_check()
def check_shapes_and_dtypes(component: Any, subject: Subject) -> None:
    """Each level returns arrays of the promised shape and dtype, finite and not negative."""
    X, W = material.metric_inputs(component)
    for dtype in (np.float64, np.float32):
        for level in levels_of(component):
            samples = X.astype(dtype)
            distances = distances_of(component, level, samples, W)
            assert distances.shape == (len(X), len(W)), f"{level}: shape {distances.shape}"
            assert distances.dtype.kind == "f", f"{level}: distances are {distances.dtype}"
            assert np.isfinite(distances).all(), f"{level}: distances must be finite"
            least = distances.min()
            assert least >= -tolerance(distances, 1e-9), f"{level}: negative distance {least}"
            bmu, nearest = units_of(component, level, samples, W)
            assert np.shape(bmu) == np.shape(nearest) == (len(X),), f"{level}: one bmu a sample"
            assert np.asarray(bmu).dtype.kind in "iu", f"{level}: bmu must be integers"


@fitted_check(able(lambda metric: metric.prepare is not None))
def check_prepare(component: Any, subject: Subject) -> None:
    """Preparing keeps the number of rows and float32, treats each row alone, and is finite."""
    X = material.samples_for(component)
    for dtype in (np.float64, np.float32):
        samples = X.astype(dtype)
        done = np.asarray(component.prepare(material.frozen(samples)))
        assert done.ndim == 2 and len(done) == len(X), f"prepare gives shape {done.shape}"
        assert done.dtype == dtype, f"prepare turns {samples.dtype} into {done.dtype}"
        assert np.isfinite(done).all(), "prepared samples must be finite"
        part = np.asarray(component.prepare(samples[:5]))
        assert np.array_equal(part, done[:5]), "prepare must not depend on other rows"


@fitted_check(able(lambda metric: metric.centre is not None))
def check_centre(component: Any, subject: Subject) -> None:
    """Centring keeps the shape, is finite, and leaves its argument as it was."""
    X = material.prepared(component, material.samples_for(component))
    means = material.frozen(np.asarray(X[:12].reshape(3, 4, -1).mean(axis=0), dtype=np.float64))
    centred = np.asarray(component.centre(means))
    assert centred.shape == means.shape, f"centre gives shape {centred.shape}, not {means.shape}"
    assert np.isfinite(centred).all(), "prototypes must be finite"


@fitted_check()
def check_float32_and_float64_agree(component: Any, subject: Subject) -> None:
    """The same samples in float32 are equally far away, to a thousandth of the largest distance."""
    X, W = material.metric_inputs(component)
    X = X.astype(np.float32).astype(np.float64)
    for level in levels_of(component):
        wide = distances_of(component, level, X, W)
        narrow = distances_of(component, level, X.astype(np.float32), W)
        off = float(np.abs(wide - narrow).max())
        assert off <= tolerance(wide, 1e-3), f"{level}: off by {off}"


@fitted_check(able(lambda metric: len(levels_of(metric)) > 1))
def check_levels_agree(component: Any, subject: Subject) -> None:
    """All levels that it is written at give the same distances and units."""
    X, W = material.metric_inputs(component)
    first, *others = levels_of(component)
    expected, units = distances_of(component, first, X, W), units_of(component, first, X, W)[0]
    for level in others:
        off = float(np.abs(distances_of(component, level, X, W) - expected).max())
        assert off <= tolerance(expected, 1e-7), f"{level} differs from {first} by {off}"
        same = np.array_equal(units_of(component, level, X, W)[0], units)
        assert same, f"{level} and {first} choose different units"


@fitted_check()
def check_ties_go_to_the_lowest_row(component: Any, subject: Subject) -> None:
    """Of two equal prototypes the first one wins, and its distance is the smallest there is."""
    X, W = material.metric_inputs(component)
    for level in levels_of(component):
        bmu, nearest = units_of(component, level, X, np.vstack([W, W]))
        assert np.max(bmu) < len(W), f"{level}: a tie went to the higher row"
        least = distances_of(component, level, X, W).min(axis=1)
        assert np.allclose(nearest, least, rtol=0, atol=tolerance(least, 1e-7)), (
            f"{level}: the unit's distance is not the smallest"
        )


@fitted_check(_claims("identity"))
def check_identity(component: Any, subject: Subject) -> None:
    """A sample is at no distance from itself, as it claims."""
    X, _ = material.metric_inputs(component)
    for level in levels_of(component):
        distances = distances_of(component, level, X, X.astype(np.float64))
        off = float(np.abs(np.diagonal(distances)).max())
        # the root of a rounded square is as good as the root of the rounding
        assert off <= tolerance(distances, 1e-6), f"{level}: d(x, x) = {off}"


@fitted_check(_claims("symmetry"))
def check_symmetry(component: Any, subject: Subject) -> None:
    """Two samples are equally far from each other, as it claims."""
    X, _ = material.metric_inputs(component)
    for level in levels_of(component):
        distances = distances_of(component, level, X, X.astype(np.float64))
        off = float(np.abs(distances - distances.T).max())
        assert off <= tolerance(distances, 1e-6), f"{level}: d(x, y) and d(y, x) differ by {off}"


@fitted_check(_claims("triangle"))
def check_triangle(component: Any, subject: Subject) -> None:
    """No detour is shorter than the direct way, as it claims."""
    X, _ = material.metric_inputs(component)
    for level in levels_of(component):
        d = distances_of(component, level, X, X.astype(np.float64))
        excess = float((d[:, None, :] - (d[:, :, None] + d[None, :, :])).max())
        assert excess <= tolerance(d, 1e-6), f"{level}: a detour is {excess} shorter"


@fitted_check()
def check_readonly_and_fortran_input(component: Any, subject: Subject) -> None:
    """Read-only and column-ordered arrays give the same answers."""
    X, W = material.metric_inputs(component)
    for level in levels_of(component):
        expected = distances_of(component, level, X, W)
        columns = (np.asfortranarray(X), np.asfortranarray(W))
        for samples, prototypes in (columns, (material.frozen(X), material.frozen(W))):
            found = distances_of(component, level, samples, prototypes)
            close = np.allclose(found, expected, rtol=0, atol=tolerance(expected, 1e-7))
            assert close, f"{level}: distances depend on the memory order"


@fitted_check()
def check_no_mutation(component: Any, subject: Subject) -> None:
    """It never changes the arrays that it is given."""
    raw = material.samples_for(component)
    before = raw.copy()
    X = material.prepared(component, raw)
    assert np.array_equal(raw, before), "prepare changes its samples"
    _, W = material.metric_inputs(component)
    kept = X.copy(), W.copy()
    for level in levels_of(component):
        distances_of(component, level, X, W)
        units_of(component, level, X, W)
        same = np.array_equal(X, kept[0]) and np.array_equal(W, kept[1])
        assert same, f"{level} changes its arguments"


@fitted_check()
def check_chunk_invariance(component: Any, subject: Subject) -> None:
    """A sample's unit and distance do not depend on the rows that stand beside it."""
    X, W = material.metric_inputs(component)
    for level in levels_of(component):
        bmu, nearest = units_of(component, level, X, W)
        for size in (1, 7):
            parts = [
                units_of(component, level, X[start : start + size], W)
                for start in range(0, len(X), size)
            ]
            units, distances = (np.concatenate(one) for one in zip(*parts, strict=True))
            assert np.array_equal(units, bmu), f"{level}: chunks of {size} choose other units"
            close = np.allclose(distances, nearest, rtol=0, atol=tolerance(nearest, 1e-9))
            assert close, f"{level}: chunks of {size} give other distances"


@fitted_check()
def check_determinism(component: Any, subject: Subject) -> None:
    """Asked twice it answers the same, to the bit."""
    X, W = material.metric_inputs(component)
    for level in levels_of(component):
        first, second = (distances_of(component, level, X, W) for _ in range(2))
        assert np.array_equal(first, second), f"{level}: two calls differ"


@fitted_check()
def check_thread_safety(component: Any, subject: Subject) -> None:
    """Several threads get the answers that one gets."""
    X, W = material.metric_inputs(component)
    for level in levels_of(component):
        expected = distances_of(component, level, X, W)

        def ask(_: int, level: str = level) -> NDArray[np.float64]:
            return distances_of(component, level, X, W)

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(ask, range(16)):
                close = np.allclose(found, expected, rtol=0, atol=tolerance(expected, 1e-9))
                assert close, f"{level}: a thread got other distances"


@check("metric")
def check_tiny_fit(component: Any, subject: Subject) -> None:
    """A small map is trained with it, in float64 and float32, the same with any threads."""
    X = material.samples_for(component)
    for dtype in (np.float64, np.float32):
        check_fit(X.astype(dtype), metric=component)
    twice_in_threads(X, metric=component)
