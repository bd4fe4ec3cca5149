"""Checks of what a run needs beside the model: data sets, measures, figures."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from dbgsom_core.interfaces.figures import FigureAbilities, Html, MapView, images_of
from dbgsom_core.interfaces.measures import Evaluation, MeasureAbilities
from dbgsom_core.interfaces.trackers import Ranking, SweepView, Variant
from dbgsom_core.testing import material
from dbgsom_core.testing.kit import Subject, ask, check


@check("dataset")
def check_load(component: Any, subject: Subject) -> None:
    """It loads a table of numbers, with targets and names that fit, the same when asked twice."""
    data, again = (ask("dataset", component, "load") for _ in range(2))
    assert data.X.dtype.kind in "fiub", "X must be a table of numbers"
    assert not np.isinf(data.X).any(), "X holds infinite values"
    if data.columns is not None:
        named = tuple(data.columns.feature_names) == tuple(data.feature_names or ())
        assert named, "columns and feature_names must name the same features"
    for cells in data.variables.values():
        assert len(cells) == len(data.X), "variables must have a value for each sample"
    assert np.array_equal(data.X, again.X, equal_nan=True), "loading twice gives other data"
    assert not np.shares_memory(data.X, again.X), "two loads share their arrays"


def _evaluation(measure: Any, chunk_rows: int = 4096) -> Evaluation:
    estimator, X, y = material.trained(), material.data(), material.classes()
    evaluation: Evaluation = estimator.evaluate(X, y=y, predictions=estimator.predict(X))
    if material.only_regresses(measure):
        target = X[:, 0]
        evaluation = replace(evaluation, y=target, predictions=target + 0.1 * X[:, 1])
    in_memory: Any = evaluation.data
    return replace(evaluation, data=replace(in_memory, chunk_rows=chunk_rows))


@check("measure")
def check_value(component: Any, subject: Subject) -> None:
    """It says which way is better, and gives one finite number within its bounds, the same when
    asked twice, however many rows are looked at together.
    """
    able, better = MeasureAbilities.of(component), type(component).greater_is_better
    assert isinstance(better, bool), "greater_is_better must be a bool"
    assert not (able.zero_is_best and better), "what is best at 0 has greater_is_better = False"
    first, second, parts = (
        ask("measure", component, "compute", _evaluation(component, rows))
        for rows in (4096, 4096, 7)
    )
    assert first == second, "two calls differ"
    assert math.isclose(first, parts, rel_tol=1e-9, abs_tol=1e-12), f"{first}, in chunks {parts}"
    low, high = able.bounds
    assert low <= first <= high, f"{first:g} is not within its bounds {low:g} to {high:g}"


@check("measure", lambda component: not MeasureAbilities.of(component).needs_target)
def check_measure_without_targets(component: Any, subject: Subject) -> None:
    """It looks at no targets, unless it says so: there may be none."""
    evaluation = _evaluation(component)
    value, without = (
        ask("measure", component, "compute", replace(evaluation, y=y)) for y in (evaluation.y, None)
    )
    assert math.isclose(value, without, rel_tol=1e-9, abs_tol=1e-12), (
        f"the value is {value} with targets and {without} without; say needs_target = True"
    )


@check("figure")
def check_draw(component: Any, subject: Subject) -> None:
    """It draws a page or a matplotlib figure that can be written, without pyplot's state."""
    from matplotlib.figure import Figure

    before = _open_figures()
    view = _sweep() if FigureAbilities.of(component).of_sweeps else _view()
    for figure in images_of("", ask("figure", component, "draw", view)).values():
        if isinstance(figure, Html):
            assert "<html" in figure.text.lower(), "Html must hold the text of a whole page"
        else:
            assert isinstance(figure, Figure), f"draw gives a {type(figure).__name__}"
            figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert _open_figures() == before, "it opens a figure of pyplot; use matplotlib.figure.Figure"


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

    estimator, X, y = material.trained(), material.data(), material.classes()
    return view_of(
        estimator,
        estimator.evaluate(X, y=y, predictions=estimator.predict(X)),
        feature_names=[f"x{i}" for i in range(material.FEATURES)],
        image_shape=(2, 2),
        title="conformance",
        stability=material.stability(),
    )
