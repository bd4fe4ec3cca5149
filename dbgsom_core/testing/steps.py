"""Checks of prepare steps: what a run asks of a transformer besides what scikit-learn does."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.utils import Tags, TargetTags, get_tags

from dbgsom_core.estimators.clustering import SomVQ
from dbgsom_core.estimators.model_file import FittedModel, load
from dbgsom_core.estimators.scaling import names_after, prepared
from dbgsom_core.plugins.registry import STEP
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, check


def _tags(step: Any) -> Any:
    own = hasattr(step, "__sklearn_tags__")
    return get_tags(step) if own else Tags(None, TargetTags(required=False))


def _data(step: Any) -> NDArray[np.float64]:
    X = material.data()
    return np.abs(X) if _tags(step).input_tags.positive_only else X


def _fitted(step: Any, X: NDArray[Any]) -> Any:
    return clone(step).fit(X, material.classes())


@check(STEP)
def check_step_docstring(component: Any, subject: Subject) -> None:
    """Its class has a docstring: what `plugins list` and `show` tell of it."""
    own = type(component).__dict__.get("__doc__")
    assert own and own.strip(), "the class has no docstring of its own"


@check(STEP)
def check_step_table(component: Any, subject: Subject) -> None:
    """It makes a row of finite numbers of each sample, of float32 too, the same when asked twice,
    and learns without targets where there are none, unless its tags say that it needs them.
    """
    X = _data(component)
    for given in (X, X.astype(np.float32)):
        step = _fitted(component, given)
        first, second = (np.asarray(step.transform(given)) for _ in range(2))
        assert first.ndim == 2 and first.dtype.kind in "fiub", "transform gives no table of numbers"
        assert len(first) == len(given), f"{len(given)} samples become {len(first)}"
        assert np.isfinite(first).all(), "of finite samples it makes nan or infinity"
        assert np.array_equal(first, second), "two calls differ"
        again = np.asarray(_fitted(component, given).transform(given))
        assert np.array_equal(first, again), "fitted twice it makes other rows; give it a seed"
    if not _tags(component).target_tags.required:
        assert len(np.asarray(clone(component).fit(X, None).transform(X))) == len(X)


@check(STEP)
def check_step_reads_only(component: Any, subject: Subject) -> None:
    """It changes no samples, unless its ``copy`` is False, and what it has learnt no more."""
    X, kept = _data(component), _data(component)
    step = _fitted(component, X)
    assert np.array_equal(X, kept), "fit changes the samples"
    before = np.array(prepared([("step", step)], X))
    assert np.array_equal(X, kept), "transform changes the samples"
    step.transform(X[:5] * 3 + 1)
    assert np.array_equal(before, prepared([("step", step)], X)), "transform changes what it learnt"


@check(STEP)
def check_step_rows_independent(component: Any, subject: Subject) -> None:
    """What it makes of a sample does not depend on those beside it: `predict` asks in blocks."""
    X = _data(component)
    step = _fitted(component, X)
    whole = np.asarray(step.transform(X.copy()))
    for rows in (1, 7):
        parts = [step.transform(X[i : i + rows].copy()) for i in range(0, len(X), rows)]
        same = np.allclose(np.concatenate(parts), whole, rtol=1e-9, atol=1e-12)
        assert same, f"blocks of {rows} become other rows than all samples together"


@check(STEP)
def check_step_columns(component: Any, subject: Subject) -> None:
    """Its ``inverse_transform`` undoes it where it makes a column of each, and where it has
    ``get_feature_names_out`` each column has a name of its own.
    """
    X = _data(component)
    step = _fitted(component, X)
    made = np.asarray(step.transform(X.copy()))
    if isinstance(step, OneToOneFeatureMixin) and hasattr(step, "inverse_transform"):
        back = np.asarray(step.inverse_transform(made.copy()))
        close = np.allclose(back, X, rtol=1e-6, atol=1e-9)
        assert close, "inverse_transform gives other samples"
    if hasattr(step, "get_feature_names_out"):
        names = names_after([("step", step)], [f"x{i}" for i in range(X.shape[1])])
        assert names is not None, "get_feature_names_out fails on the names of the features"
        assert len(set(names)) == made.shape[1], f"{len(set(names))} names, {made.shape[1]} columns"


@check(STEP)
def check_step_saving(component: Any, subject: Subject) -> None:
    """A model file holds it, and what is loaded makes the same bits of samples."""
    X = _data(component)
    step = _fitted(component, X)
    expected = prepared([("step", step)], X)
    som = SomVQ(growth={"name": "fixed", "rows": 2, "columns": 2}, epochs=2, tol=0).fit(expected)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        FittedModel((("step", step),), som).save(path)
        loaded = load(path)
    assert np.array_equal(loaded.prepare(X), expected), "once loaded it makes other rows"
