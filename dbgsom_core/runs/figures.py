"""A run's map as figures see it, its figures, and notes of what went wrong meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from dbgsom_core.errors import level_of
from dbgsom_core.estimators.display import view_of
from dbgsom_core.estimators.samples import names_after
from dbgsom_core.interfaces.component import Component
from dbgsom_core.interfaces.datasets import Data
from dbgsom_core.interfaces.figures import MapView, images_of
from dbgsom_core.interfaces.guard import guarded
from dbgsom_core.interfaces.labellers import LabellerAbilities
from dbgsom_core.interfaces.measures import Evaluation
from dbgsom_core.interfaces.privacy import private_logger
from dbgsom_core.runs.signals import shutdown
from dbgsom_core.runs.split import Part

log = private_logger("dbgsom")

_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)


def view_of_run(
    estimator: Any, evaluation: Evaluation, part: Part, data: Data, steps: Any, title: str
) -> MapView:
    """Return the map of a run with a part of a data set, after ``steps``, as figures see it."""
    names = {}
    if estimator._kind != "regressor" and data.target_names is not None and data.y is not None:
        names = dict(enumerate(data.target_names)) if data.y.dtype.kind in "iu" else {}
    # Cluster numbers are no classes, whatever the data set calls its classes.
    supervised = LabellerAbilities.of(estimator._parts.labeller).needs_target
    pixels = [f"{i}" for i in range(data.X.shape[1])]
    features = names_after(steps, data.feature_names) or ()
    rows = part.rows
    known = {} if rows is None else data.variables
    variables = {name: values[rows] for name, values in known.items()}
    return view_of(
        estimator,
        evaluation,
        label_names=names if supervised else {},
        class_names=names,
        feature_names=features if len(features) == part.X.shape[1] else (),
        image_shape=data.image_shape if names_after(steps, pixels) == pixels else None,
        title=title,
        sample_ids=_sample_ids(data, rows),
        sample_ids_name=" ".join(_identities(data)),
        target_name="" if data.columns is None else data.columns.target or "",
        variables=variables,
        novelty=partial(estimator.score_samples, part.X),
    )


def _identities(data: Data) -> dict[str, Any]:
    """Return the columns that say which sample is which: ids, or rows, with dates beside them."""
    if not data.annotations:
        return dict(data.ids or {})
    return {**(data.ids or {"row": np.arange(len(data.X))}), **data.annotations}


def _sample_ids(data: Data, rows: Any) -> Any:
    columns = _identities(data)
    if not columns or rows is None:
        return None if isinstance(rows, slice) else rows
    found = [[str(value) for value in cells[rows].tolist()] for cells in columns.values()]
    return np.array([" ".join(values) for values in zip(*found, strict=True)])


def draw_figures(
    figures: Iterable[tuple[str, Component]], view: Any, notes: list[str]
) -> dict[str, Any]:
    """Return figures by name; one that cannot be drawn is a note."""
    drawn: dict[str, Any] = {}
    with warnings_as_notes(notes):
        for name, figure in figures:
            try:
                drawn |= images_of(name, guarded("figure", figure, "draw")(view))
            except Exception as error:
                add_note(notes, f"figure {name} failed ({type(error).__name__}: {error})")
            shutdown.check()
    return drawn


@contextmanager
def warnings_as_notes(notes: list[str]) -> Iterator[None]:
    """Turn Python warnings into notes of the report, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            known = (one for one in caught if not issubclass(one.category, _FOR_DEVELOPERS))
            levels = {str(one.message): level_of(one.category) for one in known}
            for text, level in levels.items():
                add_note(notes, text, level)


def add_note(notes: list[str], text: str, level: int = logging.WARNING) -> None:
    """Add a note to those of the report, and log it now."""
    notes.append(text)
    log.log(level, "%s", notes[-1])
