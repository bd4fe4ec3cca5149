"""Checks of data sets, measures, figures, trackers and prepare steps."""

from __future__ import annotations

import inspect
import io
import math
import pickle
from contextlib import chdir, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.utils import Tags, TargetTags, get_tags

from dbgsom_core import hookspecs
from dbgsom_core.errors import DbgsomError
from dbgsom_core.estimators.som import SomVQ
from dbgsom_core.experiments.callbacks import Callbacks
from dbgsom_core.experiments.journal import JOURNAL
from dbgsom_core.experiments.models import names_after, prepared
from dbgsom_core.experiments.profiles import GroupCounts
from dbgsom_core.experiments.trackers import (
    ARTIFACTS,
    Ranking,
    Run,
    RunResult,
    SweepView,
    Variant,
)
from dbgsom_core.hookspecs import LIFECYCLE_HOOKS
from dbgsom_core.interfaces.figures import (
    Html,
    MapView,
    images_of,
)
from dbgsom_core.interfaces.guard import Guarded, is_own
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.persistence import FittedModel, load
from dbgsom_core.plugins.registry import STEP
from dbgsom_core.testing import fixtures
from dbgsom_core.testing.kit import check
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


def _evaluation(measure: Any, chunk_rows: int = 4096) -> Evaluation:
    estimator, X, y = fixtures.trained(), fixtures.data(), fixtures.classes()
    evaluation: Evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X))
    if fixtures.only_regresses(measure):
        target = X[:, 0]
        evaluation = replace(evaluation, y=target, predictions=target + 0.1 * X[:, 1])
    in_memory: Any = evaluation.data
    return replace(evaluation, data=replace(in_memory, chunk_rows=chunk_rows))


@check("measure")
def check_value(component: Any) -> None:
    """It says which way is better, and gives one finite number within its bounds, the same when
    asked twice, however many rows are looked at together, and without targets unless it needs them.
    """
    able, better = Guarded(component), type(component).greater_is_better
    assert isinstance(better, bool), "greater_is_better must be a bool"
    assert not (able.zero_is_best and better), "what is best at 0 has greater_is_better = False"
    seen = _evaluation(component)
    value = able.compute(seen)
    assert value == able.compute(_evaluation(component)), "two calls differ"
    low, high = able.bounds
    assert low <= value <= high, f"{value:g} is not within its bounds {low:g} to {high:g}"
    others = {"in chunks": able.compute(_evaluation(component, chunk_rows=7))}
    if not able.needs_target:  # it may look at none
        others["without targets, so say needs_target = True,"] = able.compute(replace(seen, y=None))
    for how, other in others.items():
        assert math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-12), (
            f"{how} {other}, not {value}"
        )


@check("figure")
def check_draw(component: Any) -> None:
    """It draws a page or a matplotlib figure that can be written, each time a new one, without
    pyplot's state or settings, and on no axes but those that it is given.
    """
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    view: Any = _view()
    of_sweeps = Guarded(component).of_sweeps
    if of_sweeps:
        view = _sweep()
    elif fixtures.only_regresses(component):
        view = replace(view, estimator="regressor", evaluation=_evaluation(component))
    plt.get_backend()  # which is chosen when it is first asked for
    opened, settings = plt.get_fignums(), plt.rcParams.copy()
    drawn, again = (images_of("", Guarded(component).draw(view)) for _ in range(2))
    for name, figure in drawn.items():
        if isinstance(figure, Html):
            assert "<html" in figure.text.lower(), "Html must hold the text of a whole page"
            continue
        assert isinstance(figure, Figure), f"draw gives a {type(figure).__name__}"
        assert figure is not again[name], "two calls give the same figure: make a new one"
        figure.savefig(io.BytesIO(), format="png", dpi=40)
        holds = any(axes.has_data() or axes.texts for axes in figure.axes) or figure.texts
        assert holds, "its figure holds nothing"
    if not of_sweeps:
        page = Figure(figsize=(4, 2))
        other, mine = page.subplots(1, 2)
        bare = len(mine.get_children())
        figures = images_of("", Guarded(component).draw(replace(view, axes=mine))).values()
        untouched = page.axes[:2] == [other, mine] and not other.has_data()
        taken = page not in figures or len(mine.get_children()) > bare
        assert untouched and taken, "it draws beside the axes that it is given"
    cure = "use matplotlib.figure.Figure"
    assert plt.get_fignums() == opened, f"it opens or closes a figure of pyplot; {cure}"
    assert plt.rcParams == settings, "it changes matplotlib's rcParams: use rc_context"


def _sweep() -> SweepView:
    variants = [
        Variant(
            f"width={width}, kernel={kernel}",
            {"width": width, "kernel": kernel},
            {"test/accuracy": 0.9 - 0.1 * width, "test/quantization_error": 1.0 + width},
            {},
            (),
        )
        for width in (0.5, 1.0, 2.0)
        for kernel in ("gaussian", "bubble")
    ]
    measures = ("test/accuracy", "test/quantization_error")
    ranking = Ranking("trees", measures, "maximize", variants)
    return SweepView([ranking], "conformance")


def _view() -> MapView:
    from dbgsom_core.estimators.display import view_of

    estimator, X, y = fixtures.trained(), fixtures.data(), fixtures.classes()
    view = view_of(
        estimator,
        estimator.evaluate(X, y=y, predictions=estimator.predict(X)),
        feature_names=[f"x{i}" for i in range(fixtures.FEATURES)],
        image_shape=(2, 2),
        title="conformance",
        stability=fixtures.stability(),
    )
    counts = np.array([[12, 3], [1, 14]], dtype=np.int64)
    days = (np.datetime64("2001-01-01") + np.arange(len(X))).astype(str)
    groups = [GroupCounts("batch", ("a", "b"), ("0", "1"), counts)]
    return replace(view, groups=groups, annotations={"time": days})


@check("tracker")
def check_observer(component: Any) -> None:
    """Each observer is a fresh object with lifecycle hooks that take the arguments they get; where
    it can, the tracker says in a few words how to look at the runs.
    """
    first, second = (Guarded(component).observer() for _ in range(2))
    assert first is not second, "observer() must return a fresh object"
    hooks = [name for name in dir(first) if name.startswith("dbgsom_")]
    assert hooks, f"the observer has none of {', '.join(LIFECYCLE_HOOKS)}"
    for hook in hooks:
        assert hook in LIFECYCLE_HOOKS, f"unknown hook: {hook}"
        known = set(inspect.signature(getattr(hookspecs, hook)).parameters)
        for name, argument in inspect.signature(getattr(first, hook)).parameters.items():
            stars = argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
            assert stars or name in known, f"{hook} has an unknown argument '{name}'"
    if Guarded(component).how_to_open is not None:
        with suppress(DbgsomError):  # it may be out of reach
            text = component.how_to_open()
            assert isinstance(text, str) and text.strip(), f"how_to_open gives {text!r}"


@check("tracker")
def check_runs(component: Any) -> None:
    """Its observer hears of runs that finish, fail or are interrupted without raising; what it adds
    to a run folder goes through the run, which a resumed run repeats.
    """
    history, example = fixtures.trained().history_, fixtures.data()[:3]
    result = RunResult({"train/quantization_error": 0.5}, history, example=example, notes=["x"])
    before = pickle.dumps((result.measures, result.notes, result.example))
    with TemporaryDirectory() as place, chdir(place):  # trackers write into the working directory
        folder = Path(place)
        for name in ("first", "second", "second"):  # the last one as where a run is resumed
            _drive(component, folder / name, 3, "dbgsom_run_finished", result=result)
        after = pickle.dumps((result.measures, result.notes, result.example))
        assert before == after, "it changes the result, which others get as well: change a copy"
        written = {one.name for one in (folder / "second").iterdir()} - {JOURNAL, ARTIFACTS}
        cure = "use run.log_scalar(name, value, step) and run.log_artifact(name, content)"
        own = is_own(component)
        assert own or not written, f"it writes {sorted(written)} into the run folder: {cure}"
        errors = (RuntimeError("conformance"), KeyboardInterrupt(), SystemExit(1))
        for number, error in enumerate(errors):
            _drive(component, folder / str(number), number, "dbgsom_run_failed", error=error)


def _drive(component: Any, folder: Path, epochs: int, end: str, **event: Any) -> None:
    # A run, without a net: what the observer raises is raised.
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
    notify = Callbacks([observer], required=observer).notify
    notify("dbgsom_run_started", run=run)
    trained = fixtures.trained()
    for record in trained.history_[:epochs]:
        record.show(trained.som_map_)
        notify("dbgsom_epoch_finished", run=run, epoch=record)
        record.show(None)
    notify(end, run=run, **event)
    call(observer, "close", {})


def _tags(step: Any) -> Any:
    if hasattr(step, "__sklearn_tags__"):
        return get_tags(step)
    return Tags(None, TargetTags(required=False))


def _data(step: Any) -> NDArray[np.float64]:
    X = fixtures.data()
    return np.abs(X) if _tags(step).input_tags.positive_only else X


def _fitted(step: Any, X: NDArray[Any]) -> Any:
    return clone(step).fit(X, fixtures.classes())


@check(STEP)
def check_step_rows(component: Any) -> None:
    """It makes a row of finite numbers of each sample, of float32 too, whatever samples are beside
    it, the same when asked or fitted twice, and learns without targets unless its tags say that it
    needs them.
    """
    X = _data(component)
    for given in (X, X.astype(np.float32)):
        step = _fitted(component, given)
        made = np.asarray(step.transform(given))
        assert made.ndim == 2 and made.dtype.kind in "fiub", "transform gives no table of numbers"
        assert len(made) == len(given), f"{len(given)} samples become {len(made)}"
        assert np.isfinite(made).all(), "of finite samples it makes nan or infinity"
        assert np.array_equal(made, np.asarray(step.transform(given))), "two calls differ"
        again = np.asarray(_fitted(component, given).transform(given))
        assert np.array_equal(made, again), "fitted twice it makes other rows; give it a seed"
        alone = np.vstack([step.transform(given[i : i + 1].copy()) for i in range(len(given))])
        same = np.allclose(alone, made, rtol=1e-6, atol=1e-6)  # as `predict` asks, in blocks
        assert same, "a sample alone becomes another row than beside others"
    if not _tags(component).target_tags.required:
        assert len(np.asarray(clone(component).fit(X, None).transform(X))) == len(X)


@check(STEP)
def check_step_reads_only(component: Any) -> None:
    """It changes neither samples, unless its ``copy`` is False, nor what it learnt from others."""
    X, kept = _data(component), _data(component)
    step = _fitted(component, X)
    before = np.array(prepared([("step", step)], X))
    assert np.array_equal(X, kept), "it changes the samples"
    step.transform(X[:5] * 3 + 1)
    assert np.array_equal(before, prepared([("step", step)], X)), "transform changes what it learnt"


@check(STEP)
def check_step_columns(component: Any) -> None:
    """Its class has a docstring; ``inverse_transform`` undoes it where it makes a column of each,
    and ``get_feature_names_out``, where it has that, names each column once.
    """
    own = type(component).__dict__.get("__doc__")
    assert own and own.strip(), "the class has no docstring of its own"
    X = _data(component)
    step = _fitted(component, X)
    made = np.asarray(step.transform(X.copy()))
    if isinstance(step, OneToOneFeatureMixin) and hasattr(step, "inverse_transform"):
        back = np.asarray(step.inverse_transform(made.copy()))
        assert np.allclose(back, X, rtol=1e-6, atol=1e-9), "inverse_transform gives other samples"
    if hasattr(step, "get_feature_names_out"):
        names = names_after([("step", step)], [f"x{i}" for i in range(X.shape[1])])
        assert names is not None, "get_feature_names_out fails on the names of the features"
        assert len(set(names)) == made.shape[1], f"{len(set(names))} names, {made.shape[1]} columns"


@check(STEP)
def check_step_saving(component: Any) -> None:
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
