"""Checks of what a metric may do besides measuring: learn, form prototypes, take other samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dbgsom_core.interfaces.metrics import MetricAbilities
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, check
from dbgsom_core.testing.metrics import (
    able,
    distances_of,
    fitted_check,
    levels_of,
    tolerance,
    units_of,
)

HANDLES = ("missing", "sparse")


def _groups(X: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # Five groups of samples and what they weigh in six neurons; nothing reaches the last one.
    group = np.arange(len(X)) % 5
    influence = np.exp(-np.abs(np.subtract.outer(np.arange(5.0), np.arange(6.0))))
    influence[:, 5] = 0.0
    return group, influence


@check("metric")
def check_handles_are_known(component: Any, subject: Subject) -> None:
    """It says to handle nothing but missing values and sparse samples."""
    unknown = set(MetricAbilities.of(component).handles) - set(HANDLES)
    assert not unknown, f"handles {sorted(unknown)}; known: {', '.join(HANDLES)}"


@check("metric", applies=able(lambda metric: metric.fit is not None))
def check_fit_state(component: Any, subject: Subject) -> None:
    """Fitting returns named finite arrays, the same ones each time, and prepare gets them."""
    abilities = MetricAbilities.of(component)
    told = "what fit returns goes to prepare, or with uses_state to pairwise, which it lacks"
    assert abilities.prepare is not None or abilities.uses_state, told
    X = material.frozen(material.samples_for(component))
    first, second = component.fit(X), component.fit(X)
    assert isinstance(first, Mapping), f"fit returns a {type(first).__name__}, not a mapping"
    assert first.keys() == second.keys(), "fit names its arrays differently each time"
    for name, value in first.items():
        assert isinstance(name, str), f"{name!r} is no name"
        assert isinstance(value, np.ndarray), f"{name} is a {type(value).__name__}, not an array"
        assert np.isfinite(value).all(), f"{name} must be finite"
        assert np.array_equal(value, second[name]), f"{name} differs from call to call"
    kept = {name: material.frozen(value) for name, value in first.items()}
    prepared = abilities.knowing(kept).prepared(X)
    assert len(prepared) == len(X), "prepare(X, state) loses rows"


@fitted_check(able(lambda metric: metric.form is not None))
def check_form(component: Any, subject: Subject) -> None:
    """Formed prototypes are finite, in any order of the samples, and kept where none comes."""
    X = material.prepared(component, material.samples_for(component))
    group, influence = _groups(X)
    so_far = np.asarray(X[:6], dtype=np.float64)
    given = [material.frozen(one) for one in (X, group, influence)]
    made = np.asarray(component.form(*given, None, material.frozen(so_far)))
    assert made.shape == so_far.shape, f"form gives shape {made.shape}, not {so_far.shape}"
    assert np.isfinite(made).all(), "prototypes must be finite"
    assert np.array_equal(made[5], so_far[5]), "a neuron that nothing reaches must keep its place"
    back = np.asarray(component.form(X[::-1].copy(), group[::-1].copy(), influence, None, so_far))
    assert np.allclose(back, made, rtol=0, atol=tolerance(made, 1e-9)), "the order matters"


@fitted_check(able(lambda metric: metric.form is not None))
def check_form_weights(component: Any, subject: Subject) -> None:
    """A sample of weight 2 forms prototypes as two samples do, and one of weight 0 as none."""
    X = material.prepared(component, material.samples_for(component))
    group, influence = _groups(X)
    so_far = np.asarray(X[:6], dtype=np.float64)
    weights = (np.arange(len(X)) * 7 % 3).astype(np.float64)
    rows = np.repeat(np.arange(len(X)), weights.astype(np.int64))
    weighted = np.asarray(component.form(X, group, influence, weights, so_far))
    repeated = np.asarray(component.form(X[rows], group[rows], influence, None, so_far))
    off = float(np.abs(weighted - repeated).max())
    assert off <= tolerance(repeated, 1e-9), f"weights and repeated samples differ by {off}"


@fitted_check(able(lambda metric: "missing" in metric.handles))
def check_missing(component: Any, subject: Subject) -> None:
    """A missing feature does not count, whatever the prototype holds there; whole rows stay."""
    X, W = material.metric_inputs(component)
    gaps = X.copy()
    gaps[::2, 0] = np.nan
    other = W.copy()
    other[:, 0] = W[::-1, 0] + 1.0
    for level in levels_of(component):
        whole, found = distances_of(component, level, X, W), distances_of(component, level, gaps, W)
        assert np.isfinite(found).all(), f"{level}: a missing value makes distances not finite"
        assert np.array_equal(found[1::2], whole[1::2]), f"{level}: gaps change whole rows"
        elsewhere = distances_of(component, level, gaps, other)[::2]
        assert np.array_equal(elsewhere, found[::2]), f"{level}: a missing feature counts"
        bmu, nearest = units_of(component, level, gaps, W)
        least = found[np.arange(len(X)), bmu]
        assert np.allclose(nearest, least, rtol=0, atol=tolerance(found, 1e-7)), (
            f"{level}: a unit's distance with missing values is another one"
        )


@fitted_check(able(lambda metric: "sparse" in metric.handles))
def check_sparse(component: Any, subject: Subject) -> None:
    """A CSR matrix gives the units and distances of its dense copy, and is left as it was."""
    raw = material.samples_for(component)
    raw[np.abs(raw) < np.median(np.abs(raw))] = 0.0
    dense, sparse = component.prepared(raw), component.prepared(csr_matrix(raw))
    _, W = material.metric_inputs(component)
    before = sparse.copy()
    for level in levels_of(component):
        if level == "scalar":
            continue
        whole = distances_of(component, level, dense, W)
        found = distances_of(component, level, sparse, W)
        off = float(np.abs(found - whole).max())
        assert off <= tolerance(whole, 1e-7), f"{level}: sparse samples are {off} farther"
    assert (before != sparse).nnz == 0, "a sparse matrix was changed"


@fitted_check(able(lambda metric: metric.is_euclidean))
def check_geometry(component: Any, subject: Subject) -> None:
    """Each level gives the Euclidean distance, as its geometry says: the fast search asks none."""
    X, W = material.metric_inputs(component)
    expected = np.sqrt(np.square(X[:, None] - W).sum(axis=2))
    for level in levels_of(component):
        off = float(np.abs(distances_of(component, level, X, W) - expected).max())
        assert off <= tolerance(expected, 1e-7), f"{level}: {off} off the Euclidean distance"


@fitted_check(able(lambda metric: "missing" not in metric.handles))
def check_not_finite(component: Any, subject: Subject) -> None:
    """A sample that is not finite is refused or stays alone: others' distances are the same."""
    X, W = material.metric_inputs(component)
    for value in (np.nan, np.inf):
        spoilt = X.copy()
        spoilt[0] = value
        for level in levels_of(component):
            expected = distances_of(component, level, X, W)[1:]
            try:
                with np.errstate(all="ignore"):
                    found = distances_of(component, level, spoilt, W)
            except ValueError:
                continue
            assert found.shape == (len(X), len(W)), f"{level}: shape {found.shape}"
            close = np.allclose(found[1:], expected, rtol=0, atol=tolerance(expected, 1e-9))
            assert close, f"{level}: one sample that holds {value} changes others"
