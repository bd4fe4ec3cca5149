"""Checks of what a run needs beside the model: data sets, measures, figures."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import FigureAbilities, Html, MapView, images_of
from dbgsom_core.interfaces.measures import Evaluation, MeasureAbilities
from dbgsom_core.interfaces.read_only import MapSnapshot
from dbgsom_core.interfaces.trackers import Ranking, SweepView, Variant
from dbgsom_core.interfaces.validation import CHECKS
from dbgsom_core.som_map.som_map import SomMap
from dbgsom_core.testing import material
from dbgsom_core.testing.fitting import only_regresses
from dbgsom_core.testing.kit import Subject, check


@check("dataset")
def check_load(component: Any, subject: Subject) -> None:
    """It loads a table of numbers, with targets and names that fit, the same when asked twice."""
    data, again = component.load(), component.load()
    assert isinstance(data, Data), f"load gives a {type(data).__name__}, not a Data"
    assert data.X.ndim == 2 and data.X.dtype.kind in "fiub", "X must be a table of numbers"
    assert data.y is None or len(data.y) == len(data.X), "y must have a value for each sample"
    names = data.feature_names
    assert names is None or len(names) == data.X.shape[1], "one feature name a column"
    if data.columns is not None:
        named = tuple(data.columns.feature_names)
        assert named == tuple(names or ()), "columns and feature_names must name the same features"
    for columns in (data.ids or {}, data.annotations, data.variables):
        for cells in columns.values():
            assert len(cells) == len(data.X), "ids and variables must have a value for each sample"
    if data.image_shape is not None:
        assert math.prod(data.image_shape) == data.X.shape[1], "image_shape must hold a sample"
    assert np.array_equal(data.X, again.X, equal_nan=True), "loading twice gives other data"
    assert not np.isinf(data.X).any(), "X holds infinite values"
    if data.X.flags.writeable:
        before = data.X.copy()
        data.X[...] = 0
        fresh = component.load().X
        assert np.array_equal(fresh, before, equal_nan=True), "two loads share their arrays"


def _evaluation(measure: Any, chunk_rows: int = 4096) -> Evaluation:
    estimator = material.trained()
    X, y = material.data(), material.classes()
    evaluation: Evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X))
    if only_regresses(measure):
        target = X[:, 0]
        evaluation = replace(evaluation, y=target, predictions=target + 0.1 * X[:, 1])
    in_memory: Any = evaluation.data
    return replace(evaluation, data=replace(in_memory, chunk_rows=chunk_rows))


@check("measure")
def check_value(component: Any, subject: Subject) -> None:
    """It says which way is better, and gives one finite number, the same when asked twice."""
    assert isinstance(type(component).greater_is_better, bool), "greater_is_better must be a bool"
    if MeasureAbilities.of(component).zero_is_best:
        told = "what is best at 0 has greater_is_better = False"
        assert not type(component).greater_is_better, told
    first, second = (component.compute(_evaluation(component)) for _ in range(2))
    assert np.ndim(first) == 0 and math.isfinite(first), f"the value is {first!r}"
    assert float(first) == float(second), "two calls differ"
    low, high = MeasureAbilities.of(component).bounds
    assert low <= first <= high, (
        f"the value is {first:g}, not within its bounds {low:g} to {high:g}"
    )


@check("measure")
def check_measure_chunk_invariance(component: Any, subject: Subject) -> None:
    """Its value does not depend on how many rows are looked at together."""
    whole, parts = (component.compute(_evaluation(component, rows)) for rows in (4096, 7))
    assert math.isclose(whole, parts, rel_tol=1e-9, abs_tol=1e-12), f"{whole} and {parts}"


@check(
    "measure", applies=lambda component, subject: not MeasureAbilities.of(component).needs_target
)
def check_measure_without_targets(component: Any, subject: Subject) -> None:
    """It looks at no targets, unless it says so: there may be none."""
    evaluation = _evaluation(component)
    value, without = (component.compute(replace(evaluation, y=y)) for y in (evaluation.y, None))
    assert math.isclose(value, without, rel_tol=1e-9, abs_tol=1e-12), (
        f"the value is {value} with targets and {without} without; say needs_target = True"
    )


@check("measure")
def check_measure_reads_only(component: Any, subject: Subject) -> None:
    """It changes neither the samples, nor what is known of them, nor the map."""
    evaluation = _evaluation(component)
    _reads_only(evaluation, lambda: component.compute(evaluation))


def _reads_only(evaluation: Evaluation, call: Callable[[], Any]) -> None:
    arrays = {
        "the samples": evaluation.X,
        "the targets": evaluation.y,
        "the predictions": evaluation.predictions,
        "bmu": evaluation.bmu,
        "second_bmu": evaluation.second_bmu,
        "distance": evaluation.distance,
        "hits": evaluation.hits,
        "errors": evaluation.errors,
    }
    before = {name: array.copy() for name, array in arrays.items() if array is not None}
    with unchanged(evaluation.som_map):
        call()
    for name, kept in before.items():
        assert np.array_equal(arrays[name], kept), f"it changes {name}"


@contextmanager
def unchanged(som_map: SomMap) -> Iterator[None]:
    """Raise AssertionError when a map is another one afterwards."""
    snapshot = MapSnapshot(som_map)
    yield
    assert not snapshot.has_changed, "it changes the map"


@check("figure")
def check_draw(component: Any, subject: Subject) -> None:
    """It draws a page or a matplotlib figure that can be written, without pyplot's state."""
    from matplotlib.figure import Figure

    before = _open_figures()
    of_sweeps = FigureAbilities.of(component).of_sweeps
    view = _sweep() if of_sweeps else _view()
    drawn = CHECKS["figure", "draw"](component.draw(view), view)
    for figure in images_of("", drawn).values():
        if isinstance(figure, Html):
            assert "<html" in figure.text.lower(), "Html must hold the text of a whole page"
        else:
            assert isinstance(figure, Figure), f"draw gives a {type(figure).__name__}"
            figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert _open_figures() == before, "it opens a figure of pyplot; use matplotlib.figure.Figure"


@check("figure", applies=lambda component, subject: not FigureAbilities.of(component).of_sweeps)
def check_figure_reads_only(component: Any, subject: Subject) -> None:
    """It changes neither the samples, nor what is known of them, nor the map."""
    view = _view()
    labels = view.neuron_labels.copy()
    _reads_only(view.evaluation, lambda: component.draw(view))
    assert np.array_equal(view.neuron_labels, labels), "it changes the labels"


def _open_figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return [] if pyplot is None else list(pyplot.get_fignums())


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
    return SweepView([ranking], "conformance", lambda _: replace(_view(), other=_view()))


def _view() -> MapView:
    from dbgsom_core.estimators.display import view_of

    estimator = material.trained()
    X, y = material.data(), material.classes()
    return view_of(
        estimator,
        estimator.evaluate(X, y=y, predictions=estimator.predict(X)),
        feature_names=[f"x{i}" for i in range(material.FEATURES)],
        image_shape=(2, 2),
        title="conformance",
        stability=material.stability(),
    )
