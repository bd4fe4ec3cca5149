"""Checks of data sets, measures, figures, trackers and prepare steps."""

from __future__ import annotations

import io
import math
import pickle
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.utils import get_tags

from dbgsom_core.estimators.som import SomVQ
from dbgsom_core.experiments.measuring import GroupCounts
from dbgsom_core.experiments.models import names_after, prepared
from dbgsom_core.experiments.trackers import (
    ARTIFACTS,
    JOURNAL,
    Ranking,
    Run,
    RunResult,
    SweepView,
    Variant,
)
from dbgsom_core.hookspecs import LIFECYCLE_HOOKS
from dbgsom_core.interfaces.component import Guarded, is_own
from dbgsom_core.interfaces.figures import Html, MapView, images_of
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.persistence import FittedModel, load
from dbgsom_core.plugins.registry import STEP
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import assert_documented, check
from dbgsom_core.training.callbacks import call


@check("dataset")
def check_load(component: Any) -> None:
    """It loads a table of numbers, with targets and names that fit, the same when asked twice."""
    data, again = (Guarded(component).load() for _ in range(2))
    assert data.X.dtype.kind in "fiub", "X must be a table of numbers"
    assert len(data.X), "it has no rows"
    assert not np.isnan(data.X).all(), "no sample has a value"
    assert not np.isinf(data.X).any(), "X holds infinite values"
    if data.columns is not None:
        named = tuple(data.columns.feature_names) == tuple(data.feature_names or ())
        assert named, "columns and feature_names must name the same features"
    for cells in data.variables.values():
        assert len(cells) == len(data.X), "variables must have a value for each sample"
    assert np.array_equal(data.X, again.X, equal_nan=True), "loading twice gives other data"
    assert not np.shares_memory(data.X, again.X), "two loads share their arrays"


def _evaluation(component: Any, **changes: Any) -> Evaluation:
    """Return `fixtures.trained` on its samples, with targets that suit a measure or figure."""
    estimator = fixtures.trained()
    X = fixtures.data()
    evaluation: Evaluation = estimator.evaluate(X, fixtures.classes(), estimator.predict(X))
    if fixtures.only_regresses(component):
        changes = {"y": X[:, 0], "predictions": X[:, 0] + 0.1 * X[:, 1], **changes}
    return replace(evaluation, **changes)


@check("measure")
def check_value(component: Any) -> None:
    """It says which way is better, and gives one finite number within its bounds, the same when
    asked twice, however many rows are looked at together, and without targets unless it needs them.
    """
    able = Guarded(component)
    better = type(component).greater_is_better
    assert isinstance(better, bool), "greater_is_better must be a bool"
    assert not (able.zero_is_best and better), "what is best at 0 has greater_is_better = False"
    value = able.compute(_evaluation(component))
    assert value == able.compute(_evaluation(component)), "two calls differ"
    low, high = able.bounds
    assert low <= value <= high, f"{value:g} is not within its bounds {low:g} to {high:g}"
    in_memory: Any = _evaluation(component).data
    others = {"in chunks": {"data": replace(in_memory, chunk_rows=7)}}
    if not able.needs_target:
        others["without targets, so say needs_target = True,"] = {"y": None}
    for how, changes in others.items():
        other = able.compute(_evaluation(component, **changes))
        same = math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-12)
        assert same, f"{how} it is {other}, not {value}"


@check("figure")
def check_draw(component: Any) -> None:
    """It draws a page or a matplotlib figure that can be written, each time a new one, without
    pyplot's state or settings, and on no axes but those that it is given.
    """
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    able = Guarded(component)
    view: Any = _sweep() if able.of_sweeps else _view(component)
    plt.get_backend()  # which is chosen when it is first asked for
    opened = plt.get_fignums()
    settings = plt.rcParams.copy()
    drawn, again = (images_of("", able.draw(view)) for _ in range(2))
    for name, figure in drawn.items():
        if isinstance(figure, Html):
            assert "<html" in figure.text.lower(), "Html must hold the text of a whole page"
            continue
        assert isinstance(figure, Figure), f"draw gives a {type(figure).__name__}"
        assert figure is not again[name], "two calls give the same figure: make a new one"
        figure.savefig(io.BytesIO(), format="png", dpi=40)
        holds = figure.texts or any(axes.has_data() or axes.texts for axes in figure.axes)
        assert holds, "its figure holds nothing"
    if not able.of_sweeps:
        page = Figure(figsize=(4, 2))
        other, given = page.subplots(1, 2)
        able.draw(replace(view, axes=given))
        untouched = page.axes[:2] == [other, given] and not other.has_data()
        assert untouched, "it draws beside the axes that it is given"
    assert plt.get_fignums() == opened, "it opens a figure of pyplot: use matplotlib.figure.Figure"
    assert plt.rcParams == settings, "it changes matplotlib's rcParams: use rc_context"


def _sweep() -> SweepView:
    variants = []
    for width in (0.5, 1.0, 2.0):
        measures = {"test/accuracy": 0.9 - 0.1 * width}
        variants.append(Variant(f"width={width}", {"width": width}, measures, {}, ()))
    return SweepView([Ranking("trees", tuple(measures), "maximize", variants)], "conformance")


def _view(component: Any) -> MapView:
    view: MapView = fixtures.trained()._view(
        _evaluation(component),
        feature_names=[f"x{i}" for i in range(fixtures.FEATURES)],
        image_shape=(2, 2),
        stability=fixtures.stability(),
        cluster_stability=fixtures.cluster_stability(),
        change=fixtures.change(),
        groups=[GroupCounts("batch", ("a", "b"), ("0", "1"), np.array([[12, 3], [1, 14]]))],
        annotations={"time": np.arange("2001-01-01", fixtures.SAMPLES, dtype="M8[D]").astype(str)},
    )
    if fixtures.only_regresses(component):
        view = replace(view, estimator="regressor")
    return view


@check("tracker")
def check_observer(component: Any) -> None:
    """Each observer is a fresh object with lifecycle hooks and no others."""
    observer = Guarded(component).observer()
    assert observer is not component.observer(), "observer() must return a fresh object"
    hooks = [name for name in dir(observer) if name.startswith("dbgsom_")]
    assert hooks, f"the observer has none of {', '.join(LIFECYCLE_HOOKS)}"
    for hook in hooks:
        assert hook in LIFECYCLE_HOOKS, f"unknown hook: {hook}"


@check("tracker")
def check_runs(component: Any) -> None:
    """Its observer hears of runs that finish, fail or are interrupted without raising; what it adds
    to a run folder goes through the run, which a resumed run repeats.
    """
    history = fixtures.trained().history_
    example = fixtures.data()[:3]
    result = RunResult({"train/quantization_error": 0.5}, history, example=example, notes=["x"])
    before = pickle.dumps(result)
    with TemporaryDirectory() as place, chdir(place):  # trackers write into the working directory
        for name in ("first", "second", "second"):  # the last one as where a run is resumed
            _drive(component, Path(place, name), 3, "dbgsom_run_finished", result=result)
        assert before == pickle.dumps(result), (
            "it changes the result, which others get as well: change a copy"
        )
        written = {file.name for file in Path(place, "second").iterdir()} - {JOURNAL, ARTIFACTS}
        assert is_own(component) or not written, (
            f"it writes {sorted(written)} into the run folder: use run.log_scalar(name, value, "
            "step) and run.log_artifact(name, content)"
        )
        for epochs, error in enumerate((RuntimeError("x"), KeyboardInterrupt(), SystemExit(1))):
            _drive(component, Path(place, str(epochs)), epochs, "dbgsom_run_failed", error=error)


def _drive(component: Any, folder: Path, epochs: int, end: str, **event: Any) -> None:
    """Call a tracker's observer as a run does; what it raises is raised."""
    folder.mkdir(exist_ok=True)
    run = Run(
        id=folder.name,
        name=folder.name,
        experiment="conformance",
        kind="run",
        folder=folder,
        config={"experiment": "conformance", "tracking": []},
        params={"growth": "fixed"},
        environment={"versions": {}},
        data={"name": "blobs", "samples": fixtures.SAMPLES, "features": fixtures.FEATURES},
        total_epochs=5,
    )
    observer = component.observer()
    call(observer, "prepare", {})
    call(observer, "dbgsom_run_started", {"run": run})
    trained = fixtures.trained()
    for record in trained.history_[:epochs]:
        record.show(trained.som_map_)
        call(observer, "dbgsom_epoch_finished", {"run": run, "epoch": record})
        record.show(None)
    call(observer, end, {"run": run, **event})
    call(observer, "close", {})


def _data(step: Any) -> NDArray[np.float64]:
    X = fixtures.data()
    return np.abs(X) if get_tags(step).input_tags.positive_only else X


def _fitted(step: Any, X: NDArray[Any]) -> Any:
    return clone(step).fit(X, fixtures.classes())


@check(STEP)
def check_step_rows(component: Any) -> None:
    """It makes a row of finite numbers of each sample, of float32 too, whatever samples are beside
    it, the same when asked or fitted twice; it changes neither samples nor what it learnt from
    others, and learns without targets unless its tags say that it needs them.
    """
    X = _data(component)
    for samples in (X.copy(), X.astype(np.float32)):
        step = _fitted(component, samples)
        rows = np.asarray(step.transform(samples))
        assert np.array_equal(samples, X.astype(samples.dtype)), "it changes the samples"
        assert rows.ndim == 2 and rows.dtype.kind in "fiub", "transform gives no table of numbers"
        assert len(rows) == len(samples), f"{len(samples)} samples become {len(rows)}"
        assert np.isfinite(rows).all(), "of finite samples it makes nan or infinity"
        assert np.array_equal(rows, step.transform(samples)), "two calls differ"
        again = _fitted(component, samples).transform(samples)
        assert np.array_equal(rows, again), "fitted twice it makes other rows; give it a seed"
        alone = np.vstack([step.transform(row[None].copy()) for row in samples])
        same = np.allclose(alone, rows, rtol=1e-6, atol=1e-6)  # as `predict` asks, in blocks
        assert same, "a sample alone becomes another row than beside others"
        step.transform(samples[:5] * 3 + 1)
        same = np.array_equal(rows, step.transform(samples))
        assert same, "transform changes what it learnt"
    if not get_tags(component).target_tags.required:
        clone(component).fit(X, None)


@check(STEP)
def check_step_columns(component: Any) -> None:
    """Its class has a docstring; ``inverse_transform`` undoes it where it makes a column of each,
    and ``get_feature_names_out``, where it has that, names each column once.
    """
    assert_documented(component)
    X = _data(component)
    step = _fitted(component, X)
    rows = np.asarray(step.transform(X.copy()))
    if isinstance(step, OneToOneFeatureMixin) and hasattr(step, "inverse_transform"):
        back = step.inverse_transform(rows.copy())
        assert np.allclose(back, X, rtol=1e-6, atol=1e-9), "inverse_transform gives other samples"
    if hasattr(step, "get_feature_names_out"):
        names = names_after([("step", step)], [f"x{i}" for i in range(X.shape[1])]) or ()
        unique = len(set(names)) == rows.shape[1]
        assert unique, f"get_feature_names_out gives {names} for {rows.shape[1]} columns"


@check(STEP)
def check_step_saving(component: Any) -> None:
    """A model file holds it, and what is loaded makes the same bits of samples."""
    X = _data(component)
    step = _fitted(component, X)
    expected = prepared([("step", step)], X)
    som = SomVQ(growth={"name": "fixed", "rows": 2, "columns": 2}, epochs=2).fit(expected)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        FittedModel((("step", step),), som).save(path)
        assert np.array_equal(load(path).prepare(X), expected), "once loaded it makes other rows"
